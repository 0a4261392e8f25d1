"""Saving pipelines."""

from typing import Any
from uuid import uuid4

import pytest

from tests.contract.spinnaker.servers.cases import FRONT50, unverified
from tests.contract.spinnaker.servers.speaking import Server

WAIT = {"type": "wait", "name": "Wait", "waitTime": 0, "refId": "1", "requisiteStageRefIds": []}


def config(server: Server, **fields: Any) -> dict[str, Any]:
    return {"application": server.application, "name": f"case-{uuid4().hex[:12]}", "stages": [WAIT], **fields}


def listed(server: Server, name: str) -> list[dict[str, Any]]:
    """What the application's list shows under a name."""
    found = server.gate.pipelines(server.application)
    return [dict(each) for each in found if each["name"] == name]


def forgotten(server: Server, name: str) -> None:
    assert 200 == server.ask("DELETE", f"/pipelines/{server.application}/{name}").status_code


@unverified(FRONT50)
def test_a_save_is_answered_with_200_and_nothing_and_keeps_keys_that_nobody_knows(server: Server) -> None:
    sent = config(server, color="blue", triggers=[])

    answer = server.ask("POST", "/pipelines", sent)

    assert (200, b"") == (answer.status_code, answer.content)
    (kept,) = listed(server, sent["name"])
    assert sent == {key: kept[key] for key in sent}
    assert kept["id"]
    forgotten(server, sent["name"])


@unverified(FRONT50)
def test_a_save_drops_what_is_null(server: Server) -> None:
    parameter = {"name": "VERSION", "required": True, "default": None, "options": [{"value": None}]}
    sent = config(server, color=None, parameterConfig=[parameter])

    assert 200 == server.ask("POST", "/pipelines", sent).status_code

    (kept,) = listed(server, sent["name"])
    assert [{"name": "VERSION", "required": True, "options": [{}]}] == kept["parameterConfig"]
    assert "color" not in kept
    forgotten(server, sent["name"])


@unverified(FRONT50)
def test_an_id_of_ones_own_is_kept_and_a_second_save_under_it_replaces(server: Server) -> None:
    first = config(server, id=str(uuid4()), color="blue")
    server.ask("POST", "/pipelines", first)

    again = server.ask("POST", "/pipelines", {**first, "name": f"{first['name']}-renamed", "color": "red"})

    assert 200 == again.status_code
    assert [] == listed(server, first["name"])
    assert [(first["id"], "red")] == [
        (each["id"], each["color"]) for each in listed(server, f"{first['name']}-renamed")
    ]
    forgotten(server, f"{first['name']}-renamed")


@unverified(FRONT50)
def test_a_name_is_taken_whatever_its_case(server: Server) -> None:
    sent = config(server)
    server.ask("POST", "/pipelines", sent)

    answer = server.ask("POST", "/pipelines", {**sent, "name": sent["name"].upper()})

    said = f"A pipeline with name {sent['name'].upper()} already exists in application {server.application}"
    assert (400, True) == (answer.status_code, said in answer.json()["message"])
    forgotten(server, sent["name"])


@unverified(FRONT50)
def test_a_saved_pipeline_is_read_by_its_name(server: Server) -> None:
    sent = config(server)
    server.ask("POST", "/pipelines", sent)
    path = f"/applications/{server.application}/pipelineConfigs"

    assert sent["name"] == server.get(f"{path}/{sent['name']}").json()["name"]
    missing = server.get(f"{path}/no-such-pipeline")
    said = f"Pipeline config (id: no-such-pipeline) not found for Application (id: {server.application})"
    assert (404, said) == (missing.status_code, missing.json()["message"])
    forgotten(server, sent["name"])


@unverified(FRONT50)
def test_a_deleted_pipeline_cannot_be_started_and_deleting_it_again_is_silent(server: Server) -> None:
    sent = config(server)
    server.ask("POST", "/pipelines", sent)
    assert 202 == server.post(sent["name"]).status_code

    forgotten(server, sent["name"])
    forgotten(server, sent["name"])

    assert 404 == server.post(sent["name"]).status_code


@unverified(FRONT50)
@pytest.mark.parametrize("application", ["nowhere", "no-such-application"])
def test_an_application_that_is_not_there_has_no_pipelines(server: Server, application: str) -> None:
    answer = server.get(f"/applications/{application}/pipelineConfigs")

    assert (200, []) == (answer.status_code, answer.json())
