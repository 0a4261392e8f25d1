"""Which process runs, compared with the release on the disk: what is reported of it, and what a deploy makes of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.agent_protocol.orders import Run
from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent import running
from fairlead_agent.trouble import Trouble
from tests.unit.agent.workplace import AWAY, NOBODY, Workplace, during, lost

DONE, FAILED = WorkState.DONE, WorkState.FAILED
UPTIME = 1000.0  # seconds, where the clock of tests begins


@pytest.fixture
def place(field: Any, make_order: Any, clock: Any) -> Workplace:
    field.unit.tell(began=UPTIME - 10)
    return Workplace(field, make_order, clock)


def switched(place: Workplace, release: Any, clock: Any, seconds: float) -> None:
    """The link leads there since so many seconds after now."""
    link = place.field.hands.folder
    link.unlink()
    link.symlink_to(f"releases/{release.id}")
    moment = clock.now().timestamp() + seconds
    os.utime(link, (moment, moment), follow_symlinks=False)


def brought(place: Workplace, *versions: str) -> list[Any]:
    """Those, one after the other."""
    found = []
    for number, version in enumerate(versions, 1):
        found.append(place.field.release(version))
        place.order(found[-1], number)
        assert place.round().work.state is DONE  # type: ignore[union-attr]
    return found


def test_a_link_that_was_switched_by_hand_claims_nothing_and_a_revert_restarts(place: Workplace, clock: Any) -> None:
    old, _ = brought(place, "1.0", "1.1")
    switched(place, old, clock, 0.0)

    last = place.round()

    assert ({}, False, True) == (last.components, last.healthy, last.running)
    assert "of another release" in last.message
    assert not place.worker.is_settled
    place.order(old, 3, attempts={"i-1": 2})
    assert (DONE, "") == (place.round().work.state, place.field.work.message)  # type: ignore[union-attr]
    assert place.field.runs(old)


def test_what_systemd_started_again_is_of_the_link(place: Workplace, clock: Any) -> None:
    (release,) = brought(place, "1.0")
    switched(place, release, clock, 0.0)
    clock.advance(60.0)
    place.field.unit.tell(began=UPTIME + 30)
    place.field.unit.asked.clear()

    last = place.round()

    assert (release.components, True, []) == (last.components, last.healthy, place.field.unit.asked)
    assert place.field.journal.memory.ran.began == (UPTIME + 30) * 1_000_000


def test_a_process_that_was_seen_is_known_whatever_the_calendar_does(place: Workplace, clock: Any) -> None:
    (release,) = brought(place, "1.0")
    switched(place, release, clock, 0.0)
    clock.moment = clock.moment.replace(year=2020)
    place.orders.look_at = AWAY

    assert release.components == place.round().components


@pytest.mark.parametrize(("older", "is_settled"), [(0.0, True), (1.0, True), (30.0, False)])
def test_a_lost_memory_between_the_switch_and_the_restart(
    place: Workplace, clock: Any, older: float, is_settled: bool
) -> None:
    _, new = brought(place, "1.0", "1.1")
    lost(place)
    place.field.unit.tell(began=UPTIME)
    clock.advance(60.0)
    switched(place, new, clock, older - 60.0)
    place.order(new, 9, attempts={"i-1": 2})

    place.round()

    assert is_settled == ([] == place.field.unit.asked)
    assert DONE == place.field.work.state
    assert place.field.runs(new)


def test_what_is_of_another_release_is_no_sound_host_without_a_memory(place: Workplace, clock: Any) -> None:
    old, new = brought(place, "1.0", "1.1")
    lost(place)
    place.field.unit.tell(began=UPTIME)
    clock.advance(60.0)
    switched(place, new, clock, 0.0)
    place.order(new, 9, base=old, admitted=NOBODY)

    place.round()

    assert place.field.runs(old)


def test_after_a_reboot_a_service_is_started_again_before_it_is_judged(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that a command restarts nothing shows that it is not there."""
    release = place.field.release("1.0")
    health = replace(release.lifecycle.health, within=60.0)
    release = replace(release, lifecycle=replace(release.lifecycle, run=Run(command="restart it"), health=health))
    place.order(release, 1)
    during(place, "checking", place.worker.end)
    place.field.unit.sick.add(release.id)
    place.worker.look()
    place.worker.work()
    assert "checking" == place.field.work.stage
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(running, "_BOOT", tmp_path / "boot_id")
    place.field.unit.sick.clear()
    place.hire()
    place.field.said.clear()

    place.round()

    assert "restarting" in place.field.said.events
    assert DONE == place.field.work.state


def test_without_a_reboot_it_is_not(place: Workplace) -> None:
    release = place.field.release("1.0")
    waits = replace(
        release, lifecycle=replace(release.lifecycle, health=replace(release.lifecycle.health, within=60.0))
    )
    place.order(waits, 1)
    during(place, "checking", place.worker.end)
    place.field.unit.sick.add(release.id)
    place.worker.look()
    place.worker.work()
    place.field.unit.sick.clear()
    place.hire()
    place.field.said.clear()

    assert DONE == place.round().work.state  # type: ignore[union-attr]
    assert "restarting" not in place.field.said.events


def test_a_way_back_that_never_began_leaves_a_sound_host_in_traffic(place: Workplace) -> None:
    """As where another program holds dpkg's lock: neither way begins, and the old release still runs."""
    old, *_ = brought(place, "1.0")
    new = place.field.release("1.1")
    installation = place.field.hands.installation
    activate = installation.activate

    def locked(_: str) -> None:
        raise Trouble(Blame.TRANSIENT, "dpkg: another process holds its lock")

    installation.activate = locked
    place.order(new, 2)
    last = place.round()
    work = last.work
    assert work is not None
    assert (FAILED, "", Blame.TRANSIENT) == (work.state, work.rolled_back_to, work.blame)
    installation.activate = activate

    last = place.round()

    assert (old.components, True) == (last.components, last.healthy)
    assert ("", {}) == (place.field.journal.memory.touched, place.field.journal.memory.left)
    assert place.field.groups.inside


