"""Pull requests, merged for real in the bare repository: as a merge commit, squashed into one commit, or rebased."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any

from fairlead_sandbox.forge.bare import Bare, Commit, GitFailed
from fairlead_sandbox.forge.dialect import Refused, invalid, not_found
from fairlead_sandbox.forge.identities import Identity
from reconciler.ports import Clock

METHODS = ("merge", "squash", "rebase")


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
    head_sha: str
    base_sha: str
    state: str = "open"
    closed_at: datetime | None = None
    merged_by: str = ""  # login
    merge_commit: str = ""


class Pulls:
    """Those of one repository."""

    def __init__(self, bare: Bare, owner: str, clock: Clock) -> None:
        self._bare = bare
        self._owner = owner
        self._clock = clock
        self._lock = Lock()
        self._pulls: dict[int, Pull] = {}

    def open(self, body: Mapping[str, Any], who: Identity) -> Pull:
        """A new one, as it was posted. Raises `Refused`."""
        head, base, title = (str(body.get(name) or "") for name in ("head", "base", "title"))
        head = head.removeprefix(f"{self._owner}:")
        ends = {name: self._bare.branch(branch) for name, branch in (("head", head), ("base", base))}
        for name, sha in ends.items():
            if sha is None:
                raise invalid("PullRequest", "invalid", field=name)
        if not title:
            raise invalid("PullRequest", "missing_field", field="title")
        head_sha, base_sha = str(ends["head"]), str(ends["base"])
        if self._bare.is_ancestor(head_sha, base_sha):
            raise invalid("PullRequest", "custom", message=f"No commits between {base} and {head}")
        with self._lock:
            if any((pull.state, pull.head, pull.base) == ("open", head, base) for pull in self._pulls.values()):
                message = f"A pull request already exists for {self._owner}:{head}."
                raise invalid("PullRequest", "custom", message=message)
            pull = Pull(
                number=len(self._pulls) + 1,
                head=head,
                base=base,
                title=title,
                body=str(body.get("body") or ""),
                login=who.login,
                created_at=self._clock.now(),
                head_sha=head_sha,
                base_sha=base_sha,
            )
            self._pulls[pull.number] = pull
        return pull

    def one(self, number: int) -> Pull:
        """The pull request as it is now. Raises `Refused` where there is none."""
        with self._lock:
            if number not in self._pulls:
                raise not_found()
            pull = self._pulls[number]
        return self._followed(pull)

    def all(self, state: str = "open", head: str = "", base: str = "") -> list[Pull]:
        """Newest first; `head` is `owner:branch`."""
        with self._lock:
            pulls = list(self._pulls.values())[::-1]
        return [
            self._followed(pull)
            for pull in pulls
            if state in ("all", pull.state) and head in ("", f"{self._owner}:{pull.head}") and base in ("", pull.base)
        ]

    def change(self, number: int, body: Mapping[str, Any]) -> Pull:
        """Another title, another body; closed, or opened again. Raises `Refused`."""
        pull, state = self.one(number), str(body.get("state") or "")
        title, text = str(body.get("title") or pull.title), str(body.get("body", pull.body) or "")
        if state not in ("", "open", "closed") or (state == "open" and pull.merged_by):
            raise invalid("PullRequest", "invalid", field="state")
        if state and state != pull.state:
            pull = replace(pull, state=state, closed_at=self._clock.now() if state == "closed" else None)
        return self._keep(replace(pull, title=title, body=text))

    def mergeable(self, pull: Pull) -> bool | None:
        """Whether it can be merged as it is now; None where it is no longer open."""
        return None if pull.state != "open" else self._tree(pull) is not None

    def merge(self, number: int, body: Mapping[str, Any], who: Identity) -> Pull:
        """Merge it by the method that was asked for. The repository's lock is held. Raises `Refused`."""
        pull, method = self.one(number), str(body.get("merge_method") or "merge")
        if method not in METHODS:
            raise Refused(422, f"Invalid request.\n\n{method} is not a member of {list(METHODS)}.")
        if body.get("sha") not in (None, pull.head_sha):
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        tree = self._tree(pull) if pull.state == "open" else None
        if tree is None:
            raise Refused(405, "Pull Request is not mergeable")
        merged = self._rebased(pull) if method == "rebase" else self._merged(pull, method, tree, body, who)
        try:
            self._bare.move(f"refs/heads/{pull.base}", merged, pull.base_sha)
        except GitFailed:
            raise Refused(405, "Base branch was modified. Review and try the merge again.") from None
        now = self._clock.now()
        return self._keep(replace(pull, state="closed", closed_at=now, merged_by=who.login, merge_commit=merged))

    def _keep(self, pull: Pull) -> Pull:
        with self._lock:
            self._pulls[pull.number] = pull
        return pull

    def _followed(self, pull: Pull) -> Pull:
        if pull.state != "open":
            return pull
        head, base = self._bare.branch(pull.head), self._bare.branch(pull.base)
        return replace(pull, head_sha=head or pull.head_sha, base_sha=base or pull.base_sha)

    def _tree(self, pull: Pull) -> str | None:
        """What the base would hold; None where it cannot be merged."""
        parted = self._bare.merge_base(pull.base_sha, pull.head_sha)
        if parted is None or self._bare.branch(pull.head) is None:
            return None
        return self._bare.merged_tree(parted, pull.base_sha, pull.head_sha)

    def _merged(self, pull: Pull, method: str, tree: str, body: Mapping[str, Any], who: Identity) -> str:
        """A commit with both parents, or one commit on the base that holds all of it."""
        subject, rest = self._words(pull, method)
        subject, rest = str(body.get("commit_title") or subject), str(body.get("commit_message", rest))
        parents = (pull.base_sha, pull.head_sha) if method == "merge" else (pull.base_sha,)
        message = f"{subject}\n\n{rest}".strip() + "\n"
        return self._bare.write_commit(tree, parents, message, (who.login, who.email))

    def _words(self, pull: Pull, method: str) -> tuple[str, str]:
        """GitHub's own subject and text of the commit."""
        if method == "merge":
            return f"Merge pull request #{pull.number} from {self._owner}/{pull.head}", pull.title
        commits = self._commits(pull)
        if len(commits) == 1:
            _, _, rest = commits[0].message.partition("\n")
            return f"{commits[0].subject} (#{pull.number})", rest.strip()
        return f"{pull.title} (#{pull.number})", "\n\n".join(f"* {commit.message}" for commit in commits)

    def _rebased(self, pull: Pull) -> str:
        """Each of its commits, one after another, on top of the base; one that brings nothing new is left out."""
        top = self._bare.commits(pull.base_sha, most=1)[-1]
        onto, tree = top.sha, top.tree
        for commit in self._commits(pull):
            if len(commit.parents) != 1:
                raise Refused(405, "This branch can't be rebased")
            new = self._bare.merged_tree(commit.parents[0], onto, commit.sha)
            if new is None:
                raise Refused(405, "This branch can't be rebased")
            if new != tree:
                onto = self._bare.write_commit(new, (onto,), f"{commit.message}\n", commit.author)
                tree = new
        return onto

    def _commits(self, pull: Pull) -> Sequence[Commit]:
        return self._bare.commits(f"{pull.base_sha}..{pull.head_sha}")
