"""Who runs: a unit's process, told from all others, and the release that it began with.

A process that was seen after a restart is known again by its number and its start, whatever the calendar does. Of one
that nobody saw begin only its age tells: what is clearly older than the link to the active release runs another one.
"""

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

OLDER = 2.0  # seconds by which a process must be older than the link: clocks are set meanwhile, by a little
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROC = Path("/proc")
_PATH = re.compile(r"/[^\0\n=:,]+")  # in a command line, `--config=/a` and `/a:/b` as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A unit's main process."""

    pid: int
    began: int  # microseconds since boot


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What was seen after a restart: with which release, in which boot, and by whom where that can be told."""

    release: str  # its id
    boot: str
    pid: int = 0  # 0: nobody can tell; a command restarts it, or its unit has no main process
    began: int = 0

    def is_by(self, process: Process) -> bool:
        """It is that very process."""
        return (self.boot, self.pid, self.began) == (boot_id(), process.pid, process.began)


def ran(release: str, process: Process | None) -> Ran:
    """What is to be remembered of a release that runs now."""
    if process is None:
        return Ran(release=release, boot=boot_id())
    return Ran(release=release, boot=boot_id(), pid=process.pid, began=process.began)


def boot_id() -> str:
    """Another one after each reboot; empty where the kernel does not say."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""


def is_of_another(
    process: Process, release: str, known: Ran | None, link: Path, since_boot: float, now: datetime
) -> bool:
    """Whether a process runs another release than the one that `link` leads to. Seconds."""
    if known is not None and known.is_by(process):
        return known.release != release
    try:
        switched = link.lstat().st_mtime
    except OSError:
        return False
    began = now.timestamp() - (since_boot - process.began / 1_000_000)
    return switched <= now.timestamp() and began < switched - OLDER


def trace(process: Process, root: Path, release: str) -> tuple[str, bool]:
    """What shows by a process's program, its folder and its command line: the path of another release that it runs,
    empty for none; and whether it could be looked at and shows nothing of the root at all, also by its open files.
    """
    said = _said(process.pid)
    tops = (f"{root}/", f"{os.path.realpath(root)}/")
    inner = [path.removeprefix(top) for path in said for top in tops if path.startswith(top)]
    others = [path for path in inner if path.startswith("releases/") and path.split("/")[1] != release]
    is_bare = bool(said) and not inner and not any(path.startswith(tops) for path in _opened(process.pid))
    return (f"{root}/{others[0]}" if others else ""), is_bare


def below(process: Process, root: Path) -> str:
    """The first path of a root that the process names, empty for none."""
    tops = (f"{root}/", f"{os.path.realpath(root)}/")
    return next((path for path in _said(process.pid) if path.startswith(tops)), "")


def _said(pid: int) -> list[str]:
    """What is named, and where links lead from there. Nothing where it is gone, or not ours to look at."""
    folder = _PROC / str(pid)
    try:
        found = [str((folder / name).readlink()) for name in ("exe", "cwd")]
        words = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []
    named = _PATH.findall(words)
    return [*found, *named, *(os.path.realpath(path) for path in named)]


def _opened(pid: int) -> list[str]:
    folder = _PROC / str(pid)
    try:
        mapped = _PATH.findall((folder / "maps").read_text(errors="replace"))
        return mapped + [str(each.readlink()) for each in (folder / "fd").iterdir()]
    except OSError:
        return []
