"""What EC2 tells of the instances of one account and region, read again and again.

The image that an instance was launched from never changes (EC2's API reference, data type Instance, ImageId: what was
"used to launch" it), and no other instance gets its id (EC2 User Guide, Resource IDs: unique). So it is asked once, of
instances that were not seen before. State and tags change: hosts are read each time, by their tags on the server's
side. Every hour, and where that costs fewer calls, everything is read. Who is about to act does not ask here, but by
`InventoryReader.read_clusters` and `read_hosts`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from sys import intern
from typing import Any

from adapters.aws.hosts import FILTER_VALUES, PAGE, Host, Hosts, Tags, Wanted, host_of, instances
from reconciler.ports import Clock

GROUP_TAG = "aws:autoscaling:groupName"
TRUSTED = timedelta(hours=1)  # what is held to be unchanging is looked at anew all the same, this often


class Instances:
    """What one process knows of a place's instances. `images` is by instance id, of those last asked for.

    A read puts a new mapping in the place of the old one: two that overlap do no harm but work done twice.
    """

    def __init__(self, clock: Clock) -> None:
        self.images: Mapping[str, str] = {}
        self._clock = clock
        self._swept_at: datetime | None = None
        self._pages = 0  # of everything, when it was last read
        self._hosts = 0  # that the last read kept

    def read(self, ec2: Any, ids: Sequence[str], tags: Collection[Tags]) -> Hosts:
        """Know the images of these instances, and give the hosts that have all tags of one of `tags`, read now."""
        wanted = Wanted(tags)
        unseen = [one for one in ids if one not in self.images]
        if self._sweeps(ceil(len(unseen) / FILTER_VALUES), wanted):
            return self._sweep(ec2, ids, wanted)
        found = {**self.images, **images_of_ids(ec2, unseen)}
        self.images = {one: found[one] for one in ids if one in found}
        return self._kept(wanted.read(ec2))

    def _sweeps(self, calls: int, wanted: Wanted) -> bool:
        if self._swept_at is None or self._clock.now() - self._swept_at >= TRUSTED:
            return True
        if wanted.is_everything:
            return True
        return calls + len(wanted.filters) + self._hosts // PAGE > self._pages

    def _sweep(self, ec2: Any, ids: Sequence[str], wanted: Wanted) -> Hosts:
        asked, images, hosts, count = set(ids), dict[str, str](), list[Host](), 0
        now = self._clock.now()
        for instance in instances(ec2):
            count += 1
            if instance["InstanceId"] in asked:
                images[instance["InstanceId"]] = intern(instance["ImageId"])
            if wanted.takes(instance) and (host := host_of(instance)) is not None:
                hosts.append(host)
        self.images, self._swept_at, self._pages = images, now, max(1, ceil(count / PAGE))
        return self._kept(Hosts(hosts))

    def _kept(self, hosts: Hosts) -> Hosts:
        self._hosts = len(hosts.all)
        return hosts


def read_all(ec2: Any) -> tuple[dict[str, str], Hosts]:
    """The images of all instances of groups, by instance id, and all hosts."""
    images: dict[str, str] = {}
    hosts: list[Host] = []
    for instance in instances(ec2):
        if group_of(instance):
            images[instance["InstanceId"]] = instance["ImageId"]
        if (host := host_of(instance)) is not None:
            hosts.append(host)
    return images, Hosts(hosts)


def images_of_ids(ec2: Any, ids: Sequence[str]) -> dict[str, str]:
    """The images of those of these instances that EC2 knows. By a filter: an id that is gone fails a call by ids."""
    found = filtered(ec2, "instance-id", ids)
    return {instance["InstanceId"]: intern(instance["ImageId"]) for instance in found}


def filtered(ec2: Any, name: str, values: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The instances that a filter of these values lets through."""
    for start in range(0, len(values), FILTER_VALUES):
        yield from instances(ec2, [{"Name": name, "Values": list(values[start : start + FILTER_VALUES])}])


def group_of(instance: Mapping[str, Any]) -> str:
    """The Auto Scaling group that launched it, or an empty text."""
    return next((str(tag["Value"]) for tag in instance.get("Tags", []) if tag["Key"] == GROUP_TAG), "")
