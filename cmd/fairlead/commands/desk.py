"""Where commands that change desired state write: a commit or a pull request, as each environment says."""

import getpass
import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from desired_state.model import FleetName, Revision, Sha
from fairlead.commands.opening import mirror_of, reaching_git, repository_of, settings_of, unknown
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import progress
from reconciler.ports import Unreadable
from reconciler.reviews import Proposal, Pull, Reviewed, Reviews

if TYPE_CHECKING:
    from desired_state.git_objects import GitTree
    from desired_state.landing import Author, Check, Writer
    from desired_state.mirror import Mirror
    from desired_state.parser import Parser
    from desired_state.trees import Tree
    from desired_state.writing import Note, Wish
    from fairlead.settings import RepositorySettings, Settings

REPOSITORY = typer.Option(None, "--repository", metavar="NAME", help="Which repository of the settings.")
MESSAGE = typer.Option("", "--message", metavar="TEXT", help="Why; it stands in the commit under its subject.")
PULL_REQUEST = typer.Option(
    None, "--pull-request/--commit", help="Open a pull request, or commit; left out: as the environment says."
)
LOOKBACK = 2000  # first-parent commits that are searched for one that is there already
_LONGEST = 80  # characters of a branch's name


class Way(StrEnum):
    """How a change gets into the repository."""

    COMMIT = "commit"
    PULL_REQUEST = "pull-request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a change. One of `commit` and `stands` may be there, or neither."""

    how: Way
    scopes: tuple[str, ...]  # fleets, or environments
    message: str
    branch: str
    commit: Sha | None = None  # that was pushed
    stands: Sha | None = None  # that says it already
    pull: Pull | None = None
    sets: bool = True  # see `Order`

    @property
    def stands_at(self) -> Sha | None:
        """Where --wait begins when nothing was pushed; None: at the head."""
        return self.stands if self.sets else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a command wants: `wish` makes it of some of its scopes, `name` is for branches."""

    command: str
    scopes: tuple[str, ...]
    wish: "Callable[[Sequence[str]], Wish]"
    about: str = ""  # ends the branch's name, such as the version
    check: "Check | None" = None
    sets: bool = True  # what fleets are told to run, and not only how they are run
    thought_out: bool = False  # for the head that was read: what changed since is not overwritten


class Desk:
    """The repository, freshly fetched, and what it takes to write to it. Its methods raise `GitError`, `Refused`."""

    def __init__(self, settings: "Settings", repository: "RepositorySettings", mirror: "Mirror") -> None:
        from fairlead import wiring

        self.settings = settings
        self.repository = repository
        self.mirror = mirror
        self.folder = repository.path
        self.parser: Parser = wiring.parser()
        self.head: Revision = mirror.fetch()
        self._reviews: Reviewed | None = None

    def tree(self, commit: Sha | None = None) -> "GitTree":
        """The desired state at a commit; left out: at the head."""
        return self.mirror.tree(commit or self.head.sha).under(self.folder)

    def reviews(self) -> Reviewed | None:
        """The repository's pull requests, always by the same client; None where its forge has none."""
        from fairlead import wiring
        from fairlead.settings import SettingsError
        from fairlead.wiring import writing_back

        try:
            if self._reviews is None:
                self._reviews = writing_back.reviews(self.settings, self.repository, wiring.clock())
        except SettingsError as error:
            raise Refused(str(error)) from error
        return self._reviews

    def carry(self, order: Order, asked: bool | None) -> list[Done]:
        """Write it, by one commit and one pull request at most. `asked`: True for a pull request, False: commit."""
        ways = self._ways(order.scopes, asked)
        reviews = self._reviews_for(ways.get(Way.PULL_REQUEST, ()))
        done: list[Done] = []
        for way, scopes in sorted(ways.items()):
            part = replace(order, scopes=scopes)
            try:
                done.append(self._commit(part) if way is Way.COMMIT else self._propose(part, reviews))
            except Refused as refused:
                raise Refused(f"{refused}{_before(done)}", refused.code) from refused
        return done

    def _ways(self, scopes: Sequence[str], asked: bool | None) -> dict[Way, tuple[str, ...]]:
        tree = self.tree()
        said = {scope: self._way(tree, scope.partition("/")[0], asked) for scope in scopes}
        return {way: tuple(one for one in scopes if said[one] is way) for way in set(said.values())}

    def _way(self, tree: "Tree", environment: str, asked: bool | None) -> Way:
        if asked:
            return Way.PULL_REQUEST
        path = f"environments/{environment}/environment.yaml"
        found = self.parser.environment(tree, environment)
        if found is None:
            raise Refused(
                f"{path} cannot be read, so it does not say whether commits are allowed: repair it, "
                "or say --pull-request"
            )
        way = Way(found.changes.how) if found.changes else Way.COMMIT
        if asked is False and way is Way.PULL_REQUEST:
            raise Refused(
                f"{environment} takes pull requests only (changes.how in {path}): leave out what asks for a commit"
            )
        return way

    def _reviews_for(self, scopes: Sequence[str]) -> Reviews | None:
        reviews = self.reviews() if scopes else None
        if scopes and reviews is None:
            raise Refused(
                f"{', '.join(scopes)}: a pull request is wanted, and the forge of repository {self.repository.name} "
                f"({self.repository.forge.type}) has none: set repositories.forge to the one where it is hosted, "
                "or push a branch and have it merged by hand"
            )
        return reviews

    def _writer(self) -> "Writer":
        from fairlead.settings import SettingsError
        from fairlead.wiring import writing_back

        try:
            return writing_back.writer(self.settings, person())
        except SettingsError as error:
            raise Refused(str(error)) from error

    def _commit(self, order: Order) -> Done:
        from desired_state.git_errors import GitRefused
        from desired_state.landing import NothingToChange, commit

        wish = order.wish(order.scopes)
        branch = self.mirror.branch
        settled = Done(how=Way.COMMIT, scopes=order.scopes, message="", branch=branch, sets=order.sets)
        try:
            with _refusing(), progress("pushing a commit ..."):
                made = commit(
                    self.mirror,
                    wish.make,
                    wish.paths,
                    writer=self._writer(),
                    check=self._sound(order),
                    since=self.head if order.thought_out else None,
                )
        except NothingToChange as same:
            return replace(settled, message=str(same), stands=self._stands(order, wish.paths))
        except GitRefused as refused:
            hint = "; --pull-request opens one" if "takes no push from us" in str(refused) else ""
            raise Refused(f"{refused}{hint}", ExitCode.UNREACHABLE) from refused
        return replace(settled, message=made.subject, commit=made.sha)

    def _propose(self, order: Order, reviews: Reviews | None) -> Done:
        from desired_state.landing import NothingToChange, commit_aside

        assert reviews is not None  # noqa: S101  `carry` has looked
        wish, branch = order.wish(order.scopes), branch_name(order)
        settled = Done(how=Way.PULL_REQUEST, scopes=order.scopes, message="", branch=branch, sets=order.sets)
        try:
            with _refusing(), progress("pushing a branch ..."):
                made = commit_aside(self.mirror, wish.make, branch, writer=self._writer(), check=self._sound(order))
        except NothingToChange as same:
            stands = self._stands(order, wish.paths)
            return replace(settled, message=str(same), stands=stands, branch=self.mirror.branch)
        pull = self._opened(reviews, made, branch)
        return replace(settled, message=made.subject, commit=made.sha, pull=pull)

    def _opened(self, reviews: Reviews, made: Revision, branch: str) -> Pull:
        proposal = Proposal(branch=branch, base=self.mirror.branch, title=made.subject, body=made.body)
        try:
            with progress("opening a pull request ..."):
                return reviews.propose(proposal)
        except Unreadable as trouble:
            raise Refused(
                f"the branch {branch} is pushed ({made.short}), and its pull request could not be opened ({trouble}): "
                f"run the same command again, or open one by hand from {branch} into {self.mirror.branch}",
                ExitCode.UNREACHABLE,
            ) from trouble

    def _stands(self, order: Order, paths: Sequence[str]) -> Sha | None:
        """The newest commit that set what one of the fleets is told, or touched one of the files; None: none lately."""
        from desired_state.setting_commits import setting_commits

        head, wanted, set_by = self.mirror.fetch(), set(paths), set[Sha]()
        if order.sets:
            desired = self.parser.parse(self.tree(head.sha))
            settings = setting_commits(self.mirror, head.sha, desired, self.parser, folder=self.folder)
            set_by = {settings[scope].commit for scope in order.scopes if scope in settings}
        walk = self.mirror.first_parents(head.sha, limit=LOOKBACK)
        try:
            if set_by:
                return next((revision.sha for revision, _ in walk if revision.sha in set_by), None)
            return next((revision.sha for revision, touched in walk if wanted & touched), None)
        finally:
            walk.close()

    def _sound(self, order: Order) -> "Check":
        """No commit of ours breaks a fleet that was sound."""

        def check(old: Sha, new: Sha) -> None:
            before, after = self.tree(old), self.tree(new)
            for fleet in (scope for scope in order.scopes if "/" in scope):
                was, becomes = (isinstance(self.parser.target_digest(each, fleet), str) for each in (before, after))
                if was and not becomes:
                    problems = [str(each) for each in self.parser.parse(after).errors if fleet in each.fleets]
                    raise Refused(f"{fleet} could not be read after it: {'; '.join(problems[:2])}")
            if order.check:
                order.check(old, new)

        return check


