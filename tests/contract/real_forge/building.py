"""A Gitea built from its Go module, once a version, into a folder of its own outside of the tree.

Go fetches by whatever module proxy this machine's Go knows, and checks what it fetched by its own checksums. Of the
module's text only what a running server reads is kept beside the binary. It has no frontend: its API and Git over HTTP
need none.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULE, VERSION = "code.gitea.io/gitea", "1.26.0"
OWN = "FAIRLEAD_REAL_FORGE"  # names a gitea or forgejo binary that is there already
READ = ("options", "public", "templates")  # what it reads while it runs, where the binary has it not inside
TAGS = "sqlite sqlite_unlock_notify"
BUILDING = 1800.0  # seconds, for each of two steps; ten minutes of two cores with nothing in Go's cache


class Missing(Exception):
    """This machine cannot have the server; the message says what it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A server's program, and the folder with what it reads; none where that is inside of the program."""

    program: Path
    static: Path | None

    def version(self) -> str:
        """As it says itself, such as `Gitea 1.26.0`."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False).stdout
        name, _, rest = said.partition(" version ")
        return f"{name.title()} {rest.split()[0]}" if rest else said.strip()


def built() -> Built:
    """The program that is named, or that was built before, or is built now. Raises `Missing`."""
    if own := os.environ.get(OWN, ""):
        if not os.access(own, os.X_OK):
            raise Missing(f"{OWN} names {own}, which is no program")
        return Built(program=Path(own), static=None)
    folder = _cache() / f"gitea-{VERSION}"
    if not (folder / "gitea").exists():
        print(f"test-forge: building Gitea {VERSION}: some minutes, once", flush=True)
        try:
            _build(folder)
        except OSError as error:
            raise Missing(f"Gitea {VERSION} could not be built: {error}") from None
    return Built(program=folder / "gitea", static=folder)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead"


def _build(folder: Path) -> None:
    """Beside its place, then moved there whole: who is killed leaves nothing that looks complete."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise Missing("go is not on PATH (Go 1.26 builds Gitea from its module)")
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        raise Missing("a C compiler is not on PATH (Gitea's SQLite needs one)")
    said = _run([go, "mod", "download", "-json", f"{MODULE}@v{VERSION}"], Path.cwd(), {"GOFLAGS": "-mod=mod"})
    source = Path(json.loads(said)["Dir"])
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    try:
        text = work / "text"
        shutil.copytree(source, text, copy_function=shutil.copyfile)  # the module's own files are read-only
        for path in (text, *text.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        flags = ["-buildvcs=false", "-tags", TAGS, "-ldflags", f"-s -w -X main.Version={VERSION}"]
        _run([*_gently(), go, "build", *flags, "-o", str(work / "gitea"), "."], text, {"CGO_ENABLED": "1"})
        for name in READ:
            (text / name).rename(work / name)
        shutil.rmtree(text)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _gently() -> list[str]:
    return ["nice", "-n", "15"] if shutil.which("nice") else []


def _run(command: Sequence[str], folder: Path, more: Mapping[str, str]) -> str:
    environment = {**os.environ, "GOEXPERIMENT": "jsonv2", **more}  # as Gitea's Makefile builds it
    piped = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, start_new_session=True, **piped) as process:
        try:
            said, errors = process.communicate(timeout=BUILDING)
        except subprocess.TimeoutExpired:
            raise Missing(f"building Gitea took over {BUILDING:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # the compilers that it started too
    if process.returncode:
        raise Missing(f"Gitea {VERSION} could not be built: {_why(said, errors) or process.returncode}")
    return said


def _why(said: str, errors: str) -> str:
    """The last line of what Go says; of a module that is not to be had it says so in JSON."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        errors = str(json.loads(said)["Error"])
    lines = [line.strip() for line in errors.splitlines() if line.strip() and "downloading" not in line]
    return lines[-1] if lines else ""
