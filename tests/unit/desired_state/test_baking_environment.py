"""Which environment a version of a service comes to first: the one whose AMI the others take."""

from adapters.gate.settings import SpinnakerSettings
from adapters.ledger.codec import FLEET
from desired_state.model import DesiredState
from desired_state.parser import Parser
from desired_state.trees import MemoryTree

WHERE = 'regions: [us-east-1]\nspinnaker: {url: "https://gate.example.com", account: x}\n'
SERVICE = (
    "package: checkout\ndeploy:\n  type: spinnaker\n  application: checkout\n  pipeline: deploy\n"
    "  parameters: {version: V, region: R, ami: A, fairleadKey: K}\n"
    '  select: {cluster: "{service}-{environment}"}\n'
)
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [dev, staging, prod]\n",
    "environments/dev/environment.yaml": f'account: "111111111111"\n{WHERE}',
    "environments/staging/environment.yaml": f'account: "222222222222"\n{WHERE}',
    "environments/prod/environment.yaml": f'account: "333333333333"\n{WHERE}',
    "services/checkout.yaml": SERVICE,
    "environments/staging/checkout.yaml": 'version: "1.4.1"\n',
    "environments/prod/checkout.yaml": 'version: "1.4.1"\n',
}


def parsed(parser: Parser | None = None, **changed: str | None) -> DesiredState:
    files = {**FILES, **{name.replace("__", "/") + ".yaml": text for name, text in changed.items()}}
    return (parser or new()).parse(MemoryTree({path: text for path, text in files.items() if text is not None}))


def new() -> Parser:
    return Parser({"spinnaker": SpinnakerSettings})


def bakers(state: DesiredState) -> dict[str, str | None]:
    return {name: fleet.bakes.name if fleet.bakes else None for name, fleet in state.fleets.items()}


def test_the_first_environment_that_has_the_service_bakes_for_the_others() -> None:
    state = parsed()
    baker = state.fleets["prod/checkout"].bakes

    assert {"staging/checkout": None, "prod/checkout": "staging"} == bakers(state)
    assert baker == state.fleets["staging/checkout"].environment


def test_the_order_is_that_of_environments_and_the_service_file_counts_not_the_name() -> None:
    other = parsed(environments__dev__bulk='service: checkout\nversion: "1.4.0"\n')
    turned = parsed(fairlead="apiVersion: fairlead/v1\nenvironments: [dev, prod, staging]\n")

    assert {"dev/bulk": None, "staging/checkout": "dev", "prod/checkout": "dev"} == bakers(other)
    assert {"staging/checkout": "prod", "prod/checkout": None} == bakers(turned)


def test_a_broken_fleet_still_bakes() -> None:
    state = parsed(environments__staging__checkout="version: 1.10\n")

    assert {"prod/checkout": "staging"} == bakers(state)


def test_an_environment_that_cannot_be_read_still_bakes_and_nobody_takes_its_place() -> None:
    state = parsed(environments__staging__environment="account: nonsense\n")
    baker = state.fleets["prod/checkout"].bakes

    assert baker is not None
    assert ("staging", "", ()) == (baker.name, baker.account, baker.regions)


def test_it_is_in_no_digest() -> None:
    with_staging, alone = parsed(), parsed(environments__staging__checkout=None)
    one, two = with_staging.fleets["prod/checkout"], alone.fleets["prod/checkout"]

    assert (one.target_digest, one.spec_digest, one.identity_digest) == (
        two.target_digest,
        two.spec_digest,
        two.identity_digest,
    )
    assert (None, "staging") == (two.bakes, one.bakes.name if one.bakes else None)


def test_a_bump_keeps_it() -> None:
    """Where only a fleet's own file changed the rest is not read again."""
    parser = new()
    parsed(parser)

    bumped = parsed(parser, environments__prod__checkout='version: "1.4.2"\n')

    assert "1.4.2" == bumped.fleets["prod/checkout"].version
    assert bumped == parsed(new(), environments__prod__checkout='version: "1.4.2"\n')


def test_the_ledger_reads_what_an_older_version_wrote_without_it() -> None:
    fleet = parsed().fleets["staging/checkout"]
    text = FLEET.encode(fleet)

    assert "bakes" not in text, "it has the text that an older version gave it, and counts as unchanged"
    assert fleet == FLEET.decode(text)
    assert parsed().fleets["prod/checkout"] == FLEET.decode(FLEET.encode(parsed().fleets["prod/checkout"]))
