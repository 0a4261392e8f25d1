"""What one account has in one region: groups, instances, images and launch templates, in memory.

Everything is found without a walk over all of it: pages by their first id, groups by cluster, hosts by tag.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from threading import RLock

from adapters.aws.names import cluster_of

GROUP_TAG = "aws:autoscaling:groupName"
_numbers = count(1)  # ids are never used twice in a process, as in AWS


def new_id(kind: str) -> str:
    """A fresh id such as `i-0000000000000002a`; later ones sort behind earlier ones."""
    return f"{kind}-{next(_numbers):017x}"


@dataclass(slots=True, kw_only=True)
class Image:
    """An AMI."""

    id: str
    name: str
    package: str
    version: str
    tags: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Template:
    """A launch template; version 1 is `images[0]`. The newest is the default."""

    id: str
    name: str
    images: list[str]


@dataclass(slots=True, kw_only=True)
class Group:
    """An Auto Scaling group."""

    name: str
    region: str
    created: datetime
    minimum: int
    maximum: int
    desired: int
    template: Template
    tags: Mapping[str, str]
    template_version: int = 1
    enabled: bool = True
    instances: list["Instance"] = field(default_factory=list)


@dataclass(slots=True)
class Instance:
    """An EC2 instance. Those of a group have the group's tags."""

    id: str
    image: str
    zone: str
    launched: datetime
    group: Group | None = None
    own_tags: Mapping[str, str] | None = None
    healthy: bool = True
    state: str = "running"  # EC2's word
    lifecycle: str = "InService"  # Auto Scaling's word
    new_root: str = ""  # the image of its root volume, where an instance refresh has put another there

    @property
    def tags(self) -> dict[str, str]:
        """All of its tags."""
        if self.group is None:
            return dict(self.own_tags or {})
        return {**self.group.tags, **(self.own_tags or {}), GROUP_TAG: self.group.name}


class Estate:
    """One account's compute in one region. Hold `lock` to look at more than one thing, or to change any."""

    def __init__(self, account: str, region: str, sick_images: set[str]) -> None:
        self.account, self.region = account, region
        self.lock = RLock()
        self.groups: dict[str, Group] = {}
        self.clusters: dict[str, dict[str, Group]] = defaultdict(dict)
        self.instances: dict[str, Instance] = {}
        self.images: dict[str, Image] = {}
        self.images_of: dict[tuple[str, str], list[Image]] = defaultdict(list)  # by package and version
        self.templates: dict[str, Template] = {}
        self.hosts_by_tag: dict[tuple[str, str], dict[str, Instance]] = defaultdict(dict)  # of no group
        self._sick_images = sick_images
        self._group_names: list[str] = []
        self._instance_ids: list[str] = []
        self._template_ids: list[str] = []

    # -- pages: what comes after the last one that was given, so that nothing is given twice whatever changes --------

    def groups_after(self, last: str, size: int) -> tuple[list[Group], str]:
        """A page of groups by name, and where the next begins (empty: there is none)."""
        names, rest = _page(self._group_names, last, size)
        return [self.groups[name] for name in names], rest

    def instances_after(self, last: str, size: int) -> tuple[list[Instance], str]:
        """A page of instances by id."""
        ids, rest = _page(self._instance_ids, last, size)
        return [self.instances[one] for one in ids], rest

    def templates_after(self, last: str, size: int) -> tuple[list[Template], str]:
        """A page of launch templates by id."""
        ids, rest = _page(self._template_ids, last, size)
        return [self.templates[one] for one in ids], rest

    def groups_beginning(self, prefix: str) -> Iterator[Group]:
        """The groups whose names begin so."""
        for at in range(bisect_left(self._group_names, prefix), len(self._group_names)):
            name = self._group_names[at]
            if not name.startswith(prefix):
                return
            yield self.groups[name]

    # -- changes -----------------------------------------------------------------------------------------------------

    def add_image(self, package: str, version: str, name: str, tags: Mapping[str, str]) -> Image:
        """Register an AMI."""
        image = Image(id=new_id("ami"), name=name, package=package, version=version, tags=tags)
        with self.lock:
            self.images[image.id] = image
            self.images_of[package, version].append(image)
        return image

    def add_group(
        self, name: str, image: str, capacity: tuple[int, int, int], tags: Mapping[str, str], created: datetime
    ) -> Group:
        """Make a launch template and a group of `capacity` (minimum, maximum, desired), with its instances."""
        minimum, maximum, desired = capacity
        template = Template(id=new_id("lt"), name=name, images=[image])
        group = Group(
            name=name,
            region=self.region,
            created=created,
            minimum=minimum,
            maximum=maximum,
            desired=desired,
            template=template,
            tags=tags,
        )
        with self.lock:
            self.templates[template.id] = template
            insort(self._template_ids, template.id)
            self.groups[name] = self.clusters[cluster_of(name)][name] = group
            insort(self._group_names, name)
            self.fill(group, created)
        return group

    def fill(self, group: Group, now: datetime) -> None:
        """Bring the group to its desired capacity."""
        with self.lock:
            while len(group.instances) > group.desired:
                self.remove_instance(group.instances[-1])
            image = group.template.images[group.template_version - 1]
            for number in range(len(group.instances), group.desired):
                one = Instance(new_id("i"), image, zone_of(self.region, number), now, group)
                one.healthy = image not in self._sick_images
                group.instances.append(one)
                self._keep(one)

    def add_host(self, image: str, tags: Mapping[str, str], number: int, now: datetime) -> Instance:
        """An instance of no group, found by its tags."""
        host = Instance(new_id("i"), image, zone_of(self.region, number), now, None, tags)
        with self.lock:
            self._keep(host)
            for tag in tags.items():
                self.hosts_by_tag[tag][host.id] = host
        return host

    def remove_instance(self, one: Instance) -> None:
        """It is gone, as EC2 forgets a terminated one after an hour."""
        with self.lock:
            del self.instances[one.id]
            self._instance_ids.pop(bisect_right(self._instance_ids, one.id) - 1)
            for tag in one.own_tags.items() if one.own_tags else ():
                self.hosts_by_tag[tag].pop(one.id, None)
            if one.group is not None:
                one.group.instances.remove(one)

    def remove_group(self, group: Group) -> None:
        """The group, its instances and its template."""
        with self.lock:
            for one in list(group.instances):
                self.remove_instance(one)
            del self.groups[group.name], self.clusters[cluster_of(group.name)][group.name]
            self._group_names.pop(bisect_right(self._group_names, group.name) - 1)
            del self.templates[group.template.id]
            self._template_ids.pop(bisect_right(self._template_ids, group.template.id) - 1)

    def _keep(self, one: Instance) -> None:
        self.instances[one.id] = one
        insort(self._instance_ids, one.id)


def zone_of(region: str, number: int) -> str:
    """Zones in turn."""
    return region + "abc"[number % 3]


def _page(names: list[str], last: str, size: int) -> tuple[list[str], str]:
    start = bisect_right(names, last) if last else 0
    found = names[start : start + size]
    return found, found[-1] if found and start + size < len(names) else ""
