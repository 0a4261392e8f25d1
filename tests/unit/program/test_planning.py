"""What a plan says of two revisions, over parsed files."""

import pytest
from pydantic import BaseModel, ConfigDict

from desired_state.changes import Change, Effect, compare
from desired_state.model import DesiredState
from desired_state.parser import Parser
from desired_state.trees import MemoryTree
from fairlead.commands.plan_text import as_json, as_markdown, as_text

FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
    "environments/prod/environment.yaml": 'account: "123456789012"\nregions: [us-east-1, eu-west-1]\n',
    "services/checkout.yaml": """\
owner: payments
package: checkout
deploy:
  type: any
  select: {cluster: checkout-prod}
  waves: [{regions: [us-east-1], soak: 5m}, {regions: rest}]
""",
    "environments/prod/checkout.yaml": "version: 1.4.1\n",
}
SERVICE = FILES["services/checkout.yaml"]


class AnyDeploy(BaseModel):
    """A deploy type that takes everything."""

    model_config = ConfigDict(extra="allow")


def parse(files: dict[str, str]) -> DesiredState:
    return Parser({"any": AnyDeploy}).parse(MemoryTree(files))


def changes(**new: str | None) -> list[Change]:
    """What becomes of the fleets when files are replaced; `None` takes one away."""
    after = {path: text for path, text in (FILES | {NAMES[key]: text for key, text in new.items()}).items() if text}
    return compare(parse(FILES), parse(after))


NAMES = {
    "fleet": "environments/prod/checkout.yaml",
    "service": "services/checkout.yaml",
    "environment": "environments/prod/environment.yaml",
    "config": "services/checkout.config.yaml",
}


def facts(found: list[Change]) -> dict[str, object]:
    return {
        "base": "a" * 40,
        "head": "b" * 40,
        "changes": found,
        "deploys": 1,
        "unchanged": 0,
        "problems": (),
        "errors": 0,
        "images": [],
        "explain": {},
    }


def test_the_example_is_sound() -> None:
    assert () == parse(FILES).problems


def test_nothing_changed_says_nothing() -> None:
    assert [] == changes()


def test_a_bump_deploys_from_one_version_to_the_other() -> None:
    (change,) = changes(fleet="version: 1.4.2\n")

    assert (Effect.DEPLOY, ("1.4.1", "1.4.2")) == (change.effect, change.versions)
    assert ["regions us-east-1, soak 5m", "regions rest"] == change.waves


@pytest.mark.parametrize(
    ("new", "effect"),
    [
        ({"fleet": None}, Effect.REMOVED),
        ({"fleet": "version: [\n"}, Effect.BROKEN),
        ({"service": SERVICE.replace("payments", "shop")}, Effect.POLICY),
        ({"service": SERVICE.replace("soak: 5m", "soak: 10m")}, Effect.POLICY),
        ({"service": SERVICE.replace("checkout-prod", "checkout-blue")}, Effect.SPEC),
        ({"fleet": 'version: 1.4.1\nredeploy: "new certificates"\n'}, Effect.DEPLOY),
    ],
)
def test_each_kind_of_change_has_its_effect(new: dict[str, str | None], effect: Effect) -> None:
    (change,) = changes(**new)

    assert effect is change.effect


def test_a_new_fleet_is_added() -> None:
    before = {path: text for path, text in FILES.items() if path != NAMES["fleet"]}

    (change,) = compare(parse(before), parse(FILES))

    assert (Effect.ADDED, (None, "1.4.1")) == (change.effect, change.versions)


def test_a_mended_fleet_deploys() -> None:
    broken = parse(FILES | {NAMES["fleet"]: "version: [\n"})

    (change,) = compare(broken, parse(FILES))

    assert Effect.DEPLOY is change.effect


def test_other_machines_are_held_for_approval() -> None:
    (change,) = changes(environment='account: "210987654321"\nregions: [us-east-1, eu-west-1]\n')

    assert change.identity_changed
    assert "environment.account: 123456789012 → 210987654321" in change.sentences


def test_what_differs_is_said_by_its_path() -> None:
    (change,) = changes(service=SERVICE.replace("soak: 5m", "soak: 10m"))

    assert ["deploy.waves[0].soak: 5m → 10m"] == change.sentences


def test_an_added_and_a_removed_value_are_told_apart() -> None:
    (change,) = changes(service=SERVICE.replace(", soak: 5m", "").replace("type: any", "type: any\n  canary: small"))

    assert ["deploy.canary: small is new", "deploy.waves[0].soak: 5m is gone"] == change.sentences


def test_text_shows_versions_effect_and_waves() -> None:
    said = as_text(facts(changes(fleet="version: 1.4.2\n")))

    assert "aaaaaaa → bbbbbbb: 1 fleet changed, 1 to deploy, 0 unchanged" == said.splitlines()[0]
    assert "prod/checkout  1.4.1 → 1.4.2  (deploys)" in said
    assert "    wave 2: regions rest" in said


def test_markdown_is_one_row_a_fleet() -> None:
    said = as_markdown(facts(changes(fleet="version: 1.4.2\n")))

    assert (
        "| `prod/checkout` | `1.4.1` → `1.4.2` "
        "| deploys<br>`wave 1: regions us-east-1, soak 5m`<br>`wave 2: regions rest` |"
    ) in said.splitlines()


def test_json_has_the_documented_keys() -> None:
    said = as_json(facts(changes(fleet="version: 1.4.2\n")))

    assert {"base", "head", "changes", "unchanged", "problems", "images", "explain"} == set(said)
    assert {"fleet", "effect", "from", "to", "held_for_approval", "differences", "waves"} == set(said["changes"][0])
