"""Instances as hosts of fleets that are selected by tags: all of a region at once, or those of some tags.

A host: `{id, state, zone, launched, tags}`, where the state is `pending` or `running`; any other is no host any more.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PRESENT = ("pending", "running")
PAGE = 1000  # instances, the most that EC2 gives in one answer (DescribeInstances, MaxResults)

Host = Mapping[str, Any]
Tags = Mapping[str, str]


def instances(ec2: Any, filters: Iterable[Mapping[str, Any]] = ()) -> Iterator[Mapping[str, Any]]:
    """Every instance that the filters let through, as EC2 describes it."""
    paginator = ec2.get_paginator("describe_instances")
    for page in paginator.paginate(Filters=list(filters), PaginationConfig={"PageSize": PAGE}):
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def host_of(instance: Mapping[str, Any]) -> dict[str, Any] | None:
    """The host that an instance is; None where it is on its way out or stopped."""
    if instance["State"]["Name"] not in PRESENT:
        return None
    return {
        "id": instance["InstanceId"],
        "state": instance["State"]["Name"],
        "zone": instance.get("Placement", {}).get("AvailabilityZone", ""),
        "launched": instance["LaunchTime"].isoformat(),
        "tags": dict(sorted((tag["Key"], tag["Value"]) for tag in instance.get("Tags", []))),
    }


class Hosts:
    """Hosts in the order of their ids, found by tags without asking each of them."""

    def __init__(self, found: Iterable[Host] = ()) -> None:
        self.all: tuple[Host, ...] = tuple(sorted(found, key=lambda host: str(host["id"])))
        self._by_tag: dict[tuple[str, str], list[Host]] = defaultdict(list)
        for host in self.all:
            for tag in host["tags"].items():
                self._by_tag[tag].append(host)

    def tagged(self, tags: Tags) -> tuple[Host, ...]:
        """Those that have all of these tags, to the letter; all, where none is asked for."""
        rarest = min((self._by_tag.get(tag, []) for tag in tags.items()), key=len, default=self.all)
        return tuple(host for host in rarest if all(host["tags"].get(key) == value for key, value in tags.items()))


def read_hosts(ec2: Any, tags: Tags) -> tuple[Host, ...]:
    """The hosts that have all of these tags, freshly read."""
    filters = [{"Name": f"tag:{key}", "Values": [_literally(value)]} for key, value in sorted(tags.items())]
    filters.append({"Name": "instance-state-name", "Values": list(PRESENT)})
    found = (host_of(instance) for instance in instances(ec2, filters))
    return Hosts(host for host in found if host is not None).tagged(tags)


def _literally(value: str) -> str:
    """EC2 reads `*` and `?` in a filter as wildcards; a backslash takes that from them."""
    return "".join(f"\\{letter}" if letter in "*?\\" else letter for letter in value)
