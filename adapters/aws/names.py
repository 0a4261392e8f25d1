"""Server group and cluster names as Spinnaker writes them (frigga's rule: `app[-stack[-detail]]-vNNN`)."""

import re

_PUSH = re.compile(r"^([-a-zA-Z0-9._~^]*)-(v([0-9]{3,6}))$")
_NAME = re.compile(r"^([a-zA-Z0-9._]+)(?:-([a-zA-Z0-9._]*)(?:-([-a-zA-Z0-9._~^]*?))?)?$")


def cluster_of(server_group: str) -> str:
    """The cluster that a group belongs to: the part before `-vNNN`; a name without a push is its own cluster."""
    match = _PUSH.match(server_group)
    return match.group(1) if match else server_group


def sequence_of(server_group: str) -> int | None:
    """The number in `-vNNN`, or None. It wraps from 999 to 0: never order by it."""
    match = _PUSH.match(server_group)
    return int(match.group(3)) if match else None


def is_cluster(name: str) -> bool:
    """Whether frigga reads the name as a cluster: an app without hyphens, maybe stack and detail, and no push."""
    return bool(_NAME.match(name)) and not _PUSH.match(name)


def neighbours(cluster: str, sequence: int, span: int) -> tuple[str, ...]:
    """The names of the groups up to `span` pushes before and after `sequence`, wrapping at 1000."""
    return tuple(f"{cluster}-v{number % 1000:03d}" for number in range(sequence - span, sequence + span + 1))
