"""Fleets of type spinnaker: versions by images, pipelines by deploy stages, what is asked and what is left out."""

from dataclasses import replace
from typing import Any

import pytest

EAST, WEST = "us-east-1", "eu-west-1"


def service(made: Any, name: str = "shop", **rules: Any) -> str:
    return str(made.conclude(**rules).files[f"services/{name}.yaml"])


def why(made: Any, **rules: Any) -> list[str]:
    return [one.why for one in made.conclude(**rules).left_out]


def test_a_cluster_becomes_a_fleet_and_its_pipeline_is_found_by_its_deploy_stage(shop: Any) -> None:
    found = shop.conclude()

    assert ["prod/shop"] == [one.fleet for one in found.fleets]
    assert """\
package: shop
deploy:
  type: spinnaker
  application: shop
  pipeline: "Deploy {environment}"
  parameters: {version: VERSION, region: REGION, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: "shop-{environment}"}
""" == found.files["services/shop.yaml"]
    assert found.files["environments/prod/shop.yaml"].endswith("version: 1.4.0\n")
    assert """\
account: "123456789012"
regions: [us-east-1]
spinnaker: {url: "https://gate.example.com", account: main}
""" == found.files["environments/prod/environment.yaml"]
    assert 0 == found.questions


def test_a_version_is_read_of_the_appversion_alone_and_the_package_is_asked_for(made: Any) -> None:
    made.group("shop-prod-v001", made.image(appversion="shop-server-2.0.1-h12.abc1234/job/12"))

    found = made.conclude()

    assert found.files["environments/prod/shop.yaml"].endswith("version: 2.0.1\n")
    assert "package: shop-server\n" in found.files["services/shop.yaml"]
    assert "is shop-server the package whose version counts?" in found.files["services/shop.yaml"]


def test_what_differs_between_environments_stands_in_each(shop: Any) -> None:
    shop.group("shop-staging-v001", shop.baked("shop", "1.5.0"))
    shop.pipeline("Try it", {"application": "shop", "stack": "staging"}, "VERSION", "REGION", "FAIRLEAD_KEY")

    text = service(shop)

    assert 'in: {staging: {deploy: {pipeline: "Try it"}}}' in text
    assert "environments: [staging, prod]" in shop.conclude().files["fairlead.yaml"]


def test_several_pipelines_of_one_cluster_are_asked_about(shop: Any) -> None:
    shop.pipeline("Hotfix", {"application": "shop", "stack": "prod"}, "FAIRLEAD_KEY")

    text = service(shop)

    assert 'pipeline: "Deploy {environment}"' in text
    assert "# QUESTION: several pipelines deploy shop-prod: Deploy prod, Hotfix. Is Deploy prod the right one?" in text


def test_a_disabled_pipeline_and_one_of_another_region_are_none(shop: Any) -> None:
    shop.pipelines.clear()
    shop.pipeline("Off", {"application": "shop", "stack": "prod"}, "VERSION", disabled=True)
    shop.pipeline("Far", {"application": "shop", "stack": "prod", "availabilityZones": {WEST: []}}, "VERSION")

    text = service(shop)

    assert "pipeline: name-me\n" in text
    assert "which pipeline deploys shop-prod? No deploy stage names it in plain text. The" in text
    assert "pipelines of shop are: Far." in text.replace("\n  # ", " ")


def test_a_moniker_names_the_cluster_too(made: Any) -> None:
    made.group("shop-prod-a-v001", made.baked("shop", "1.0.0"))
    made.pipeline("P", {"application": "shop", "moniker": {"cluster": "shop-prod-a"}}, "VERSION", "FAIRLEAD_KEY")

    assert "pipeline: P\n" in service(made, "shop-a")


@pytest.mark.parametrize(
    ("parameters", "asked"),
    [
        (("PKG_VERSION", "VERSION", "FAIRLEAD_KEY"), "which of PKG_VERSION, VERSION takes the version?"),
        (("MY_VERSION_X", "FAIRLEAD_KEY"), "is MY_VERSION_X the parameter that takes the version?"),
        (("WHAT", "FAIRLEAD_KEY"), "which parameter of P takes the version?"),
        (("VERSION",), "will you add a parameter FAIRLEAD_KEY to P?"),
    ],
)
def test_parameters_that_are_not_sure_are_asked_about(made: Any, parameters: tuple[str, ...], asked: str) -> None:
    made.group("shop-prod-v001", made.baked("shop", "1.0.0"))
    made.pipeline("P", {"application": "shop", "stack": "prod"}, *parameters)

    assert f"# QUESTION: {asked}" in service(made)


def test_a_required_parameter_that_nothing_fills_is_asked_about(shop: Any) -> None:
    shop.pipelines["shop"][0]["parameterConfig"].append({"name": "TICKET", "required": True, "default": None})

    assert "# QUESTION: Deploy prod requires TICKET: give it a default, or it is refused?" in service(shop)