def test_what_failed_in_the_fleet_is_remembered_by_the_next_agent(place: Workplace) -> None:
    old, new = (place.field.release(version) for version in ("1.0", "1.1"))
    brought(place, "1.0")
    waits = replace(new, lifecycle=replace(new.lifecycle, health=replace(new.lifecycle.health, within=60.0)))
    place.field.unit.sick.add(new.id)
    during(place, "checking", place.worker.end)
    place.order(waits, 2, rejected=(old.digest,))
    place.worker.look()
    place.worker.work()
    place.orders.look_at = AWAY
    place.hire()
    place.field.unit.runs = None
    place.field.unit.never_start.add(new.id)

    work = place.round().work

    assert work is not None
    assert (FAILED, "", True) == (work.state, work.rolled_back_to, "nothing to go back to" in work.message)


def test_the_fleet_s_base_is_remembered_by_the_next_agent(place: Workplace) -> None:
    base, new = (place.field.release(version) for version in ("1.0", "1.1"))
    place.field.hands.installation.stage(base, place.field.stop)
    during(place, "restarting", place.worker.end)
    place.field.unit.never_start.add(new.id)
    place.order(new, 1, base=base, admitted=frozenset({"i-1"}))
    place.worker.look()
    place.worker.work()
    place.orders.look_at = AWAY
    place.hire()

    assert "1.0" == place.round().work.rolled_back_to  # type: ignore[union-attr]


# What a process shows by itself


@pytest.fixture
def begun() -> Iterator[Callable[..., Any]]:
    """Real processes, by their command line and folder."""
    children: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, cwd: Path | None = None, close_fds: bool = True) -> running.Process:
        code = "import sys; print(flush=True); sys.stdin.read()"
        child = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=cwd or "/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=close_fds,
        )
        children.append(child)
        assert child.stdout is not None
        child.stdout.readline()
        return running.Process(pid=child.pid, began=1)

    yield begin
    for child in children:
        child.send_signal(signal.SIGKILL)
        child.communicate()


HERE, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize(
    ("word", "folder", "found"),
    [
        ("{root}/current/mm.jar", "", ("", False)),
        (f"{{root}}/releases/{HERE}/mm.jar", "", ("", False)),
        ("--port", f"releases/{HERE}", ("", False)),
        (f"{{root}}/releases/{OTHER}/mm.jar", "", (f"{{root}}/releases/{OTHER}/mm.jar", False)),
        ("--port", f"releases/{OTHER}", (f"{{root}}/releases/{OTHER}", False)),
        (f"--config={{root}}/releases/{OTHER}/mm.yaml", "", (f"{{root}}/releases/{OTHER}/mm.yaml", False)),
        ("/lib/a.jar:{root}/current/mm.jar", "", ("", False)),
        ("{root}/link/mm.jar", "", ("", False)),
        ("{link}/mm.jar", "", ("", False)),
        ("{stale}/mm.jar", "", (f"{{root}}/releases/{OTHER}/mm.jar", False)),
        ("/opt/mm.jar", "", ("", True)),
    ],
)
def test_what_a_process_shows(tmp_path: Path, begun: Any, word: str, folder: str, found: tuple[str, bool]) -> None:
    root, link, stale = (tmp_path / name for name in ("root", "link", "stale"))
    for name in (HERE, OTHER):
        (root / "releases" / name).mkdir(parents=True)
    link.symlink_to(root / "releases" / HERE)
    stale.symlink_to(root / "releases" / OTHER)
    process = begun(word.format(root=root, link=link, stale=stale), cwd=root / folder if folder else None)

    assert (found[0].format(root=root), found[1]) == running.trace(process, root, HERE)


def test_a_process_that_has_a_file_of_the_release_open_is_no_stranger(tmp_path: Path, begun: Any) -> None:
    opened = tmp_path / "releases" / HERE / "mm.jar"
    opened.parent.mkdir(parents=True)
    opened.touch()
    descriptor = os.open(opened, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        process = begun("--port", close_fds=False)
    finally:
        os.close(descriptor)

    assert ("", False) == running.trace(process, tmp_path, HERE)


def test_a_process_that_is_gone_shows_nothing(tmp_path: Path) -> None:
    assert ("", False) == running.trace(running.Process(pid=1 << 23, began=1), tmp_path, HERE)


def test_a_unit_that_runs_another_release_is_no_healthy_host(place: Workplace, begun: Any) -> None:
    old, *_ = brought(place, "1.0")
    jar = place.field.host.root / "releases" / old.id / "matchmaker.jar"
    place.field.unit.show_real = begun(str(jar)).pid
    place.order(place.field.release("1.1"), 2)

    work = place.round().work

    assert work is not None
    assert (FAILED, "checking", "1.0") == (work.state, work.stage, work.rolled_back_to)
    assert f"matchmaker.service runs {jar}, which is of another release" in work.message


def test_a_deploy_says_where_nothing_shows_what_the_unit_runs(place: Workplace, begun: Any) -> None:
    place.field.unit.show_real = begun("/opt/old/matchmaker.jar").pid
    place.order(place.field.release("1.0"), 1)

    work = place.round().work

    assert work is not None
    assert (DONE, True) == (work.state, "nothing shows that matchmaker.service runs this release" in work.message)
