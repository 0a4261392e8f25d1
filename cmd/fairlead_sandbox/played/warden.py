"""Ends what a world started when the world itself was killed: agents and services outlive whoever started them.

Called as `warden.py <folder of the world>`. The world holds a lock on `<folder>/alive` for as long as its process
lives.
"""
# ruff: noqa: PTH118, PTH123, PTH208
# pathlib alone takes as long to import as the interpreter takes to start.

import fcntl
import os
import signal
import sys


def began(pid: int) -> str:
    """When a process began, in ticks since boot; empty when it ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def end(path: str) -> None:
    """SIGKILL the process that a pid file names, if it is still that one."""
    try:
        with open(path, encoding="utf-8") as file:
            pid, _, said = file.read().strip().partition(" ")
        if began(int(pid)) == said:
            os.kill(int(pid), signal.SIGKILL)
    except (OSError, ValueError):
        return


def end_all(run: str) -> None:
    """End every process of one host."""
    for name in os.listdir(run):
        if name.endswith(".pid"):
            end(os.path.join(run, name))


def main(folder: str) -> None:
    """Wait for the world's end, then end what it left. What was just being started is ended when that is done."""
    with open(os.path.join(folder, "alive"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    hosts = os.path.join(folder, "hosts")
    for host in os.listdir(hosts):
        run = os.path.join(hosts, host, "run")
        with open(os.path.join(run, "ended"), "w", encoding="utf-8"):
            end_all(run)
        with open(os.path.join(run, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            end_all(run)


if __name__ == "__main__":
    main(sys.argv[1])
