"""The AMI of a version: baked once, by the first environment that gets it, and taken from there by all others.

Looked for by who bakes, in the account and with the role of that environment, and in the fleet's own. An AMI of another
account must be shared with the fleet's own to be launched, and its tags are seen by its owner alone (EC2 User Guide,
"Share an AMI with specific AWS accounts": tags are not shared). Who it is shared with may tag it too, for itself, and
Spinnaker does that when it shares (Clouddriver's `AllowLaunchAtomicOperation`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.answers import Answers
from adapters.aws.errors import code_of, readable
from adapters.aws.groups import image_batch, our_tags
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.owners import place_of
from adapters.aws.sessions import Sessions
from adapters.aws.versions import PACKAGE_TAG, evidence
from desired_state.model import Environment, Fleet, Package
from reconciler.ports import Clock

KEPT = timedelta(minutes=1)
AGAIN = timedelta(seconds=5)  # the pipeline that bakes may be about to end
OWN: Mapping[str, Sequence[str]] = {"Owners": ["self"]}
SHARED: Mapping[str, Sequence[str]] = {"ExecutableUsers": ["self"]}  # with this account by name; none that is public


class ImageMissing(Exception):
    """There is no AMI of the version that the fleet could launch; the message is a sentence that names the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baked:
    """An AMI of a version in one region, and the environment whose account it was found in."""

    image: str
    name: str
    environment: str


