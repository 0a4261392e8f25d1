"""Services: a systemd unit by a played systemctl, and a command that restarts."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.agent_protocol.orders import Run
from adapters.agent_protocol.reports import Blame
from fairlead_agent.reach import runner
from fairlead_agent.running import Process
from fairlead_agent.service import Service
from fairlead_agent.settings import Rehearsal
from fairlead_agent.trouble import Interrupted, Trouble

UNIT = Run(unit="mm.service", stop_within=30.0)
# It writes down what it was asked, and then does what the test put into a file named by the verb.
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
for word; do
  case "$word" in -*) ;; *) break ;; esac
done
[ -e "$(dirname "$0")/$word" ] && . "$(dirname "$0")/$word"
exit 0
"""


class Systemd:
    """A folder with a systemctl in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        (folder / "systemctl").write_text(SYSTEMCTL)
        (folder / "systemctl").chmod(0o755)

    def does(self, verb: str, script: str) -> None:
        (self.folder / verb).write_text(script)

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        said = path.read_text().splitlines() if path.exists() else []
        return [line for line in said if not line.startswith("show ")]  # looking costs nothing


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path / "bin")


@pytest.fixture
def service(systemd: Systemd) -> Service:
    return Service(runner(Rehearsal(path=systemd.folder)))


@pytest.fixture
def interrupted(systemd: Systemd) -> Iterator[Callable[[str], Event]]:
    """An event that is set as soon as systemctl was asked for something."""
    threads: list[Thread] = []
    over = Event()

    def when(asked: str) -> Event:
        stop = Event()

        def watch() -> None:
            while not over.wait(0.01):
                if any(line.startswith(asked) for line in systemd.asked):
                    stop.set()
                    return

        threads.append(Thread(target=watch))
        threads[-1].start()
        return stop

    yield when
    over.set()
    for thread in threads:
        thread.join()


def test_a_unit_is_stopped_and_started(service: Service, systemd: Systemd) -> None:
    service.restart(UNIT, Path("/"), Event())

    assert ["stop mm.service", "reset-failed mm.service", "start mm.service"] == systemd.asked


def test_a_start_has_as_long_as_its_health(service: Service, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit of Type=notify has begun when it is ready."""
    monkeypatch.setattr("fairlead_agent.service.START", 0.1)
    systemd.does("start", "sleep 0.5")

    service.restart(UNIT, Path("/"), Event(), within=30.0)
    service.restart(Run(command="sleep 0.5", stop_within=0.0), Path("/"), Event(), within=30.0)

    assert "start mm.service" == systemd.asked[-1]


def test_a_restart_that_left_the_old_process_running(service: Service, systemd: Systemd) -> None:
    systemd.does("show", "echo MainPID=4711; echo ExecMainStartTimestampMonotonic=17000000")

    with pytest.raises(Trouble, match=r"systemctl restart left the old process running: .* 4711") as told:
        service.restart(UNIT, Path("/"), Event())

    assert Blame.UNHEALTHY == told.value.blame


@pytest.mark.parametrize("pid", ["0", "[not set]", ""])
def test_who_runs_where_nobody_can_tell(service: Service, systemd: Systemd, pid: str) -> None:
    """A unit that has ended its start, one that is down, a systemd that says something else."""
    systemd.does("show", f"echo 'MainPID={pid}'; echo ExecMainStartTimestampMonotonic=17")

    assert (None, None) == (service.process(UNIT), service.process(Run(command="true")))
    service.restart(UNIT, Path("/"), Event())


def test_who_runs(service: Service, systemd: Systemd) -> None:
    systemd.does("show", "echo MainPID=4711; echo ExecMainStartTimestampMonotonic=17000000")

    assert Process(pid=4711, began=17_000_000) == service.process(UNIT)


