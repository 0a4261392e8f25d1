"""The agent as a service of its own: when it hands over, when it was heard, and what it refuses."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.agent_protocol.orders import Artifact, Health, Lifecycle, Order, Release, Run
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import run
from fairlead_agent.itself import PROGRAM, UNIT, Itself, OwnService, launched
from fairlead_agent.trouble import Interrupted, Trouble

OLD, NEW = "a" * 16, "b" * 16
OURS, OTHER = Run(unit=UNIT), Run(unit="matchmaker.service")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "self"
    made.mkdir()
    (made / "current").symlink_to(f"releases/{NEW}")
    return made


@pytest.fixture
def service_of() -> Callable[[Itself], OwnService]:
    return lambda itself: OwnService(run, itself, "prod/fairlead-agent", lambda *_, **__: None)


def itself_in(root: Path | None, release: str = OLD) -> Itself:
    return Itself(version="1.0.0", root=root, release=release)


def release(**more: Any) -> Release:
    said = {"unit": UNIT, "to": PROGRAM, **more}
    artifact = Artifact(name="fairlead-agent", version="2", format="file", source="s3://b/k", to=said["to"], sha256="0")
    lifecycle = Lifecycle(root="/opt/x", run=Run(unit=said["unit"]), health=Health(command="true"))
    return Release(digest="d", commit="c", version="2", components={}, artifacts=(artifact,), lifecycle=lifecycle)


def order(**more: Any) -> Order:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    return Order(fleet="prod/x", sequence=1, target=release(**more), issued=now, expires=now)


def test_an_agent_that_is_not_what_is_current_hands_over(root: Path, service_of: Callable[..., OwnService]) -> None:
    itself = itself_in(root)

    with pytest.raises(Interrupted):
        service_of(itself).restart(OURS, root / "current", Event())

    assert itself.leaving.is_set()


def test_it_lets_a_deploy_of_another_fleet_come_to_its_end(root: Path, service_of: Callable[..., OwnService]) -> None:
    itself, at_work, stop = itself_in(root), Event(), Event()
    at_work.set()
    itself.others.update({"prod/matchmaker": at_work.is_set, "prod/fairlead-agent": lambda: True})
    ended: list[bool] = []

    def hand_over() -> None:
        with pytest.raises(Interrupted):
            service_of(itself).restart(OURS, root / "current", stop)
        ended.append(itself.leaving.is_set())

    thread = Thread(target=hand_over)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    assert not itself.leaving.is_set()
    at_work.clear()
    thread.join(30.0)

    assert [True] == ended


def test_a_newer_order_interrupts_that_wait(root: Path, service_of: Callable[..., OwnService]) -> None:
    itself, stop = itself_in(root), Event()
    itself.others["prod/matchmaker"] = lambda: stop.set() or True  # type: ignore[func-returns-value]

    with pytest.raises(Interrupted):
        service_of(itself).restart(OURS, root / "current", stop)

    assert not itself.leaving.is_set()


def test_the_new_agent_is_restarted_when_it_was_heard(root: Path, service_of: Callable[..., OwnService]) -> None:
    itself, stop = itself_in(root, NEW), Event()
    service = service_of(itself)
    thread = Thread(target=service.restart, args=(OURS, root / "current", stop))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()

    itself.was_sent()
    thread.join(1.0)
    assert thread.is_alive()
    assert not (root / "heard").exists()
    itself.was_read(order(unit="matchmaker.service"))
    thread.join(1.0)
    assert thread.is_alive()
    itself.was_read(order())
    thread.join(30.0)

    assert not thread.is_alive()
    assert f"{NEW}\n" == (root / "heard").read_text()


def test_one_that_was_heard_before_does_not_wait(root: Path, service_of: Callable[..., OwnService]) -> None:
    (root / "heard").write_text(f"{NEW}\n")

    service_of(itself_in(root, NEW)).restart(OURS, root / "current", Event())


def test_what_the_launcher_went_back_from_has_failed_and_is_forgotten_with_the_way_back(
    root: Path, service_of: Callable[..., OwnService]
) -> None:
    (root / "went-back.json").write_text(json.dumps({"release": NEW, "why": "ended 3 times"}))
    (root / "heard").write_text(f"{OLD}\n")
    itself = itself_in(root)
    itself.was_read(order())
    itself.was_sent()
    (root / "heard").write_text(f"{OLD}\n")
    service = service_of(itself)

    with pytest.raises(Trouble, match="the new agent ended 3 times") as raised:
        service.restart(OURS, root / "current", Event())
    assert Blame.UNHEALTHY is raised.value.blame
    (root / "current").unlink()
    (root / "current").symlink_to(f"releases/{OLD}")
    service.restart(OURS, root / "current", Event())

    assert not (root / "went-back.json").exists()


@pytest.mark.parametrize("gets", ["no order", "no report", "neither"])
def test_where_the_agent_before_does_not_get_through_either_nobody_is_blamed(
    root: Path, service_of: Callable[..., OwnService], monkeypatch: pytest.MonkeyPatch, gets: str
) -> None:
    monkeypatch.setattr("fairlead_agent.itself._SAME", 0.1)
    (root / "went-back.json").write_text(json.dumps({"release": NEW, "why": "ended 3 times"}))
    itself = itself_in(root)
    if gets == "no order":
        itself.was_sent()
    if gets == "no report":
        itself.was_read(order())

    with pytest.raises(Trouble, match="ended 3 times") as raised:
        service_of(itself).restart(OURS, root / "current", Event())

    assert Blame.TRANSIENT is raised.value.blame


def test_the_agent_of_the_package_is_heard_without_an_order(root: Path) -> None:
    """Otherwise what was heard before it would be gone back to."""
    (root / "heard").write_text(f"{OLD}\n")

    itself_in(root, "").was_sent()

    assert "\n" == (root / "heard").read_text()


def test_beneath_it_all_is_the_agent_of_the_package(root: Path, service_of: Callable[..., OwnService]) -> None:
    (root / "went-back.json").write_text("{}")

    assert "" == service_of(itself_in(root)).beneath(OURS, root / "current")
    assert "" == service_of(itself_in(root, "")).beneath(OTHER, root / "current")
    assert (root / "current").is_symlink()
    assert "1.0.0" == service_of(itself_in(root, "")).beneath(OURS, root / "current")
    assert ["current", "went-back.json"] == [
        each for each in ("current", "went-back.json") if not os.path.lexists(root / each)
    ]


@pytest.mark.parametrize(
    ("launched_in", "more", "why"),
    [
        (False, {}, "no launcher started this agent"),
        (True, {"to": "agent.pyz"}, "write `to: fairlead-agent.pyz`"),
    ],
)
def test_what_it_cannot_become_is_refused(root: Path, launched_in: bool, more: dict[str, Any], why: str) -> None:
    with pytest.raises(Trouble, match=why) as raised:
        itself_in(root if launched_in else None).check(release(**more), root)

    assert Blame.REFUSED is raised.value.blame


def test_another_root_than_its_own_is_refused(root: Path) -> None:
    with pytest.raises(Trouble, match="own root is"):
        itself_in(root).check(release(), root / "elsewhere")


@pytest.mark.parametrize("unit", [UNIT, "fairlead-agent"])
def test_its_own_unit_is_known_without_the_suffix_too(
    root: Path, service_of: Callable[..., OwnService], unit: str
) -> None:
    itself = itself_in(root)

    with pytest.raises(Trouble, match="own root is"):
        itself.check(release(unit=unit), root / "elsewhere")
    with pytest.raises(Interrupted):
        service_of(itself).restart(Run(unit=unit), root / "current", Event())

    assert itself.leaving.is_set()
    assert service_of(itself).is_running(Run(unit=unit))
    assert "" == service_of(itself).failure(Run(unit=unit))


@pytest.mark.parametrize("place", [".", "..", "deeper", "../self/../self"])
@pytest.mark.parametrize("unit", ["matchmaker.service", "fairlead-agent.timer"])
def test_its_own_root_is_nobody_elses(root: Path, place: str, unit: str) -> None:
    with pytest.raises(Trouble, match="is the agent's own") as raised:
        itself_in(root).check(release(unit=unit), root / place)

    assert Blame.REFUSED is raised.value.blame
    itself_in(root).check(release(unit=unit), root.parent / "selfish")


def test_services_of_others_are_none_of_its_business(root: Path) -> None:
    itself_in(None).check(release(unit="matchmaker.service"), root)


def test_what_the_launcher_said_is_not_handed_on() -> None:
    environment = {"FAIRLEAD_AGENT_SELF": "/x/self", "FAIRLEAD_AGENT_RELEASE": NEW, "PATH": "/bin"}

    found = launched(environment, "1.0.0")

    assert (Path("/x/self"), NEW) == (found.root, found.release)
    assert {"PATH": "/bin"} == environment
    assert None is launched({"FAIRLEAD_AGENT_SELF": "/x/self"}, "1.0.0").root


def test_its_process_is_this_one_by_the_clock_of_the_kernel(root: Path, service_of: Callable[..., OwnService]) -> None:
    process = service_of(itself_in(root)).process(OURS)

    assert process is not None
    assert os.getpid() == process.pid
    assert 0 < process.began < float(Path("/proc/uptime").read_text().split()[0]) * 1_000_000
