"""Commits of many files at once, straight into a bare repository: `git fast-import` writes 20,000 in a second."""

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


class Server(Protocol):
    """Whatever serves bare repositories; `git_server.GitServer` does."""

    def create(self, name: str) -> str: ...
    def url(self, name: str) -> str: ...
    def path(self, name: str) -> Path: ...
    def stop(self) -> None: ...


def commit_files(repository: Path, message: str, files: Iterable[tuple[str, str | None]]) -> str:
    """Commit onto `main` of the bare repository (a path with None goes); gives the commit. Raises `RuntimeError`."""
    known = _git(repository, "rev-parse", "--quiet", "--verify", "refs/heads/main", check=False)
    stream = b"".join(_stream(message, files, known))
    _git(repository, "fast-import", "--quiet", "--date-format=now", given=stream)
    return _git(repository, "rev-parse", "refs/heads/main")


def _stream(message: str, files: Iterable[tuple[str, str | None]], parent: str) -> Iterator[bytes]:
    said = message.encode()
    yield b"commit refs/heads/main\ncommitter Ada <ada@example.com> now\n"
    yield b"data %d\n%s\n" % (len(said), said)
    if parent:
        yield f"from {parent}\n".encode()
    for path, text in files:
        if text is None:
            yield f"D {path}\n".encode()
            continue
        body = text.encode()
        yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(body), body)
    yield b"done\n"


def _git(repository: Path, *args: str, given: bytes = b"", check: bool = True) -> str:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(repository), *args],
        input=given,
        env={**inherited, **_QUIET},
        capture_output=True,
        check=False,
    )
    if check and done.returncode:
        raise RuntimeError(f"git {args[0]} failed: {done.stderr.decode().strip()}")
    return done.stdout.decode().strip()
