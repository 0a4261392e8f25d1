"""The step before a version on the one host that an order asks: run once, whatever happens in between."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest

from adapters.agent_protocol.orders import Before, Order, Release
from adapters.agent_protocol.reports import Blame, Report, WorkState
from fairlead_agent.orders import Look
from fairlead_agent.trouble import Trouble
from fairlead_agent.worker import ROOM
from tests.unit.agent.workplace import Workplace

DONE, FAILED, WORKING = WorkState.DONE, WorkState.FAILED, WorkState.WORKING


@pytest.fixture
def place(field: Any, make_order: Any, clock: Any) -> Workplace:
    made = Workplace(field, make_order, clock)
    made.order(field.release("1.0"), 1)
    made.round()
    made.reports.clear()
    field.unit.asked.clear()
    field.groups.asked.clear()
    return made


def ask(place: Workplace, command: str, sequence: int = 2, host: str = "i-1", attempt: int = 1) -> Release:
    """An order that admits nobody yet."""
    old, new = place.field.release("1.0"), place.field.release("1.1")
    step = Before(host=host, attempt=attempt, command=command, within=30.0)
    place.order(new, sequence, base=old, admitted=frozenset(), before=step)
    return new


def counting(place: Workplace, then: str = "") -> str:
    return f"echo run >> {place.field.host.folder / 'runs'}; {then}"


def runs(place: Workplace) -> int:
    path = place.field.host.folder / "runs"
    return len(path.read_text().split()) if path.exists() else 0


def order(place: Workplace) -> Order:
    found = place.orders.look_at.order
    assert found is not None
    return found


def said(reports: list[Report]) -> list[tuple[str, str]]:
    return [(each.before.state, each.before.message) for each in reports if each.before]


def test_it_is_staged_run_and_reported_and_what_serves_is_not_touched(place: Workplace) -> None:
    old = place.field.journal.memory.last_good
    new = ask(place, counting(place, "test -f matchmaker.jar && pwd >> ../../where"))

    last = place.round()

    assert [(WORKING, "staging"), (WORKING, "running"), (DONE, "")] == said(place.reports)
    assert last.before is not None
    assert f"{new.commit[:12]}:{new.digest[:12]}:before:a1" == last.before.key
    assert 1 == runs(place)
    assert f"{place.field.host.root}/releases/{new.id}" == (place.field.host.root / "where").read_text().strip()
    assert (old, []) == (place.field.hands.installation.current(), place.field.unit.asked)
    assert [] == place.field.groups.asked
    assert place.worker.is_settled


def test_the_same_key_is_run_once_whatever_came_of_it(place: Workplace) -> None:
    for sequence, end in ((2, "true"), (3, "exit 4")):
        ask(place, counting(place, end), sequence, attempt=sequence)
        for _ in range(3):
            place.round()
        place.hire()
        last = place.round()
        assert sequence - 1 == runs(place)
    assert last.before is not None
    assert (FAILED, "its before step ended with 4", Blame.UNHEALTHY) == (
        last.before.state,
        last.before.message,
        last.before.blame,
    )

    ask(place, counting(place), 4, attempt=4)
    assert (DONE, "") == said([place.round()])[0]
    assert 3 == runs(place)


def test_a_host_that_is_not_asked_does_nothing(place: Workplace) -> None:
    ask(place, counting(place), host="i-2")

    assert place.round().before is None
    assert 0 == runs(place)


def test_what_it_said_last_is_reported(place: Workplace) -> None:
    ask(place, "echo the column is there already; exit 1")

    last = place.round().before

    assert last is not None
    assert "the column is there already" == last.log


def test_where_its_begin_cannot_be_written_down_it_is_not_run(place: Workplace) -> None:
    ask(place, counting(place))
    journal = place.field.journal
    written = journal.write

    def full(memory: Any) -> None:
        if memory.steps:
            raise Trouble.of_the_road("cannot write down the next step: No space left on device")
        written(memory)

    journal.write = full

    last = place.round().before

    assert last is not None
    assert (FAILED, Blame.TRANSIENT, 0) == (last.state, last.blame, runs(place))


def test_an_artifact_that_is_not_there_is_refused_before_anything_is_run(place: Workplace) -> None:
    new = ask(place, counting(place))
    source = new.artifacts[0].source
    assert source is not None
    (place.field.host.s3.folder / source.removeprefix("s3://builds/")).unlink()

    last = place.round().before

    assert last is not None
    assert (FAILED, Blame.REFUSED, 0) == (last.state, last.blame, runs(place))


def test_after_a_crash_it_is_reported_as_failed_and_never_begun_again(place: Workplace) -> None:
    ask(place, counting(place))
    hands = place.field.hands

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    object.__setattr__(hands, "hooks", type("Crashing", (), {"run": crash, "end": lambda *_: None})())
    place.worker.look()
    with pytest.raises(KeyboardInterrupt):
        place.worker.work()
    place.hire()

    last = place.round().before

    assert last is not None
    assert (FAILED, "interrupted; whether it finished is not known", Blame.UNHEALTHY) == (
        last.state,
        last.message,
        last.blame,
    )
    assert 0 == runs(place)


def during_the_step(place: Workplace, deed: Callable[[], None]) -> None:
    """A round in which the deed is done once the command runs."""
    place.worker.look()
    thread = Thread(target=place.worker.work)
    thread.start()
    began, pause = place.field.host.folder / "runs", Event()
    for _ in range(1500):
        if began.exists():
            break
        pause.wait(0.02)
    deed()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("how", ["another order", "the agent ends"])
def test_what_is_interrupted_is_ended_and_counts_as_failed(place: Workplace, how: str) -> None:
    ask(place, counting(place, "sleep 60"))

    def newer() -> None:
        place.order(place.field.release("1.0"), 3)
        place.worker.look()

    during_the_step(place, newer if how == "another order" else place.worker.end)
    if how == "the agent ends":
        place.hire()
    last = place.round().before

    assert last is not None
    assert (FAILED, "interrupted; whether it finished is not known") == (last.state, last.message)
    assert 1 == runs(place)


def test_a_host_that_is_about_to_go_lets_it_finish_and_takes_no_traffic_meanwhile(place: Workplace) -> None:
    gone = place.field.host.folder / "gone"
    ask(place, counting(place, f"while ! test -e {gone}; do sleep 0.05; done"))

    def leave() -> None:
        place.worker.leave(leaving=True)
        pause = Event()
        for _ in range(1500):
            if not place.field.groups.inside and place.worker.is_away:
                break
            pause.wait(0.02)
        assert place.worker.is_held
        gone.touch()

    during_the_step(place, leave)
    last = place.round()

    assert (DONE, "") == said([last])[0]
    assert (1, set(), True) == (runs(place), place.field.groups.inside, place.worker.is_away)
    assert not place.worker.is_held


def test_what_is_still_staged_when_the_host_is_about_to_go_is_not_begun(place: Workplace) -> None:
    ask(place, counting(place))
    post = place.worker._post

    def leaves_while_staging(report: Report) -> None:
        post(report)
        if said([report]) == [(WORKING, "staging")]:
            place.worker.leave(leaving=True)

    place.worker._post = leaves_while_staging
    last = place.round()

    assert (None, 0) == (last.before, runs(place))
    assert "the host is about to go, so it does not begin the before step" == last.message

    place.worker._post = post
    place.worker.leave(leaving=False)
    assert (DONE, "") == said([place.round()])[0]


def test_who_asks_for_room_waits_for_a_step_that_is_under_way(place: Workplace) -> None:
    ask(place, counting(place, "sleep 0.5"))
    assert not place.worker.make_room()
    place.clock.advance(ROOM)
    asked = list[bool]()

    during_the_step(place, lambda: asked.append(place.worker.make_room()))

    assert [True] == asked
    assert not place.worker.make_room()


def test_while_room_is_asked_for_no_step_is_begun(place: Workplace) -> None:
    ask(place, counting(place))
    place.worker.make_room()
    place.round()
    assert 0 == runs(place)

    place.clock.advance(ROOM)
    place.round()

    assert 1 == runs(place)


def test_while_room_is_asked_for_no_deploy_is_begun(place: Workplace) -> None:
    new = place.field.release("1.1")
    place.order(new, 2)
    place.worker.make_room()
    place.round()
    assert not place.field.runs(new)

    place.clock.advance(ROOM)
    place.round()

    assert place.field.runs(new)


def test_a_newer_order_with_the_same_step_interrupts_nothing(place: Workplace) -> None:
    ask(place, counting(place, "sleep 0.5"))
    again = replace(order(place), sequence=3)

    def newer() -> None:
        place.orders.look_at = Look(order=again)
        place.worker.look()

    during_the_step(place, newer)

    assert (DONE, "") == said([place.round()])[0]
    assert 1 == runs(place)


def test_then_the_host_is_admitted_and_takes_what_was_staged(place: Workplace) -> None:
    new = ask(place, counting(place))
    place.round()
    downloads = len(place.field.host.s3.downloads)

    place.order(new, 3)
    last = place.round()

    assert place.field.runs(new)
    assert downloads == len(place.field.host.s3.downloads)
    assert last.work is not None
    assert DONE == last.work.state
    assert (DONE, "") == said([last])[0]


def test_a_report_that_is_sent_again_while_the_step_runs_keeps_the_host_heard(clock: Any, said: Any) -> None:
    from adapters.agent_protocol.reports import Step
    from fairlead_agent.reporting import _is_at_work

    blank = Report(host="i-1", fleet="prod/mm", agent="1", number=1, at=clock.now())

    assert not _is_at_work(blank)
    assert _is_at_work(replace(blank, before=Step(key="k", state=WORKING)))
    assert not _is_at_work(replace(blank, before=Step(key="k", state=DONE)))
