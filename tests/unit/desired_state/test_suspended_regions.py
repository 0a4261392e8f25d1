"""`regions` in a suspend file: which suspensions a fleet has, and what is refused, with its place."""

from typing import Any

import pytest

from desired_state.model import Suspension
from fairlead import wiring

OWN, WHOLE = "environments/prod/checkout.suspend.yaml", "environments/prod/suspend.yaml"
HOSTS = "environments/prod/matchmaker.suspend.yaml"
WEST = "reason: the region moves\nregions: [eu-west-1]\n"


@pytest.fixture
def real(design_files: dict[str, str]) -> Any:
    """`real(files)`: what the repository of DESIGN 4 declares with these files, by the deployers' own checks."""
    from desired_state.trees import MemoryTree

    def declare(files: dict[str, str]) -> Any:
        tree = {path: text.encode() for path, text in {**design_files, **files}.items()}
        return wiring.parser().parse(MemoryTree(tree))

    return declare


def said(state: Any) -> list[str]:
    return [str(problem) for problem in state.problems]


def test_a_suspension_of_a_region_is_none_of_the_fleet(real: Any) -> None:
    fleet = real({OWN: WEST}).fleets["prod/checkout"]

    assert fleet.suspension is None
    assert (Suspension(reason="the region moves", file=OWN, regions=("eu-west-1",)),) == fleet.regional
    assert {"eu-west-1"} == fleet.asleep.keys()


def test_those_of_the_fleet_and_of_its_environment_count_together(real: Any) -> None:
    files = {OWN: WEST, WHOLE: "reason: all\nuntil: 2026-12-24\n", HOSTS: "reason: all\n"}
    fleet = real(files).fleets["prod/checkout"]
    assert ("all", WHOLE, [OWN]) == (fleet.suspension.reason, fleet.suspension.file, [x.file for x in fleet.regional])

    both = real({OWN: WEST, "environments/staging/suspend.yaml": "reason: x\nregions: [us-east-1]\n"})
    assert [] == said(both)
    assert {"us-east-1"} == both.fleets["staging/checkout"].asleep.keys()


@pytest.mark.parametrize(
    ("files", "problem", "harmed"),
    [
        (
            {OWN: "reason: x\nregions: [eu-west-2]\n"},
            f'{OWN}:2:11: "eu-west-2" is not a region of prod; did you mean "eu-west-1"?',
            {"prod/checkout"},
        ),
        (
            {OWN: "reason: x\nregions: [ap-south-1]\n"},
            f'{OWN}:2:11: "ap-south-1" is not a region of prod; prod has us-east-1, eu-west-1',
            {"prod/checkout"},
        ),
        (
            {WHOLE: "reason: x\nregions: [eu-west-2]\n"},
            f'{WHOLE}:2:11: "eu-west-2" is not a region of prod; did you mean "eu-west-1"?',
            {"prod/checkout", "prod/matchmaker"},
        ),
        ({OWN: "reason: x\nregions: []\n"}, f'{OWN}:2:10: "regions" must name at least one', {"prod/checkout"}),
        (
            {HOSTS: WEST},
            (
                f"{HOSTS}:2:11: prod/matchmaker: hosts of a trigger fleet are suspended in all regions at once; "
                "remove regions"
            ),
            {"prod/matchmaker"},
        ),
        (
            {WHOLE: WEST},
            (
                f"{WHOLE}:2:11: prod/matchmaker: hosts of a trigger fleet are suspended in all regions at once; "
                "remove regions"
            ),
            {"prod/matchmaker"},
        ),
    ],
)
def test_what_cannot_be_done_is_refused_where_it_stands(
    real: Any, files: dict[str, str], problem: str, harmed: set[str]
) -> None:
    state = real(files)

    assert harmed == {name for found in state.problems if str(found) == problem for name in found.fleets}
    assert harmed == {name for found in state.problems for name in found.fleets}


def test_a_pipeline_without_a_region_cannot_leave_one_out(real: Any, design_files: dict[str, str]) -> None:
    service = design_files["services/checkout.yaml"].replace("region: REGION, ", "").replace("ami: AMI, ", "")
    waves = service.index("  waves:"), service.index("in:")
    service = service[: waves[0]] + service[waves[1] :]

    state = real({"services/checkout.yaml": service, OWN: WEST})

    assert [
        (
            f"{OWN}:2:11: prod/checkout: its pipeline takes no region, so it is suspended in all of them at once; "
            "map `region` in parameters, or remove regions"
        )
    ] == said(state)


def test_a_bump_keeps_the_suspension(real: Any, design_files: dict[str, str]) -> None:
    from desired_state.trees import MemoryTree

    parser = wiring.parser()
    files = {**design_files, OWN: WEST}
    parser.parse(MemoryTree({path: text.encode() for path, text in files.items()}))
    files["environments/prod/checkout.yaml"] = "version: 9.9.9\n"

    fleet = parser.parse(MemoryTree({path: text.encode() for path, text in files.items()})).fleets["prod/checkout"]

    assert ("9.9.9", {"eu-west-1"}) == (fleet.version, set(fleet.asleep))
