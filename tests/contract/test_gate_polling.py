"""How often Gate is asked about what is under way there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gate, Gates
from adapters.gate.executions import feed_of
from adapters.gate.polling import A_CYCLE, FRESH, read_work
from desired_state.model import Environment, Fleet
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate as SandboxGate
from fairlead_sandbox.gate import GateSettings
from fairlead_sandbox.gate.executions import Execution, new_body
from reconciler.observed import Snapshot
from reconciler.work import Intent, Kind, Outcome, Phase

MANY = 1000
NOW = datetime(2026, 11, 27, 2, 50, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[SandboxGate]:
    with SandboxGate(Aws(), GateSettings(background=False)) as gate:
        yield gate


@pytest.fixture
def running(sandbox: SandboxGate, fleet: Any) -> list[Outcome]:
    """A thousand executions that run, and the outcomes that wait for them."""
    config = {
        "id": "c-1",
        "application": "checkout",
        "name": "deploy",
        "stages": [{"type": "deploy", "name": "Deploy"}],
    }
    outcomes = []
    for number in range(MANY):
        execution = Execution(new_body(f"01M8C1XZ1RB0AED9J96S{number:06d}", config, {"type": "manual"}, "fairlead", 0))
        execution.body["status"] = "RUNNING"
        sandbox.executions.add(execution)
        outcomes.append(outcome(fleet, number, execution.id))
    return outcomes


@pytest.fixture
def fleet(sandbox: SandboxGate) -> Any:

    return Fleet(
        name="prod/checkout",
        environment=Environment(
            name="prod", account="123456789012", regions=("us-east-1",), spinnaker={"url": sandbox.url}
        ),
        service="checkout",
        components={},
        packages=(),
        deploy_type="spinnaker",
        deploy={
            "application": "checkout",
            "pipeline": "deploy",
            "parameters": {"version": "V", "fairleadKey": "K"},
            "select": {"cluster": "checkout-prod"},
        },
        target_digest="a" * 64,
        spec_digest="b" * 64,
        identity_digest="c" * 64,
    )


def outcome(fleet: Any, number: int, ticket: str | None) -> Outcome:
    intent = Intent(
        key=f"key-{number}",
        fleet=fleet,
        repository="main",
        setting_commit="d" * 40,
        unit="all",
        wave=1,
        attempt=1,
        kind=Kind.DEPLOY,
        created_at=NOW,
        settle_at=NOW,
        deadline=NOW + timedelta(hours=1),
        starts=1,
    )
    return Outcome(intent=intent, phase=Phase.RUNNING, ticket=ticket)


def asked(sandbox: SandboxGate) -> list[str]:
    return [entry["path"] for entry in sandbox.access_log.entries()]


def test_a_thousand_executions_are_polled_with_few_requests_of_short_urls(
    sandbox: SandboxGate, running: list[Outcome]
) -> None:
    bodies = read_work(Gate(sandbox.url), running, A_CYCLE)

    assert {"RUNNING"} == {body["status"] for body in bodies.values()}
    assert (MANY, 10) == (len(bodies), len(asked(sandbox)))
    longest = max(len(urlencode(entry["query"])) for entry in sandbox.access_log.entries())
    assert longest < 4000


def test_with_some_unknown_to_the_bulk_read_they_are_asked_for_by_themselves(
    sandbox: SandboxGate, running: list[Outcome]
) -> None:
    for one in running[::100]:
        hidden = sandbox.executions.get(one.ticket or "")
        assert hidden is not None
        hidden.hidden_reads = 1

    bodies = read_work(Gate(sandbox.url), running, A_CYCLE)

    assert {"RUNNING"} == {body["status"] for body in bodies.values()}
    assert MANY == len(bodies)
    assert 20 == len(asked(sandbox)) <= A_CYCLE


def test_what_a_cycle_has_no_room_for_is_asked_in_the_next(sandbox: SandboxGate, running: list[Outcome]) -> None:
    strangers = [replace(one, ticket=f"01NOTHING{number}") for number, one in enumerate(running[:60])]
    gate, seen, cycles = Gate(sandbox.url), set[str](), 0
    while len(seen) < MANY:
        before = len(asked(sandbox))
        seen |= set(read_work(gate, [*strangers, *running[60:]], A_CYCLE))
        assert len(asked(sandbox)) - before <= A_CYCLE
        cycles += 1
        assert cycles < 100

    assert cycles > 3


def test_why_one_failed_is_waited_for_when_there_is_no_room_to_ask(
    sandbox: SandboxGate, running: list[Outcome]
) -> None:
    failed = sandbox.executions.get(running[0].ticket or "")
    assert failed is not None
    failed.body["status"] = "TERMINAL"

    without = read_work(Gate(sandbox.url), running[:5], 1)
    after = read_work(Gate(sandbox.url), running[:5], 2)

    assert {one.intent.key for one in running[1:5]} == set(without)
    assert "TERMINAL" == after[running[0].intent.key]["status"]


def test_a_fleet_does_not_ask_again_what_the_feed_read_a_moment_ago(
    sandbox: SandboxGate, running: list[Outcome]
) -> None:
    clock = ManualClock(NOW)
    deployer = Spinnaker(sessions=Sessions(max_attempts=1), gates=Gates({}), clock=clock)
    feed = feed_of(sandbox.url)
    bodies = read_work(Gate(sandbox.url), running[:1])
    before = len(asked(sandbox))

    def look(one: Outcome) -> Snapshot:
        known = {feed: Snapshot(feed=feed, body=bodies, read_at=NOW)}
        return dict(deployer._executions([one], known))[feed]

    told = look(running[0])
    clock.advance(FRESH)
    told_later = look(running[0])
    asked_so_far = len(asked(sandbox)) - before
    clock.advance(timedelta(seconds=1))
    look(running[0])
    look(running[1])

    assert (bodies, NOW, bodies) == (told.body, told.read_at, told_later.body)
    assert (0, 2) == (asked_so_far, len(asked(sandbox)) - before)


def test_a_thousand_fleets_at_work_and_the_feed_stay_within_the_requests_of_a_cycle(
    sandbox: SandboxGate, running: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleets = [
        replace(
            one.intent.fleet,
            name=f"prod/s{number}",
            deploy={**one.intent.fleet.deploy, "application": f"s{number}"},
        )
        for number, one in enumerate(running)
    ]
    work = [replace(one, intent=replace(one.intent, fleet=fleet)) for one, fleet in zip(running, fleets, strict=True)]
    clock = ManualClock(NOW)
    deployer = Spinnaker(sessions=Sessions(max_attempts=1), gates=Gates({}), clock=clock)
    monkeypatch.setattr(deployer._groups, "read", lambda *_: ())  # what AWS is asked is counted elsewhere
    feed = feed_of(sandbox.url)

    known = {feed: Snapshot(feed=feed, body=read_work(Gate(sandbox.url), work, A_CYCLE), read_at=NOW)}
    bodies = [deployer.refresh(fleet, [one], known)[feed].body for fleet, one in zip(fleets, work, strict=True)]

    assert MANY == sum(one.intent.key in body for one, body in zip(work, bodies, strict=True))
    assert 10 == len(asked(sandbox)) <= A_CYCLE


# -- nested pipelines and canaries ------------------------------------------------------------------------------------


@pytest.fixture
def played(sandbox: SandboxGate) -> Callable[..., Execution]:
    """`played(id, status, *stages)`: an execution that stands there."""

    def play(ident: str, status: str, *stages: dict[str, Any]) -> Execution:
        execution = Execution(
            new_body(ident, {"id": "c", "application": "a", "name": "n", "stages": stages}, {}, "fairlead", 0)
        )
        execution.body["status"] = status
        for made, said in zip(execution.body["stages"], stages, strict=True):
            made.update(status=said["status"])
        sandbox.executions.add(execution)
        return execution

    return play


def nested(child: str) -> dict[str, Any]:
    return {"type": "pipeline", "name": "Run", "status": "TERMINAL", "executionId": child}


def test_the_reason_of_a_failure_is_found_in_the_innermost_pipeline(
    sandbox: SandboxGate, played: Callable[..., Execution], fleet: Any
) -> None:
    why = {"details": {"errors": ["No AMI found; see http://rosco.internal:8087/x"]}}
    played("01OUTER", "TERMINAL", nested("01MIDDLE"))
    played("01MIDDLE", "TERMINAL", nested("01INNER"))
    played("01INNER", "TERMINAL", {"type": "bake", "name": "Bake", "status": "TERMINAL", "exception": why})

    bodies = read_work(Gate(sandbox.url), [outcome(fleet, 1, "01OUTER")])

    assert "No AMI found; see [url]" == bodies["key-1"]["error"]
    assert ["/executions", *(f"/pipelines/01{name}" for name in ("OUTER", "MIDDLE", "INNER"))] == asked(sandbox)


def test_a_nested_pipeline_that_is_gone_or_runs_in_circles_ends_the_search(
    sandbox: SandboxGate, played: Callable[..., Execution], fleet: Any
) -> None:
    played("01LOST", "TERMINAL", nested("01NOTHING"))
    played("01CIRCLE", "TERMINAL", nested("01CIRCLE"))

    bodies = read_work(Gate(sandbox.url), [outcome(fleet, 1, "01LOST"), outcome(fleet, 2, "01CIRCLE")])

    assert ["", ""] == [bodies[key]["error"] for key in ("key-1", "key-2")]
    assert len(asked(sandbox)) <= 1 + 2 + 4


def test_a_nested_pipeline_that_somebody_cancelled_says_so(
    sandbox: SandboxGate, played: Callable[..., Execution], fleet: Any
) -> None:
    played("01OUTER", "TERMINAL", nested("01INNER"))
    played("01INNER", "CANCELED").body["cancellationReason"] = "the market is closed"

    assert "the market is closed" == read_work(Gate(sandbox.url), [outcome(fleet, 1, "01OUTER")])["key-1"]["error"]


def test_a_canarys_score_costs_one_read_an_analysis(
    sandbox: SandboxGate, played: Callable[..., Execution], fleet: Any
) -> None:
    analyses = [
        {"type": "runCanary", "name": f"Run Canary #{number}", "status": status, "canaryScore": score}
        for number, status, score in [(1, "SUCCEEDED", 87), (2, "RUNNING", None)]
    ]
    one = played("01CANARY", "RUNNING", {"type": "kayentaCanary", "name": "Canary", "status": "RUNNING"}, *analyses)
    work, gate = [outcome(fleet, 1, "01CANARY")], Gate(sandbox.url)

    said = [read_work(gate, work)["key-1"]["waits"] for _ in range(3)]
    one.body["stages"][2].update(status="SUCCEEDED")
    one.body["stages"][2]["context"]["canaryScore"] = 92.5
    said.append(read_work(gate, work)["key-1"]["waits"])

    assert ["canary analysis: score 87, interval 2"] * 3 + ["canary analysis: score 92.5, interval 3"] == said
    assert 2 == asked(sandbox).count("/pipelines/01CANARY")


def test_a_judgment_that_is_waited_for_costs_no_request_of_its_own(
    sandbox: SandboxGate, played: Callable[..., Execution], fleet: Any
) -> None:
    played("01JUDGED", "RUNNING", {"type": "manualJudgment", "name": "Approve", "status": "RUNNING"})

    bodies = read_work(Gate(sandbox.url), [outcome(fleet, 1, "01JUDGED")])

    assert 'waits for a manual judgment "Approve" in Spinnaker' == bodies["key-1"]["waits"]
    assert ["/executions"] == asked(sandbox)
