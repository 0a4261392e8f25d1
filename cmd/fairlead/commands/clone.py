"""A person's own clone of the desired-state repository: which commits a plan compares, read from git objects only."""

import subprocess
from pathlib import Path

from desired_state.mirror import Mirror
from desired_state.model import Sha
from desired_state.trees import Tree
from fairlead.exit_codes import Refused

MAIN = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master")


class Clone:
    """A local repository, never written to. Raises `Refused` where git cannot answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_dir():
            raise Refused(f"{path}: there is no such folder; name a clone with --repository")
        folder = self._ask("rev-parse", "--path-format=absolute", "--git-common-dir")
        if folder is None:
            raise Refused(f"{path} is no git repository: run this inside a clone, or name one with --repository")
        self._objects = Mirror(Path(folder), folder, "main", None, 60)

    def close(self) -> None:
        """End what reads the objects."""
        self._objects.close()

    def commit(self, ref: str) -> Sha:
        """The full id of the commit that a branch, tag or id names."""
        found = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if found is None:
            raise Refused(f"{ref!r} names no commit of {self._path}: fetch it, or name another")
        return found

    def base_of(self, head: Sha) -> Sha | None:
        """What a head is compared with when nobody says: where it left origin's main branch, else its first parent.

        None for a repository's first commit.
        """
        return self._left_main(head) or self._parent(head)

    def tree(self, commit: Sha) -> Tree:
        """The files of a commit, as the parser takes them."""
        return self._objects.tree(commit)

    def _left_main(self, head: Sha) -> Sha | None:
        for ref in MAIN:
            if self._ask("rev-parse", "--verify", "--quiet", ref) is not None:
                base = self._ask("merge-base", ref, head)
                return base if base != head else None
        return None

    def _parent(self, head: Sha) -> Sha | None:
        parent = self._ask("rev-parse", "--verify", "--quiet", f"{head}^1")
        if parent is None and self._ask("rev-parse", "--is-shallow-repository") == "true":
            raise Refused(f"the clone is shallow and ends at {head[:7]}: fetch more of it, or say --base")
        return parent

    def _ask(self, *args: str) -> str | None:
        """Git's answer; None where it says no."""
        done = subprocess.run(["git", "-C", str(self._path), *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() or None if done.returncode == 0 else None
