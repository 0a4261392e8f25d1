"""The AMI of a version, looked for in the account that bakes and seen from the one that launches it (moto)."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.ec2.models import ec2_backends

from adapters.aws.baked import Baked, ImageMissing, Images
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.owners import AGAIN, KEPT, OwnersWords, Words, owner_of, untold, with_words
from adapters.aws.sessions import Sessions
from adapters.aws.versions import UNASKED
from adapters.clock import ManualClock, SystemClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from desired_state.model import Environment, Fleet, Package
from fairlead_sandbox import server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from reconciler.ports import Unreadable

EAST, WEST = "us-east-1", "eu-west-1"
OTHER = "222222222222"
STAGING = Environment(
    name="staging", account=OTHER, regions=(EAST,), role=f"arn:aws:iam::{OTHER}:role/fairlead", spinnaker={}
)
PROD = Environment(name="prod", account=ACCOUNT, regions=(EAST, WEST), spinnaker={})
TAG = "fairlead:package/checkout"
CLOCK = ManualClock(datetime(2026, 11, 23, 9, 0, tzinfo=UTC))


def fleet(version: str = "1.4.2", **changes: Any) -> Fleet:
    plain = Fleet(
        name="prod/checkout",
        environment=PROD,
        service="checkout",
        components={"package/checkout": version},
        packages=(Package(name="checkout", version=version),),
        deploy_type="spinnaker",
        deploy={},
        target_digest="a" * 64,
        spec_digest="b" * 64,
        identity_digest="c" * 64,
        bakes=STAGING,
    )
    return replace(plain, **changes)


class Bakery:
    """What two accounts hold."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.sessions = Sessions(max_attempts=1)

    def ec2(self, environment: Environment, region: str = EAST) -> Any:
        return self.sessions.client("ec2", region, role=environment.role, account=environment.account)

    def bake(
        self,
        tags: Mapping[str, str],
        environment: Environment = STAGING,
        region: str = EAST,
        name: str = "",
        share: bool = True,
    ) -> str:
        ec2, said = self.ec2(environment, region), [{"Key": key, "Value": value} for key, value in tags.items()]
        name = name or f"checkout-all-{len(ec2.describe_images(Owners=['self'])['Images'])}-jammy"
        told = {"TagSpecifications": [{"ResourceType": "image", "Tags": said}]} if said else {}
        image = str(ec2.register_image(Name=name, **told)["ImageId"])
        if share:
            self.share(image, region)
        return image

    def share(self, image: str, region: str = EAST) -> None:
        self.ec2(STAGING, region).modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": ACCOUNT}]})

    def find(self, wanted: Fleet, region: str) -> Baked:
        """By nobody who remembers."""
        return Images(self.sessions).find(wanted, region, "checkout-prod")

    def missing(self, wanted: Fleet, region: str = EAST) -> str:
        with pytest.raises(ImageMissing) as caught:
            self.find(wanted, region)
        return str(caught.value)


@pytest.fixture
def bakery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bakery]:
    with Aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        yield Bakery(aws)


@pytest.mark.parametrize(
    "tags",
    [
        {TAG: "1.4.2"},
        {TAG: "1.4.2", "appversion": "checkout-1.4.2-h1.abc"},
        {"appversion": "checkout-1.4.2"},
        {"appversion": "checkout-1.4.2-h311.9f3c2ab/JOB/311"},
        {"appversion": "checkout-1.4.2-9f3c2ab.h311"},
    ],
)
def test_an_image_is_known_by_our_tag_or_its_appversion(bakery: Bakery, tags: Mapping[str, str]) -> None:
    image = bakery.bake(tags, name="this-one")

    assert Baked(image=image, name="this-one", environment="staging") == bakery.find(fleet(), EAST)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {TAG: "1.4.20"},
        {"appversion": "checkout-1.4.20-h1"},
        {"appversion": "checkout-1.4.2-1-h1"},
        {"appversion": "checkout-web-1.4.2-h1"},
        {"fairlead:package/cart": "1.4.2"},
        {TAG: "1.4.2", "appversion": "checkout-1.4.1-h1"},  # a conflict is no evidence
    ],
)
def test_another_image_is_not_taken(bakery: Bakery, tags: Mapping[str, str]) -> None:
    bakery.bake(tags)

    assert bakery.missing(fleet()) == (
        f"staging has not baked checkout 1.4.2 in {EAST} (account {OTHER}) yet; deploy it there first"
    )


def test_a_version_with_a_star_in_it_is_only_itself(bakery: Bakery) -> None:
    bakery.bake({TAG: "1.4.2"})

    assert "has not baked checkout 1.4.* in" in bakery.missing(fleet("1.4.*"))


