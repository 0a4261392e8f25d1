"""`make test-forge`: the suites of forges against a real Gitea, or one line on what is missing."""

import sys
from pathlib import Path

import pytest

from tests.contract.real_forge.building import Missing, built


def main(arguments: list[str]) -> int:
    """The exit code of pytest; 0 where there is no real server."""
    try:
        version = built().version()
    except Missing as missing:
        print(f"test-forge: no real Gitea here: {missing}")
        return 0
    print(f"test-forge: against {version}", flush=True)
    code = int(pytest.main(["-n0", "-m", "forge", str(Path(__file__).parent), *arguments]))
    print(f"test-forge: ran against {version}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
