"""Many `fairlead` processes at once, for tests: one process imports everything, and each command is a fork of it.

    python crowd.py COMMANDS.json

The file holds a list of argument lists. Exits 0 when every command did; what each said is on its streams.
"""

import json
import os
import sys
from pathlib import Path

import desired_state.writing  # noqa: F401  imported once, before the forks
from fairlead import wiring  # noqa: F401
from fairlead.cli import app
from fairlead.commands import changes, following  # noqa: F401


def main() -> None:
    """Start all, wait for all."""
    begin, go = os.pipe()
    children = [_start(args, begin, go) for args in json.loads(Path(sys.argv[1]).read_text())]
    os.close(begin)
    os.close(go)  # all of them read its end at once
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(0 if not any(codes) else f"exit codes {codes}")


def _start(args: list[str], begin: int, go: int) -> int:
    child = os.fork()
    if child:
        return child
    os.close(go)
    os.read(begin, 1)
    app(args)
    os._exit(0)


if __name__ == "__main__":
    main()