def test_every_package_of_the_fleet_must_be_on_it(bakery: Bakery) -> None:
    both = fleet(packages=(Package(name="checkout", version="1.4.2"), Package(name="agent", version="1.4.2")))
    bakery.bake({TAG: "1.4.2"})
    assert "has not baked checkout 1.4.2, agent 1.4.2 in" in bakery.missing(both)

    image = bakery.bake({TAG: "1.4.2", "fairlead:package/agent": "1.4.2"})

    assert image == bakery.find(both, EAST).image


def test_of_several_it_is_the_newest(bakery: Bakery) -> None:
    images = [bakery.bake({TAG: "1.4.2"}) for _ in range(3)]
    known = bakery.aws.state.backends[ec2_backends._id][OTHER][EAST].amis
    for day, image in zip((20, 23, 21), images, strict=True):
        known[image].creation_date = datetime(2026, 11, day, tzinfo=UTC)

    assert images[1] == bakery.find(fleet(), EAST).image


def test_what_runs_where_it_was_baked_goes_before_what_is_newer(bakery: Bakery) -> None:
    tried = bakery.bake({TAG: "1.4.2"})
    bakery.bake({TAG: "1.4.2"})
    bakery.ec2(STAGING).run_instances(ImageId=tried, MinCount=1, MaxCount=1)

    assert tried == bakery.find(fleet(), EAST).image


def two_architectures(bakery: Bakery) -> dict[str, str]:
    """AMIs of one version; the newer one is of arm64. By architecture."""
    images = {kind: bakery.bake({TAG: "1.4.2"}) for kind in ("x86_64", "arm64")}
    known = bakery.aws.state.backends[ec2_backends._id][OTHER][EAST].amis
    for day, (kind, image) in enumerate(images.items(), start=20):
        known[image].architecture, known[image].creation_date = kind, datetime(2026, 11, day, tzinfo=UTC)
    return images


@pytest.mark.parametrize("kind", ["x86_64", "arm64"])
def test_of_several_architectures_it_is_that_of_the_group_in_service(bakery: Bakery, kind: str) -> None:
    images = two_architectures(bakery)
    runs = bakery.bake({TAG: "1.4.1"})
    bakery.aws.state.backends[ec2_backends._id][OTHER][EAST].amis[runs].architecture = kind
    server_groups.create(bakery.aws, EAST, "checkout-prod-v001", runs, (1, 1, 1), {})

    assert images[kind] == bakery.find(fleet(), EAST).image


def test_of_several_architectures_none_is_taken_where_nothing_serves(bakery: Bakery) -> None:
    two_architectures(bakery)

    assert bakery.missing(fleet()) == (
        f"checkout 1.4.2 is baked for arm64 and x86_64 in {EAST}, and nothing in service in checkout-prod "
        "tells which; deregister what is not meant"
    )


def test_an_image_that_is_not_shared_is_named_with_both_accounts(bakery: Bakery) -> None:
    image = bakery.bake({TAG: "1.4.2"}, share=False)
    assert bakery.missing(fleet()) == (
        f"{image} of staging ({OTHER}) is not shared with account {ACCOUNT} in {EAST}; share it when it is baked"
    )

    bakery.share(image)

    assert image == bakery.find(fleet(), EAST).image


def test_an_image_that_the_deploy_will_share_need_not_be_shared_before(bakery: Bakery) -> None:
    image = bakery.bake({TAG: "1.4.2"}, share=False)

    assert Baked(image=image, name="checkout-all-0-jammy", environment="staging") == Images(bakery.sessions).find(
        fleet(), EAST, "checkout-prod", shared_by_deploy=True
    )


GENERATE = {"zones": {EAST: ["us-east-1a"]}, "capacity": {"min": 1, "max": 1, "desired": 1}}


@pytest.mark.parametrize(
    ("settings", "state"),
    [({}, "missing"), ({"image": {"shared": "by_deploy"}}, "found"), ({"generate": GENERATE}, "found")],
)
def test_the_settings_say_whether_the_deploy_shares(bakery: Bakery, settings: dict[str, Any], state: str) -> None:
    image = bakery.bake({TAG: "1.4.2"}, share=False)
    deploy = {
        "application": "checkout",
        "pipeline": "deploy",
        "parameters": {"version": "V", "region": "R", "ami": "AMI", "fairleadKey": "KEY"},
        "select": {"cluster": "checkout-prod"},
        **settings,
    }
    promoted = fleet(deploy=deploy)
    deployer = Spinnaker(sessions=bakery.sessions, gates=Gates({}), clock=SystemClock())

    assert state == {one["region"]: one["state"] for one in Spinnaker.images(promoted, bakery.sessions)}[EAST]
    if state == "found":
        assert image == deployer._find(promoted, EAST, "checkout-prod").image
    else:
        with pytest.raises(ImageMissing):
            deployer._find(promoted, EAST, "checkout-prod")


