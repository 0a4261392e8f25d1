"""The command `fairlead-agent`, as a process: exit codes, looking once, watching only, ending when it is told to."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.orders import Health, Order, Run
from adapters.agent_protocol.reports import Report, WorkState, read_report
from adapters.clock import SystemClock
from fairlead_sandbox.aws import Aws

AGENT = [sys.executable, "-m", "fairlead_agent"]
FLEET, INSTANCE = "prod/matchmaker", "i-0123456789abcdef0"
PATIENCE = 30.0  # seconds, far below none that is waited for


class Place:
    """A host's folder with agent.yaml, and the bucket and queues of its environment."""

    def __init__(self, folder: Path, aws: Aws, host: Any, key: Any) -> None:
        self.folder, self.aws, self.host, self.key = folder, aws, host, key
        self.state, self.prefix = folder / "state", folder / "disk"
        self.environment = {**os.environ, **aws.environment()}
        self.reports = aws.client("sqs").create_queue(QueueName="fairlead-reports-prod")["QueueUrl"]
        for bucket in ("example", "builds"):
            aws.client("s3").create_bucket(Bucket=bucket)
        self.write()

    def write(self, **more: Any) -> None:
        said = {
            "bucket": "example",
            "keys": {self.key.key_id: self.key.public},
            "fleets": {FLEET: {}},
            "state": str(self.state),
            "host": {"id": INSTANCE, "region": "us-east-1"},
            "rehearsal": {"prefix": str(self.prefix)},
            **more,
        }
        (self.folder / "agent.yaml").write_text(yaml.safe_dump(said))

    def listen(self) -> None:
        """The instance's own queue."""
        self.aws.client("sqs").create_queue(QueueName=f"fairlead-agent-{INSTANCE}")

    def order(self, version: str, make_order: Any, unit: str | None = None, **changes: Any) -> Order:
        """Build it, and order it."""
        made = self.host.release(self.host.file(version))
        key = f"matchmaker/{version}/matchmaker.jar"
        self.aws.client("s3").put_object(Bucket="builds", Key=key, Body=(self.host.s3.folder / key).read_bytes())
        run = Run(unit=unit) if unit else Run(command="true")
        life = replace(made.lifecycle, run=run, health=Health(command="test -e matchmaker.jar"))
        order: Order = make_order(replace(made, lifecycle=life), **changes)
        body = canonical(self.key.sign(order.document()))
        self.aws.client("s3").put_object(Bucket="example", Key=f"orders/{FLEET}.json", Body=body)
        return order

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(
            [*AGENT, *arguments, "--config", str(self.folder / "agent.yaml")],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def came(self) -> list[Report]:
        messages = self.aws.client("sqs").receive_message(QueueUrl=self.reports, MaxNumberOfMessages=10)
        return sorted(
            (read_report(each["Body"]) for each in messages.get("Messages", [])), key=lambda each: each.number
        )


@pytest.fixture
def place(tmp_path: Path, aws: Aws, host: Any, key: Any, make_order: Any, clock: Any) -> Place:
    clock.moment = SystemClock().now()  # the process believes orders by the calendar of this machine
    return Place(tmp_path, aws, host, key)


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begins an agent that runs until it is told to end; ended with the test by its process id."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        command = [*AGENT, "run", *arguments, "--config", str(place.folder / "agent.yaml")]
        begun.append(
            subprocess.Popen(
                command, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return begun[-1]

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    over = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < over
        time.sleep(0.01)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Told to end: its exit code and what it said. Linux may hand a signal to any thread, so the last one gets it."""
    threads = sorted(int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir())
    assert ctypes.CDLL(None).tgkill(process.pid, threads[-1], signal.SIGTERM) == 0
    out, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, out


# What does not start


def test_its_version(place: Place) -> None:
    told = subprocess.run([*AGENT, "--version"], capture_output=True, text=True, check=True)

    assert told.stdout.startswith("fairlead-agent ")


def test_no_command_or_an_unknown_option() -> None:
    assert 2 == subprocess.run(AGENT, capture_output=True, check=False).returncode
    assert 2 == subprocess.run([*AGENT, "run", "--twice"], capture_output=True, check=False).returncode


@pytest.mark.parametrize("command", ["run", "check"])
def test_settings_that_are_wrong(place: Place, command: str) -> None:
    place.write(pol="60s")

    told = place.run(command)

    assert (2, "") == (told.returncode, told.stdout)
    assert told.stderr.startswith(f"fairlead-agent: {place.folder}/agent.yaml:")
    assert "pol is no setting; there is: " in told.stderr
    assert 1 == len(told.stderr.splitlines())
    assert not place.state.exists()


def test_a_host_that_nobody_knows(place: Place) -> None:
    place.write(host={})
    place.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:9"

    told = place.run("run")

    assert 2 == told.returncode
    assert "set host: {id: ..., region: ...} where there is none" in told.stderr


@pytest.mark.parametrize("file", ["state", "state/fleets"])
def test_a_state_that_is_no_folder(place: Place, file: str) -> None:
    (place.folder / file).parent.mkdir(exist_ok=True)
    (place.folder / file).touch()

    told = place.run("run")

    assert 2 == told.returncode
    assert f"fairlead-agent: cannot use {place.folder}/{file}" in told.stderr
    assert 1 == len(told.stderr.splitlines())


def test_two_agents_on_one_state(place: Place, start: Any) -> None:
    first = start()
    until((place.state / "fleets").exists)

    told = place.run("run")

    assert 2 == told.returncode
    assert f"another agent uses {place.state}; end it first" in told.stderr
    assert first.poll() is None
    assert 0 == ended(first)[0]


# Once


def test_once_brings_the_host_to_its_order_and_reports(place: Place, make_order: Any) -> None:
    order = place.order("1.0", make_order)

    told = place.run("run", "--once")

    assert (0, "") == (told.returncode, told.stderr)
    assert b"matchmaker 1.0" == (place.prefix / "srv/matchmaker/current/matchmaker.jar").read_bytes()
    report = place.came()[-1]
    assert (1, order.target.components, True) == (report.sequence, report.components, report.healthy)
    assert report.work is not None
    assert WorkState.DONE == report.work.state


def test_once_again_begins_nothing_again(place: Place, make_order: Any) -> None:
    place.order("1.0", make_order)
    place.run("run", "--once")

    told = place.run("run", "--once")

    assert 0 == told.returncode
    assert "staging" not in told.stdout
    numbers = [report.number for report in place.came()]
    assert numbers == sorted(set(numbers))


def test_once_where_it_waits_until_it_is_admitted(place: Place, make_order: Any) -> None:
    first = place.order("1.0", make_order)
    place.run("run", "--once")
    place.order("1.1", make_order, sequence=2, base=first.target, admitted=frozenset({"i-other"}))

    assert 0 == place.run("run", "--once").returncode


def test_once_without_an_order_or_with_one_that_fails(place: Place, make_order: Any) -> None:
    told = place.run("run", "--once")
    assert (1, True) == (told.returncode, "there is no order yet" in told.stdout)
    place.order("1.0", make_order)
    place.aws.client("s3").delete_object(Bucket="builds", Key="matchmaker/1.0/matchmaker.jar")

    told = place.run("run", "--once")

    assert 1 == told.returncode
    assert "ended-failed" in told.stdout


def test_once_that_is_told_to_end_starts_what_it_stopped(place: Place, start: Any, make_order: Any) -> None:
    binaries = place.folder / "bin"
    binaries.mkdir()
    systemctl = binaries / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {place.folder}/asked\n[ "$1" != stop ] || sleep 600\n')
    systemctl.chmod(0o755)
    place.write(rehearsal={"prefix": str(place.prefix), "path": str(binaries)})
    place.order("1.0", make_order, unit="matchmaker.service")
    once = start("--once")

    def asked() -> str:
        return (place.folder / "asked").read_text() if (place.folder / "asked").exists() else ""

    until(lambda: "stop matchmaker.service" in asked())
    once.send_signal(signal.SIGTERM)

    assert 1 == once.wait(PATIENCE)
    assert "--no-block start matchmaker.service" == asked().splitlines()[-1]


# Watching only


def test_report_only_tells_the_version_and_touches_nothing(place: Place, make_order: Any) -> None:
    place.write(fleets={FLEET: {"observe": {"command": "echo 7.7"}}})
    place.order("1.0", make_order)
    place.aws.reset_calls()

    told = place.run("run", "--once", "--report-only")

    (report,) = place.came()
    assert 0 == told.returncode
    assert ({"package/matchmaker": "7.7"}, True, True) == (report.components, report.report_only, report.healthy)
    assert not place.prefix.exists()
    assert 0 == place.aws.calls["s3:GET"]


def test_report_only_may_stand_in_the_settings(place: Place, make_order: Any) -> None:
    place.write(fleets={FLEET: {"observe": {"command": "echo 7.7"}}}, report_only=True)
    place.order("1.0", make_order)
    place.aws.reset_calls()

    assert 0 == place.run("run", "--once").returncode
    assert place.came()[0].report_only
    assert not place.prefix.exists()
    assert 0 == place.aws.calls["s3:GET"]


def test_report_only_names_the_component_that_the_settings_say(place: Place) -> None:
    place.write(fleets={FLEET: {"observe": {"command": "echo 7.7", "component": "package/catalog"}}})

    assert 0 == place.run("run", "--once", "--report-only").returncode
    assert {"package/catalog": "7.7"} == place.came()[0].components


def test_report_only_without_a_version_is_not_well(place: Place) -> None:
    place.write(fleets={FLEET: {"observe": {"command": "echo broken; exit 3"}}})

    assert 1 == place.run("run", "--once", "--report-only").returncode
    assert "the observe command ended with 3: broken" == place.came()[0].message


# Checking


def test_check_says_what_is_missing_and_changes_nothing(place: Place, make_order: Any) -> None:
    told = place.run("check")
    assert 1 == told.returncode
    assert f"ok  this host is {INSTANCE} in us-east-1" in told.stdout
    assert "the controller writes it" in told.stdout
    assert f"BAD the queue fairlead-agent-{INSTANCE} is not reached" in told.stdout
    assert "ok  the queue fairlead-reports-prod is there: reports go there" in told.stdout
    place.order("1.0", make_order)
    place.listen()

    told = place.run("check")

    assert (0, "") == (told.returncode, told.stderr)
    assert "order 1 is sound, version 1.0" in told.stdout
    assert not place.state.exists()
    assert not place.prefix.exists()


# Ending


def test_it_ends_at_once_in_the_middle_of_a_long_poll(place: Place, start: Any, make_order: Any) -> None:
    place.listen()
    place.order("1.0", make_order)
    agent = start()
    until(lambda: place.aws.calls["sqs:ReceiveMessage"] and place.came())
    began = time.monotonic()

    code, said = ended(agent)

    assert (0, True) == (code, said.splitlines()[-1].split()[1] == "ends")
    assert time.monotonic() - began < 10.0  # a long poll has 20 s


def test_it_ends_where_aws_neither_answers_nor_refuses(place: Place, start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        place.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{mute.getsockname()[1]}"
        agent = start()
        mute.accept()[0].close()
        code, said = ended(agent)

    assert (0, " ends " in said) == (code, True)


def test_a_heartbeat_that_comes_near_to_silence_is_told(place: Place, start: Any) -> None:
    place.write(heartbeat="2m")
    agent = start()
    lines = iter(agent.stdout)

    assert any("seldom-heard" in line and "deploy.silent_after" in line for line in lines)


def test_an_idle_agent_is_one_line_an_event(place: Place, start: Any, make_order: Any) -> None:
    place.order("1.0", make_order)
    agent = start()
    until(lambda: any(each.work and each.work.state is WorkState.DONE for each in place.came()))

    _, said = ended(agent)

    events = [line.split()[1] for line in said.splitlines()]
    assert "begins" == events[0]
    assert {"order", "deaf", "staging", "done"} <= set(events)
    assert 1 == events.count("deaf")


def test_the_state_is_the_agent_s_own(place: Place, make_order: Any) -> None:
    place.order("1.0", make_order)
    place.run("run", "--once")
    place.run("run", "--once")

    files = {str(path.relative_to(place.state)) for path in place.state.rglob("*") if path.is_file()}
    assert {"lock", "host", "number", "fleets/prod_matchmaker.json", "fleets/prod_matchmaker.before"} == files
    assert 0o700 == place.state.stat().st_mode & 0o777
    assert "fairlead/journal/v1" == json.loads((place.state / "fleets/prod_matchmaker.json").read_text())["format"]
