"""A fleet that is moved from trigger deploys to baked images by a commit, and back by another."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.agent_protocol.addresses import order_key
from fairlead_sandbox.example import ExampleFleet
from reconciler.reasons import Reason

pytestmark = pytest.mark.long
FLEET, LONG = "prod/matchmaker", 150.0
ON_HOSTS = """\
owner: multiplayer
packages:
  matchmaker: {format: file, from: "s3://example-builds/matchmaker/{version}/matchmaker.jar", to: matchmaker.jar}
deploy:
  type: trigger
  root: /srv/matchmaker
  select: {tags: {service: matchmaker, environment: "{environment}"}}
  run: {unit: matchmaker.service, stop_within: 5s}
  health: {http: "http://localhost:8080/health", within: 15m}
  max_unavailable: 50%
  waves: [{hosts: 1}, {hosts: 100%}]
"""
BAKED = """\
owner: multiplayer
package: matchmaker
deploy:
  type: spinnaker
  application: matchmaker
  pipeline: "deploy-{environment}"
  parameters: {version: PKG_VERSION, region: REGION, ami: AMI, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: "matchmaker-{environment}"}
"""
CLUSTER = ExampleFleet(
    name=FLEET,
    application="matchmaker",
    pipeline="deploy-prod",
    cluster="matchmaker-prod",
    package="matchmaker",
    version="1.0.0",
    regions=("us-east-1",),
    parameters={"version": "PKG_VERSION", "region": "REGION", "ami": "AMI", "fairleadKey": "FAIRLEAD_KEY"},
)
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {retries: 0}\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1]\ntrigger: {bucket: example-fairlead-prod}\n'
        'spinnaker: {url: "https://gate.example.com", account: prod}\n'
    ),
    "environments/prod/matchmaker.yaml": "version: 1.0.0\n",
    "services/matchmaker.yaml": ON_HOSTS,
}


@pytest.fixture(scope="module")
def story(begin_story: Any) -> Iterator[Any]:
    """Two hosts at 1.0.0, and a cluster with the same in an image, that nobody looks at yet."""
    found = begin_story(FILES, hosts={FLEET: 2})
    found.world.add_fleet(CLUSTER)
    found.start()
    found.wait_said(found.world.checkout.head, FLEET, "success", timeout=LONG)
    yield found
    for host in found.world.hosts():
        print(f"── {host.id}\n{host.log()[-4000:]}")


def order(story: Any) -> dict[str, Any]:
    """What the hosts are told, as it lies in S3."""
    s3 = story.world.aws.client("s3")
    found: dict[str, Any] = json.load(s3.get_object(Bucket="example-fairlead-prod", Key=order_key(FLEET))["Body"])
    return found


def on_hosts(story: Any) -> list[str | None]:
    return [host.version() for host in story.world.hosts()]


def test_a_fleet_moves_to_baked_images_and_back_and_nothing_moves_unasked(story: Any) -> None:
    world = story.world

    # 2.0.0 is on its way to the first host when the commit comes that moves the fleet
    world.build("matchmaker", "2.0.0", "slow", 800.0)
    world.bump(FLEET, "2.0.0")
    told = f" checking fleet={FLEET} version=2.0.0 "
    story.wait(lambda: [host for host in world.hosts() if told in host.log()], "the canary", LONG)
    world.merge("Bake it", {"services/matchmaker.yaml": BAKED})
    story.wait_reason(FLEET, Reason.IDENTITY_CHANGED, LONG)
    assert [] == story.starts(FLEET)

    # approved: what was on its way ends on its host, and only then the pipeline starts
    assert 0 == story.program("approve", FLEET)
    story.wait(lambda: story.versions(FLEET) == {"2.0.0"}, "the cluster at 2.0.0", LONG)
    story.wait(lambda: story.record(FLEET).memory.status.ready, "that it is ready", LONG)
    assert 1 == len(story.starts(FLEET))
    story.wait(lambda: on_hosts(story) == ["1.0.0"] * 2, "that the hosts are as they were", LONG)
    left = order(story)
    assert [] == left["admitted"]

    # on the other side life goes on, and the hosts stay as they are
    world.bump(FLEET, "2.1.0")
    story.wait(lambda: story.versions(FLEET) == {"2.1.0"}, "the cluster at 2.1.0", LONG)
    story.wait(lambda: story.record(FLEET).memory.status.ready, "that it is ready", LONG)
    assert (left, ["1.0.0"] * 2) == (order(story), on_hosts(story))
    assert 2 == story.program("hosts", FLEET)

    # back: again nothing happens before somebody approves of it
    world.build("matchmaker", "3.0.0")
    back = world.merge(
        "Onto hosts again",
        {"services/matchmaker.yaml": ON_HOSTS, "environments/prod/matchmaker.yaml": "version: 3.0.0\n"},
    )
    story.wait_reason(FLEET, Reason.IDENTITY_CHANGED, LONG)
    assert (left["sequence"], ["1.0.0"] * 2) == (order(story)["sequence"], on_hosts(story))
    assert 0 == story.program("approve", FLEET)
    story.wait_said(back, FLEET, "success", "3.0.0 on 2/2 units", LONG)
    assert ["3.0.0"] * 2 == on_hosts(story)
    assert {"2.1.0"} == story.versions(FLEET)  # nothing is destroyed because nobody manages it
