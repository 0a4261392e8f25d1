"""What Gate, Orca and AWS do that nobody expects: how Fairlead ends in each case, and how a naive client does.

`FAIRLEAD` and `NAIVE` are `Ending(said, executions, runs)`. The naive one's is wrong in each.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
import requests

from adapters.gate.trigger import event_id
from fairlead_sandbox import images, server_groups
from reconciler.reasons import Reason
from reconciler.work import Phase

OLD, NEW, BOTH = "1.4.1", "1.4.2", "1.4.1+1.4.2"
RIGHT = ("success", 1, NEW)
TWICE = ("success", 2, NEW)
BOTH_GONE = ("success", 2, "")  # two executions at once: each takes the other's server group out of service
BLAMED = ("failed", 0, OLD)
WEST = "eu-west-1"


def nothing(side: Any) -> None:
    """Nothing happens."""


def disabled(side: Any) -> None:
    side.change(disabled=True)


def in_one_slot(side: Any) -> None:
    """The pipeline lets one execution run at a time, and somebody's runs."""
    side.change(limitConcurrent=True)
    side.post(OLD)
    side.gate.tick()


def somebody_queues_too(side: Any) -> None:
    side.gate.tick()
    side.post(OLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row. A fault holds for this application alone, or for triggers alone where the door strikes."""

    what: str
    fairlead: tuple[str, int, str]
    naive: tuple[str, int, str]
    fault: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    arrange: Callable[[Any], None] = nothing
    meanwhile: Callable[[Any], None] = nothing
    regions: tuple[str, ...] = ("us-east-1",)


DOOR = {"operation": "trigger", "times": 3}
CASES = (
    Case(
        what="202, and the execution is TERMINAL at once",
        fault="terminal_at_once",
        options={"times": 1},
        fairlead=TWICE,
        naive=("failed", 1, OLD),
    ),
    Case(
        what="400, and a TERMINAL execution is recorded",
        arrange=disabled,
        fairlead=("refused", 1, OLD),
        naive=("failed", 3, OLD),
    ),
    Case(
        what="the connection ends after the trigger was accepted",
        fault="drop_after_accepting",
        options={"times": 1},
        fairlead=RIGHT,
        naive=BOTH_GONE,
    ),
    Case(
        what="500 after the trigger was accepted",
        fault="error_after_accepting",
        options={"times": 1},
        fairlead=RIGHT,
        naive=BOTH_GONE,
    ),
    Case(
        what="200 without a body on a read", fault="empty_body", options={"times": 1}, fairlead=RIGHT, naive=BOTH_GONE
    ),
    Case(
        what="404 for an execution that was just named",
        fault="late_reads",
        options={"times": 1, "reads": 2},
        fairlead=RIGHT,
        naive=BOTH_GONE,
    ),
    Case(
        what="the status BUFFERED",
        fault="unknown_status",
        options={"times": 1, "status": "BUFFERED"},
        fairlead=RIGHT,
        naive=("failed", 1, NEW),
    ),
    Case(
        what="a status that nobody knows",
        fault="unknown_status",
        options={"times": 1, "status": "REFLECTING"},
        fairlead=RIGHT,
        naive=("failed", 1, NEW),
    ),
    Case(
        what="queued, then cancelled because a newer one superceded it",
        arrange=in_one_slot,
        meanwhile=somebody_queues_too,
        fairlead=("success", 4, NEW),
        naive=("failed", 3, OLD),
    ),
    Case(
        what="SUCCEEDED with a deploy that FAILED_CONTINUE",
        arrange=lambda side: side.change_deploys(continuePipeline=True),
        fault="unhealthy_version",
        options={"version": NEW},
        fairlead=("failed", 1, BOTH),
        naive=("success", 1, BOTH),
    ),
    Case(
        what="SUCCEEDED with a STOPPED branch",
        arrange=lambda side: side.change_deploys(failPipeline=False),
        fault="unhealthy_version",
        options={"version": NEW},
        fairlead=("failed", 1, BOTH),
        naive=("success", 1, BOTH),
    ),
    Case(
        what="SUCCEEDED with a region that was skipped",
        fault="deploys_nothing",
        options={"region": WEST, "version": NEW},
        regions=("us-east-1", WEST),
        fairlead=("failed", 1, BOTH),
        naive=("success", 1, BOTH),
    ),
    Case(
        what="429 with a reset",
        fault="too_many_requests",
        options={**DOOR, "reset": 7},
        fairlead=RIGHT,
        naive=BLAMED,
    ),
    Case(what="429 without one", fault="too_many_requests", options=DOOR, fairlead=RIGHT, naive=BLAMED),
    Case(what="302 to a login", fault="login_redirect", options=DOOR, fairlead=RIGHT, naive=BLAMED),
    Case(what="a web page", fault="html", options=DOOR, fairlead=RIGHT, naive=BLAMED),
    Case(what="503 for a while", fault="unavailable", options=DOOR, fairlead=RIGHT, naive=BLAMED),
)
LIMITED = {"terminal_at_once", "late_reads", "unknown_status", "unhealthy_version"}


def strike(side: Any, case: Case) -> None:
    side.gate.faults.clear()
    if case.fault:
        own = {"application": side.application} if case.fault in LIMITED else {}
        side.gate.faults.on(case.fault, **case.options, **own)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what.replace(" ", "-").replace(",", ""))
def test_fairlead_ends_right_and_a_naive_client_wrong(
    case: Case, make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    ours, theirs = (make_side(regions=case.regions, meanwhile=case.meanwhile) for _ in range(2))
    case.arrange(ours)
    strike(ours, case)

    assert case.fairlead == fairlead(ours).deploy()

    case.arrange(theirs)
    strike(theirs, case)

    assert case.naive == naive(theirs).deploy()
    assert case.fairlead != case.naive


# -- cases that are no single deploy -----------------------------------------------------------------------------------


def test_a_replayed_correlation_id_in_flight(make_side: Callable[..., Any], fairlead: Any, naive: Any) -> None:
    """The answer names the execution that runs already, and the new parameters are silently dropped."""
    ours, theirs = make_side(), make_side()
    client = fairlead(ours)
    first = client.start(client.intent(OLD))
    again = client.start(replace(first.intent, starts=2))
    newer = client.start(client.intent(NEW))

    assert first.ticket == again.ticket != newer.ticket
    assert [OLD, NEW] == [one.parameters["PKG_VERSION"] for one in ours.executions]

    sure = naive(theirs, {"correlationId": "checkout/deploy"})
    sure.started(OLD)

    assert ("success", 1, OLD) == sure.deploy(NEW)


def test_a_replayed_correlation_id_of_a_complete_execution(
    make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    """It starts another: the id holds only while the first is in flight."""
    ours, theirs = make_side(), make_side()
    client = fairlead(ours)
    intent = client.intent()
    ours.gate.faults.on("drop_after_accepting", times=1)
    client.start(intent)
    ours.finish()

    assert ("success", 1, NEW) == client.deploy()

    sure = naive(theirs, {"correlationId": "checkout/deploy"})
    theirs.gate.faults.on("drop_after_accepting", times=1)
    with pytest.raises(requests.RequestException):
        sure.started()
    theirs.finish()

    assert TWICE == sure.deploy()


def test_two_requests_at_once_both_start(make_side: Callable[..., Any], fairlead: Any, naive: Any) -> None:
    """Nothing locks between Orca's look for the correlation id and its storing of the execution."""
    ours, theirs = make_side(), make_side()
    client = fairlead(ours)
    intent = client.intent()
    together(ours, lambda: ours.post(NEW, correlationId=intent.key, eventId=event_id(intent.key)))

    assert ("success", 2, NEW) == client.deploy()
    assert ["SUCCEEDED", "CANCELED"] == ours.statuses

    sure = naive(theirs, {"correlationId": "checkout/deploy"})
    together(theirs, sure.started)

    assert ("success", 2, "") == theirs.ending(sure.follow(f"/pipelines/{theirs.executions[0].id}"))


def together(side: Any, start: Callable[[], object]) -> None:
    """Two at once, before either is stored."""
    side.gate.faults.on("accept_slowly", seconds=0.3)
    threads = [Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    side.gate.faults.off("accept_slowly")
    assert 2 == len(side.executions)


def test_a_cancel_that_does_nothing(make_side: Callable[..., Any], fairlead: Any, naive: Any) -> None:
    """An execution with nothing in Orca's queue stays RUNNING for ever; the cancel is answered 200."""
    ours, theirs = make_side(), make_side()
    ours.gate.faults.on("zombie", times=1, application=ours.application)
    client = fairlead(ours)
    running = client.look(client.start(client.intent()))
    ours.gate.tick()
    asked = client.abort(running)

    seen = client.look(asked)
    late = client.look(asked, later=timedelta(hours=3))

    assert (Phase.ABORTING, Phase.ABORTING) == (seen.phase, late.phase)
    assert Reason.EXECUTION_STUCK is late.reason
    assert "it was cancelled and is still RUNNING; end it in Spinnaker" in late.message
    assert ["RUNNING"] == ours.statuses

    theirs.gate.faults.on("zombie", times=1, application=theirs.application)
    sure = naive(theirs)
    ref = sure.started()
    theirs.gate.tick()
    assert sure.cancel(ref)  # it believes that it is over, and begins the next

    assert ("success", 2) == sure.deploy()[:2]
    assert ["RUNNING", "SUCCEEDED"] == theirs.statuses


def test_a_pause_of_an_execution_that_does_not_run(make_side: Callable[..., Any], fairlead: Any, naive: Any) -> None:
    """Answered 200, logged by Orca, and nothing else: the execution goes on."""
    ours, theirs = make_side(), make_side()
    sure = naive(theirs)
    ref = sure.started()
    client = fairlead(ours)
    handed = client.start(client.intent())

    assert sure.pause(ref)
    assert naive(ours).pause(f"/pipelines/{handed.ticket}")

    theirs.finish()
    assert ["SUCCEEDED"] == theirs.statuses  # it counts on a deploy that stands still
    assert Phase.SUCCEEDED is client.follow(handed).phase


def test_a_paused_execution_is_under_way(make_side: Callable[..., Any], fairlead: Any, naive: Any) -> None:
    ours, theirs = make_side(), make_side()
    client, sure = fairlead(ours), naive(theirs)
    handed = client.start(client.intent())
    ref = sure.started()
    ours.gate.tick()
    for where, paused in ((ours, f"/pipelines/{handed.ticket}"), (theirs, ref)):
        assert naive(where).pause(paused)

    seen = client.look(handed)

    assert (Phase.RUNNING, True) == (seen.phase, seen.message.endswith(" is PAUSED"))
    assert "failed" == sure.follow(ref)
    for where, paused in ((ours, f"/pipelines/{handed.ticket}"), (theirs, ref)):
        requests.put(f"{where.gate.url}{paused}/resume", timeout=10)
    assert Phase.SUCCEEDED is client.follow(seen).phase
    theirs.finish()
    assert NEW == theirs.runs()  # which it took for failed


def test_a_second_page_of_a_search_is_empty_though_there_is_more(
    make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    """Orca stops collecting once a page of twice the size has `size` matches, and cuts from `startIndex` afterwards."""
    ours = make_side()
    for number in range(25):
        ours.post(NEW, correlationId=f"fairlead:main:prod/x:{number}")
    client = fairlead(ours)
    gate = client.deployer._gate(client.fleet())

    with pytest.MonkeyPatch.context() as smaller:
        smaller.setattr("adapters.gate.client.RUNNING_AT_MOST", 10)
        found = gate.running(ours.application, "fairlead:main:prod/x:", client.clock.now() - timedelta(days=1))

    assert 25 == len(found)

    where = f"{ours.gate.url}/applications/{ours.application}/executions/search"
    pages = [requests.get(where, params={"startIndex": at, "size": 10}, timeout=10).json() for at in (0, 10, 20)]
    assert [10, 10, 0] == [len(page) for page in pages]  # it takes twenty for all


def test_a_search_that_names_one_execution_many_times(make_side: Callable[..., Any], fairlead: Any, naive: Any) -> None:
    """So Orca does on Redis: it reads the same page again, until it has as many matches as were asked for."""
    ours, theirs = make_side(), make_side()
    ours.gate.faults.on("repeated_matches", repeats=10)
    ours.gate.faults.on("drop_after_accepting", times=1)

    assert ("success", 1, NEW) == fairlead(ours).deploy()
    assert ["SUCCEEDED"] == ours.statuses

    sure = naive(theirs, {"eventId": "e-1"})
    ref = sure.started()
    for double in sure.found("e-1")[1:]:  # it keeps one of each
        sure.cancel(f"/pipelines/{double}")

    assert "failed" == sure.follow(ref)


def test_a_search_is_for_more_than_orca_can_have_built_since(
    make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    """On Redis a search reads without end while the span of time holds twice as many as are asked for."""
    ours = make_side()
    client = fairlead(ours)
    client.start(client.intent())

    where = f"/applications/{ours.application}/executions/search"
    (asked,) = ours.gate.access_log.entries(path_prefix=where)
    since = datetime.fromtimestamp(int(asked["query"]["triggerTimeStartBoundary"]) / 1000, UTC)

    assert int(asked["query"]["size"]) >= 2000
    assert client.clock.now() - since < timedelta(hours=2)


def test_the_number_of_a_server_group_begins_again_after_999(
    make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    ours, theirs = make_side(), make_side()
    for side in (ours, theirs):
        side.clear()
        image = images.find(side.aws, "us-east-1", side.application, OLD)
        assert image is not None
        server_groups.create(side.aws, "us-east-1", f"{side.cluster}-v999", image.id, (1, 1, 1), {})

    assert RIGHT == fairlead(ours).deploy()
    names = [group.name for group in server_groups.groups_of(ours.aws, "us-east-1", ours.cluster)]
    assert [f"{ours.cluster}-v999", f"{ours.cluster}-v000"] == names

    assert TWICE == naive(theirs).verified()  # it looked at v999, which is off, and deployed again


TAGS = {
    "no tag at all": ({}, "failed", None),
    "our tag, and no appversion": ({"fairlead:package/{app}": NEW}, "success", None),
    "our tag, and an appversion that cannot be parsed": (
        {"fairlead:package/{app}": NEW, "appversion": "{app}:1.4.2+deb11u1"},
        "success",
        None,
    ),
    "an appversion without a build": ({"appversion": "{app}-1.4.2"}, "success", None),
    "an appversion that frigga takes apart wrongly": (
        {"appversion": "{app}-1.4.2-h150.dead~feature-x"},
        "success",
        "h150.dead~feature",
    ),
}


@pytest.mark.parametrize("kind", TAGS)
def test_what_an_image_says_of_its_version(kind: str, make_side: Callable[..., Any], fairlead: Any, naive: Any) -> None:
    tags, said, parsed = TAGS[kind]

    def retag(side: Any) -> None:
        image = images.find(side.aws, "us-east-1", side.application, NEW)
        assert image is not None
        ec2 = side.aws.client("ec2", "us-east-1")
        ec2.delete_tags(Resources=[image.id], Tags=[{"Key": key} for key in images.tags_of(side.application, NEW)])
        fresh = [
            {"Key": k.format(app=side.application), "Value": v.format(app=side.application)} for k, v in tags.items()
        ]
        if fresh:
            ec2.create_tags(Resources=[image.id], Tags=fresh)

    ours = make_side(before_judging=retag)

    assert said == fairlead(ours).deploy().said
    assert naive(ours).appversion() != NEW
    if parsed:
        assert naive(ours).appversion() == parsed


def test_an_expression_in_a_version_is_evaluated_by_orca(
    make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    ours, theirs = make_side(), make_side()
    version = "1.4.2-${trigger.type}"

    assert ("refused", 0, OLD) == fairlead(ours).deploy(version)
    assert ("success", 1, "1.4.2-manual") == naive(theirs).deploy(version)
