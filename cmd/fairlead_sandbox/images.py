"""AMIs as Rosco leaves them: names, the `appversion` text, and the tag that a Fairlead pipeline adds.

Names and tag texts follow Rosco's `ImageNameFactory` and Frigga's `AppVersion`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead_sandbox.aws import Aws

BUILD = "h1.abc1234"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A baked AMI in one region. `package` and `version` are empty where its tags do not tell them."""

    id: str
    name: str
    package: str
    version: str


def version_tag(package: str) -> str:
    """The tag key on an AMI that names the version of `package`: Fairlead's own, and its best evidence."""
    return f"fairlead:package/{package}"


def appversion(package: str, version: str) -> str:
    """Rosco's text for a package that a CI build made."""
    return f"{package}-{version}-{BUILD}"


def image_name(package: str, at: datetime) -> str:
    """The name Rosco and Orca give: `<package>-all-<yyyyMMddHHmmss>-jammy`, in UTC."""
    return f"{package}-all-{at:%Y%m%d%H%M%S}-jammy"


def tags_of(package: str, version: str) -> dict[str, str]:
    """The tags of an AMI of this version."""
    return {
        "appversion": appversion(package, version),
        "build_host": "bakery.example.com",
        version_tag(package): version,
    }


def register(aws: Aws, region: str, package: str, version: str, at: datetime) -> Image:
    """Register an AMI of this version, with its tags."""
    name, tags = image_name(package, at), tags_of(package, version)
    answer = aws.client("ec2", region).register_image(
        Name=name,
        TagSpecifications=[
            {"ResourceType": "image", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ],
    )
    return Image(id=answer["ImageId"], name=name, package=package, version=version)


def find(aws: Aws, region: str, package: str, version: str) -> Image | None:
    """The newest AMI of this version, None when none was baked."""
    filters = [{"Name": "tag:appversion", "Values": [appversion(package, version)]}]
    found = aws.client("ec2", region).describe_images(Owners=["self"], Filters=filters)["Images"]
    return max((_image(each) for each in found), key=lambda image: (image.name, image.id), default=None)


def find_tagged(aws: Aws, region: str, tags: Mapping[str, str]) -> Image | None:
    """The newest AMI that has all of these tags, None when none has."""
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    found = aws.client("ec2", region).describe_images(Owners=["self"], Filters=filters)["Images"]
    return max((_image(each) for each in found), key=lambda image: (image.name, image.id), default=None)


def by_id(aws: Aws, region: str, image_id: str) -> Image:
    """The AMI of this id or, as Clouddriver's `AmiIdResolver` allows, of this name.

    Raises botocore's ClientError for an id that is none, and KeyError for such a name.
    """
    ec2 = aws.client("ec2", region)
    if image_id.startswith("ami-"):
        return _image(ec2.describe_images(ImageIds=[image_id])["Images"][0])
    found = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [image_id]}])["Images"]
    if not found:
        raise KeyError(f"no AMI is called {image_id} in {region}")
    return _image(found[0])


def add_tags(aws: Aws, region: str, image_id: str, tags: Mapping[str, str]) -> None:
    """Add tags to an AMI, or give those that it has another value."""
    aws.client("ec2", region).create_tags(
        Resources=[image_id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )


def _image(description: dict[str, Any]) -> Image:
    tags = {tag["Key"]: tag["Value"] for tag in description.get("Tags", [])}
    own = next((key for key in tags if key.startswith("fairlead:package/")), "")
    return Image(
        id=description["ImageId"],
        name=description.get("Name", ""),
        package=own.partition("/")[2],
        version=tags.get(own, ""),
    )
