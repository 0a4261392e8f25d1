"""Sending the same correlation id again."""

from uuid import uuid4

from tests.contract.spinnaker.servers.cases import WEB, unverified
from tests.contract.spinnaker.servers.speaking import HOLD, Server, statuses

WAIT = {"type": "wait", "name": "Wait", "waitTime": 0}


def test_in_flight_it_gives_the_same_execution(server: Server) -> None:
    pipeline, same = server.pipeline(HOLD), {"correlationId": str(uuid4())}

    with server.held(pipeline, **same) as first:
        assert first == server.start(pipeline, **same)


def test_in_flight_its_new_parameters_are_ignored(server: Server) -> None:
    pipeline, same = server.pipeline(HOLD), str(uuid4())

    with server.held(pipeline, correlationId=same, parameters={"VERSION": "1"}) as first:
        server.start(pipeline, correlationId=same, parameters={"VERSION": "2"})

        assert {"VERSION": "1"} == server.read(first)["trigger"]["parameters"]


def test_it_is_not_bound_to_one_pipeline(server: Server) -> None:
    same = {"correlationId": str(uuid4())}

    with server.held(server.pipeline(HOLD), **same) as first:
        assert first == server.start(server.pipeline(WAIT), **same)


def test_while_paused_it_gives_the_same_execution(server: Server) -> None:
    pipeline, same = server.pipeline(HOLD), {"correlationId": str(uuid4())}

    with server.held(pipeline, **same) as first:
        server.put(f"/pipelines/{first}/pause")
        server.until(first, lambda now: statuses(now)["Hold"] == "PAUSED", "the stage's pause")

        assert first == server.start(pipeline, **same)


def test_while_it_waits_for_its_turn_it_gives_the_same_execution(server: Server) -> None:
    pipeline, same = server.pipeline(HOLD, limitConcurrent=True), {"correlationId": str(uuid4())}

    with server.held(pipeline):
        queued = server.start(pipeline, **same)
        assert (queued, "NOT_STARTED") == (server.start(pipeline, **same), server.read(queued)["status"])
        server.put(f"/pipelines/{queued}/cancel")


def test_after_success_it_starts_another(server: Server) -> None:
    pipeline, same = server.pipeline(WAIT), {"correlationId": str(uuid4())}

    first = server.start(pipeline, **same)
    assert "SUCCEEDED" == server.ended(first)["status"]

    second = server.start(pipeline, **same)
    assert first != second
    assert "SUCCEEDED" == server.ended(second)["status"]


def test_after_a_cancel_it_starts_another(server: Server) -> None:
    pipeline, same = server.pipeline(HOLD), {"correlationId": str(uuid4())}
    with server.held(pipeline, **same) as first:
        pass

    with server.held(pipeline, **same) as second:
        assert first != second


@unverified(WEB)
def test_after_a_refusal_it_starts_another(server: Server) -> None:
    same = {"correlationId": str(uuid4())}
    assert 400 == server.post(server.pipeline(WAIT, disabled=True), **same).status_code

    assert "SUCCEEDED" == server.ended(server.start(server.pipeline(WAIT), **same))["status"]


def test_without_one_every_trigger_starts_another(server: Server) -> None:
    pipeline = server.pipeline(WAIT)

    assert 3 == len({server.start(pipeline, eventId="same") for _ in range(3)})
