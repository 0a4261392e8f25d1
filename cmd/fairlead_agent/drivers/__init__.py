"""The drivers by format."""

from collections.abc import Mapping
from pathlib import Path

from fairlead_agent.commands import Runner
from fairlead_agent.drivers.deb import DebDriver
from fairlead_agent.drivers.files import ArchiveDriver, FileDriver
from fairlead_agent.drivers.protocol import Driver


def drivers(run: Runner, dpkg_root: Path | None = None) -> Mapping[str, Driver]:
    """Every format that an order may name. `dpkg_root`: a root directory of its own for dpkg, in rehearsals."""
    return {"deb": DebDriver(run, dpkg_root), "archive": ArchiveDriver(), "file": FileDriver()}