@pytest.mark.parametrize("tags", [{TAG: "1.4.2"}, {"appversion": "checkout-1.4.2"}])
def test_an_image_of_a_bakery_account_is_known_by_the_tags_of_who_it_is_shared_with(
    bakery: Bakery, tags: Mapping[str, str]
) -> None:
    owner = Environment(name="bakery", account="333333333333", regions=(EAST,), role="arn:aws:iam::333333333333:role/b")
    image = bakery.bake({TAG: "1.4.2"}, owner, share=False)
    permission = {"Add": [{"UserId": OTHER}]}
    bakery.ec2(owner).modify_image_attribute(ImageId=image, LaunchPermission=permission)
    assert "has not baked" in bakery.missing(fleet())

    said = [{"Key": key, "Value": value} for key, value in tags.items()]
    bakery.ec2(STAGING).create_tags(Resources=[image], Tags=said)

    assert image == Images(bakery.sessions).find(fleet(), EAST, "checkout-prod", shared_by_deploy=True).image
    assert f"{image} of staging ({OTHER}) is not shared with account {ACCOUNT}" in bakery.missing(fleet())


def test_the_tags_of_whoever_shares_an_image_are_not_believed(bakery: Bakery) -> None:
    stranger = Environment(name="x", account="333333333333", regions=(EAST,), role="arn:aws:iam::333333333333:role/x")
    image = bakery.bake({TAG: "1.4.2"}, stranger, share=False)
    permission = {"Add": [{"UserId": OTHER}, {"UserId": ACCOUNT}]}
    bakery.ec2(stranger).modify_image_attribute(ImageId=image, LaunchPermission=permission)

    assert "has not baked" in bakery.missing(fleet())


def test_an_image_of_another_region_is_named_with_it(bakery: Bakery) -> None:
    bakery.bake({TAG: "1.4.2"})

    assert bakery.missing(fleet(), WEST) == (
        f"staging baked checkout 1.4.2 in {EAST}, not in {WEST} (account {OTHER}); let it bake there, or copy the AMI"
    )


def test_a_copy_has_the_same_name_and_may_have_no_tags(bakery: Bakery) -> None:
    bakery.bake({TAG: "1.4.2"}, name="checkout-all-20261101093000-jammy")
    copy = bakery.bake({}, region=WEST, name="checkout-all-20261101093000-jammy")

    assert copy == bakery.find(fleet(), WEST).image


def test_an_image_of_the_same_name_that_says_another_version_is_no_copy(bakery: Bakery) -> None:
    bakery.bake({TAG: "1.4.2"}, name="checkout-latest")
    bakery.bake({TAG: "1.4.1"}, region=WEST, name="checkout-latest")

    assert f"not in {WEST}" in bakery.missing(fleet(), WEST)


def test_an_image_in_the_fleets_own_account_will_do(bakery: Bakery) -> None:
    image = bakery.bake({TAG: "1.4.2"}, PROD, share=False)

    assert ("prod", image) == (bakery.find(fleet(), EAST).environment, bakery.find(fleet(), EAST).image)


def test_without_another_environment_only_the_fleets_own_account_is_asked(bakery: Bakery) -> None:
    bakery.bake({TAG: "1.4.2"})

    assert bakery.missing(fleet(bakes=None)).startswith(f"prod has not baked checkout 1.4.2 in {EAST}")


def test_an_environment_that_cannot_be_read_is_said(bakery: Bakery) -> None:
    unread = Environment(name="staging", account="", regions=())

    assert bakery.missing(fleet(bakes=unread)) == (
        "nobody knows where checkout 1.4.2 is baked: mend environments/staging/environment.yaml"
    )


def test_a_role_that_does_not_reach_the_account_is_trouble_and_not_a_missing_image(bakery: Bakery) -> None:
    wrong = replace(STAGING, role="arn:aws:iam::333333333333:role/fairlead")

    with pytest.raises(Unreadable, match="reaches account 333333333333, and the environment names 222222222222"):
        bakery.find(fleet(bakes=wrong), EAST)


def test_the_tags_of_a_shared_image_are_told_by_its_owner(bakery: Bakery) -> None:
    image = bakery.bake({TAG: "1.4.2", "secret": "no"})
    server_groups.create(bakery.aws, EAST, "checkout-prod-v001", image, (1, 1, 1), {})
    body = (
        InventoryReader(bakery.sessions)
        .read_clusters(Place(ACCOUNT, EAST, None), ["checkout-prod"])
        .part(["checkout-prod"])
    )
    assert {image: {}} == {each: said["tags"] for each, said in body["images"].items()}

    owner = owner_of(fleet(), EAST)
    assert owner is not None
    told = OwnersWords(bakery.sessions, CLOCK).ask(owner, untold(body))

    assert {TAG: "1.4.2"} == with_words(body, told, {})["images"][image]["tags"]
    assert body is with_words(body, Words(), {})
    assert [None, None] == [owner_of(fleet(bakes=baker), EAST) for baker in (None, PROD)]