@contextmanager
def desk(config: Path | None, repository: str | None) -> Iterator[Desk]:
    """The desk of one repository; a remote that is down or refuses ends the command with a sentence."""
    settings = settings_of(config)
    chosen = repository_of(settings, repository)
    with mirror_of(settings, chosen) as mirror, reaching_git():
        with progress(f"reading {chosen.name} ..."):
            found = Desk(settings, chosen, mirror)
        yield found


@contextmanager
def _refusing() -> Iterator[None]:
    """All trouble with the repository but `NothingToChange` and `GitRefused`, which may mean something to a caller."""
    from desired_state.git_errors import GitError, GitRefused

    try:
        yield
    except GitRefused:
        raise
    except GitError as error:
        raise Refused(" ".join(str(error).split()), ExitCode.UNREACHABLE) from error


def _before(done: Sequence[Done]) -> str:
    """What was pushed before something else failed."""
    pushed = [each for each in done if each.commit]
    return "".join(f"; {each.message} is pushed as {(each.commit or '')[:7]} all the same" for each in pushed)


def branch_name(order: Order) -> str:
    """Always the same for the same wish: `fairlead/bump-prod-checkout-1.4.2`."""
    exact = f"{order.command} {' '.join(order.scopes)} {order.about}"
    first = order.scopes[0].replace("/", "-")
    more = f"-and-{len(order.scopes) - 1}-more" if len(order.scopes) > 1 else ""
    name = f"fairlead/{order.command}-{first}{more}" + (f"-{order.about}" if order.about else "")
    safe = re.sub(r"\.lock$|\.$", "", re.sub(r"\.{2,}|[^A-Za-z0-9._/+-]", "-", name))[:_LONGEST]
    return safe if safe == name and not more else f"{safe}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def check_declared(tree: "Tree", fleets: Sequence[FleetName]) -> None:
    """Refuses fleets that have no file, and names those that are like them."""
    from desired_state.layout import Kind, fleet_path, place

    entries = tree.entries()
    for fleet in fleets:
        found = place(fleet_path(fleet))
        if found.kind is not Kind.FLEET or found.fault or fleet_path(fleet) not in entries:
            places = (place(path) for path in entries)
            known = [f"{found.environment}/{found.name}" for found in places if found.kind is Kind.FLEET]
            raise Refused(unknown(fleet, sorted(known), "the repository"))


