"""A bare repository as the forge works on it: refs, commits, and merges without a clone, by git's own plumbing."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

from fairlead_sandbox.surroundings import inherited

ABSENT = "0" * 40
_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
_COMMITTER = ("GitHub", "noreply@localhost")  # it makes the commits of its merges itself


class GitFailed(Exception):
    """Git refused; its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit. Times are ISO 8601 with their offset."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str
    author: tuple[str, str, str]  # name, e-mail, time
    committer: tuple[str, str, str]

    @property
    def subject(self) -> str:
        """The first line of its message."""
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag: of itself an object where it is annotated, else only the name of a commit."""

    name: str
    target: str  # the commit
    object: str = ""  # the tag object's id, where it is annotated
    message: str = ""
    tagger: tuple[str, str, str] = ("", "", "")  # name, e-mail, time


class Bare:
    """One bare repository. `lock` is held by whoever moves its refs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = RLock()
        self._commits: set[str] = set()  # that are known to be there; commits stay

    def git(self, *args: str, environment: Mapping[str, str] | None = None, input: str = "") -> str:  # noqa: A002
        """Standard output of a git command, without the line end. Raises `GitFailed`."""
        done = subprocess.run(
            ["git", "--git-dir", str(self.path), *args],
            env={**inherited(), **_QUIET, **(environment or {})},
            input=input,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise GitFailed(done.stderr.strip() or done.stdout.strip() or f"git {args[0]} failed")
        return done.stdout.rstrip("\n")

    def hide(self, refs: str) -> None:
        """Let nobody push to refs that begin so: they are the forge's own."""
        with (self.path / "config").open("a", encoding="utf-8") as config:
            config.write(f"[receive]\n\thideRefs = {refs}\n")

    def has_commit(self, sha: str) -> bool:
        """True for the full id of a commit that is there."""
        if sha not in self._commits and len(sha) == len(ABSENT):
            if self.resolve(sha) != sha:
                return False
            self._commits.add(sha)
        return sha in self._commits

    def resolve(self, ref: str) -> str | None:
        """The commit of a branch, a tag or an id; None where there is none."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        except GitFailed:
            return None

    def commit_of(self, name: str) -> str | None:
        """Likewise, without asking git again for the id of a commit that is known to be there."""
        return name if self.has_commit(name) else self.resolve(name)

    def branch(self, name: str) -> str | None:
        """The commit of a branch."""
        return self.resolve(f"refs/heads/{name}") if name else None

    def refs(self) -> dict[str, str]:
        """Branches and tags."""
        said = self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
        return dict(line.split(" ", 1) for line in said.splitlines())

    def tags(self) -> list[Tag]:
        """All of them, by name."""
        parts = ("refname:strip=2", "objecttype", "objectname", "*objectname", "taggername", "taggeremail:trim")
        shape = "%00".join(f"%({part})" for part in (*parts, "taggerdate:iso-strict", "contents")) + "%00%01"
        said = self.git("for-each-ref", f"--format={shape}", "refs/tags")
        return [_tag(each.lstrip("\n").split("\0")) for each in said.split("\x01") if each.strip()]

    def tag(self, name: str) -> Tag | None:
        """The tag of that name, or of that object's id."""
        return next((tag for tag in self.tags() if name in (tag.name, tag.object)), None)

    def branches_with(self, sha: str) -> list[str]:
        """Branches that hold a commit, by name."""
        said = self.git("for-each-ref", "--format=%(refname:strip=2)", "--contains", sha, "refs/heads")
        return said.splitlines()

    def move(self, ref: str, new: str, old: str) -> None:
        """Let a ref go from `old` (`ABSENT`: it is new) to `new` (`ABSENT`: it goes). Raises `GitFailed`."""
        if new == ABSENT:
            self.git("update-ref", "-d", ref, old)
        else:
            self.git("update-ref", ref, new, old)

    def commits(self, *revisions: str, most: int = 250) -> list[Commit]:
        """The commits that `git log` gives, oldest first."""
        shape = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x00%x01"
        said = self.git("log", "--reverse", "--topo-order", f"--max-count={most}", shape, *revisions, "--")
        return [_commit(each.lstrip("\n").split("\0")) for each in said.split("\x01") if each.strip()]

    def changes(self, sha: str) -> dict[str, list[str]]:
        """The paths that a commit added, removed and modified, against its first parent."""
        options = ("--root", "-r", "--no-renames", "--name-status", "--no-commit-id", "-m", "--first-parent")
        found: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
        for line in self.git("diff-tree", *options, sha).splitlines():
            kind, _, path = line.partition("\t")
            found[{"A": "added", "D": "removed"}.get(kind, "modified")].append(path)
        return found

    def merge_base(self, one: str, other: str) -> str | None:
        """Where two commits parted; None where they never met."""
        try:
            return self.git("merge-base", one, other)
        except GitFailed:
            return None

    def is_ancestor(self, old: str, new: str) -> bool:
        """True where nothing of `old` is lost in `new`."""
        return self.merge_base(old, new) == old

    def merged_tree(self, base: str, ours: str, theirs: str) -> str | None:
        """The tree of `ours` with what `theirs` changed since `base`; None where both changed the same lines.

        By read-tree and merge-one-file, which every git has that Fairlead takes; they need a folder to work in.
        """
        with _workplace() as environment:
            try:
                self.git("read-tree", "-i", "-m", "--aggressive", base, ours, theirs, environment=environment)
                self._merge_files(environment)
                return self.git("write-tree", environment=environment)
            except GitFailed:
                return None

    def _merge_files(self, environment: Mapping[str, str]) -> None:
        command = ["git", "merge-index", "-o", "-q", "git-merge-one-file", "-a"]
        done = subprocess.run(
            command,
            cwd=environment["GIT_WORK_TREE"],
            env={**inherited(), **_QUIET, **environment, "GIT_DIR": str(self.path.resolve())},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise GitFailed("conflict")

    def write_commit(self, tree: str, parents: tuple[str, ...], message: str, author: tuple[str, ...]) -> str:
        """A commit of these; `author` is name and e-mail, and the time where it is not now. Gives its id."""
        (name, email, *at), (committer, address) = author, _COMMITTER
        environment = {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": committer,
            "GIT_COMMITTER_EMAIL": address,
            **({"GIT_AUTHOR_DATE": at[0]} if at else {}),
        }
        onto = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *onto, environment=environment, input=message)


@contextmanager
def _workplace() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="forge-merge-") as folder:
        (Path(folder) / "tree").mkdir()
        yield {"GIT_INDEX_FILE": f"{folder}/index", "GIT_WORK_TREE": f"{folder}/tree"}


def _commit(parts: list[str]) -> Commit:
    sha, tree, parents, author, email, at, committer, address, committed, message, *_ = parts
    return Commit(
        sha=sha,
        tree=tree,
        parents=tuple(parents.split()),
        message=message.strip("\n"),
        author=(author, email, at),
        committer=(committer, address, committed),
    )


def _tag(parts: list[str]) -> Tag:
    name, kind, object_, target, tagger, address, at, message, *_ = parts
    if kind != "tag":
        return Tag(name=name, target=object_)
    return Tag(name=name, target=target, object=object_, message=message.strip(), tagger=(tagger, address, at))
