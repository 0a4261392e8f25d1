"""`python -m deploy.agent --to dist`: builds fairlead-agent-<version>.pyz and fairlead-agent_<version>_<arch>.deb."""

import argparse
import os
import platform
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from deploy.agent.archive import zipped
from deploy.agent.package import debian_package
from deploy.agent.parts import (
    PLATFORMS,
    PYTHONS,
    ROOT,
    CannotBuild,
    Parts,
    downloaded_parts,
    installed_parts,
    our_parts,
)

EPOCH = 1_767_225_600  # the first of January 2026: members have a day, and which does not matter


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit code: 0 well, 2 it could not build, and says why."""
    asked = _parser().parse_args(arguments)
    try:
        for path in build(asked.to, asked.version, asked.arch, here=asked.here):
            print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    except CannotBuild as error:
        print(f"deploy.agent: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.agent", description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument("--version", default=_version())
    parser.add_argument("--arch", default=_here(), choices=sorted(PLATFORMS))
    parser.add_argument("--here", action="store_true", help="for this Python only, out of .venv, without a network")
    return parser


def build(to: Path, version: str, architecture: str, *, here: bool = False) -> tuple[Path, Path]:
    """Writes both files; gives their paths. Raises `CannotBuild`."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH)
    needed, pythons = _needed(architecture, here=here)
    pyz = zipped({**needed, **our_parts(version)}, version, pythons, [PLATFORMS[architecture]], epoch)
    to.mkdir(parents=True, exist_ok=True)
    archive = to / f"fairlead-agent-{version}.pyz"
    if architecture != _here():
        archive = to / f"fairlead-agent-{version}-{architecture}.pyz"
    package = to / f"fairlead-agent_{version}_{architecture}.deb"
    archive.write_bytes(pyz)
    archive.chmod(0o755)
    package.write_bytes(debian_package(pyz, version, architecture, epoch))
    return archive, package


def _needed(architecture: str, *, here: bool) -> tuple[Parts, Sequence[str]]:
    if here:
        return installed_parts(), [f"{sys.version_info[0]}.{sys.version_info[1]}"]
    with tempfile.TemporaryDirectory() as wheels:
        return downloaded_parts(architecture, Path(wheels)), PYTHONS


def _here() -> str:
    machine = platform.machine()
    return next((name for name, known in PLATFORMS.items() if known == machine), "amd64")


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


if __name__ == "__main__":
    sys.exit(main())
