"""Who this host is: what the settings say, else what the instance metadata service says."""

import re
from dataclasses import dataclass

from fairlead_agent.metadata import Metadata, Silent
from fairlead_agent.settings import Settings

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")  # what the name of a queue may hold


class Unknown(Exception):
    """The host cannot be told apart from others. The message is one sentence that names the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An instance and where it is."""

    host: str  # the instance's id
    region: str


def identify(settings: Settings) -> Identity:
    """Who this host is. Raises `Unknown`."""
    host, region = settings.host, settings.region
    if host is None or region is None:
        metadata = Metadata()
        host = host or _said(metadata, "latest/meta-data/instance-id")
        region = region or _said(metadata, "latest/meta-data/placement/region")
    if _ID.fullmatch(host) is None or _ID.fullmatch(region) is None:
        raise Unknown(f"{host[:80]!r} in {region[:80]!r} is no instance; set host: {{id: ..., region: ...}}")
    return Identity(host=host, region=region)


def _said(metadata: Metadata, path: str) -> str:
    try:
        found, why = metadata.get(path), f"{path}: it has none"
    except Silent as silent:
        found, why = None, str(silent)
    if found is None:
        said = f"the metadata service did not say who this host is ({why})"
        raise Unknown(f"{said}; set host: {{id: ..., region: ...}} where there is none")
    return found
