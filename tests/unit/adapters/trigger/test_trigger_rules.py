"""What is wrong with a fleet of type trigger, as people read it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.trigger.rules import problems_of
from desired_state.model import Config, Environment, Fleet, Package

DEB = Package(name="gateway", version="3.0.2")
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/mm/6d0ecf831eec9f09"


def problems(fleet: Fleet) -> list[str]:
    return list(problems_of(fleet))


def package(made: SimpleNamespace, **changes: Any) -> Fleet:
    found: Fleet = made.fleet(packages=(replace(made.JAR, **changes),))
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"format": "archive", "destination": "."},
        {"format": "archive", "destination": "app"},
        {"format": "deb", "destination": None},
        {"format": "deb", "destination": None, "source": None, "sha256": "a" * 64},
    ],
    ids=str,
)
def test_sound_packages(made: SimpleNamespace, changes: dict[str, Any]) -> None:
    assert problems(package(made, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": None}, 'deploy: package mm needs "from", like s3://builds/mm/{version}/mm'),
        (
            {"source": "https://builds/mm-{version}"},
            'deploy: package mm: "from" must be like s3://bucket/path/{version}, not https://builds/mm-{version}',
        ),
        (
            {"source": "s3://builds/mm.jar"},
            (
                'deploy: package mm: "from" must hold {version} after the bucket, '
                "or every version would be the same object"
            ),
        ),
        (
            {"source": "s3://builds-{region}/{version}/mm.jar"},
            (
                'deploy: package mm: "from" must not hold {region}: all regions of a fleet follow one order; '
                "name one bucket"
            ),
        ),
        ({"destination": None}, 'deploy: package mm: needs "to", the place below deploy.root, like mm'),
        (
            {"destination": "/etc/mm/mm.jar"},
            'deploy: package mm: "to" must be a place below deploy.root, like mm.jar, not /etc/mm/mm.jar',
        ),
        (
            {"destination": "../mm.jar"},
            'deploy: package mm: "to" must be a place below deploy.root, like mm.jar, not ../mm.jar',
        ),
        ({"format": "deb"}, 'deploy: package mm: a deb knows where it goes; remove "to"'),
        (
            {"format": "deb", "destination": None, "source": None},
            (
                'deploy: package mm is a deb without "from", so nobody but you knows its bytes; add '
                'sha256: {mm: "<64 hexadecimal digits>"} to environments/prod/mm.yaml, or "from"'
            ),
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_package_that_no_host_could_install(made: SimpleNamespace, changes: dict[str, Any], said: str) -> None:
    assert problems(package(made, **changes)) == [said]


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ({"colour": "red"}, "deploy.colour: Extra inputs are not permitted"),
        (
            {"waves": [{"hosts": 1}, {"hosts": "50%"}]},
            "deploy.waves.1.hosts: the last wave must be everything; end with {hosts: 100%}",
        ),
        (
            {"waves": [{"hosts": "100%"}, {"hosts": "100%"}]},
            "warning: deploy.waves.0.hosts: this wave covers everything; those after it do nothing",
        ),
        ({"min_healthy": "100%"}, "deploy.min_healthy: no host could ever be changed; say less than 100%"),
        (
            {"failure_threshold": "100%"},
            "deploy.failure_threshold: with 100% no failure would ever stop a rollout; say less than 100%",
        ),
        ({"failure_threshold": -1}, "deploy.failure_threshold: must be a number of hosts from 0 or a share like 10%"),
        ({"failure_threshold": [1]}, "deploy.failure_threshold: must be a number of hosts from 0 or a share like 10%"),
        ({"progress_deadline": "5s"}, "deploy.progress_deadline: must be at least 10s; no host gets anywhere in less"),
        (
            {"progress_deadline": "20s"},
            (
                "warning: deploy.progress_deadline: one host may take 90s to drain, stop and get healthy; "
                "say more than that"
            ),
        ),
        (
            {"select": {"tags": {"service": "mm-{region}"}}},
            (
                "deploy.select.tags.service: {region} is not filled in for type trigger: all regions follow one order; "
                "write the text"
            ),
        ),
        (
            {"drain": {"target_groups": ["mm"]}},
            (
                "deploy.drain.target_groups.0: mm is no target group of account 123456789012 in us-east-1, eu-west-1; "
                "write its full ARN"
            ),
        ),
        (
            {"drain": {"target_groups": [GROUP.replace("us-east-1", "us-west-2")]}},
            (
                f"deploy.drain.target_groups.0: {GROUP.replace('us-east-1', 'us-west-2')} is no target group of "
                "account 123456789012 in us-east-1, eu-west-1; write its full ARN"
            ),
        ),
        (
            {"run": {"unit": "-mm.service"}},
            "deploy: hosts would refuse this fleet: run.unit must be the name of a systemd unit",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_settings_that_cannot_work(made: SimpleNamespace, deploy: dict[str, Any], said: str) -> None:
    assert problems(made.fleet(deploy=deploy)) == [said]


@pytest.mark.parametrize(
    "root",
    ["/opt/fairlead-agent/self", "/opt/fairlead-agent", "//opt/./fairlead-agent/self", "/opt/fairlead-agent/self/x"],
)
def test_the_agents_own_root_is_no_other_services(made: SimpleNamespace, root: str) -> None:
    assert problems(made.fleet(deploy={"root": root})) == [
        (
            f"deploy.root: {root} is the agent's own; give a folder like /srv/checkout, "
            "or upgrade the agent itself with run: {unit: fairlead-agent.service}"
        )
    ]
    for unit in ("fairlead-agent.service", "fairlead-agent"):
        assert problems(made.fleet(deploy={"root": root, "run": {"unit": unit}})) == []


def test_a_root_beside_the_agents_own_is_anybodys(made: SimpleNamespace) -> None:
    assert problems(made.fleet(deploy={"root": "/opt/fairlead-agents/self"})) == []


def test_a_silence_shorter_than_two_heartbeats_is_warned_of(made: SimpleNamespace) -> None:
    assert problems(made.fleet(deploy={"silent_after": "30s"})) == [
        (
            "warning: deploy.silent_after: 30s is short beside the agents' heartbeat of a minute; "
            "set `heartbeat` in agent.yaml to a third of it or less"
        )
    ]
    assert problems(made.fleet(deploy={"silent_after": "150s"})) == []


def test_a_group_of_its_own_account_and_regions_is_right(made: SimpleNamespace) -> None:
    assert problems(made.fleet(deploy={"drain": {"target_groups": [GROUP]}})) == []


def test_an_environment_without_a_bucket(made: SimpleNamespace) -> None:
    fleet = made.fleet(environment=Environment(name="prod", account="123456789012", regions=("us-east-1",)))

    assert problems(fleet) == [
        (
            'deploy: "trigger.bucket" is missing in environments/prod/environment.yaml; the order that hosts read lies '
            "in that bucket"
        )
    ]


def config(destination: str = "mm.yaml", **values: Any) -> Config:
    return Config(destination=destination, format="yaml", values=values or {"a": 1}, digest="e" * 64)


def test_configuration_goes_below_the_root(made: SimpleNamespace) -> None:
    assert problems(made.fleet(config=config())) == []
    assert problems(made.fleet(config=config("/etc/mm.yaml"))) == [
        'deploy: config: "to" must be a place below deploy.root, like mm.yaml, not /etc/mm.yaml'
    ]
    assert problems(made.fleet(config=config("mm.jar"))) == [
        "deploy: hosts would refuse this fleet: mm.jar and mm.jar of a release are at one place"
    ]


def test_configuration_that_fits_no_order_is_told_before_anything_is_deployed(made: SimpleNamespace) -> None:
    (said,) = problems(made.fleet(config=config(text="x" * 400_000)))

    assert said.startswith("deploy: its order takes 4")
    assert said.endswith("is the most; shorten the configuration")


def test_a_deb_beside_a_file_is_told_for_itself_alone(made: SimpleNamespace) -> None:
    (said,) = problems(made.fleet(packages=(made.JAR, DEB)))

    assert said.startswith("deploy: package gateway is a deb without")
