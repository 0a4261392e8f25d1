"""Pull requests, merged for real in the bare repository: as a merge commit, squashed into one commit, or rebased."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any

from fairlead_sandbox.forge.bare import Bare, Commit, GitFailed
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.wire import Wrong
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A ref that went from one commit to another; forty zeros stand for none."""

    ref: str
    before: str
    after: str

    @property
    def branch(self) -> str:
        """Its name; nothing where it is a tag."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a pull request is to be. `fork` is the full name of the head's repository; empty: the same one."""

    head: str  # a branch
    base: str
    title: str
    body: str = ""
    fork: str = ""
    squash: bool = False  # GitLab: merged as one commit
    draft: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One pull request. While it is open its ends follow their branches."""

    number: int
    head: str  # a branch
    base: str
    title: str
    body: str
    login: str
    created_at: datetime
    updated_at: datetime
    head_sha: str
    base_sha: str
    fork: str = ""
    squash: bool = False
    draft: bool = False
    state: str = "open"
    closed_at: datetime | None = None
    merged_by: str = ""  # login
    merge_commit: str = ""  # where the base went
    squash_commit: str = ""


Words = Callable[[Pull, Sequence[Commit]], str]  # a commit's message, for a pull request of these commits


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """How: `merge`, `squash`, `rebase`, `ff` (to the head itself), `squash-merge` (a merge of a squashed commit)."""

    method: str
    message: Words
    squashed: Words | None = None
    sha: str = ""  # what the head has to be


class Pulls:
    """Those of one repository. `bare_of` gives a fork's bare half, `pull_ref` is where heads are kept."""

    def __init__(
        self, bare: Bare, full_name: str, bare_of: Callable[[str], Bare | None], pull_ref: str, clock: Clock
    ) -> None:
        self._bare = bare
        self._full_name = full_name
        self._bare_of = bare_of
        self._pull_ref = pull_ref
        self._clock = clock
        self._lock = Lock()
        self._pulls: dict[int, Pull] = {}

    def open(self, wanted: Opening, who: Identity) -> Pull:
        """A new one. Raises `Wrong`."""
        wanted = replace(wanted, fork="" if wanted.fork == self._full_name else wanted.fork)
        head, base = self._head(wanted.fork, wanted.head), self._bare.branch(wanted.base)
        if head is None:
            raise Wrong("no-head", branch=wanted.head)
        if base is None:
            raise Wrong("no-base", branch=wanted.base)
        if not wanted.title:
            raise Wrong("no-title")
        self._reach(wanted.fork, wanted.head, head)
        if self._bare.is_ancestor(head, base):
            raise Wrong("nothing-new", base=wanted.base, head=wanted.head)
        return self._added(wanted, who, head, base)

    def _added(self, wanted: Opening, who: Identity, head: str, base: str) -> Pull:
        now = self._clock.now()
        with self._lock:
            for other in self._pulls.values():
                if (other.state, other.fork, other.head, other.base) == ("open", wanted.fork, wanted.head, wanted.base):
                    owner = (wanted.fork or self._full_name).rpartition("/")[0]
                    raise Wrong("pull-exists", number=str(other.number), head=wanted.head, owner=owner)
            pull = Pull(
                number=len(self._pulls) + 1,
                head=wanted.head,
                base=wanted.base,
                title=wanted.title,
                body=wanted.body,
                login=who.login,
                created_at=now,
                updated_at=now,
                head_sha=head,
                base_sha=base,
                fork=wanted.fork,
                squash=wanted.squash,
                draft=wanted.draft,
            )
            self._pulls[pull.number] = pull
        self._bare.git("update-ref", self._pull_ref.format(pull.number), head)
        return pull

    def one(self, number: int) -> Pull:
        """The pull request as it is now. Raises `Wrong` where there is none."""
        with self._lock:
            if number not in self._pulls:
                raise Wrong("not-found")
            pull = self._pulls[number]
        return self._followed(pull)

    def all(self, wanted: Callable[[Pull], bool] = lambda _: True) -> list[Pull]:
        """Newest first."""
        with self._lock:
            pulls = list(self._pulls.values())[::-1]
        return [self._followed(pull) for pull in pulls if wanted(pull)]

    def of_commit(self, sha: str) -> list[Pull]:
        """Those that brought a commit, or are about to."""
        return self.all(lambda pull: sha in (pull.merge_commit, pull.squash_commit) or self._brings(pull, sha))

    def change(self, number: int, body: Mapping[str, Any]) -> tuple[Pull, Pull]:
        """Another title, another body; closed, or opened again. Gives it before and after. Raises `Wrong`."""
        old, state = self.one(number), str(body.get("state") or "")
        if state not in ("", "open", "closed") or (state == "open" and old.merged_by):
            raise Wrong("bad-state")
        new = replace(
            old,
            title=str(body.get("title") or old.title),
            body=str(body.get("body", old.body) or ""),
            squash=bool(body.get("squash", old.squash)),
        )
        if state and state != old.state:
            new = replace(new, state=state, closed_at=self._clock.now() if state == "closed" else None)
        if new != old:
            new = replace(new, updated_at=self._clock.now())
        return old, self._keep(new)

    def follow(self, fork: str, branch: str) -> Iterator[tuple[Pull, str]]:
        """Open ones whose head moved there, each with where it was."""
        with self._lock:
            found = [
                each for each in self._pulls.values() if (each.state, each.fork, each.head) == ("open", fork, branch)
            ]
        for old in found:
            new = self._followed(old)
            if new.head_sha != old.head_sha:
                self._bare.git("update-ref", self._pull_ref.format(old.number), new.head_sha)
                yield self._keep(replace(new, updated_at=self._clock.now())), old.head_sha

    def absorb(self, moved: Moved, who: Identity) -> Iterator[Pull]:
        """Open ones whose commits somebody pushed to their base: every vendor takes them for merged."""
        with self._lock:
            found = [each.number for each in self._pulls.values() if (each.state, each.base) == ("open", moved.branch)]
        for pull in map(self.one, found):
            if self._bare.is_ancestor(pull.head_sha, pull.base_sha):
                now = self._clock.now()
                done = replace(pull, state="closed", closed_at=now, updated_at=now, merged_by=who.login)
                yield self._keep(replace(done, merge_commit=moved.after, base_sha=moved.before))

    def touch(self, number: int) -> None:
        """Something was said on it."""
        with self._lock:
            self._pulls[number] = replace(self._pulls[number], updated_at=self._clock.now())

    def mergeable(self, pull: Pull) -> bool | None:
        """Whether it can be merged as it is now; None where it is no longer open."""
        return None if pull.state != "open" else self._tree(pull) is not None

    def commits(self, pull: Pull) -> Sequence[Commit]:
        """What it brings, oldest first."""
        return self._bare.commits(f"{pull.base_sha}..{pull.head_sha}")

    def merge(self, number: int, how: Merge, who: Identity) -> Pull:
        """Merge it. The repository's lock is held. Raises `Wrong`."""
        pull = self.one(number)
        if how.sha not in ("", pull.head_sha):
            raise Wrong("head-moved", sha=pull.head_sha)
        if pull.state != "open":
            raise Wrong("closed")
        tree = self._tree(pull)
        if tree is None:
            raise Wrong("conflict")
        merged, squashed = self._made(pull, how, tree, who)
        try:
            self._bare.move(f"refs/heads/{pull.base}", merged, pull.base_sha)
        except GitFailed:
            raise Wrong("base-moved") from None
        now = self._clock.now()
        done = replace(pull, state="closed", closed_at=now, updated_at=now, merged_by=who.login)
        return self._keep(replace(done, merge_commit=merged, squash_commit=squashed))

    def _made(self, pull: Pull, how: Merge, tree: str, who: Identity) -> tuple[str, str]:
        """The commit that the base goes to, and the squashed one where there is one."""
        author, commits = (who.login, who.email), self.commits(pull)
        if how.method == "rebase":
            return self._rebased(pull, commits), ""
        if how.method == "ff":
            return self._forwarded(pull), ""
        if how.method == "squash":
            one = self._bare.write_commit(tree, (pull.base_sha,), how.message(pull, commits), author)
            return one, one
        head = squashed = ""
        if how.method == "squash-merge" and how.squashed is not None:
            parted = str(self._bare.merge_base(pull.base_sha, pull.head_sha))
            whole = self._bare.commits(pull.head_sha, most=1)[-1].tree
            head = squashed = self._bare.write_commit(whole, (parted,), how.squashed(pull, commits), author)
        parents = (pull.base_sha, head or pull.head_sha)
        return self._bare.write_commit(tree, parents, how.message(pull, commits), author), squashed

    def _keep(self, pull: Pull) -> Pull:
        with self._lock:
            self._pulls[pull.number] = pull
        return pull

    def _head(self, fork: str, branch: str) -> str | None:
        bare = self._bare_of(fork) if fork else self._bare
        return None if bare is None else bare.branch(branch)

    def _reach(self, fork: str, branch: str, sha: str) -> None:
        """Have the commits of a fork's branch here."""
        source = self._bare_of(fork) if fork else None
        if source is not None and not self._bare.has_commit(sha):
            self._bare.git("fetch", "--quiet", "--no-tags", str(source.path.resolve()), f"refs/heads/{branch}")

    def _followed(self, pull: Pull) -> Pull:
        if pull.state != "open":
            return pull
        head, base = self._head(pull.fork, pull.head), self._bare.branch(pull.base)
        if head is not None:
            self._reach(pull.fork, pull.head, head)
        return replace(pull, head_sha=head or pull.head_sha, base_sha=base or pull.base_sha)

    def _brings(self, pull: Pull, sha: str) -> bool:
        now = self._followed(pull)
        return self._bare.is_ancestor(sha, now.head_sha) and not self._bare.is_ancestor(sha, now.base_sha)

    def _tree(self, pull: Pull) -> str | None:
        """What the base would hold; None where it cannot be merged."""
        parted = self._bare.merge_base(pull.base_sha, pull.head_sha)
        if parted is None or self._head(pull.fork, pull.head) is None:
            return None
        return self._bare.merged_tree(parted, pull.base_sha, pull.head_sha)

    def _forwarded(self, pull: Pull) -> str:
        """The head itself, which has to have all of the base."""
        if not self._bare.is_ancestor(pull.base_sha, pull.head_sha):
            raise Wrong("conflict")
        return pull.head_sha

    def _rebased(self, pull: Pull, commits: Sequence[Commit]) -> str:
        """Each of its commits, one after another, on top of the base; one that brings nothing new is left out."""
        top = self._bare.commits(pull.base_sha, most=1)[-1]
        onto, tree = top.sha, top.tree
        for commit in commits:
            if len(commit.parents) != 1:
                raise Wrong("cannot-rebase")
            new = self._bare.merged_tree(commit.parents[0], onto, commit.sha)
            if new is None:
                raise Wrong("cannot-rebase")
            if new != tree:
                onto = self._bare.write_commit(new, (onto,), f"{commit.message}\n", commit.author)
                tree = new
        return onto
