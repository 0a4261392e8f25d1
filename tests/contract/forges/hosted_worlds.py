"""A forge of each dialect: the sandbox's over HTTP with real git, the adapter before it, and a look from outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from adapters.clock import ManualClock
from adapters.forges.hosted import Allowance, Allowed, HostedForge, Road, Transport, windows
from adapters.ledger.store import Store
from fairlead.wiring.forges import DIALECTS, SIGN_INS
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.forge.faults import Burst
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.identities import ALL, Identity
from fairlead_sandbox.forge.pulls import Merge, Opening
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.git_server import GitServer
from reconciler.record import CommitStatus, State

REPOSITORY: Mapping[Name, str] = {
    "github": "acme/desired",
    "gitlab": "acme/platform/desired",  # GitLab's groups have groups
    "gitea": "acme/desired",
}
STATES = {each.value: each for each in State} | {"running": State.PENDING, "failed": State.FAILURE}
ENDLESS = 1_000_000
SECOND = timedelta(seconds=1)
ADA = Identity(login="ada", permissions=ALL)


@dataclass
class Lines:
    """What was logged."""

    said: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def warning(self, event: str, **values: Any) -> None:
        self.said.append((event, values))


@dataclass
class Site:
    """One forge with one repository of three commits, signed in to as `fairlead-bot`.

    What the suite of hosted forges does beside the adapter goes through methods of this, but for the switches that only
    a sandbox has. So a real server can stand in its place.
    """

    kind: Name
    sandbox: Forge
    store: Store
    clock: ManualClock
    folder: Path
    log: Lines = field(default_factory=Lines)
    login: str = "fairlead-bot"

    def __post_init__(self) -> None:
        self.repository = REPOSITORY[self.kind]
        self.hosted = self.sandbox.create(self.repository)
        self.services: dict[str, Hosted] = {}
        self.web = self.sandbox.addresses.web
        self.token = self.sandbox.identities.add_person(self.login)
        self.commits = history(self.hosted)

    @cached_property
    def ada(self) -> Checkout:
        """A person with a clone."""
        clone = Checkout(self.folder / "ada", self.sandbox.git.url(self.repository))
        clone.pull()
        return clone

    def branch(self, name: str, *, commits: int = 1) -> str:
        """A pushed branch off the second commit; gives its head."""
        self.ada.git("checkout", "--quiet", "-B", name, self.commits[1])
        for number in range(commits):
            self.ada.commit(f"{name} {number}", {f"{name}.yaml": f"{number}\n"})
        self.ada.git("push", "--quiet", "--force", "origin", name)
        return self.ada.head

    def forge(self, *, token: str = "", repository: str = "", **allowed: Any) -> HostedForge:
        """The adapter, as wiring makes it."""
        dialect = DIALECTS[self.kind]("main")
        transport = Transport(
            self.sandbox.addresses.api,
            title=dialect.title,
            example=dialect.example,
            headers=dialect.headers,
            timeout=10,
            monotonic=self.clock.monotonic,
        )
        sign_in = SIGN_INS[self.kind](lambda: token or self.token, reference="env:TOKEN")
        return HostedForge(
            Road(dialect, transport, sign_in),
            repository or self.repository,
            allowance=Allowance(budget=self.store, windows=windows(60, 400)),
            log=self.log,
            allowed=Allowed(**{"deployments": True, "sources": ("acme/*",), **allowed}),
            jitter=lambda: 1.0,
        )

    def read(self, commit: str, service: str = "") -> list[CommitStatus]:
        """What is shown on a commit of the repository or of a service's, newest first."""
        hosted = self.services[service] if service else self.hosted
        return [
            CommitStatus(
                repository="main",
                commit=commit,
                context=each.context,
                state=STATES[each.state],
                description=each.description,
                target_url=each.target_url,
            )
            for each in hosted.statuses.newest(commit)
        ]

    # ── what others do ──

    def who(self, login: str, permissions: Mapping[str, str]) -> str:
        """The token of somebody who may do so much here."""
        return self.sandbox.identities.add_person(login, permissions)

    def remark(self, pull: int, body: str, login: str) -> None:
        """Somebody comments."""
        self.hosted.comments.add(pull, body, login)

    def remarks(self, pull: int) -> list[tuple[str, str]]:
        """Who said what on a pull request, oldest first."""
        return [(each.login, each.body) for each in self.hosted.comments.of(pull)]

    def service(self, name: str) -> tuple[str, ...]:
        """Another repository, of three commits."""
        self.services[name] = self.sandbox.create(name)
        return history(self.services[name])

    def tag(self, service: str, name: str, commit: str, *, annotated: bool = False) -> None:
        """A tag there."""
        who = {f"GIT_COMMITTER_{each}": "a@example.com" for each in ("NAME", "EMAIL")}
        words = ("-a", "-m", name) if annotated else ()
        self.services[service].bare.git("tag", *words, name, commit, environment=who)

    def branches(self, names: Sequence[str]) -> None:
        """All off the same new commit."""
        commit = self.branch(names[0])
        refs = "".join(f"create refs/heads/{name} {commit}\n" for name in names[1:])
        self.hosted.bare.git("update-ref", "--stdin", input=refs)

    def opened(self, branch: str, base: str = "main", fork: str = "") -> int:
        """A pull request of Ada's; its number."""
        self.clock.advance(SECOND)
        return self.hosted.pulls.open(Opening(head=branch, base=base, title=branch, fork=fork), ADA).number

    def merged(self, number: int, method: str) -> str:
        """The commit that it became."""
        self.clock.advance(SECOND)
        how = Merge(method=method, message=lambda *_: "merged\n", squashed=lambda *_: "squashed\n")
        return self.hosted.pulls.merge(number, how, ADA).merge_commit

    def close(self, number: int) -> None:
        """Without a merge."""
        self.hosted.pulls.change(number, {"state": "closed"})

    def opened_outside(self, login: str) -> int:
        """A pull request of a commit that is only in somebody's fork; its number."""
        fork = self.sandbox.fork(self.repository, login)
        tree, who = f"{self.commits[2]}^{{tree}}", (login, f"{login}@example.com")
        change = fork.bare.write_commit(fork.bare.git("rev-parse", tree), (self.commits[2],), "x\n", who)
        fork.bare.git("update-ref", "refs/heads/change", change)
        return self.opened("change", fork=fork.full_name)

    def lose_fork(self, login: str, number: int) -> None:
        """It is deleted."""
        self.hosted.pulls._pulls[number] = replace(self.hosted.pulls.one(number), fork=f"{login}/gone")

    # ── what goes wrong ──

    def lose_answers(self) -> None:
        """The next write takes effect, and its connection is cut."""
        self.sandbox.faults.lost_answers = 1

    def asked(self) -> int:
        """Requests so far."""
        return self.sandbox.log.reads + len(self.sandbox.log.all())

    def writes(self) -> Sequence[str]:
        """Methods and paths of what took effect, in order."""
        return [f"{each.method} {each.path}" for each in self.sandbox.log.successes()]

    def strike(self, status: int, *, left: int = ENDLESS, **more: Any) -> None:
        """Answer like that from now on."""
        self.sandbox.faults.burst = Burst(status=status, left=left, **more)

    def break_down(self, broken: bool) -> None:
        """The API is out, or is there again."""
        self.sandbox.faults.burst = Burst(status=503, left=ENDLESS) if broken else None


def history(hosted: Hosted) -> tuple[str, ...]:
    """Three commits on `main`, made in one process; oldest first."""
    stream = "".join(
        f"commit refs/heads/main\ncommitter a <a@example.com> {1_700_000_000 + number} +0000\ndata 1\nx\n\n"
        for number in range(3)
    )
    hosted.bare.git("fast-import", "--quiet", input=stream)
    return tuple(hosted.bare.git("rev-list", "--reverse", "main").split())


def site(kind: Name, git: GitServer, store: Store, clock: ManualClock, folder: Path) -> Site:
    """A forge of that dialect."""
    return Site(kind=kind, sandbox=Forge(git, clock, kind), store=store, clock=clock, folder=folder)


MakeSite = Callable[[Name], Site]
