"""Run the rows, each in a process of its own, and hold them against their budgets.

    python -m tests.benchmarks [--rows push,sweep] [--scale small|full] [--json build/bench.json]

Exit code 1 when a count, a ratio or an exponent is over its limit, or a row could not be measured; times are printed
with their verdict and fail nothing, because machines differ.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.machine import ROOT, machine
from tests.benchmarks.measurement import Measurement
from tests.benchmarks.report import close, from_plain
from tests.benchmarks.rows import ROWS

PATIENCE = {"tiny": 300, "small": 1200, "full": 3600}  # seconds for one row
LAST_WORDS = 300  # characters of a row that broke


@dataclass(slots=True, kw_only=True)
class Run:
    """What came of the rows so far."""

    folder: Path
    scale: str
    measured: list[Measurement] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def row(self, name: str) -> None:
        """Measure one row. What breaks in it is remembered, and the others go on."""
        out, log = self.folder / f"{name}.json", self.folder / f"{name}.log"
        command = [sys.executable, "-m", "tests.benchmarks.row", name, self.scale, str(self.folder), str(out)]
        with log.open("wb") as words:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
            )
            why = _ended(process, PATIENCE[self.scale])
        if why or not out.is_file():
            self.broken[name] = f"{why or 'gave nothing'}: {log.read_text(errors='replace').strip()[-LAST_WORDS:]}"
        else:
            self.measured += [from_plain(each) for each in json.loads(out.read_text())]


def _ended(process: "subprocess.Popen[bytes]", patience: float) -> str:
    """Wait for it; why it gave nothing, or an empty text. Whatever it started ends with it."""
    try:
        code = process.wait(patience)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code is None:
        return f"not done after {patience:g} s"
    return f"exit code {code}" if code else ""


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    asked = _parse(arguments)
    names = [name for name in (asked.rows or "").split(",") if name] or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        print(f"there is no row {', '.join(unknown)}; the rows are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    about = machine()
    with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
        run = Run(folder=Path(folder), scale=asked.scale)
        for name in names:
            began = time.monotonic()
            run.row(name)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return close(run.measured, run.broken, about, asked.json)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the budgets.")
    parser.add_argument("--rows", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--scale", choices=list(PATIENCE), default="small", help="full: up to 100,000 fleets")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
