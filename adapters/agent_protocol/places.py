"""Where things go on a host: names and paths that stay where they belong, each place taken once."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from adapters.agent_protocol.fields import Malformed
from adapters.agent_protocol.orders import Artifact, ConfigFile

OURS = ".fairlead"  # how the agent's own files in a release's folder begin
AGENT_UNIT, AGENT_ROOT = "fairlead-agent.service", "/opt/fairlead-agent/self"  # of the agent's own package
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}")
_ROOT = re.compile(r"/[^\0-\x1f]*[^\0-\x1f/]")
_SYSTEMS = re.compile(  # these themselves: they are not one service's
    r"bin|boot|dev|etc|home|lib(32|64|x32)?|lost\+found|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var"
    r"|usr/(bin|lib(32|64|x32)?|libexec|local|sbin|share|src)|var/(cache|lib|local|log|run|spool|tmp)"
)
_CLOSED = re.compile(r"(bin|boot|dev|etc|proc|sbin|sys|usr/s?bin|var/lib/(dpkg|fairlead-agent))(/.*)?")  # and all below
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def plain_name(name: str) -> str:
    """A package's name, safe as a part of a path. Raises `Malformed`."""
    if _NAME.fullmatch(name) is None:
        raise Malformed("a package's name must be letters, digits and . + - _")
    return name


def inner_path(path: str) -> str:
    """A path that stays below the folder that it is put into, and out of our own files. Raises `Malformed`."""
    parts = path.split("/")
    if _CONTROL.search(path) or any(part in {"", ".", ".."} for part in parts):
        raise Malformed("a path on the host must be relative, without empty parts, . and ..")
    if parts[0].startswith(OURS):
        raise Malformed(f"a path on the host must not begin with {OURS}, which is the agent's own")
    return path


def own_root(root: str) -> str:
    """The folder of a fleet on its hosts: absolute, and none that belongs to the system. Raises `Malformed`."""
    parts = [part for part in root.split("/") if part not in {"", "."}]
    if _ROOT.fullmatch(root) is None or ".." in parts or not parts:
        raise Malformed("root must be an absolute path without .., and not / itself, like /srv/checkout")
    plain = "/".join(parts)
    if _SYSTEMS.fullmatch(plain) or _CLOSED.fullmatch(plain):
        raise Malformed(f"root must not be {root[:200]}, which is the system's; give a folder like /srv/checkout")
    return root


def is_agents(unit: str | None) -> bool:
    """It is the agent's own unit. A name without a suffix is a service's, as systemctl(1) reads it."""
    return unit is not None and (unit if "." in unit else f"{unit}.service") == AGENT_UNIT


def is_one_in_the_other(root: str, other: str) -> bool:
    """They are one folder, or one is somewhere in the other. Both absolute, without `..`."""
    both = [[part for part in each.split("/") if part not in {"", "."}] for each in (root, other)]
    return all(one == another for one, another in zip(*both, strict=False))


def check_places(artifacts: Sequence[Artifact], config: ConfigFile | None) -> None:
    """Refuse two files of a release at one place, or one below the other. Raises `Malformed`."""
    files = sorted(_files(artifacts, config), key=lambda path: path.split("/"))
    for before, after in pairwise(files):
        if after == before or after.startswith(f"{before}/"):
            raise Malformed(f"{after} and {before} of a release are at one place")


def _files(artifacts: Sequence[Artifact], config: ConfigFile | None) -> Iterator[str]:
    """The files by name; what is in an archive is not known here."""
    for artifact in artifacts:
        if artifact.format == "file":
            yield artifact.to or artifact.name
        if artifact.format == "deb":
            yield f"{artifact.name}.deb"
    if config is not None:
        yield config.to