def test_two_versions_in_one_fleet_are_told_beside_the_one_of_most_machines(shop: Any) -> None:
    shop.group("shop-prod-v004", shop.baked("shop", "1.5.0"), count=1)

    text = shop.conclude().files["environments/prod/shop.yaml"]

    assert text.endswith("version: 1.4.0\n")
    assert "# QUESTION: 1 of 3 instances run another version: 1.5.0 on 1 (i-1-0)." in text


def test_a_group_that_is_disabled_does_not_count(shop: Any) -> None:
    shop.group("shop-prod-v002", shop.baked("shop", "1.3.0"), count=9, enabled=False)
    shop.group("old-prod-v001", shop.baked("old", "1.0.0"), enabled=False)

    assert shop.conclude().files["environments/prod/shop.yaml"].endswith("version: 1.4.0\n")
    assert ["every server group of it is disabled"] == why(shop)


def test_a_fleet_without_machines_is_meant_to_have_none(made: Any) -> None:
    made.group("shop-prod-v001", made.baked("shop", "1.0.0"), count=0)

    assert "zero_units: allowed\n" in service(made)
    assert made.conclude().files["environments/prod/shop.yaml"].endswith("version: 1.0.0\n")


def test_tags_that_disagree_are_asked_about(made: Any) -> None:
    odd = made.image(**{"fairlead:package/shop": "1.4.0", "appversion": "shop-1.3.0-h1.abc"})
    made.group("shop-prod-v001", made.baked("shop", "1.4.0"))
    made.group("shop-prod-v002", odd)

    text = made.conclude().files["environments/prod/shop.yaml"]

    assert "correct the tags: which is right?" in text.replace("\n# ", " ")


def test_a_fleet_in_fewer_regions_gets_an_environment_of_its_own(shop: Any) -> None:
    for name in ("cart", "search"):
        for region in (EAST, WEST):
            shop.group(f"{name}-prod-v001", shop.baked(name, "1.0.0"), region=region)

    found = shop.conclude()

    assert ["prod-us-east-1/shop", "prod/cart", "prod/search"] == [one.fleet for one in found.fleets]
    assert "regions: [eu-west-1, us-east-1]" in found.files["environments/prod/environment.yaml"]
    assert "these fleets are in fewer regions" in found.files["environments/prod-us-east-1/environment.yaml"]
    assert "select: {cluster: shop-prod}" in found.files["services/shop.yaml"]


def test_a_name_that_is_taken_for_other_regions_is_not_taken_again(shop: Any) -> None:
    for name in ("cart", "search"):
        for region in (EAST, WEST):
            shop.group(f"{name}-prod-v001", shop.baked(name, "1.0.0"), region=region)
    shop.account = replace(shop.account, environment="prod-us-east-1")
    shop.group("blog-v001", shop.baked("blog", "1.0.0"), region=WEST)

    found = shop.conclude()

    assert ["prod-us-east-1 has other regions: import these regions by themselves"] == [
        one.why for one in found.left_out
    ]
    assert ["prod-us-east-1/shop", "prod/cart", "prod/search"] == [one.fleet for one in found.fleets]


@pytest.mark.parametrize(
    ("group", "tags", "rules", "reason"),
    [
        ("shop-v001", {"appversion": "shop-1.0"}, {}, "its name tells no environment: say --environment NAME"),
        ("shop-prod-v001", {}, {}, "no image of it tells a version: tag the AMIs"),
        ("shop-prod-v001", {"appversion": "shop-1.0"}, {"gate": ""}, "Spinnaker deploys it: say --gate URL"),
        ("shop-prod-canary-v001", {"appversion": "shop-1.0"}, {}, "it looks like the canary of another cluster"),
    ],
)
def test_what_cannot_be_a_fleet_is_left_out_with_what_to_do(
    made: Any, group: str, tags: dict[str, str], rules: dict[str, str], reason: str
) -> None:
    made.group(group, made.image(**tags))

    assert {} == made.conclude(**rules).files
    assert any(said.startswith(reason) for said in why(made, **rules))


def test_what_names_no_environment_is_of_that_of_its_account(made: Any) -> None:
    made.account = replace(made.account, environment="prod")
    made.group("shop-v001", made.baked("shop", "1.0.0"))
    made.group("cart-staging-v001", made.baked("cart", "1.0.0"))
    made.group("search-live-v001", made.baked("search", "1.0.0"))

    found = made.conclude(environments={"live": "staging"})

    assert ["prod/shop", "staging/cart", "staging/search"] == [one.fleet for one in found.fleets]
    assert "select: {cluster: search-live}" in found.files["services/search.yaml"]


def test_two_clusters_that_would_be_one_fleet_are_both_left_out(made: Any) -> None:
    for name in ("shop-prod-v001", "shop-live-v001"):
        made.group(name, made.baked("shop", "1.0.0"))

    assert ["2 of these would be prod/shop: tell them apart with --map"] * 2 == why(made, environments={"live": "prod"})


def test_a_pipeline_whose_name_holds_a_slash_is_named_by_its_id(shop: Any) -> None:
    shop.pipelines["shop"][0].update(name="deploy/prod", id="0a1b2c3d-0000-4000-8000-000000000001")

    assert "pipeline: 0a1b2c3d-0000-4000-8000-000000000001\n" in service(shop)