def note(command: str, message: str, *trailers: tuple[str, str]) -> "Note":
    """What the commit says beside its change. Refuses a message that would pass for what only we say."""
    from desired_state.landing import COMMAND
    from desired_state.writing import Note

    check_text("--message", message)
    return Note(message=message, trailers=((COMMAND, command), *trailers))


def check_text(option: str, text: str) -> None:
    """Refuses what no file and no commit can hold, and what would pass for words of ours that programs read."""
    if not text.isascii() and any(0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        raise Refused(f"{option}: this is not UTF-8 text")
    lines = [line.lstrip().casefold() for line in text.splitlines()]
    if any(line.startswith("fairlead-") for line in lines):
        raise Refused(f"{option}: no line may begin with Fairlead-, which is for what programs read")
    if any(line.startswith("this reverts commit") for line in lines):
        raise Refused(f"{option}: no line may begin with `This reverts commit`, which fairlead rollback writes")


def person() -> "Author":
    """Who runs the command: as `GIT_AUTHOR_NAME` and `GIT_AUTHOR_EMAIL` say, else their own git, else the system."""
    from desired_state.landing import Author

    name = os.environ.get("GIT_AUTHOR_NAME") or _git_config("user.name") or _user()
    email = os.environ.get("GIT_AUTHOR_EMAIL") or _git_config("user.email") or f"{_user()}@localhost"
    return Author(name=name, email=email)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unknown"


def _git_config(key: str) -> str:
    try:
        done = subprocess.run(["git", "config", "--get", key], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
