"""A fleet whose next release is to be in another place: what counts is what is there."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from adapters.agent_protocol.orders import Release
from adapters.agent_protocol.reports import WorkState
from fairlead_agent.hands import Hands
from fairlead_agent.installation import Installation, Means
from tests.unit.agent.workplace import AWAY, Workplace

DONE, FAILED = WorkState.DONE, WorkState.FAILED
ELSEWHERE = "/srv/elsewhere"


class Moving(Workplace):
    """A host with two roots. Its unit starts what the newest of them has."""

    def hire(self) -> None:
        super().hire()
        self.worker._hands = self.hands

    def hands(self, root: str) -> Hands:
        field = self.field
        if root != ELSEWHERE:
            kept: Hands = field.hands
            return kept
        place = field.host.folder / ELSEWHERE.lstrip("/")
        means = Means(s3=lambda: field.host.s3, secrets=lambda: field.host.secrets)
        return replace(self.hands(""), installation=Installation(place, means), folder=place / "current")


@pytest.fixture
def place(field: Any, make_order: Any, clock: Any) -> Moving:
    found = Moving(field, make_order, clock)
    field.unit._current = lambda: found.hands(ELSEWHERE).installation.current() or field._current()
    return found


def moved(release: Release) -> Release:
    return replace(release, commit="d" * 40, lifecycle=replace(release.lifecycle, root=ELSEWHERE))


def test_the_same_release_in_another_place_is_brought_there(place: Moving) -> None:
    release = place.field.release("1.0")
    place.order(release, 1)
    place.round()
    place.field.unit.asked.clear()
    place.order(moved(release), 2)

    last = place.round()

    assert (DONE, "") == (last.work.state, last.work.message)  # type: ignore[union-attr]
    assert release.id == place.hands(ELSEWHERE).installation.current()
    assert "start" in place.field.unit.asked
    assert (release.components, True) == (last.components, last.healthy)
    assert ELSEWHERE == place.field.journal.memory.last_good_root


@pytest.mark.parametrize("is_same", [True, False])
def test_a_move_that_fails_leads_back_to_where_it_was(place: Moving, is_same: bool) -> None:
    old = place.field.release("1.0")
    place.order(old, 1)
    place.round()
    new = moved(old if is_same else place.field.release("1.1"))
    starts = place.field.unit._start
    place.field.unit._start = lambda: starts() if place.field.work.stage == "rolling-back" else (False, "no such file")
    place.field.unit._current = place.field._current
    place.order(new, 2)

    last = place.round()

    assert (FAILED, "1.0") == (last.work.state, last.work.rolled_back_to)  # type: ignore[union-attr]
    assert (old.components, True) == (last.components, last.healthy)
    assert place.field.runs(old)
    assert place.field.groups.inside
    place.orders.look_at = AWAY
    place.hire()
    assert old.components == place.round().components


def test_a_unit_that_still_starts_the_place_before_runs_nothing_of_the_new_one(place: Moving) -> None:
    old = place.field.release("1.0")
    place.order(old, 1)
    place.round()
    jar = place.field.host.here("matchmaker.jar")
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(jar)], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as service:
        assert service.stdout is not None
        service.stdout.readline()
        place.field.unit.tell(began=1.0)
        place.field.unit.show_real = service.pid
        place.order(moved(place.field.release("1.1")), 2)

        work = place.round().work

    assert work is not None
    assert (FAILED, "checking", "1.0") == (work.state, work.stage, work.rolled_back_to)
    assert f"runs {jar}, which is of another release" in work.message
