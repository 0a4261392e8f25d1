"""The life of an instance: it waits for its hook, is taken away, is stopped, cloned, and shares what it must not."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fairlead_sandbox.builds import Behaviour
from fairlead_sandbox.hosts import AGENT, Host
from tests.acceptance.agent.conftest import FLEET, REGION, Bench
from tests.acceptance.agent.test_agent_footprint import MOST_WITH_HOOKS, resident


@pytest.fixture
def group(bench: Bench) -> str:
    """An empty group of its own for the test, with both hooks."""
    name = f"matchmaker-{bench.host.id}"
    bench.world.trigger.make_group(name, FLEET, REGION)
    return name


def state_of(bench: Bench, host: Host) -> str:
    return bench.world.trigger.lifecycle(host)


def asked(bench: Bench, call: str) -> int:
    return bench.world.aws.calls[f"autoscaling:{call}"]


def check(host: Host) -> str:
    """What `fairlead-agent check` says there."""
    command = [*AGENT[:-2], "check", "--config", str(host.config)]
    return subprocess.run(command, env=dict(host.environment), capture_output=True, text=True, check=False).stdout


def test_a_launched_instance_serves_when_it_runs_the_last_good_release(bench: Bench, group: str) -> None:
    newer = bench.release("2.4.0")
    bench.say(newer, base=bench.first, admitted=frozenset({bench.host.id}))
    bench.world.aws.reset_calls()

    host = bench.world.scale_out(group, FLEET, REGION)
    assert "Pending:Wait" == state_of(bench, host)
    bench.wait(lambda: state_of(bench, host) == "InService", "its hook to be completed")

    assert (bench.first.version, True) == (host.version(), host.healthy())
    assert (1, 1) == (asked(bench, "CompleteLifecycleAction"), asked(bench, "RecordLifecycleActionHeartbeat"))
    assert 1 == len(bench.events("hook-completed", host))
    assert f"ok  the hook fairlead-launch of {group} may be answered; nothing waits for it" in check(host)
    assert resident(host.agent_pid) < MOST_WITH_HOOKS
    host.kill_agent()
    host.start_agent()
    bench.wait(lambda: len(bench.events("begins", host)) == 2 and bench.reports(host)[-1]["healthy"], "its next agent")
    assert 1 == asked(bench, "CompleteLifecycleAction")


def test_an_agent_that_is_killed_while_its_instance_waits_completes_the_hook_after_that(
    bench: Bench, group: str
) -> None:
    host = bench.world.scale_out(group, FLEET, REGION)
    bench.wait(lambda: bench.events("staging", host), "the first stage")

    host.kill_agent()
    assert "Pending:Wait" == state_of(bench, host)
    host.start_agent()

    bench.wait(lambda: state_of(bench, host) == "InService", "its hook to be completed")
    assert host.healthy()


def test_an_instance_whose_release_fails_is_left_to_the_time_out_of_its_hook(bench: Bench, group: str) -> None:
    bench.say(bench.release("2.4.1", Behaviour.NEVER_STARTS))

    host = bench.world.scale_out(group, FLEET, REGION)

    bench.wait_reported("the failure", host, work_state="failed")
    bench.wait(lambda: bench.events("ended-failed", host), "the end of its work")
    assert "Pending:Wait" == state_of(bench, host)
    assert not bench.events("hook-completed", host)


def test_an_instance_that_its_group_ends_leaves_when_no_traffic_comes(bench: Bench, group: str) -> None:
    host = bench.world.scale_out(group, FLEET, REGION)
    bench.wait(lambda: state_of(bench, host) == "InService", "its hook to be completed")
    bench.world.trigger.put_behind_balancers([host])
    bench.wait(lambda: bench.in_balancer(host) == "healthy", "traffic")

    bench.world.trigger.end_in_group(host, replace=False)
    said = bench.wait_reported("the notice", host, leaving="its Auto Scaling group ends it")
    bench.wait(lambda: state_of(bench, host) == "", "its end")

    assert said["healthy"]
    bench.wait(lambda: len(bench.events("hook-completed", host)) == 2, "both hooks to be completed")
    assert host.log().index(" departed ") < host.log().index("hook=fairlead-terminating")


def test_a_spot_notice_takes_the_host_out_and_begins_nothing(bench: Bench) -> None:
    host = bench.host
    assert "healthy" == bench.in_balancer()

    bench.world.spot_notice(host, "stop")
    report = bench.wait(lambda: (found := bench.report())["leaving"] and found, "the notice in a report")
    bench.wait(lambda: bench.in_balancer() in {"draining", "unused"}, "it to leave its target group")
    newer = bench.release("2.4.2")
    bench.say(newer)
    bench.wait(lambda: bench.report()["sequence"] == bench.sequence, "the order to be read")

    assert report["leaving"].startswith("a spot notice: AWS is to stop it at 20")
    assert (bench.first.version, True) == (host.version(), host.healthy())
    bench.world.trigger.notice(host, "spot/instance-action", None)  # stopped, and started again
    host.kill_agent()
    host.start_agent()
    bench.wait(lambda: host.version() == "2.4.2", "the order that came while it was to go")
    bench.wait(lambda: bench.in_balancer() == "healthy", "it to enter its target group again")
    assert "" == bench.wait_done(newer)["leaving"]


def test_a_stopped_instance_comes_back_to_what_its_order_says_by_then(bench: Bench) -> None:
    host = bench.host
    numbers = [report["number"] for report in bench.reports()]
    host.stop_agent()
    host.kill_service()
    newer = bench.release("2.4.3")
    bench.say(newer)

    host.start_agent()

    assert max(numbers) < bench.wait_done(newer)["number"]
    assert "2.4.3" == host.version()


@pytest.fixture
def clone(bench: Bench) -> Host:
    """A fresh instance; its agent was never started."""
    return bench.world.add_host(FLEET, region=REGION, agent=False)


def remembered(host: Host) -> dict[str, Any]:
    text = (host.folder / "state" / "fleets" / "prod_matchmaker.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_clone_of_a_disk_does_not_believe_what_it_remembers(bench: Bench, clone: Host) -> None:
    host = bench.host
    (host.folder / "state/number").write_text("70000")
    bench.say(bench.first, sequence=9, rejected=("e" * 64,))
    bench.wait(lambda: remembered(host)["sequence"] == 9, "the order")
    host.stop_agent()
    for name in ("state", "srv"):
        shutil.rmtree(clone.folder / name, ignore_errors=True)
        shutil.copytree(host.folder / name, clone.folder / name, symlinks=True)
    host.start_agent()
    bench.put(bench.signed(bench.order(bench.first, sequence=8)))  # older: who knew of 9 refuses it

    clone.systemctl("start", "matchmaker.service")
    clone.start_agent()

    report = bench.wait_reported("its first words", clone, sequence=8, healthy=True)
    assert (8, bench.first.version) == (remembered(clone)["sequence"], clone.version())
    assert report["number"] < 70000
    assert f"its memory was that of {host.id}, of which this disk was copied" in report["message"]
    assert f"of-{host.id}" in {path.name for path in (clone.folder / "state").iterdir()}
    assert 1 == len(bench.events("begins-anew", clone))
    assert not bench.events("staging", clone)  # what is there is found well, and left alone
    assert 1 == len(clone.releases())


def test_two_hosts_with_one_state_folder_do_not_both_work(bench: Bench, clone: Host, tmp_path: Path) -> None:
    """The lock is left out, as on a network file system that does not carry it from host to host."""
    shared = clone.folder / "state"
    shutil.rmtree(shared)
    shared.symlink_to(bench.host.folder / "state")
    (bench.host.folder / "state" / "lock").unlink()  # the clone makes a lock of its own

    ended = subprocess.run(
        [*AGENT, str(clone.config)], env=dict(clone.environment), capture_output=True, text=True, check=False
    )

    assert 2 == ended.returncode
    assert f"is used by {bench.host.id} as well; give each host a state of its own" in ended.stderr
    assert bench.host.agent_running
    (shared / "host").write_text(json.dumps({"host": clone.id, "count": 1, "every": 1.0}))  # it was not seen in time
    assert 2 == bench.host.wait_agent()
    assert f"is used by {clone.id} as well" in bench.host.log()
