"""Instances as hosts of fleets that are selected by tags: all of a region at once, or those of some tags.

A host: `{id, state, zone, launched, tags}`, where the state is `pending` or `running`; any other is no host any more.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

PRESENT = ("pending", "running")
PAGE = 1000  # instances, the most that EC2 gives in one answer (DescribeInstances, MaxResults)
FILTER_VALUES = 200  # of all filters of one call; EC2 answers more with FilterLimitExceeded

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


class Wanted:
    """The hosts of many fleets: those that have all tags of at least one of these."""

    def __init__(self, tags: Collection[Tags]) -> None:
        self._all = sorted({tuple(sorted(each.items())) for each in tags})
        self.is_everything = () in self._all
        counted = Counter(tag for each in self._all for tag in each)
        self._by_rarest: dict[tuple[str, str], list[frozenset[tuple[str, str]]]] = defaultdict(list)
        for each in filter(None, self._all):
            self._by_rarest[min(each, key=lambda tag: (counted[tag], tag))].append(frozenset(each))

    def takes(self, instance: Mapping[str, Any]) -> bool:
        """Whether an instance's tags, as EC2 tells them, are asked for."""
        if self.is_everything or not self._by_rarest:
            return self.is_everything
        has = {(tag["Key"], tag["Value"]) for tag in instance.get("Tags", [])}
        return any(each <= has for tag in has for each in self._by_rarest.get(tag, ()))

    def read(self, ec2: Any) -> Hosts:
        """Them, freshly read."""
        found: dict[str, Host] = {}
        for filters in self.filters:
            taken = (instance for instance in instances(ec2, filters) if self.takes(instance))
            found.update((host["id"], host) for instance in taken if (host := host_of(instance)) is not None)
        return Hosts(found.values())

    @cached_property
    def filters(self) -> tuple[list[dict[str, Any]], ...]:
        """Filters that let them through and few others, as few calls as their values fit into.

        Filters add up and the values of one are alternatives, so fleets that are told by the same keys share a call.
        """
        by_keys: dict[tuple[str, ...], list[Tags]] = defaultdict(list)
        for each in self._all:
            by_keys[tuple(key for key, _ in each)].append(dict(each))
        return tuple(_filters(batch) for alike in by_keys.values() for batch in _batches(alike))


def _batches(alike: Iterable[Tags]) -> Iterator[dict[str, set[str]]]:
    """Values by key, no more at once than fit into a call beside the states."""
    values: dict[str, set[str]] = {}
    for tags in alike:
        grown = {key: values.get(key, set()) | {value} for key, value in tags.items()}
        if sum(map(len, grown.values())) + len(PRESENT) > FILTER_VALUES:
            yield values
            grown = {key: {value} for key, value in tags.items()}
        values = grown
    yield values


def _filters(values: Mapping[str, Iterable[str]]) -> list[dict[str, Any]]:
    tags = [{"Name": f"tag:{key}", "Values": sorted(map(_literally, found))} for key, found in sorted(values.items())]
    return [*tags, {"Name": "instance-state-name", "Values": list(PRESENT)}]


def read_hosts(ec2: Any, tags: Tags) -> tuple[Host, ...]:
    """The hosts that have all of these tags, freshly read."""
    return Wanted([tags]).read(ec2).all


def _literally(value: str) -> str:
    """EC2 reads `*` and `?` in a filter as wildcards; a backslash takes that from them."""
    return "".join(f"\\{letter}" if letter in "*?\\" else letter for letter in value)
