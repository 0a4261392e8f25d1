"""Saving pipeline configurations at the sandbox's Gate, as Gate, Orca and Front50 do it."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings

PIPELINE = {"application": "checkout", "name": "deploy", "stages": [], "color": "blue"}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def gate(aws: Aws) -> Iterator[Gate]:
    with Gate(aws, GateSettings(background=False)) as running:
        yield running


def save(gate: Gate, config: Any, stale_check: bool = False) -> requests.Response:
    query = "?staleCheck=true" if stale_check else ""
    return requests.post(f"{gate.url}/pipelines{query}", json=config, timeout=10)


def listed(gate: Gate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{gate.url}/applications/checkout/pipelineConfigs", timeout=10).json()
    return found


def test_a_save_answers_nothing_and_keeps_what_it_does_not_know(gate: Gate) -> None:
    answer = save(gate, PIPELINE)

    assert (200, b"") == (answer.status_code, answer.content)
    (kept,) = listed(gate)
    assert ("blue", "anonymous") == (kept["color"], kept["lastModifiedBy"])
    assert kept["id"]
    assert kept["updateTs"].isdigit()


def test_a_save_under_an_id_of_its_own_makes_it_and_a_second_replaces_it(gate: Gate) -> None:
    save(gate, {**PIPELINE, "id": "mine"})
    save(gate, {**PIPELINE, "id": "mine", "color": "red"})

    assert [("mine", "red")] == [(each["id"], each["color"]) for each in listed(gate)]
    history = requests.get(f"{gate.url}/pipelineConfigs/mine/history", timeout=10).json()
    assert ["red", "blue"] == [each["color"] for each in history]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"application": "checkout"}, "A pipeline requires name and application fields"),
        ({**PIPELINE, "name": " "}, "A pipeline requires name and application fields"),
        ([], "a pipeline is an object"),
        ({**PIPELINE, "id": "other", "name": "DEPLOY"}, "A pipeline with name DEPLOY already exists in application"),
    ],
)
def test_what_front50_refuses_is_a_400_with_its_reason(config: Any, message: str, gate: Gate) -> None:
    save(gate, PIPELINE)

    answer = save(gate, config)

    assert 400 == answer.status_code
    assert message in answer.json()["message"]


def test_a_stale_save_is_refused_where_that_is_asked_for(gate: Gate) -> None:
    save(gate, {**PIPELINE, "id": "mine"})
    old = {**listed(gate)[0], "updateTs": "1"}

    assert "The submitted pipeline is stale." in save(gate, old, stale_check=True).json()["message"]
    assert 200 == save(gate, old).status_code


def test_an_update_gives_the_configuration_back(gate: Gate) -> None:
    save(gate, {**PIPELINE, "id": "mine"})

    answer = requests.put(f"{gate.url}/pipelines/mine", json={**PIPELINE, "id": "mine", "color": "red"}, timeout=10)

    assert "red" == answer.json()["color"]
    assert 404 == requests.put(f"{gate.url}/pipelines/no", json=PIPELINE, timeout=10).status_code


def test_a_deleted_configuration_is_gone_and_deleting_it_again_is_silent(gate: Gate) -> None:
    save(gate, PIPELINE)

    for _ in range(2):
        assert 200 == requests.delete(f"{gate.url}/pipelines/checkout/Deploy", timeout=10).status_code

    assert [] == listed(gate)


def test_a_save_that_times_out_is_there_a_few_reads_later(gate: Gate) -> None:
    gate.faults.on("save_times_out", times=1, reads=2)

    answer = save(gate, PIPELINE)

    assert (400, True) == (answer.status_code, "(status: RUNNING)" in answer.json()["message"])
    assert [0, 1] == [len(listed(gate)) for _ in range(2)]


def test_a_save_that_times_out_may_never_be_there(gate: Gate) -> None:
    gate.faults.on("save_times_out", times=1, reads=-1)
    save(gate, PIPELINE)

    assert [0, 0, 0] == [len(listed(gate)) for _ in range(3)]


def test_a_cache_may_show_what_was_before_a_save(gate: Gate) -> None:
    save(gate, {**PIPELINE, "id": "mine"})
    gate.faults.on("save_seen_late", times=1, reads=2)

    assert 200 == save(gate, {**PIPELINE, "id": "mine", "color": "red"}).status_code

    assert ["blue", "red"] == [listed(gate)[0]["color"] for _ in range(2)]
