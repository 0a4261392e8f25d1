"""Changed paths name the fleets that they can have changed."""

import pytest

from desired_state.model import DesiredState, Environment, Fleet
from desired_state.touched import touched_fleets


def fleet(name: str, service: str) -> Fleet:
    return Fleet(
        name=name,
        environment=Environment(name=name.partition("/")[0], account="123456789012", regions=()),
        service=service,
        components={},
        packages=(),
        deploy_type="plain",
        deploy={},
        target_digest="",
        spec_digest="",
        identity_digest="",
    )


FLEETS = {each.name: each for each in (fleet("prod/a", "a"), fleet("prod/a-eu", "a"), fleet("test/b", "b"))}
DESIRED = DesiredState(environments=("test", "prod"), fleets=FLEETS, declared=frozenset(FLEETS) | {"test/broken"})


@pytest.mark.parametrize(
    ("path", "fleets"),
    [
        ("environments/prod/a.yaml", {"prod/a"}),
        ("environments/prod/a.config.yaml", {"prod/a"}),
        ("environments/prod/a.suspend.yaml", set()),
        ("environments/prod/gone.yaml", set()),
        ("environments/prod/environment.yaml", {"prod/a", "prod/a-eu"}),
        ("services/a.yaml", {"prod/a", "prod/a-eu"}),
        ("services/b.config.yaml", {"test/b"}),
        ("fairlead.yaml", {"prod/a", "prod/a-eu", "test/b"}),
        ("freezes/cup.yaml", set()),
        ("README.md", set()),
    ],
)
def test_a_path_touches_its_fleets_and_the_broken_ones(path: str, fleets: set[str]) -> None:
    assert fleets | {"test/broken"} == touched_fleets([path], DESIRED)
