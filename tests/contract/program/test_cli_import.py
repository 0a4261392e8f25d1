"""import: from the sandbox's AWS, Gate and agents to a folder that validates."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from adapters.agent_protocol.reports import Report
from adapters.gate.client import Gate
from fairlead import wiring
from fairlead.cli import app
from fairlead_sandbox.world import ACCOUNT, World, WorldSettings

EAST, WEST = "us-east-1", "eu-west-1"
PLACE = ("--account", ACCOUNT, "--region", EAST, "--region", WEST)
Fairlead = Callable[..., Result]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The example's Spinnaker half; checkout of prod was changed by hand in one region."""
    with World(tmp_path_factory.mktemp("world"), WorldSettings()) as world:
        world.change_by_hand("checkout-prod", EAST, "1.3.0")
        yield world


@pytest.fixture
def fairlead(world: World, monkeypatch: pytest.MonkeyPatch) -> Fairlead:
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)

    def run(*args: str) -> Result:
        return CliRunner().invoke(app, args)

    return run


def folder_of(path: Path) -> dict[str, str]:
    files = (each for each in path.rglob("*") if each.is_file())
    return {each.relative_to(path).as_posix(): each.read_text() for each in files}


def test_what_runs_becomes_a_folder_that_validates(world: World, fairlead: Fairlead, tmp_path: Path) -> None:
    into = tmp_path / "desired"

    done = fairlead("import", *PLACE, "--gate", world.gate.url, "--into", str(into))

    assert 0 == done.exit_code, done.output
    assert "8 fleets; wrote 16 files" in done.stdout
    assert 0 == fairlead("validate", str(into)).exit_code
    files = folder_of(into)
    assert 'version: "0.90"' in files["environments/prod/sessions.yaml"]
    assert "QUESTION: 2 of 4 instances run another version" in files["environments/prod/checkout.yaml"]
    assert {"prod", "staging"} == {path.split("/")[1] for path in files if path.startswith("environments/")}
    assert [] == world.gate.access_log.starts()


def test_a_dry_run_prints_the_same_files_and_writes_none(world: World, fairlead: Fairlead, tmp_path: Path) -> None:
    fairlead("import", *PLACE, "--gate", world.gate.url, "--into", str(tmp_path / "desired"))

    done = fairlead("import", *PLACE, "--gate", world.gate.url, "--dry-run", "-o", "json")

    said = json.loads(done.stdout)
    assert folder_of(tmp_path / "desired") == said["files"]
    assert (None, 8) == (said["folder"], len(said["fleets"]))
    assert ["desired"] == [each.name for each in tmp_path.iterdir()]
    assert "── services/checkout.yaml" in fairlead("import", *PLACE, "--gate", world.gate.url, "--dry-run").stdout


def test_without_gate_nothing_of_spinnakers_is_imported_and_the_fix_is_named(fairlead: Fairlead) -> None:
    done = fairlead("import", *PLACE, "--dry-run")

    assert 1 == done.exit_code
    assert "left out: cluster checkout-prod: Spinnaker deploys it: say --gate URL" in done.stdout
    assert "nothing was found that can be imported" in done.stderr


def test_a_folder_that_holds_something_is_refused_before_anything_is_read(fairlead: Fairlead, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()

    done = fairlead("import", *PLACE, "--into", str(tmp_path))

    assert 2 == done.exit_code
    assert "holds mine already, and nothing is written over" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*PLACE,), "say --into FOLDER, or --dry-run"),
        (("--account", "12", "--region", EAST, "--dry-run"), "--account 12: an account has twelve digits"),
        ((*PLACE, "--dry-run", "--role", "arn:aws:iam::210987654321:role/x"), "write the ARN of a role in"),
        ((*PLACE, "--dry-run", "--environment", "Prod"), "write NAME, or ID=NAME"),
        ((*PLACE, "--dry-run", "--map", "live"), "write WORD=NAME, such as live=prod"),
        ((*PLACE, "--dry-run", "--gate", "http://gate.example.com"), "--gate must begin with https://"),
        ((*PLACE, "--dry-run", "--artifacts", "s3://builds/x.jar"), "write an S3 address that holds {version}"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(fairlead: Fairlead, args: tuple[str, ...], said: str) -> None:
    done = fairlead("import", *args)

    assert 2 == done.exit_code
    assert said in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())


def test_an_account_that_credentials_do_not_reach_is_one_sentence(fairlead: Fairlead) -> None:
    done = fairlead("import", "--account", "210987654321", "--region", EAST, "--dry-run")

    assert 3 == done.exit_code
    assert f"reaches account {ACCOUNT}" in done.stderr


