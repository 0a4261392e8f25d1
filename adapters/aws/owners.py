"""What the owners of shared AMIs say of them, so that they are known where they run.

The tags of an AMI are seen by its owner alone. What an owner said once is believed while it cannot be asked: what runs
in one account must not become unknown because another account is out of reach.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from adapters.aws.errors import readable
from adapters.aws.groups import our_tags
from adapters.aws.inventory import Place
from adapters.aws.sessions import Sessions
from adapters.aws.together import read_together
from adapters.aws.versions import UNASKED
from desired_state.model import Environment, Fleet
from reconciler.ports import Clock, Unreadable

Tags = Mapping[str, str]
KEPT = timedelta(minutes=10)  # tags that an owner told are asked for again after so long: people correct them
AGAIN = timedelta(minutes=1)  # until an owner that could not be asked is asked again
WITHIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The tags that an owner told, by image; `trouble` is why it could not be asked for the others, or empty."""

    told: Mapping[str, Tags] = field(default_factory=dict)
    trouble: str = ""


class OwnersWords:
    """Asks owners, and remembers what they said. Safe to share between threads: what is lost is asked again."""

    def __init__(self, sessions: Sessions, clock: Clock, within: timedelta = WITHIN) -> None:
        self._sessions = sessions
        self._clock = clock
        self._within = within
        self._told: dict[str, tuple[float, Tags]] = {}
        self._away: dict[Place, tuple[float, str]] = {}

    def ask(self, owner: Place, images: Collection[str]) -> Words:
        """What the account says of those of these images that it owns, two hundred a call. Raises nothing."""
        now, known = self._clock.monotonic(), dict(self._told)
        new = [image for image in sorted(images) if image not in known or now - known[image][0] >= KEPT.total_seconds()]
        trouble = self._hear(owner, new, now) if new else ""
        return Words(told={image: self._told[image][1] for image in images if image in self._told}, trouble=trouble)

    def _hear(self, owner: Place, images: list[str], now: float) -> str:
        since, trouble = self._away.get(owner, (now, ""))
        if trouble and now - since < AGAIN.total_seconds():
            return trouble
        try:
            told = read_together({f"the AMIs of {owner}": partial(self._read, owner, images)}, self._within)[0]
        except Unreadable as unreadable:
            self._away[owner] = (now, str(unreadable))
            return str(unreadable)
        self._away.pop(owner, None)
        self._told.update({image: (now, tags) for image, tags in told.items() if tags})
        return ""

    def _read(self, owner: Place, ids: list[str]) -> dict[str, Tags]:
        told: dict[str, Tags] = {}
        for start in range(0, len(ids), 200):
            asked = [{"Name": "image-id", "Values": ids[start : start + 200]}]
            with readable(f"the AMIs of {owner}", "ec2"):
                ec2 = self._sessions.client("ec2", owner.region, role=owner.role, account=owner.account)
                found = ec2.describe_images(Owners=["self"], Filters=asked)["Images"]
            told.update({image["ImageId"]: our_tags(image.get("Tags", []), also="appversion") for image in found})
        return told


def owner_of(fleet: Fleet, region: str) -> Place | None:
    """Who may know more of the images that a fleet runs in a region than its own account; None: nobody."""
    baker = fleet.bakes
    return None if baker is None or baker.account in {"", fleet.environment.account} else place_of(baker, region)


def place_of(environment: Environment, region: str) -> Place:
    """The environment's account in a region, by its own role."""
    return Place(environment.account, region, environment.role)


def untold(body: Mapping[str, Any]) -> set[str]:
    """The images of an inventory part that say nothing to the account that it was read of."""
    return {image for image, said in body["images"].items() if not said["tags"]}


def with_words(body: Mapping[str, Any], words: Words, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inventory part with the tags that owners told of its images, now or by the part that was `known` before.

    Of an image that they never told of, while they cannot be asked, it says so.
    """
    before = {image: said["tags"] for image, said in known.get("images", {}).items() if said["tags"]}
    images = dict(body["images"])
    for image in untold(body):
        tags = words.told.get(image) or (before.get(image) if words.trouble else None)
        if tags:
            images[image] = {**images[image], "tags": dict(tags)}
        elif words.trouble:
            images[image] = {**images[image], UNASKED: words.trouble}
    return body if images == body["images"] else {**body, "images": images}
