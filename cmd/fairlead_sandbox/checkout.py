"""A person with a clone, who commits, merges, reverts and pushes with real git: for the demo and for tests."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ENVIRONMENT: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "LC_ALL": "C",
}


class Checkout:
    """A work tree on branch `main` of a repository, made by cloning `url` into `folder` (which may be empty there)."""

    def __init__(self, folder: Path, url: str, *, name: str = "Ada", email: str = "ada@example.com") -> None:
        self.folder = folder
        self.url = url
        self._who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email))
        }
        folder.mkdir(parents=True)
        self.git("clone", "--quiet", url, ".")
        self.git("symbolic-ref", "HEAD", "refs/heads/main")

    def git(self, *args: str) -> str:
        """Standard output of a git command, without the line end. Raises `RuntimeError` with git's words."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        done = subprocess.run(
            ["git", *args],
            cwd=self.folder,
            env={**inherited, **_ENVIRONMENT, **self._who},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"git {args[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.rstrip("\n")

    @property
    def head(self) -> str:
        """The commit that the work tree is at."""
        return self.git("rev-parse", "HEAD")

    def commit(self, message: str, files: Mapping[str, str | None] | None = None) -> str:
        """Write files (None removes one), commit all, and give the new commit. Nothing is pushed."""
        for path, text in (files or {}).items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                target.unlink()
            else:
                target.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    def push(self, *options: str) -> str:
        """Push `main`; gives its commit."""
        self.git("push", "--quiet", *options, "origin", "HEAD:refs/heads/main")
        return self.head

    def pull(self) -> str:
        """Take over what others pushed to `main`; gives its commit."""
        self.git("fetch", "--quiet", "origin", "main")
        self.git("reset", "--quiet", "--hard", "FETCH_HEAD")
        return self.head

    @contextmanager
    def on_branch(self, branch: str) -> Iterator[None]:
        """What is committed meanwhile is on a new branch, which is then pushed. The work tree comes back to `main`."""
        self.git("checkout", "--quiet", "-b", branch)
        yield
        self.git("push", "--quiet", "origin", branch)
        self.git("checkout", "--quiet", "main")

    def merge_branch(self, branch: str, message: str, files: Mapping[str, str | None]) -> str:
        """What a merged pull request leaves: a commit on `branch`, and a merge commit on `main`. Gives the merge."""
        self.git("checkout", "--quiet", "-b", branch)
        self.commit(message, files)
        self.git("checkout", "--quiet", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}: {message}", branch)
        return self.head

    def revert(self, commit: str) -> str:
        """Revert a commit, or a merge against its first parent; gives the new commit."""
        is_merge = len(self.git("rev-list", "--parents", "--max-count=1", commit).split()) > 2
        self.git("revert", "--no-edit", *(["--mainline=1"] if is_merge else []), commit)
        return self.head
