"""The beginning of fairlead-agent.pyz: lays its parts into a private folder, proves them, and starts the agent there.

Compiled modules cannot be loaded from inside a zip. So the parts are unpacked once, into
`<cache>/<digest of all parts>`, and compiled. Every file is compared with its SHA-256 at each start: what a crash cut
off, or somebody changed or added, is laid anew. Nothing is compiled there later, as nobody could prove that.

The cache is `$CACHE_DIRECTORY`, which systemd gives; else /var/cache/fairlead-agent for root, and a folder in ~/.cache
for anybody else. It must be the user's own, and nobody else's to write to.

A lock is held on the folder in use, as botocore reads files from it late; what nobody uses is thrown away.
"""

import fcntl
import hashlib
import json
import os
import platform
import py_compile
import shutil
import stat
import sys
import zipfile
from pathlib import Path
from typing import IO

BAD = 2  # exit code: it could not start
_COMPILED = "compiled.json"  # SHA-256 by path of what was compiled
_HELD: list[IO[str]] = []  # for as long as the process lives


class Broken(Exception):
    """The message is one sentence that names the fix."""


def begin(archive: Path) -> Path:
    """The folder with the parts, proven. Raises `Broken`, and OSError as of a full disk."""
    with zipfile.ZipFile(archive) as packed:
        said = json.loads(packed.read("parts.json"))
        _check_surroundings(said)
        cache = _private(_cache())
        folder = cache / str(said["id"])
        lock = (cache / f"{said['id']}.lock").open("a")
        _HELD.append(lock)
        if _is_taken(lock):
            if not _is_whole(folder, said["files"]):
                _unpack(packed, folder, said["files"])
            fcntl.flock(lock, fcntl.LOCK_SH)
        else:
            fcntl.flock(lock, fcntl.LOCK_SH)  # who unpacks it is waited for, and who runs it shares it
            if not _is_whole(folder, said["files"]):
                raise Broken(f"{folder} was changed while an agent runs from it; end that one first")
    _sweep(cache, folder)
    return folder


def _check_surroundings(said: dict[str, list[str]]) -> None:
    here = (f"{sys.version_info[0]}.{sys.version_info[1]}", platform.machine())
    if here[0] not in said["pythons"] or here[1] not in said["machines"]:
        built = f"Python {', '.join(said['pythons'])} on {', '.join(said['machines'])}"
        raise Broken(f"this package is built for {built}, and here is Python {here[0]} on {here[1]}; take another one")


def _cache() -> Path:
    given = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/cache/fairlead-agent")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead-agent"


def _private(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = cache.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Broken(f"{cache} must be a folder of this user's, and nobody else's to write to; remove it")
    return cache


def _is_taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_whole(folder: Path, files: dict[str, str]) -> bool:
    """All is there as it was laid, and nothing else is."""
    try:
        known = {**json.loads((folder / _COMPILED).read_bytes()), **files}
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} - {_COMPILED}
        return found == set(known) and all(_digest(folder / name) == sealed for name, sealed in known.items())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unpack(packed: zipfile.ZipFile, folder: Path, files: dict[str, str]) -> None:
    unfinished = folder.with_name(f"{folder.name}.new")
    for old in (unfinished, folder):
        shutil.rmtree(old, ignore_errors=True)
    for name, sealed in files.items():
        data = packed.read(f"parts/{name}")
        if hashlib.sha256(data).hexdigest() != sealed:
            raise Broken(f"{name} in {packed.filename} is damaged; install the package again")
        path = unfinished / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    compiled = {str(path.relative_to(unfinished)): _digest(path) for path in _compile(unfinished)}
    (unfinished / _COMPILED).write_text(json.dumps(compiled))
    unfinished.rename(folder)


def _compile(folder: Path) -> list[Path]:
    """For this Python; another one compiles in memory. What does not compile is not for it."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH  # the sources are proven
    for path in folder.rglob("*.py"):
        py_compile.compile(str(path), invalidation_mode=mode, quiet=2)
    return list(folder.rglob("*.pyc"))


def _sweep(cache: Path, folder: Path) -> None:
    """Throw away what no agent runs from, but for the newest of them: one may be gone back to."""
    locks = sorted(cache.glob("*.lock"), key=lambda path: path.stat().st_mtime)
    os.utime(folder.with_suffix(".lock"))
    for path in [each for each in locks if each.stem != folder.name][:-1]:
        with path.open("a") as lock:
            if _is_taken(lock):
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)


def main() -> int:
    """Starts the agent; gives its exit code."""
    archive = Path(sys.argv[0]).resolve()
    try:
        folder = begin(archive)
    except (Broken, OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"fairlead-agent: {error}", file=sys.stderr)
        return BAD
    sys.path[:] = [str(folder), *(each for each in sys.path if each != str(archive) and each != sys.argv[0])]
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = True
    from fairlead_agent.cli import main as agent

    return agent()


if __name__ == "__main__":
    sys.exit(main())
