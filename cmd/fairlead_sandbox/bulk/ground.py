"""What a Gate deploys onto, in the memory of a bulk AWS: a new server group takes microseconds."""

from collections.abc import Mapping
from datetime import datetime

from fairlead_sandbox import images
from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.bulk.aws import BulkAws
from fairlead_sandbox.bulk.estate import Estate, Group
from fairlead_sandbox.images import Image
from fairlead_sandbox.server_groups import ServerGroup


class BulkGround:
    """Implements `gate.ground.Ground` for one account."""

    def __init__(self, aws: BulkAws, account: str = ACCOUNT) -> None:
        self._aws = aws
        self._account = account

    def find_image(self, region: str, package: str, version: str) -> Image | None:
        """The newest AMI of this version."""
        known = self._estate(region).images_of.get((package, version))
        return self.image(region, known[-1].id) if known else None

    def register_image(self, region: str, package: str, version: str, at: datetime) -> Image:
        """A new AMI of this version."""
        name, tags = images.image_name(package, at), images.tags_of(package, version)
        return self.image(region, self._estate(region).add_image(package, version, name, tags).id)

    def find_tagged(self, region: str, tags: Mapping[str, str]) -> Image | None:
        """The newest AMI that has all of these tags."""
        found = [each for each in self._estate(region).images.values() if tags.items() <= each.tags.items()]
        return self.image(region, found[-1].id) if found else None

    def image(self, region: str, image_id: str) -> Image:
        """The AMI of this id. Raises `KeyError`."""
        found = self._estate(region).images[image_id]
        return Image(id=found.id, name=found.name, package=found.package, version=found.version)

    def tag_image(self, region: str, image_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to an AMI."""
        estate = self._estate(region)
        with estate.lock:
            image = estate.images[image_id]
            image.tags = {**image.tags, **tags}

    def groups_of(self, region: str, cluster: str) -> list[ServerGroup]:
        """All groups of a cluster, oldest first by creation."""
        estate = self._estate(region)
        with estate.lock:
            found = [_shown(group) for group in estate.clusters[cluster].values()]
        return sorted(found, key=lambda group: group.created)

    def group(self, region: str, name: str) -> ServerGroup | None:
        """One group, None when it is gone."""
        estate = self._estate(region)
        with estate.lock:
            found = estate.groups.get(name)
            return None if found is None else _shown(found)

    def create(
        self, region: str, name: str, image_id: str, capacity: tuple[int, int, int], tags: Mapping[str, str]
    ) -> ServerGroup:
        """A new group of `capacity` (minimum, maximum, desired)."""
        return _shown(self._estate(region).add_group(name, image_id, capacity, tags, self._aws.clock.now()))

    def disable(self, group: ServerGroup) -> None:
        """Take it out of service."""
        estate = self._estate(group.region)
        with estate.lock:
            estate.groups[group.name].enabled = False

    def enable(self, group: ServerGroup) -> None:
        """Put it into service again."""
        estate = self._estate(group.region)
        with estate.lock:
            estate.groups[group.name].enabled = True

    def resize(self, group: ServerGroup, capacity: tuple[int, int, int]) -> None:
        """To minimum, maximum, desired."""
        estate = self._estate(group.region)
        with estate.lock:
            found = estate.groups[group.name]
            found.minimum, found.maximum, found.desired = capacity
            estate.fill(found, self._aws.clock.now())

    def launch_image(self, group: ServerGroup) -> str:
        """The id of the AMI that it launches."""
        return self._estate(group.region).groups[group.name].template.images[-1]

    def scale_down(self, group: ServerGroup) -> None:
        """Scale it to nothing."""
        self.resize(group, (0, 0, 0))

    def delete(self, group: ServerGroup) -> None:
        """Destroy it."""
        estate = self._estate(group.region)
        with estate.lock:
            estate.remove_group(estate.groups[group.name])

    def make_sick(self, image_id: str) -> None:
        """Instances launched from this image from now on are unhealthy."""
        self._aws.sick_images.add(image_id)

    def make_well(self, image_id: str) -> None:
        """Undo `make_sick`."""
        self._aws.sick_images.discard(image_id)

    def _estate(self, region: str) -> Estate:
        return self._aws.estate(region, self._account)


def _shown(group: Group) -> ServerGroup:
    return ServerGroup(
        name=group.name,
        region=group.region,
        created=group.created,
        enabled=group.enabled,
        minimum=group.minimum,
        maximum=group.maximum,
        desired=group.desired,
        instances=tuple(
            {"LifecycleState": one.lifecycle, "HealthStatus": "Healthy" if one.healthy else "Unhealthy"}
            for one in group.instances
        ),
        template=group.template.id,
        tags=group.tags,
    )
