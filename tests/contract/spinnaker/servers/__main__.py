"""`make test-spinnaker`: the one suite against every server that is to be had, or one line on what is missing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.spinnaker.servers import engine


def main(arguments: list[str]) -> int:
    """The exit code of pytest; 0 where there is no real server."""
    real = os.environ.get("FAIRLEAD_REAL_GATE", "")
    try:
        engine.prepare()
    except engine.Missing as missing:
        print(f"test-spinnaker: no real Orca here: {missing}")
        if not real:
            return 0
        servers = []
    else:
        servers = [f"Orca's engine {engine.version()} ({_java()}, {engine.redis_version()})"]
    servers += ["the sandbox's Gate", *([f"the Gate at {real}"] if real else [])]
    print(f"test-spinnaker: the same cases against {', '.join(servers)}", flush=True)
    asked = ["-n0", "-m", "spinnaker or not spinnaker", str(Path(__file__).parent), *arguments]
    code = int(pytest.main(asked))
    print(f"test-spinnaker: ran against {', '.join(servers)}")
    return code


def _java() -> str:
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'"([^"]+)"', said)
    return f"Java {found[1]}" if found else str(shutil.which("java"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