class Images:
    """Looks AMIs up. Every method raises `Unreadable` on trouble with AWS.

    With a clock, what an account has is asked once a minute for all; what it has not, more often at first.
    """

    def __init__(self, sessions: Sessions, clock: Clock | None = None) -> None:
        self._sessions = sessions
        self._reader = InventoryReader(sessions)
        self._answers: Answers[list[Mapping[str, Any]]] | None = (
            Answers(clock, KEPT, AGAIN) if clock is not None else None
        )

    def find(self, fleet: Fleet, region: str, cluster: str, *, shared_by_deploy: bool = False) -> Baked:
        """The AMI of the fleet's version in the region. Raises `ImageMissing`.

        The fleet's own account may launch it, unless the deploy itself sees to that. `cluster` is where it is to serve:
        its architecture is that of what serves there, where there are several.
        """
        bakers = list(_bakers(fleet))
        for environment in bakers:
            if found := self._by_tags(place_of(environment, region), fleet.packages):
                return self._chosen(found, environment, fleet, region, cluster, shared_by_deploy)
        elsewhere = list(self._elsewhere(bakers[0], fleet, region)) if bakers else []
        if copies := self._copies(elsewhere, bakers[:1], fleet, region):
            return self._chosen(copies, bakers[0], fleet, region, cluster, shared_by_deploy)
        raise ImageMissing(_why(fleet, region, [other for other, _ in elsewhere]))

    def _chosen(
        self,
        found: Sequence[Mapping[str, Any]],
        environment: Environment,
        fleet: Fleet,
        region: str,
        cluster: str,
        shared_by_deploy: bool,
    ) -> Baked:
        fitting = self._fitting(found, fleet, region, cluster)
        image = self._best(fitting, place_of(environment, region))
        if environment.account != fleet.environment.account and not shared_by_deploy:
            self._assert_shared(image, environment, fleet, region)
        return Baked(image=image["ImageId"], name=image.get("Name", ""), environment=environment.name)

    def _fitting(
        self, found: Sequence[Mapping[str, Any]], fleet: Fleet, region: str, cluster: str
    ) -> Sequence[Mapping[str, Any]]:
        """Those of the one architecture that serves, where they are of several."""
        kinds = sorted({str(image.get("Architecture", "")) for image in found})
        if len(kinds) < 2:
            return found
        serving = self._architectures(place_of(fleet.environment, region), cluster)
        fitting = [image for image in found if {image.get("Architecture", "")} == serving]
        if not fitting:
            what = f"{_what(fleet)} is baked for {' and '.join(kinds)} in {region}"
            told = (
                f"{cluster} runs {' and '.join(sorted(serving))}"
                if serving
                else f"nothing in service in {cluster} tells which"
            )
            raise ImageMissing(f"{what}, and {told}; deregister what is not meant")
        return fitting

    def _architectures(self, place: Place, cluster: str) -> set[str]:
        """Of the AMIs that are in service in a cluster, as far as they are still there."""
        groups = self._reader.read_clusters(place, [cluster]).part([cluster])["server_groups"]
        enabled = [one for group in groups if group["enabled"] for one in group["instances"]]
        images = sorted({one["image"] for one in enabled if one["lifecycle"] == "InService"})
        with readable(f"the AMIs of {place}", "ec2"):
            found = image_batch(self._ec2(place), images) if images else []
        return {str(image.get("Architecture", "")) for image in found}

    def _best(self, found: Sequence[Mapping[str, Any]], place: Place) -> Mapping[str, Any]:
        """The newest, unless an older one runs there: what was tried goes before what was only baked."""
        newest_first = sorted(found, key=lambda image: (image.get("CreationDate", ""), image["ImageId"]), reverse=True)
        if len(found) == 1:
            return newest_first[0]
        running = self._running(place, [image["ImageId"] for image in found])
        return next((image for image in newest_first if image["ImageId"] in running), newest_first[0])

    def _by_tags(
        self, place: Place, packages: Sequence[Package], asked: Sequence[Mapping[str, Sequence[str]]] = (OWN, SHARED)
    ) -> list[Mapping[str, Any]]:
        """All whose tags say this version of every package: by our own tag, else by `appversion`."""
        first = packages[0]
        wanted = _escaped(f"{first.name}-{first.version}")
        filters = ((f"tag:{PACKAGE_TAG}{first.name}", _escaped(first.version)), ("tag:appversion", f"{wanted}*"))
        found = (self._described(place, {name: [value]}, whose) for whose in asked for name, value in filters)
        sound = ([image for image in images if _says(image, packages)] for images in found)
        return next((images for images in sound if images), [])

    def _copies(
        self,
        elsewhere: Iterable[tuple[str, Mapping[str, Any]]],
        bakers: Sequence[Environment],
        fleet: Fleet,
        region: str,
    ) -> list[Mapping[str, Any]]:
        """Of an AMI that the tags name in another region, the one of the same name here: a copy may have no tags."""
        names = sorted({image["Name"] for _, image in elsewhere if image.get("Name")})
        if not names:
            return []
        found = self._described(place_of(bakers[0], region), {"name": [_escaped(name) for name in names]})
        return [image for image in found if not _tags(image) or _says(image, fleet.packages)]

    def _elsewhere(
        self, environment: Environment, fleet: Fleet, region: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for other in dict.fromkeys((*environment.regions, *fleet.environment.regions)):
            if other != region:
                for image in self._by_tags(place_of(environment, other), fleet.packages, (OWN,)):
                    yield other, image

    def _described(
        self, place: Place, filters: Mapping[str, Sequence[str]], whose: Mapping[str, Sequence[str]] = OWN
    ) -> list[Mapping[str, Any]]:
        if self._answers is None:
            return self._asked(place, filters, whose)
        key = (place, tuple(whose), tuple((name, tuple(values)) for name, values in filters.items()))
        return self._answers.get(key, lambda: self._asked(place, filters, whose))

    def _asked(
        self, place: Place, filters: Mapping[str, Sequence[str]], whose: Mapping[str, Sequence[str]]
    ) -> list[Mapping[str, Any]]:
        asked = [{"Name": name, "Values": list(values)} for name, values in {**filters, "state": ["available"]}.items()]
        with readable(f"the AMIs of {place}", "ec2"):
            pages = self._ec2(place).get_paginator("describe_images").paginate(**whose, Filters=asked)
            return [image for page in pages for image in page["Images"]]

    def _running(self, place: Place, images: Sequence[str]) -> frozenset[str]:
        asked = [
            {"Name": "image-id", "Values": list(images)},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        with readable(f"the instances of {place}", "ec2"):
            pages = self._ec2(place).get_paginator("describe_instances").paginate(Filters=asked)
            found = [one for page in pages for each in page["Reservations"] for one in each["Instances"]]
        return frozenset(one["ImageId"] for one in found)

    def _assert_shared(self, image: Mapping[str, Any], owner: Environment, fleet: Fleet, region: str) -> None:
        place, found = place_of(fleet.environment, region), image["ImageId"]
        with readable(f"the AMI {found} from {place}", "ec2"):
            try:
                shared = self._ec2(place).describe_images(ImageIds=[found])["Images"]
            except ClientError as error:
                if not code_of(error).startswith("InvalidAMIID"):
                    raise
                shared = []
        if not shared:
            raise ImageMissing(
                f"{found} of {owner.name} ({owner.account}) is not shared with account {place.account} in {region}; "
                "share it when it is baked"
            )

    def _ec2(self, place: Place) -> Any:
        return self._sessions.client("ec2", place.region, role=place.role, account=place.account)


def _why(fleet: Fleet, region: str, elsewhere: Sequence[str]) -> str:
    baker, what = fleet.bakes or fleet.environment, _what(fleet)
    if not baker.account:
        return f"nobody knows where {what} is baked: mend environments/{baker.name}/environment.yaml"
    if elsewhere:
        return (
            f"{baker.name} baked {what} in {elsewhere[0]}, not in {region} (account {baker.account}); "
            "let it bake there, or copy the AMI"
        )
    return f"{baker.name} has not baked {what} in {region} (account {baker.account}) yet; deploy it there first"


def _what(fleet: Fleet) -> str:
    return ", ".join(f"{package.name} {package.version}" for package in fleet.packages)


def _bakers(fleet: Fleet) -> Iterable[Environment]:
    """Who may have the AMI, the one that bakes for all first; an account once."""
    known = {one.account: one for one in (fleet.environment, fleet.bakes) if one is not None and one.account}
    first = fleet.bakes.account if fleet.bakes else fleet.environment.account
    return sorted(known.values(), key=lambda one: one.account != first)


def _tags(image: Mapping[str, Any]) -> Mapping[str, str]:
    return our_tags(image.get("Tags", []), also="appversion")


def _says(image: Mapping[str, Any], packages: Sequence[Package]) -> bool:
    said = {"tags": _tags(image)}
    found = (evidence(said, image["ImageId"], each.name, each.version) for each in packages)
    return all(one.version == each.version for one, each in zip(found, packages, strict=True))


def _escaped(text: str) -> str:
    """As the value of a filter, in which `*` and `?` stand for others (EC2 API reference, Using filters)."""
    return "".join(f"\\{each}" if each in "*?\\" else each for each in text)
