"""A release's own commands, as real processes: where they run, what they know, and that nothing outlives its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.agent_protocol.orders import Hook, Release
from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent import commands, hooks
from fairlead_agent.commands import run
from fairlead_agent.hooks import Errand, Hooks
from fairlead_agent.trouble import Interrupted, Trouble
from tests.unit.agent.workplace import NOBODY, Workplace, during

DONE, FAILED = WorkState.DONE, WorkState.FAILED
HOST = f"i-{os.getpid()}"
STUBBORN = "trap '' TERM; echo deaf; touch began; while :; do sleep 0.1; done"


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "GRACE", 0.3)
    monkeypatch.setattr(hooks, "GRACE", 0.3)


def hooked(release: Release, **commands: str) -> Release:
    made = {name: Hook(command=command, within=30.0) for name, command in commands.items()}
    return replace(release, lifecycle=replace(release.lifecycle, **made))


def errand(host: Any, command: str, within: float = 30.0, key: str = "k:a1") -> Errand:
    host.folder.mkdir(exist_ok=True)
    return Errand(
        what="pre hook",
        key=key,
        command=command,
        within=within,
        release=host.release(host.file("1.0")),
        folder=host.folder,
    )


@pytest.fixture
def own() -> Hooks:
    return Hooks(run, "prod/matchmaker", HOST)


def wait(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    left = Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        left.wait(0.02)
    raise AssertionError("it never came to be")


def alive(path: Path) -> list[int]:
    """The processes whose numbers stand in the file, that still run."""
    numbers = [int(line) for line in path.read_text().split()]
    return [number for number in numbers if _state(number) not in {"", "Z"}]


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_hooks_run_in_the_new_release_and_know_what_they_are_run_for(field: Any) -> None:
    said = field.host.folder / "said"
    tell = f'echo "$FAIRLEAD_FLEET $FAIRLEAD_VERSION $FAIRLEAD_COMMIT $FAIRLEAD_HOST $(pwd)" >> {said}'
    release = hooked(field.release("1.1"), pre=tell, post=tell)

    work = field.begin(release)

    folder = field.host.root / "releases" / release.id
    assert DONE == work.state
    assert [f"prod/matchmaker 1.1 {release.commit} {HOST} {folder}"] * 2 == said.read_text().splitlines()
    told = [event for event in field.said.events if event != "done"]
    assert ["staging", "pre-hook", "draining", "activating", "restarting"] == told[:5]
    assert ["checking", "post-hook", "registering"] == told[5:]


def test_nothing_of_the_agents_own_is_handed_to_a_hook(field: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    said = field.host.folder / "said"

    field.begin(hooked(field.release("1.1"), pre=f"env > {said}"))

    assert "hunter2" not in said.read_text()


def test_a_pre_hook_that_fails_touched_nothing_and_says_why(field: Any) -> None:
    old = field.deployed("1.0")

    work = field.begin(hooked(field.release("1.1"), pre="echo too full >&2; exit 7"))

    assert (FAILED, "pre-hook", Blame.UNHEALTHY, "") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert ("its pre hook ended with 7", "too full") == (work.message, work.log)
    assert field.runs(old)
    assert ([], [], "") == (field.unit.asked, field.groups.asked, field.journal.memory.touched)


def test_a_post_hook_that_fails_leads_back_and_the_host_gets_no_traffic_for_it(field: Any) -> None:
    old = field.deployed("1.0")

    work = field.begin(hooked(field.release("1.1"), post="echo cold; exit 1"))

    assert (FAILED, "post-hook", Blame.UNHEALTHY, "1.0") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert ("its post hook ended with 1", "cold") == (work.message, work.log)
    assert field.runs(old)
    assert ["leave", "enter"] == field.groups.asked


def test_the_way_back_runs_no_hook_of_the_old_release_nor_of_the_new_one(field: Any) -> None:
    said = field.host.folder / "said"
    tell = f"echo $FAIRLEAD_VERSION >> {said}"
    field.begin(hooked(field.release("1.0"), pre=tell, post=tell))
    new = hooked(field.release("1.1"), pre=tell, post=tell)
    field.unit.sick.add(new.id)

    work = field.begin(new)

    assert (FAILED, "1.0") == (work.state, work.rolled_back_to)
    assert ["1.0", "1.0", "1.1"] == said.read_text().split()


@pytest.mark.parametrize(("name", "stage"), [("pre", "pre-hook"), ("post", "post-hook")])
def test_a_hook_that_a_crash_cut_off_is_run_again(field: Any, name: str, stage: str) -> None:
    field.deployed("1.0")
    said = field.host.folder / "said"
    release = hooked(field.release("1.1"), **{name: f"echo run >> {said}"})

    def crash(now: str) -> None:
        if now == stage:
            raise KeyboardInterrupt

    field.at = crash
    with pytest.raises(KeyboardInterrupt):
        field.begin(release)
    field.at = lambda _: None
    field.restart_agent()

    assert DONE == field.resume(release).state
    assert stage == [event for event in field.said.events if event == stage][-1]
    assert ["run"] == said.read_text().split()
    assert field.runs(release)


def test_a_post_hook_that_ended_well_is_not_run_again_for_what_comes_after_it(field: Any) -> None:
    said = field.host.folder / "said"
    release = hooked(field.release("1.1"), post=f"echo run >> {said}")

    def crash(now: str) -> None:
        if now == "registering":
            raise KeyboardInterrupt

    field.at = crash
    with pytest.raises(KeyboardInterrupt):
        field.begin(release)
    field.at = lambda _: None
    field.unit.tell(began=1e6)
    field.restart_agent()
    field.resume(release)

    assert field.runs(release)
    assert 1 <= len(said.read_text().split()) <= 2


def test_a_command_that_ignores_sigterm_ends_with_all_that_it_began_also_what_left_its_group(
    own: Hooks, host: Any
) -> None:
    pids = host.folder / "pids"
    runaway = f"setsid sh -c 'echo $$ >> {pids}; {STUBBORN}' & sh -c 'echo $$ >> {pids}; {STUBBORN}' & "

    with pytest.raises(Trouble) as trouble:
        own.run(errand(host, f"echo $$ >> {pids}; {runaway}{STUBBORN}", within=1.5), Event())

    assert (Blame.UNHEALTHY, "its pre hook did not end in time (1.5 s)") == (
        trouble.value.blame,
        trouble.value.message,
    )
    assert "deaf" in trouble.value.log
    assert 3 == len(pids.read_text().split())
    wait(lambda: not alive(pids))


def test_a_newer_order_ends_it_at_once_with_all_that_it_began(own: Hooks, host: Any) -> None:
    pids, stop = host.folder / "pids", Event()
    thread_said: list[type[BaseException]] = []

    def work() -> None:
        try:
            own.run(errand(host, f"echo $$ >> {pids}; {STUBBORN}"), stop)
        except Interrupted as interrupted:
            thread_said.append(type(interrupted))

    thread = Thread(target=work)
    thread.start()
    wait((host.folder / "began").exists)
    stop.set()
    thread.join(30)

    assert [Interrupted] == thread_said
    wait(lambda: not alive(pids))


def test_what_an_agent_that_was_killed_left_running_is_ended_before_it_is_run_again(own: Hooks, host: Any) -> None:
    """The mark is in the environment of all that it began, whoever is their parent by now."""
    pids = host.folder / "pids"
    orphan = subprocess.Popen(
        ["/bin/sh", "-c", f"echo $$ >> {pids}; {STUBBORN}"],
        cwd=host.folder,
        env={**os.environ, **own._environment(errand(host, ""))},
        start_new_session=True,
    )
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        env={**os.environ, **own._environment(errand(host, "", key="k:a2"))},
    )
    try:
        wait((host.folder / "began").exists)

        own.run(errand(host, "true"), Event())

        assert -9 == orphan.wait(20)
        assert bystander.poll() is None
    finally:
        for each in (orphan, bystander):
            each.kill()
            each.communicate()


def test_without_a_folder_to_run_in_it_is_refused_and_not_blamed_on_the_version(own: Hooks, host: Any) -> None:
    with pytest.raises(Trouble) as trouble:
        own.run(replace(errand(host, "true"), folder=host.folder / "nowhere"), Event())

    assert trouble.value.blame is Blame.REFUSED


def test_what_a_hook_leaves_behind_ends_with_it_also_when_it_went_well(own: Hooks, host: Any) -> None:
    pids = host.folder / "pids"
    left = f"setsid sh -c 'echo $$ >> {pids}; while :; do sleep 0.1; done' &"

    own.run(errand(host, f"{left} while test ! -e {pids}; do sleep 0.02; done"), Event())

    wait(lambda: not alive(pids))


@pytest.mark.parametrize(("name", "stage"), [("pre", "pre-hook"), ("post", "post-hook")])
@pytest.mark.parametrize("then", ["another release", "withdrawn", "the host leaves"])
def test_what_a_killed_agent_left_of_a_hook_is_ended_also_where_nobody_runs_it_again(
    field: Any, make_order: Any, clock: Any, name: str, stage: str, then: str
) -> None:
    place = Workplace(field, make_order, clock)
    place.order(field.release("1.0"), 1)
    place.round()
    place.order(hooked(field.release("1.1"), **{name: "true"}), 2)
    during(place, stage, crash)
    with pytest.raises(KeyboardInterrupt):
        place.round()
    what = stage.replace("-", " ")
    mark = {"FAIRLEAD_RUN": field.hands.hooks._mark(what, field.work.key)}
    left = subprocess.Popen(["/bin/sleep", "60"], env={**os.environ, **mark})

    place.hire()
    place.order(field.release("1.2"), 3, **({"admitted": NOBODY} if then == "withdrawn" else {}))
    place.worker.leave(leaving=then == "the host leaves")
    place.round()

    try:
        assert -signal.SIGTERM == left.wait(20)
    finally:
        left.kill()


def crash() -> None:
    raise KeyboardInterrupt
