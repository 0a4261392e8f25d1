"""Stages that find images and tag them; what they find is there for the deploys behind them.

Sources of the rules: Orca's `FindImageFromClusterTask`, `FindImageFromTagsTask` with `AmazonImageFinder`, and
`AmazonImageTagger`, which leaves the tags of the bakery alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fairlead_sandbox.gate.deploying import Site, StageFailed
from fairlead_sandbox.gate.executions import Execution
from fairlead_sandbox.images import Image
from fairlead_sandbox.server_groups import ServerGroup

BUILT_IN = frozenset({"appversion", "base_ami_version", "build_host", "creation_time", "creator"})


def _only(groups: Sequence[ServerGroup]) -> ServerGroup:
    if len(groups) > 1:
        raise StageFailed(f"Multiple possible server groups present in {groups[0].region}")
    return groups[0]


_CHOICES: Mapping[str, Callable[[Sequence[ServerGroup]], ServerGroup]] = {
    "NEWEST": lambda groups: groups[-1],
    "OLDEST": lambda groups: groups[0],
    "LARGEST": lambda groups: max(groups, key=lambda each: len(each.instances)),
    "FAIL": _only,
}


def find_image(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """The image that a cluster runs, by region and `selectionStrategy`."""
    del execution
    yield
    context, found = stage["context"], {}
    choose = _CHOICES[context.get("selectionStrategy", "NEWEST")]
    for region in context["regions"]:
        groups = site.ground.groups_of(region, context["cluster"])
        groups = [each for each in groups if each.enabled or not context.get("onlyEnabled", True)]
        if not groups:
            raise StageFailed(f"Could not find cluster '{context['cluster']}' for '{context.get('credentials')}'.")
        found[region] = site.ground.image(region, site.ground.launch_image(choose(groups)))
    _show(stage, found)


def find_image_from_tags(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """The newest image with all of the tags, by region; regions without one are left out as long as one has it."""
    del execution
    yield
    context = stage["context"]
    tags = {key: str(value) for key, value in context.get("tags", {}).items()}
    images = {region: site.ground.find_tagged(region, tags) for region in context["regions"]}
    found = {region: image for region, image in images.items() if image is not None}
    if not found:
        raise StageFailed(f"Could not find tagged image for package: {context.get('packageName')} and tags: {tags}")
    _show(stage, found)


def upsert_image_tags(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """Tag what the stages before it baked or found."""
    yield
    tags = {key: str(value) for key, value in stage["context"]["tags"].items() if key not in BUILT_IN}
    before = [each for each in execution.body["stages"] if each["refId"] in stage["requisiteStageRefIds"]]
    details = [each for one in before for each in one["outputs"].get("deploymentDetails", [])]
    if not details:
        raise StageFailed("Unable to determine source images: no stage before this one baked or found any.")
    for each in details:
        site.ground.tag_image(each["region"], each["ami"], tags)
    stage["context"]["targets"] = [{"imageName": each["imageName"], "tags": tags} for each in details]


def _show(stage: dict[str, Any], found: Mapping[str, Image]) -> None:
    details = [
        {"region": region, "ami": image.id, "imageId": image.id, "imageName": image.name, "cloudProviderType": "aws"}
        for region, image in found.items()
    ]
    stage["context"]["amiDetails"] = details
    stage["outputs"] = {"deploymentDetails": details}
