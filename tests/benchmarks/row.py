"""One row in this process: `tests.benchmarks.row NAME SCALE FOLDER OUT`. Logs go to stderr, numbers to OUT."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.rows import ROWS
from tests.benchmarks.scale import SCALES


def main(name: str, scale: str, folder: str, out: str) -> None:
    """Measure it and write what was measured."""
    measured = [asdict(each) for each in ROWS[name](SCALES[scale], Path(folder))]
    Path(out).write_text(json.dumps(measured), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
