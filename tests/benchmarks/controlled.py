"""A controller in a process of its own that hears of pushes on standard input: `tests.benchmarks.controlled CONFIG`.

A line is a repository's name. What becomes of it is what a forge's webhook does with a signature that was checked: the
name is made due. It ends when nobody holds its standard input any more.
"""

import sys
from pathlib import Path
from threading import Event, Thread

from fairlead.controller import Controller
from fairlead.settings import load


def main(config: str) -> None:
    """Run until standard input ends."""
    controller, stop = Controller(load(Path(config))), Event()

    def hear() -> None:
        for line in sys.stdin:
            controller._parts.ledger.add([f"repository:{line.strip()}"])
        stop.set()

    Thread(target=hear, daemon=True).start()
    controller.run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
