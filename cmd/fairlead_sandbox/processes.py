"""Processes that outlive whoever asked for them, known by process id and start time: a number alone may be anyone's."""

import os
import signal
import time
from pathlib import Path


def began(pid: int) -> str:
    """When a process began, in ticks since boot; empty when it ended (a zombie ended)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def remember(path: Path, pid: int) -> None:
    """Write a pid file."""
    path.write_text(f"{pid} {began(pid)}\n", encoding="utf-8")


def running(path: Path) -> int | None:
    """The process id that a pid file names, None when that process ended or there is no such file."""
    try:
        pid, _, since = path.read_text(encoding="utf-8").strip().partition(" ")
    except OSError:
        return None
    return int(pid) if since and began(int(pid)) == since else None


def end(path: Path, within: float = 5.0) -> None:
    """SIGKILL the process that a pid file names, and wait until it ended."""
    pid = running(path)
    if pid is not None:
        send(pid, signal.SIGKILL)
    until = time.monotonic() + within
    while running(path) is not None and time.monotonic() < until:
        time.sleep(0.005)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; nothing happens where the process ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