def test_a_gate_that_is_down_is_one_sentence_and_writes_nothing(
    world: World, fairlead: Fairlead, tmp_path: Path
) -> None:
    world.gate.faults.on("unavailable")
    try:
        done = fairlead("import", *PLACE, "--gate", world.gate.url, "--into", str(tmp_path / "desired"))
    finally:
        world.gate.faults.off("unavailable")

    assert 3 == done.exit_code
    assert "show the pipelines of catalog" in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_an_application_that_gate_does_not_know_has_no_pipeline(world: World) -> None:
    assert [] == Gate(world.gate.url).pipelines("nobody")
    assert ["deploy-prod", "deploy-staging", "rollback-prod", "rollback-staging"] == sorted(
        one["name"] for one in Gate(world.gate.url).pipelines("checkout")
    )


# ── agents' reports ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[World]:
    """One host of matchmaker with an agent that only reports."""
    settings = WorldSettings(hosts={"staging/matchmaker": 1}, deployed=False, agents=False)
    with World(tmp_path / "world", settings) as world:
        (host,) = world.hosts()
        text = host.config.read_text()
        host.config.write_text(
            text.replace("staging/matchmaker: {}", "staging/matchmaker: {observe: {command: echo 2.4.0}}")
        )
        host.start_agent("--report-only")
        yield world


def waiting(world: World) -> dict[str, int]:
    """Messages in the reports queue: to be seen, and hidden."""
    sqs = world.aws.client("sqs", EAST)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = sqs.get_queue_url(QueueName="fairlead-reports-staging")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return {name: int(found[name]) for name in names}


def test_reports_are_read_and_are_there_for_the_controller_afterwards(
    hosts: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hosts.environment.items():
        monkeypatch.setenv(name, value)
    wait_until(lambda: waiting(hosts)["ApproximateNumberOfMessages"] > 1)
    hosts.hosts()[0].stop_agent()
    _send_of_another(hosts)
    before = waiting(hosts)
    args = ("import", "--account", ACCOUNT, "--region", EAST, "--bucket", "orders", "--dry-run", "-o", "json")

    first, second = (json.loads(CliRunner().invoke(app, args).stdout) for _ in range(2))

    assert {"staging/matchmaker": "2.4.0"} == {one["fleet"]: one["version"] for one in first["fleets"]}
    assert first == second
    assert before == waiting(hosts)
    (note,) = first["notes"]
    assert note.startswith("fairlead-reports-staging in us-east-1: 4 of ")
    assert note.endswith(" messages are no reports of the instances that sent them, and were passed over")


def test_an_import_calls_nothing_that_its_policy_does_not_allow(hosts: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hosts.environment.items():
        monkeypatch.setenv(name, value)
    wait_until(lambda: waiting(hosts)["ApproximateNumberOfMessages"] > 0)
    hosts.hosts()[0].stop_agent()
    hosts.aws.reset_calls()

    CliRunner().invoke(app, ["import", "--account", ACCOUNT, "--region", EAST, "--bucket", "orders", "--dry-run"])

    called = {action.removesuffix("Batch") for action in hosts.aws.calls if not action.startswith("sts:")}
    policy = (Path(__file__).parents[3] / "deploy/terraform/iam/policies/import.json.tftpl").read_text()
    assert called <= set(re.findall(r'"(\w+:\w+)"', policy))
    assert {"sqs:ChangeMessageVisibility", "ec2:DescribeInstances"} <= called


def _send_of_another(world: World) -> None:
    """Somebody who is no instance claims to be one, somebody sends rubbish, and a host names what is no fleet."""
    (host,) = world.hosts()
    sqs = world.aws.client("sqs", EAST)
    url = sqs.get_queue_url(QueueName="fairlead-reports-staging")["QueueUrl"]
    lie = Report(
        host=host.id,
        fleet="staging/matchmaker",
        agent="1",
        number=10**9,
        at=datetime(2026, 11, 26, tzinfo=UTC),
        components={"package/matchmaker": "6.6.6"},
        running=True,
    )
    for body in (lie.text(), "rubbish"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    itself = _as_session(world, host.id)
    for fleet in ("staging/../../../x", "staging/a/b"):
        itself.send_message(QueueUrl=url, MessageBody=replace(lie, fleet=fleet).text())


def _as_session(world: World, session: str) -> Any:
    """SQS as an instance of that id."""
    role = f"arn:aws:iam::{ACCOUNT}:role/fairlead-host"
    made = world.aws.client("sts", EAST).assume_role(RoleArn=role, RoleSessionName=session)["Credentials"]
    return boto3.client(
        "sqs",
        region_name=EAST,
        endpoint_url=world.aws.endpoint_url,
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    clock = wiring.clock()
    until = clock.monotonic() + 60
    while not is_so():
        assert clock.monotonic() < until, "not within a minute"
        Event().wait(0.05)
