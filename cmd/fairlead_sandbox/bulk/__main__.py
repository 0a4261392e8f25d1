"""`python -m fairlead_sandbox.bulk FOLDER`: a bulk world until standard input ends.

The first line of standard input holds the settings, see `process.written`; one line on standard output tells where
everything is, as soon as it is there.
"""

import json
import signal
import sys
from pathlib import Path

from fairlead_sandbox.bulk.deeds import offer
from fairlead_sandbox.bulk.process import read
from fairlead_sandbox.bulk.world import BulkWorld


def main() -> None:
    """Serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends who started it, and thereby its standard input
    with BulkWorld(Path(sys.argv[1]), read(sys.stdin.readline())) as world:
        offer(world)
        said = {
            "endpoint": world.aws.endpoint_url,
            "gate": world.gate.url,
            "head": world.head,
            "names": world.names,
            "environment": world.environment,
        }
        print(json.dumps(said), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
