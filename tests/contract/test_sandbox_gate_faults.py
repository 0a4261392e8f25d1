"""Each fault of the sandbox's Gate can be switched on and off from outside, and is seen by a client as it is meant."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings
from fairlead_sandbox.gate.faults import FaultKind

CONFIG = {"id": "config-1", "application": "shop", "name": "wait", "stages": [{"type": "wait", "waitTime": 0}]}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def gate(aws: Aws) -> Iterator[Gate]:
    with Gate(aws, GateSettings(background=False)) as running:
        running.pipelines.save(CONFIG)
        yield running


def trigger(gate: Gate, **body: Any) -> requests.Response:
    return requests.post(f"{gate.url}/pipelines/shop/wait", json=body, timeout=10, allow_redirects=False)


def get(gate: Gate, path: str = "/health", **query: str) -> requests.Response:
    return requests.get(gate.url + path, params=query, timeout=10, allow_redirects=False)


def executions(gate: Gate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(gate, "/executions", pipelineConfigIds="config-1", limit="50").json()
    return found


def status(gate: Gate, ref: str) -> str:
    return str(get(gate, ref).json()["status"])


# -- the switchboard -----------------------------------------------------------------------------------------------


def switch(gate: Gate, method: str, path: str = "faults", **body: Any) -> requests.Response:
    return requests.request(method, f"{gate.url}/sandbox/{path}", json=body or None, timeout=10)


def test_a_fault_is_switched_on_and_off_over_http(gate: Gate) -> None:
    assert {"faults": [{"kind": "unavailable", "times": -1}], "held": 0} == switch(
        gate, "PUT", kind="unavailable"
    ).json()
    assert get(gate).status_code == 503

    assert switch(gate, "DELETE", "faults/unavailable").json()["faults"] == []
    assert get(gate).status_code == 200


def test_all_faults_are_switched_off_at_once(gate: Gate) -> None:
    switch(gate, "PUT", kind="html")
    switch(gate, "PUT", kind="unhealthy_version", version="1.5.0")

    assert switch(gate, "DELETE").json() == {"faults": [], "held": 0}


def test_a_fault_may_strike_a_number_of_times(gate: Gate) -> None:
    switch(gate, "PUT", kind="unavailable", times=2)

    assert [503, 503, 200] == [get(gate).status_code for _ in range(3)]


def test_a_fault_may_concern_one_operation(gate: Gate) -> None:
    gate.faults.on(FaultKind.UNAVAILABLE, operation="search")

    assert (202, 503) == (trigger(gate).status_code, get(gate, "/applications/shop/executions/search").status_code)


@pytest.mark.parametrize("body", [{"kind": "bad_luck"}, {"times": 1}])
def test_an_unknown_fault_is_refused(gate: Gate, body: dict[str, Any]) -> None:
    assert switch(gate, "PUT", **body).status_code == 400


# -- at the door ---------------------------------------------------------------------------------------------------


def test_unavailable_is_503_and_starts_nothing(gate: Gate) -> None:
    gate.faults.on("unavailable", times=1)

    assert (503, []) == (trigger(gate).status_code, executions(gate))


def test_too_many_requests_comes_with_and_without_a_reset(gate: Gate) -> None:
    gate.faults.on("too_many_requests", times=1)
    gate.faults.on("too_many_requests", times=1, reset=5)
    bare, told = get(gate), get(gate)

    assert (429, {"message": "Rate capacity exceeded"}) == (bare.status_code, bare.json())
    assert (429, False, True) == (
        told.status_code,
        "X-RateLimit-Reset" in bare.headers,
        "X-RateLimit-Reset" in told.headers,
    )
    assert told.headers["X-RateLimit-Reset"].endswith(" GMT")


def test_a_lost_session_is_a_redirect_to_the_login(gate: Gate) -> None:
    gate.faults.on("login_redirect", times=1)

    answer = get(gate)
    assert (302, f"{gate.url}/login") == (answer.status_code, answer.headers["Location"])


def test_a_web_page_may_come_in_place_of_json(gate: Gate) -> None:
    gate.faults.on("html", times=1)

    answer = get(gate)
    assert (200, True) == (answer.status_code, answer.headers["Content-Type"].startswith("text/html"))


def test_a_slow_answer_is_an_answer(gate: Gate) -> None:
    gate.faults.on("slow", times=1, seconds=0.2)

    with pytest.raises(requests.Timeout):
        requests.get(f"{gate.url}/health", timeout=0.05)


# -- around accepting a trigger ------------------------------------------------------------------------------------


def test_an_error_after_accepting_leaves_a_started_execution(gate: Gate) -> None:
    gate.faults.on("error_after_accepting", times=1)

    answer = trigger(gate, eventId="e-1")

    assert (500, ["e-1"]) == (answer.status_code, [each["trigger"]["eventId"] for each in executions(gate)])
    assert [(500, True)] == [(entry["status"], entry["started"]) for entry in gate.access_log.triggers()]


def test_a_connection_dropped_after_accepting_leaves_a_started_execution(gate: Gate) -> None:
    gate.faults.on("drop_after_accepting", times=1)

    with pytest.raises(requests.ConnectionError):
        trigger(gate)

    assert len(executions(gate)) == 1
    assert [("dropped", True)] == [(entry["status"], entry["started"]) for entry in gate.access_log.triggers()]


def test_a_connection_dropped_before_accepting_leaves_nothing(gate: Gate) -> None:
    gate.faults.on("drop_before_accepting", times=1)

    with pytest.raises(requests.ConnectionError):
        trigger(gate)

    assert executions(gate) == []


def test_a_late_answer_after_accepting_leaves_a_started_execution(gate: Gate) -> None:
    gate.faults.on("delay_after_accepting", times=1, seconds=0.2)

    with pytest.raises(requests.Timeout):
        requests.post(f"{gate.url}/pipelines/shop/wait", json={}, timeout=0.05)

    assert gate.access_log.wait_for(lambda entries: entries[0]["started"])


@pytest.mark.parametrize(("kind", "held_executions"), [("hold_before_accepting", 0), ("hold_after_accepting", 1)])
def test_a_request_is_held_until_released(gate: Gate, kind: str, held_executions: int) -> None:
    gate.faults.on(kind, times=1)
    with ThreadPoolExecutor(1) as other:
        answer = other.submit(trigger, gate)
        assert gate.faults.wait_until_held()
        assert held_executions == len(executions(gate))
        assert switch(gate, "GET").json()["held"] == 1

        switch(gate, "POST", "release")
        assert answer.result(10).status_code == 202

    assert len(executions(gate)) == 1


def test_a_held_request_can_be_turned_away(gate: Gate) -> None:
    gate.faults.on("hold_before_accepting", times=1)
    with ThreadPoolExecutor(1) as other:
        answer = other.submit(trigger, gate)
        assert gate.faults.wait_until_held()
        switch(gate, "POST", "release", accept=False)
        with pytest.raises(requests.ConnectionError):
            answer.result(10)

    assert executions(gate) == []


def test_a_gate_that_ends_lets_go_whoever_is_held(aws: Aws) -> None:
    with ThreadPoolExecutor(1) as other:
        with Gate(aws, GateSettings(background=False)) as gate:
            gate.pipelines.save(CONFIG)
            gate.faults.on("hold_before_accepting")
            answer = other.submit(trigger, gate)
            assert gate.faults.wait_until_held()
        with pytest.raises(requests.ConnectionError):
            answer.result(10)


def test_two_triggers_at_once_with_one_correlation_id_both_start(gate: Gate) -> None:
    gate.faults.on("accept_slowly", seconds=0.3)
    with ThreadPoolExecutor(2) as others:
        refs = {each.result().json()["ref"] for each in [others.submit(trigger, gate, correlationId="c") for _ in "ab"]}

    assert len(refs) == 2


# -- reading -------------------------------------------------------------------------------------------------------


def test_a_read_may_be_200_with_nothing_in_it(gate: Gate) -> None:
    ref = trigger(gate).json()["ref"]
    gate.faults.on("empty_body", times=1)

    first = get(gate, ref)
    assert (200, b"") == (first.status_code, first.content)
    assert status(gate, ref) == "NOT_STARTED"


def test_a_fresh_execution_is_not_found_for_a_while(gate: Gate) -> None:
    gate.faults.on("late_reads", times=1, reads=3)
    ref = trigger(gate).json()["ref"]

    assert [404, 404] == [get(gate, ref).status_code for _ in range(2)]
    assert get(gate, "/executions", executionIds=ref.rpartition("/")[2]).json() == []
    assert get(gate, ref).status_code == 200


def test_a_status_may_be_a_word_that_nobody_knows(gate: Gate) -> None:
    ref = trigger(gate).json()["ref"]
    gate.faults.on("unknown_status", status="REFLECTING")

    assert status(gate, ref) == "REFLECTING"
    gate.faults.clear()
    assert status(gate, ref) == "NOT_STARTED"


# -- executions ----------------------------------------------------------------------------------------------------


def test_202_does_not_mean_that_it_runs(gate: Gate) -> None:
    gate.faults.on("terminal_at_once", times=1)

    answer = trigger(gate)
    seen = get(gate, answer.json()["ref"]).json()
    assert (202, "TERMINAL", "system") == (answer.status_code, seen["status"], seen["canceledBy"])
    assert seen["cancellationReason"].startswith("Failed on startup: ")


def test_an_execution_may_wait_before_it_starts(gate: Gate) -> None:
    gate.faults.on("not_started", times=1, seconds=3600)
    refs = [trigger(gate).json()["ref"] for _ in range(2)]
    gate.tick()

    assert ["NOT_STARTED", "RUNNING"] == [status(gate, each) for each in refs]


def test_a_zombie_runs_for_ever_and_no_cancel_ends_it(gate: Gate) -> None:
    gate.faults.on("zombie", times=1)
    ref = trigger(gate).json()["ref"]
    gate.tick()
    answer = requests.put(f"{gate.url}{ref}/cancel", timeout=10)
    for _ in range(10):
        gate.tick()

    assert (200, "RUNNING") == (answer.status_code, status(gate, ref))
