"""What the demo says that it saw of hosts: each look is true where it is so, and false where it is not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from fairlead_sandbox.demo.agents import AgentLine, lines_of
from fairlead_sandbox.demo.checks import Check, Seen, Sight
from fairlead_sandbox.demo.host_checks import admitted, answer, downloaded, one_failed, touched, went_back
from fairlead_sandbox.demo.scene import Scene
from fairlead_sandbox.demo.stage import Stage

FLEET = "prod/matchmaker"


@dataclass
class Hosts:
    """Stands for the stage: its hosts, what they wrote, what they answer. A real one takes a minute to misbehave."""

    wrote: Sequence[AgentLine] = ()
    answers: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    asked_s3: set[str] = field(default_factory=set)

    @property
    def world(self) -> "Hosts":
        return self

    def hosts(self, fleet: str) -> list["Answering"]:
        return [Answering(id=host, said=said) for host, said in self.answers.items() if fleet == FLEET]

    def steps(self, fleet: str) -> Sequence[AgentLine]:
        return self.wrote if fleet == FLEET else ()

    def downloaders(self, fleet: str) -> set[str]:
        return self.asked_s3 if fleet == FLEET else set()


@dataclass
class Answering:
    id: str
    said: dict[str, Any] | None

    def service(self, fleet: str) -> dict[str, Any] | None:
        return self.said if fleet == FLEET else None


def look(check: Check, hosts: Hosts) -> Seen:
    return check(Sight(stage=cast(Stage, hosts), scene=Scene(fleets=(), commits=())))


def wrote(*said: str) -> list[AgentLine]:
    """`"3.5 i-1 done version=2"` each: second, host, event, facts."""
    lines = []
    for each in said:
        second, host, event = each.split(" ", 2)
        stamp = f"2026-11-24T06:01:{float(second):06.3f}Z"
        lines += lines_of(host, FLEET, f"{stamp} {event} fleet={FLEET}\n")
    return lines


def updates(*spans: tuple[float, float]) -> Hosts:
    """Hosts i-0, i-1, ... that go to version 2 from the first second to the second one."""
    lines = [f"0 i-{number} order version=2" for number in range(8)]
    for number, (began, done) in enumerate(spans):
        lines += [f"{began} i-{number} activating version=2", f"{done} i-{number} done version=2"]
    return Hosts(wrote=sorted(wrote(*lines), key=lambda line: line.at))


def test_a_log_is_read_as_facts_and_what_is_no_event_is_left_out() -> None:
    log = (
        "2026-11-24T06:01:09.250Z begins version=0.1.0 host=i-1\n"
        "Traceback (most recent call last):\n"
        f"2026-11-24T06:01:10.250Z done fleet={FLEET} version=2.3.1\n"
        f'2026-11-24T06:01:11.250Z failed fleet={FLEET} why="answers 503, \\"twice\\""\n'
        "2026-11-24T06:01:12.250Z done fleet=prod/lobby version=1.0.0\n"
        f"2026-11-24T06:01:13.250Z done fleet={FLEET} versi"
    )
    found = list(lines_of("i-1", FLEET, log))

    assert [("done", "2.3.1"), ("failed", "")] == [(line.event, line.version) for line in found]
    assert 'answers 503, "twice"' == found[1].facts["why"]
    assert 1.0 == (found[1].at - found[0].at).total_seconds()


@pytest.mark.parametrize(
    ("spans", "so"),
    [
        ([], False),
        ([(1, 2)], True),
        ([(1, 2), (3, 4)], True),
        ([(1, 2), (1.5, 4)], False),  # a second host, before the first was done
    ],
)
def test_the_first_wave_is_one_host_alone(spans: list[tuple[float, float]], so: bool) -> None:
    assert so == look(admitted(FLEET, "2", 1), updates(*spans)).so


@pytest.mark.parametrize(
    ("begins", "so"),
    [(4.1, True), (3.9, False)],
)
def test_a_wave_begins_after_the_soak_of_the_one_before(begins: float, so: bool) -> None:
    hosts = updates((1, 2), (begins, 5), (begins, 5.5), (begins, 6))

    assert so == look(admitted(FLEET, "2", 4, after=1, soak=2.0), hosts).so
    assert not look(admitted(FLEET, "2", 8, after=4), hosts).so


def test_what_hosts_do_at_another_version_is_no_part_of_a_wave() -> None:
    assert look(admitted(FLEET, "3", 1), updates((1, 2))) == Seen(so=False, words="0 hosts healthy at 3")


def test_a_sick_version_failed_on_one_host_and_not_on_two() -> None:
    once = wrote('5 i-1 failed why="answers 503"')
    twice = [*once, *wrote('9 i-1 failed why="answers 503"')]
    spread = [*once, *wrote('9 i-2 failed why="answers 503"')]

    assert look(one_failed(FLEET), Hosts(wrote=once)) == Seen(so=True, words="i-1: answers 503")
    assert not look(one_failed(FLEET, times=2), Hosts(wrote=once)).so
    assert look(one_failed(FLEET, times=2), Hosts(wrote=twice)).so
    assert not look(one_failed(FLEET, times=2), Hosts(wrote=spread)).so
    assert not look(one_failed(FLEET), Hosts()).so


def test_the_host_that_failed_went_back_and_no_other() -> None:
    failed = wrote("5 i-1 failed stage=checking")

    itself = look(went_back(FLEET, "1"), Hosts(wrote=[*failed, *wrote("5.5 i-1 rolled-back version=1")]))
    assert itself == Seen(so=True, words="i-1 runs 1 again after 0.5 s")
    for other in ("5.5 i-2 rolled-back version=1", "5.5 i-1 rolled-back version=0"):
        assert not look(went_back(FLEET, "1"), Hosts(wrote=[*failed, *wrote(other)])).so


@pytest.mark.parametrize("step", ["staging", "draining", "activating", "restarting", "failed", "rolled-back"])
def test_a_host_that_only_read_the_order_was_not_touched(step: str) -> None:
    answers: dict[str, dict[str, Any] | None] = {"i-1": None, "i-2": None}
    read = wrote("1 i-1 order version=2", "1 i-2 order version=2", "2 i-2 done version=1")
    stepped = [*read, *wrote(f"2 i-1 {step} version=2")]

    assert look(touched(FLEET, 0), Hosts(wrote=read, answers=answers)).so
    assert not look(touched(FLEET, 0), Hosts(wrote=stepped, answers=answers)).so
    assert look(touched(FLEET, 1), Hosts(wrote=stepped, answers=answers)) == Seen(
        so=True, words="in the agents' own logs 1 of 2 took no step, i-1 did"
    )


@pytest.mark.parametrize(
    ("said", "so"),
    [
        ({"version": "2", "status": 200}, True),
        ({"version": "2", "status": 503}, False),
        ({"version": "1", "status": 200}, False),
        (None, False),
    ],
)
def test_all_hosts_answer_well_with_the_version(said: dict[str, Any] | None, so: bool) -> None:
    hosts = Hosts(answers={"i-1": {"version": "2", "status": 200}, "i-2": said})

    assert so == look(answer(FLEET, "2", 2), hosts).so
    assert not look(answer(FLEET, "2", 3), hosts).so


def test_who_downloaded_is_counted_by_host() -> None:
    assert look(downloaded(FLEET, 0), Hosts()) == Seen(so=True, words="nobody asked S3 for the artifact")
    assert look(downloaded(FLEET, 1), Hosts(asked_s3={"i-1"})) == Seen(so=True, words="S3 gave the artifact to i-1")
    assert not look(downloaded(FLEET, 1), Hosts(asked_s3={"i-1", "i-2"})).so