def test_a_stop_that_fails_or_hangs_is_killed(
    service: Service, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead_agent.service._MORE", 0.1)
    systemd.does("stop", '[ -e "$0.again" ] || { touch "$0.again"; sleep 600; }')

    service.restart(Run(unit="mm.service", stop_within=0.1), Path("/"), Event())

    assert [
        "stop mm.service",
        "kill --signal=SIGKILL mm.service",
        "stop mm.service",
        "reset-failed mm.service",
        "start mm.service",
    ] == systemd.asked


def test_what_does_not_start_is_the_version_s_fault_with_its_last_words(service: Service, systemd: Systemd) -> None:
    systemd.does("start", "echo Job for mm.service failed; exit 1")

    with pytest.raises(Trouble, match=r"systemctl start mm\.service ended with 1") as told:
        service.restart(UNIT, Path("/"), Event())

    assert (Blame.UNHEALTHY, "Job for mm.service failed") == (told.value.blame, told.value.log)


def test_a_start_that_hangs(service: Service, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_agent.service.START", 0.1)
    systemd.does("start", "sleep 600")

    with pytest.raises(Trouble, match=r"systemctl start mm\.service did not end in time"):
        service.restart(UNIT, Path("/"), Event())


def test_who_interrupts_before_it_stops_nothing(service: Service, systemd: Systemd) -> None:
    stop = Event()
    stop.set()

    for how in (UNIT, Run(command=f"touch {systemd.folder}/restarted")):
        with pytest.raises(Interrupted):
            service.restart(how, Path("/"), stop)

    assert [] == systemd.asked
    assert not (systemd.folder / "restarted").exists()


@pytest.mark.parametrize("step", ["stop", "start"])
def test_who_interrupts_does_not_leave_the_service_stopped(
    service: Service, systemd: Systemd, interrupted: Any, step: str
) -> None:
    systemd.does(step, '[ "$1" = --no-block ] || sleep 600')

    with pytest.raises(Interrupted):
        service.restart(UNIT, Path("/"), interrupted(step))

    assert "--no-block start mm.service" == systemd.asked[-1]


@pytest.mark.parametrize(
    ("state", "is_running", "failure"),
    [
        ("active", True, ""),
        ("reloading", True, ""),
        ("deactivating", True, ""),
        ("activating", False, ""),
        ("inactive", False, ""),
        ("failed", False, "mm.service has failed"),
        ("", False, ""),
    ],
)
def test_what_systemd_says(service: Service, systemd: Systemd, state: str, is_running: bool, failure: str) -> None:
    systemd.does("is-active", f"echo {state}; exit 3")

    assert (is_running, failure) == (service.is_running(UNIT), service.failure(UNIT))


def test_where_there_is_no_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    service = Service(runner(Rehearsal()))

    assert (False, "") == (service.is_running(UNIT), service.failure(UNIT))
    with pytest.raises(Trouble, match="cannot run systemctl") as told:
        service.restart(UNIT, tmp_path, Event())
    assert Blame.REFUSED == told.value.blame


# Commands


def test_a_command_runs_in_the_folder_and_counts_as_running(service: Service, tmp_path: Path) -> None:
    how = Run(command="pwd > restarted")

    service.restart(how, tmp_path, Event())

    assert str(tmp_path) == (tmp_path / "restarted").read_text().strip()
    assert (True, "") == (service.is_running(how), service.failure(how))


def test_a_command_that_fails(service: Service, tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="the command that restarts it ended with 7") as told:
        service.restart(Run(command="echo no such port; exit 7"), tmp_path, Event())

    assert (Blame.UNHEALTHY, "no such port") == (told.value.blame, told.value.log)


def test_a_command_under_way_is_not_interrupted(service: Service, tmp_path: Path, interrupted: Any) -> None:
    """Half of it is a service that is down, and nothing that would begin it again."""
    os.mkfifo(tmp_path / "gate")
    stop = Event()
    how = Run(command="echo > began; read line < gate; echo > done", stop_within=30.0)
    restarting = Thread(target=service.restart, args=(how, tmp_path, stop), daemon=True)
    restarting.start()
    gate = os.open(tmp_path / "gate", os.O_WRONLY)  # waits until the command reads
    stop.set()
    os.write(gate, b"go\n")
    os.close(gate)
    restarting.join(10.0)

    assert not restarting.is_alive()
    assert (tmp_path / "done").exists()


def test_what_a_command_leaves_behind_goes_on(service: Service, tmp_path: Path) -> None:
    service.restart(Run(command="sleep 600 & echo $! > pid"), tmp_path, Event())
    pid = int((tmp_path / "pid").read_text())

    try:
        assert Path(f"/proc/{pid}").exists()
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
