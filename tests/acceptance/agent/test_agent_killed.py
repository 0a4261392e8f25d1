"""kill -9 of the agent at every step of its lifecycle, then a restart: the old version or the new one, never between.

Judged by the service that answers, by the disk, by the target group and by what the host reports.
"""

import json
import random
import re
import time
from typing import Any

import pytest

from fairlead_sandbox.builds import Behaviour

STAGES = ("staging", "draining", "activating", "restarting", "checking", "registering")


def say_and_kill_at(bench: Any, stage: str, *said: Any, **more: Any) -> None:
    """Give the order, and kill the agent as soon as its log says that it begins the stage."""
    seen = len(bench.events(stage))
    bench.say(*said, **more)
    until = time.monotonic() + 30
    while len(bench.events(stage)) == seen:
        assert time.monotonic() < until, f"it never came to {stage}\n{bench.logs()}"
    bench.host.kill_agent()


def remembered(bench: Any) -> dict[str, Any]:
    """The newest work in the journal; empty where there is none."""
    path = bench.host.folder / "state" / "fleets" / "prod_matchmaker.json"
    found: dict[str, Any] = json.loads(path.read_text())["work"] or {}
    return found


def assert_not_between(bench: Any, *known: Any) -> None:
    """The link names one of these releases, whole; the process, if there is one, is that of one of them."""
    by_id = {release.id: release for release in known}
    current = bench.host.current()
    assert current in by_id
    release = bench.host.root() / "releases" / current
    manifest = json.loads((release / ".fairlead.json").read_text())
    assert {"matchmaker.jar", "matchmaker.yaml"} <= {inner for each in manifest["proofs"].values() for inner in each}
    assert all((release / inner).exists() for proofs in manifest["proofs"].values() for inner in proofs)
    version = bench.host.version()
    assert version is None or version in {each.version for each in known}


def assert_truth(bench: Any, release: Any) -> None:
    """What is reported is what answers, what is on the disk, and what the load balancer sends people to."""
    report = bench.wait_done(release)
    host = bench.host
    assert (release.version, True, release.id) == (host.version(), host.healthy(), host.current())
    assert (True, dict(release.components)) == (report["running"], report["components"])
    assert "healthy" == bench.in_balancer()
    assert re.fullmatch(r"[0-9a-f]{16}(,[0-9a-f]{16})*", ",".join(host.releases()))  # nothing half-built is left


@pytest.mark.parametrize("stage", STAGES)
def test_an_agent_killed_at_a_step_of_a_deploy_brings_it_to_its_end(bench: Any, stage: str) -> None:
    new = bench.release("2.4.0", Behaviour.SLOW, after=0.5)  # so that checking takes its time
    say_and_kill_at(bench, stage, new)

    assert_not_between(bench, bench.first, new)
    bench.host.start_agent()
    assert_truth(bench, new)
    assert 1 == remembered(bench)["attempt"]


@pytest.mark.parametrize("stage", [*STAGES[:-1], "rolling-back"])
def test_an_agent_killed_at_a_step_of_a_bad_deploy_brings_the_host_back(bench: Any, stage: str) -> None:
    bad = bench.release("2.5.0", Behaviour.NEVER_STARTS)
    say_and_kill_at(bench, stage, bad, base=bench.first)

    assert_not_between(bench, bench.first, bad)
    bench.host.start_agent()
    said = bench.wait_reported("the failure", work_state="failed", work_version="2.5.0", healthy=True, running=True)
    assert ("unhealthy", "2.3.1") == (said["work"]["blame"], said["work"]["rolled_back_to"])
    assert dict(bench.first.components) == said["components"]
    assert ("2.3.1", True, bench.first.id) == (bench.host.version(), bench.host.healthy(), bench.host.current())
    bench.wait(lambda: bench.in_balancer() == "healthy", "that it is in its target group")


@pytest.mark.parametrize("stage", STAGES)
def test_an_agent_killed_at_a_step_follows_what_was_ordered_meanwhile(bench: Any, stage: str) -> None:
    """The revert is merged while nobody is there to hear of it."""
    new = bench.release("2.4.0")
    say_and_kill_at(bench, stage, new, base=bench.first)
    bench.say(bench.first, rejected=(new.digest,))

    bench.host.start_agent()

    assert_truth(bench, bench.first)


def test_an_agent_killed_again_and_again_at_any_moment_is_never_between(bench: Any) -> None:
    """Moments that no log line names: after a random time of each life, within a deploy of about a second."""
    dice = random.Random(20261126)
    known = [bench.first]
    for number in range(4):
        new = bench.release(f"3.0.{number}")
        known.append(new)
        bench.say(new, base=known[-2])
        for _ in range(6):
            time.sleep(dice.uniform(0.0, 1.2))  # not to be right: any moment is
            bench.host.kill_agent()
            assert_not_between(bench, *known[-2:])
            bench.host.start_agent()
        assert_truth(bench, new)
        assert 1 == remembered(bench)["attempt"]
    assert [] == bench.events("memory-lost")


def test_a_service_goes_on_while_its_agent_is_dead(bench: Any) -> None:
    pid = bench.host.service_pid()

    bench.host.kill_agent()

    assert (pid, True) == (bench.host.service_pid(), bench.host.healthy())
    bench.host.start_agent()
    bench.wait_reported("its next word", work_state="done", healthy=True)
    assert pid == bench.host.service_pid()
