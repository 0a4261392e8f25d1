"""Who this host is: what the settings say, else what the instance metadata service says (IMDSv2).

The rules: "Use IMDSv2" and "Instance metadata categories", Amazon EC2 User Guide. A session token is asked for with a
PUT, and sent along with each GET. `AWS_EC2_METADATA_SERVICE_ENDPOINT` leads elsewhere, as it does for the SDKs.
"""

import http.client
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass

from fairlead_agent.settings import Settings

ENDPOINT = "http://169.254.169.254"
_WITHIN = 5.0  # seconds
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
        token = _ask("latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        sent = {"X-aws-ec2-metadata-token": token}
        host = host or _ask("latest/meta-data/instance-id", "GET", sent)
        region = region or _ask("latest/meta-data/placement/region", "GET", sent)
    if _ID.fullmatch(host) is None or _ID.fullmatch(region) is None:
        raise Unknown(f"{host[:80]!r} in {region[:80]!r} is no instance; set host: {{id: ..., region: ...}}")
    return Identity(host=host, region=region)


def _ask(path: str, method: str, headers: dict[str, str]) -> str:
    endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT
    request = urllib.request.Request(f"{endpoint.rstrip('/')}/{path}", method=method, headers=headers)  # noqa: S310
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is this very machine
    try:
        with straight.open(request, timeout=_WITHIN) as answer:
            return str(answer.read(4096).decode("ascii").strip())
    except (OSError, ValueError, http.client.HTTPException, urllib.error.URLError) as error:
        said = f"the metadata service did not say who this host is ({path}: {error})"
        raise Unknown(f"{said}; set host: {{id: ..., region: ...}} where there is none") from None
