"""Which instances are gone, by EC2's own word: asked afresh, each by its id, because something is removed after it.

That an instance is not in a list says nothing: a list may be old, cut, or read with too few rights.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable
from adapters.aws.hosts import FILTER_VALUES, instances

ENDED = frozenset({"shutting-down", "terminated"})  # no way back leads from these; a stopped one comes back
_ID = re.compile(r"i-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![0-9a-f])")
_UNKNOWN = "InvalidInstanceID.NotFound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """`ended`: EC2 shows it ending or ended. `unknown`: EC2 refused the id by name.

    EC2 forgets an instance about an hour after its end, and may not know one that was just launched: who acts on
    `unknown` looks first how old the thing is that is to go.
    """

    ended: frozenset[str]
    unknown: frozenset[str]


def gone(ec2: Any, hosts: Iterable[str], where: str) -> Gone:
    """Of these instances. `where` finishes the words "the instances of ...". Raises `Unreadable`."""
    asked = sorted({host for host in hosts if _ID.fullmatch(host)})
    ended, unknown = set[str](), set[str]()
    with readable(f"the instances of {where}", "ec2"):
        for batch in _batches(asked):
            shown = {
                one["InstanceId"]: one["State"]["Name"]
                for one in instances(ec2, [{"Name": "instance-id", "Values": list(batch)}])
            }
            ended |= {host for host in batch if shown.get(host) in ENDED}
            unknown |= _unknown(ec2, [host for host in batch if host not in shown])
    return Gone(ended=frozenset(ended), unknown=frozenset(unknown))


def _unknown(ec2: Any, hosts: Sequence[str]) -> set[str]:
    """Those that EC2 names in a refusal; an empty answer names nobody."""
    if not hosts:
        return set()
    try:
        ec2.describe_instances(InstanceIds=list(hosts))
    except ClientError as error:
        if code_of(error) != _UNKNOWN:
            raise
        return set(hosts) & set(_ID.findall(str(error)))
    return set()


def _batches(hosts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(hosts), FILTER_VALUES):
        yield hosts[start : start + FILTER_VALUES]