def test_an_owner_is_asked_for_an_image_once_in_a_while(bakery: Bakery) -> None:
    first, clock, owner = bakery.bake({TAG: "1.4.2"}), ManualClock(CLOCK.now()), Place(OTHER, EAST, STAGING.role)
    words = OwnersWords(bakery.sessions, clock)
    assert {first: {TAG: "1.4.2"}} == words.ask(owner, [first]).told
    bakery.aws.reset_calls()

    assert {first: {TAG: "1.4.2"}} == words.ask(owner, [first]).told
    assert 0 == bakery.aws.calls["ec2:DescribeImages"]

    clock.advance(KEPT)
    bakery.ec2(STAGING).create_tags(Resources=[first], Tags=[{"Key": TAG, "Value": "1.4.3"}])
    assert {first: {TAG: "1.4.3"}} == words.ask(owner, [first]).told


def test_what_an_owner_said_holds_while_it_cannot_be_asked(bakery: Bakery) -> None:
    old, clock = bakery.bake({TAG: "1.4.2"}), ManualClock(CLOCK.now())
    wrong = Place(OTHER, EAST, "arn:aws:iam::333333333333:role/fairlead")
    body = {"server_groups": [], "images": {each: {"name": "", "tags": {}} for each in (old, "ami-new")}}
    known = {"images": {old: {"name": "", "tags": {TAG: "1.4.2"}}}}

    words = OwnersWords(bakery.sessions, clock).ask(wrong, untold(body))

    said = with_words(body, words, known)["images"]
    assert "reaches account 333333333333" in words.trouble
    assert ({TAG: "1.4.2"}, {}) == (said[old]["tags"], said["ami-new"]["tags"])
    assert (False, words.trouble) == (UNASKED in said[old], said["ami-new"][UNASKED])


def test_an_owner_that_cannot_be_asked_is_left_alone_for_a_while(bakery: Bakery) -> None:
    clock, image = ManualClock(CLOCK.now()), bakery.bake({TAG: "1.4.2"})
    away = Sessions(max_attempts=1, endpoint_url="http://127.0.0.1:9")
    words, owner = OwnersWords(away, clock), Place(OTHER, EAST, STAGING.role)
    trouble = words.ask(owner, [image]).trouble
    assert trouble

    words._sessions = bakery.sessions
    assert trouble == words.ask(owner, [image]).trouble

    clock.advance(AGAIN)
    assert Words(told={image: {TAG: "1.4.2"}}) == words.ask(owner, [image])


def test_who_looks_for_what_is_missing_asks_for_all(bakery: Bakery) -> None:
    regions = ("us-east-1", "eu-west-1", "us-west-2", "eu-central-1", "ap-south-1")
    wide = fleet(bakes=replace(STAGING, regions=regions), environment=replace(PROD, regions=regions))
    clock = ManualClock(CLOCK.now())
    images = Images(bakery.sessions, clock)

    def calls(region: str) -> int:
        bakery.aws.reset_calls()
        with pytest.raises(ImageMissing):
            images.find(wide, region, "checkout-prod")
        return bakery.aws.calls["ec2:DescribeImages"]

    assert [16, 6, 0] == [calls(EAST), calls(WEST), calls(EAST)]
    asked = [calls(EAST) > 0 for _ in range(300) if clock.advance(timedelta(seconds=1)) is None]
    assert [5, 10, 20, 40, 80, 140, 200, 260] == [second for second, did in enumerate(asked, start=1) if did]
    image = bakery.bake({TAG: "1.4.2"})
    clock.advance(timedelta(minutes=1))
    assert image == images.find(wide, EAST, "checkout-prod").image


def test_many_who_ask_at_once_are_answered_by_one_call(bakery: Bakery) -> None:
    image, images = bakery.bake({TAG: "1.4.2"}), Images(bakery.sessions, CLOCK)
    bakery.sessions.client("ec2", EAST, role=STAGING.role, account=OTHER)
    bakery.aws.reset_calls()
    fleets = [fleet(name=f"prod/checkout-{number}") for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: images.find(one, EAST, "checkout-prod").image, fleets))

    assert [image] * 8 == found
    assert 1 + 8 == bakery.aws.calls["ec2:DescribeImages"]  # the AMI once, and for each whether it is shared
