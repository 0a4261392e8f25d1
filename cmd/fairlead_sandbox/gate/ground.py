"""The ground that stages deploy onto: what of an AWS they need, and how the AWS of this sandbox gives it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.images import Image
from fairlead_sandbox.server_groups import ServerGroup


class Ground(Protocol):
    """AMIs and server groups. `image` raises botocore's ClientError or KeyError for an id that is none."""

    def find_image(self, region: str, package: str, version: str) -> Image | None: ...
    def register_image(self, region: str, package: str, version: str, at: datetime) -> Image: ...
    def find_tagged(self, region: str, tags: Mapping[str, str]) -> Image | None: ...
    def image(self, region: str, image_id: str) -> Image: ...
    def tag_image(self, region: str, image_id: str, tags: Mapping[str, str]) -> None: ...
    def groups_of(self, region: str, cluster: str) -> list[ServerGroup]: ...
    def group(self, region: str, name: str) -> ServerGroup | None: ...
    def create(
        self, region: str, name: str, image_id: str, capacity: tuple[int, int, int], tags: Mapping[str, str]
    ) -> ServerGroup: ...
    def disable(self, group: ServerGroup) -> None: ...
    def enable(self, group: ServerGroup) -> None: ...
    def resize(self, group: ServerGroup, capacity: tuple[int, int, int]) -> None: ...
    def launch_image(self, group: ServerGroup) -> str: ...
    def scale_down(self, group: ServerGroup) -> None: ...
    def delete(self, group: ServerGroup) -> None: ...
    def make_sick(self, image_id: str) -> None: ...
    def make_well(self, image_id: str) -> None: ...


class AwsGround:
    """By the calls that Clouddriver and Rosco make."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def find_image(self, region: str, package: str, version: str) -> Image | None:
        """The newest AMI of this version."""
        return images.find(self._aws, region, package, version)

    def register_image(self, region: str, package: str, version: str, at: datetime) -> Image:
        """A new AMI of this version."""
        return images.register(self._aws, region, package, version, at)

    def find_tagged(self, region: str, tags: Mapping[str, str]) -> Image | None:
        """The newest AMI that has all of these tags."""
        return images.find_tagged(self._aws, region, tags)

    def image(self, region: str, image_id: str) -> Image:
        """The AMI of this id or name."""
        return images.by_id(self._aws, region, image_id)

    def tag_image(self, region: str, image_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to an AMI."""
        images.add_tags(self._aws, region, image_id, tags)

    def groups_of(self, region: str, cluster: str) -> list[ServerGroup]:
        """All groups of a cluster, oldest first by creation."""
        return server_groups.groups_of(self._aws, region, cluster)

    def group(self, region: str, name: str) -> ServerGroup | None:
        """One group, None when it is gone."""
        return server_groups.read(self._aws, region, name)

    def create(
        self, region: str, name: str, image_id: str, capacity: tuple[int, int, int], tags: Mapping[str, str]
    ) -> ServerGroup:
        """A new group of `capacity` (minimum, maximum, desired)."""
        return server_groups.create(self._aws, region, name, image_id, capacity, tags)

    def disable(self, group: ServerGroup) -> None:
        """Take it out of service."""
        server_groups.disable(self._aws, group)

    def enable(self, group: ServerGroup) -> None:
        """Put it into service again."""
        server_groups.enable(self._aws, group)

    def resize(self, group: ServerGroup, capacity: tuple[int, int, int]) -> None:
        """To minimum, maximum, desired."""
        server_groups.resize(self._aws, group, capacity)

    def launch_image(self, group: ServerGroup) -> str:
        """The id of the AMI that it launches."""
        return server_groups.launch_image(self._aws, group)

    def scale_down(self, group: ServerGroup) -> None:
        """Scale it to nothing."""
        server_groups.scale_down(self._aws, group)

    def delete(self, group: ServerGroup) -> None:
        """Destroy it."""
        server_groups.delete(self._aws, group)

    def make_sick(self, image_id: str) -> None:
        """Instances launched from this image from now on are unhealthy."""
        self._aws.make_sick(image_id)

    def make_well(self, image_id: str) -> None:
        """Undo `make_sick`."""
        self._aws.make_well(image_id)
