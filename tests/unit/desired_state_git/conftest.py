"""Real git repositories, made with real git commands, told as stories."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


class Story:
    """A repository whose commits have names. `a` and `b` are fleets: `a.yaml` holds `version: 1`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commits: dict[str, str] = {}
        self._minute = 0
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args: str) -> str:
        self._minute += 1
        date = f"2026-01-01T{self._minute // 60:02}:{self._minute % 60:02}:00Z"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
            **{f"GIT_{who}_{what}": "Ada" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        done = subprocess.run(
            ["git", *args], cwd=self.folder, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"git {args}: {done.stderr}{done.stdout}"
        return done.stdout.strip()

    def write(self, **files: str | None) -> None:
        """Files by name without `.yaml`; a plain number is a version, None removes."""
        for name, text in files.items():
            path = self.folder / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(f"version: {text}\n" if text.isdigit() else text)

    def commit(self, name: str, **files: str | None) -> str:
        self.write(**files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", name)
        return self.name(name)

    def branch(self, name: str, at: str = "HEAD") -> None:
        self.git("checkout", "--quiet", "-b", name, self.commits.get(at, at))

    def on(self, branch: str) -> None:
        self.git("checkout", "--quiet", branch)

    def merge(self, name: str, *branches: str) -> str:
        self.git("merge", "--quiet", "--no-ff", "--message", name, *branches)
        return self.name(name)

    def revert(self, name: str, of: str, *options: str) -> str:
        self.git("revert", "--no-edit", *options, self.commits[of])
        return self.name(name)

    def name(self, name: str) -> str:
        self.commits[name] = self.git("rev-parse", "HEAD")
        return self.commits[name]


@pytest.fixture
def new_story(tmp_path: Path) -> Callable[[str], Story]:
    return lambda name: Story(tmp_path / name)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "story")
