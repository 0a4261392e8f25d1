"""The launcher of the agent: what it starts, by what is on the disk, whatever was lost in between."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LAUNCHER = Path(__file__).parents[3] / "deploy" / "agent" / "launcher.py"
GOOD, NEW, GONE = "a" * 16, "b" * 16, "c" * 16
SAYS = "import os, sys\nprint('{}', os.environ.get('FAIRLEAD_AGENT_RELEASE', 'unwatched') or '-', *sys.argv[1:])\n"


@dataclass
class Home:
    """The agent's root, and the launcher beside the package's agent. An agent says who it is, and ends."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "self"

    def release(self, name: str) -> None:
        folder = self.root / "releases" / name
        folder.mkdir(parents=True)
        (folder / "fairlead-agent.pyz").write_text(SAYS.format(name[0]))

    def switch(self, name: str) -> None:
        (self.root / "current").unlink(missing_ok=True)
        (self.root / "current").symlink_to(f"releases/{name}")

    def current(self) -> str:
        link = self.root / "current"
        return link.readlink().name if link.is_symlink() else ""

    def start(self, *words: str) -> str:
        """What the agent that it became said; what the launcher itself said is left out."""
        environment = {**os.environ, "FAIRLEAD_AGENT_SELF": str(self.root)}
        command = [os.path.realpath(sys.executable), "-I", str(self.folder / "launcher.py"), *(words or ("run",))]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        return ended.stdout.splitlines()[-1]

    def said(self, name: str) -> dict[str, Any]:
        path = self.root / name
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def write(self, name: str, **said: Any) -> None:
        (self.root / name).write_text(json.dumps(said))


def changed(folder: Path, said: str, instead: str) -> None:
    """Lay the launcher there, with one thing in it exchanged."""
    assert said in LAUNCHER.read_text()
    (folder / "launcher.py").write_text(LAUNCHER.read_text().replace(said, instead))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """`a` was heard; `b` was staged."""
    changed(tmp_path, "LEAST = 3, 60.0", "LEAST = 3, 0.0")
    (tmp_path / "fairlead-agent.pyz").write_text(SAYS.format("packaged"))
    made = Home(tmp_path)
    made.release(GOOD)
    made.release(NEW)
    (made.root / "heard").write_text(f"{GOOD}\n")
    made.switch(GOOD)
    return made


def test_with_nothing_of_its_own_it_starts_the_agent_of_the_package(tmp_path: Path, home: Home) -> None:
    (home.root / "current").unlink()

    assert "packaged - run --config x" == home.start("run", "--config", "x")


def test_a_release_that_was_heard_is_started_for_ever(home: Home) -> None:
    assert [f"a {GOOD} run"] * 5 == [home.start() for _ in range(5)]
    assert {} == home.said("trial.json")


def test_a_release_on_trial_is_started_three_times_and_then_gone_back_from(home: Home) -> None:
    home.switch(NEW)

    assert [f"b {NEW} run"] * 3 + [f"a {GOOD} run"] == [home.start() for _ in range(4)]
    assert GOOD == home.current()
    assert {"release": NEW, "why": "ended 3 times before it was heard"} == home.said("went-back.json")
    assert {} == home.said("trial.json")


def test_a_release_that_was_heard_at_its_third_start_stays(home: Home) -> None:
    home.switch(NEW)
    for _ in range(3):
        home.start()
    (home.root / "heard").write_text(f"{NEW}\n")

    assert f"b {NEW} run" == home.start()
    assert NEW == home.current()


def test_the_release_before_it_may_have_been_the_package(home: Home) -> None:
    home.switch(NEW)
    (home.root / "heard").write_text("\n")

    assert "packaged - run" == [home.start() for _ in range(4)][-1]
    assert "" == home.current()


def test_power_lost_on_the_way_back_leads_back_all_the_same(home: Home) -> None:
    home.switch(NEW)
    home.write("went-back.json", release=NEW, why="was not heard")

    assert f"a {GOOD} run" == home.start()
    assert GOOD == home.current()
    assert "was not heard" == home.said("went-back.json")["why"]


def test_a_second_attempt_is_a_whole_trial(home: Home) -> None:
    home.switch(NEW)
    for _ in range(4):
        home.start()
    (home.root / "went-back.json").unlink()  # the agent wrote it down
    home.switch(NEW)

    assert [f"b {NEW} run"] * 3 + [f"a {GOOD} run"] == [home.start() for _ in range(4)]


def test_its_time_is_counted_from_its_first_start_and_over_again_after_a_reboot(home: Home) -> None:
    home.switch(NEW)
    home.start()
    trial = home.said("trial.json")
    home.write("trial.json", **{**trial, "began": trial["began"] - 10_000})

    home.write("trial.json", **{**trial, "began": trial["began"] - 10_000, "boot": "of yesterday"})
    assert f"b {NEW} run" == home.start()
    home.write("trial.json", **{**trial, "began": trial["began"] - 10_000})
    assert f"a {GOOD} run" == home.start()
    assert "did not report and read its order within 150 s" == home.said("went-back.json")["why"]


def test_the_time_that_it_has_is_that_of_its_health_check_and_some_more(home: Home) -> None:
    home.switch(NEW)
    manifest = {"release": {"health": {"within": 10.0}}}
    (home.root / "releases" / NEW / ".fairlead.json").write_text(json.dumps(manifest))
    home.start()
    trial = home.said("trial.json")
    home.write("trial.json", **{**trial, "began": trial["began"] - 41})

    home.start()

    assert "did not report and read its order within 40 s" == home.said("went-back.json")["why"]


def test_what_ends_it_at_once_has_a_minute_to_go_away(home: Home) -> None:
    """The metadata service may be away, or the disk full: that is not the fault of a release."""
    (home.folder / "launcher.py").write_text(LAUNCHER.read_text())
    home.switch(NEW)

    assert [f"b {NEW} run"] * 5 == [home.start() for _ in range(5)]
    trial = home.said("trial.json")
    home.write("trial.json", **{**trial, "began": trial["began"] - 60})
    assert f"a {GOOD} run" == home.start()
    assert "ended 5 times before it was heard" == home.said("went-back.json")["why"]


def test_what_takes_the_host_with_it_is_gone_back_from_after_three_boots(home: Home) -> None:
    (home.folder / "launcher.py").write_text(LAUNCHER.read_text())
    home.switch(NEW)
    for _ in range(3):
        home.start()
        home.write("trial.json", **{**home.said("trial.json"), "boot": "before"})

    assert f"a {GOOD} run" == home.start()


@pytest.mark.parametrize(
    "odd",
    [
        '{"starts": null}',
        '{"began": "x"}',
        '{"began": NaN}',
        '{"began": 1e300}',
        '{"starts": Infinity}',
        '{"starts": -9}',
        '{"starts": []}',
    ],
)
def test_a_trial_that_makes_no_sense_counts_as_none(home: Home, odd: str) -> None:
    home.switch(NEW)
    home.start()
    trial = {**home.said("trial.json"), **json.loads(odd)}
    (home.root / "trial.json").write_text(json.dumps(trial))

    assert f"b {NEW} run" == home.start()
    said = home.said("trial.json")
    assert said["starts"] in {1, 2}
    assert 0 < said["began"] <= time.monotonic()


STAYS = """\
import os, sys
os.write(1, b"{} begins\\n")
os.close(1)
sys.stdin.read()
os._exit(0)
"""


def who_began(home: Home) -> list[str]:
    """What was said until the agent and whoever watches it had no more to say."""
    for name, path in (("b", home.root / f"releases/{NEW}"), ("packaged", home.folder)):
        (path / "fairlead-agent.pyz").write_text(STAYS.format(name))
    command = [os.path.realpath(sys.executable), "-I", str(home.folder / "launcher.py"), "run"]
    environment = {**os.environ, "FAIRLEAD_AGENT_SELF": str(home.root)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        return agent.stdout.read().splitlines()


NOBODY_TO_END = """\
import signal


def _gone(*_):
    raise ProcessLookupError


signal.pidfd_send_signal = _gone
"""


def test_who_watches_an_agent_that_ends_just_then_becomes_none(home: Home) -> None:
    changed(home.folder, "import signal\n", NOBODY_TO_END)
    text = (home.folder / "launcher.py").read_text()
    (home.folder / "launcher.py").write_text(text.replace("GRACE = 120.0, 30.0", "GRACE = 0.1, 0.1"))
    (home.root / "heard").unlink()
    home.switch(NEW)

    said = who_began(home)

    assert ["b begins"] == [line for line in said if line.endswith("begins")]
    assert any("was not heard in time and is ended" in line for line in said)


NO_SECOND_FORK = """\
import time
_fork, _forked = os.fork, []


def _once():
    if _forked:
        raise BlockingIOError("Resource temporarily unavailable")
    _forked.append(1)
    return _fork()


os.fork = _once
"""


def test_where_there_is_no_room_for_who_watches_one_agent_is_begun(home: Home) -> None:
    changed(home.folder, "import time\n", NO_SECOND_FORK)
    (home.root / "heard").unlink()
    home.switch(NEW)

    assert ["packaged begins"] == [line for line in who_began(home) if line.endswith("begins")]
    assert "cannot be watched" == home.said("went-back.json")["why"]


def blocked(home: Home, name: str) -> None:
    """A folder in its place: nothing can be written there, as on a full disk."""
    (home.root / name / "x").mkdir(parents=True)


def cut_off(home: Home, name: str) -> None:
    (home.root / name).write_text('{"release": "bbbb')


@pytest.mark.parametrize("name", ["trial.json", "went-back.json"])
def test_a_file_of_its_own_that_is_cut_off_counts_as_none(home: Home, name: str) -> None:
    home.switch(NEW)
    cut_off(home, name)

    assert f"b {NEW} run" == home.start()


def test_a_trial_that_cannot_be_written_down_is_none(home: Home) -> None:
    """Nobody would count its starts."""
    home.switch(NEW)
    blocked(home, "trial.json")

    assert f"a {GOOD} run" == home.start()


@pytest.mark.parametrize(
    "harm",
    [
        lambda home: (home.root / "releases" / NEW / "fairlead-agent.pyz").unlink(),
        lambda home: home.switch(GONE),
    ],
    ids=["no program", "no release"],
)
def test_a_release_without_its_program_is_gone_back_from_at_once(home: Home, harm: Callable[[Home], None]) -> None:
    home.switch(NEW)
    harm(home)

    assert f"a {GOOD} run" == home.start()
    assert "has no fairlead-agent.pyz" == home.said("went-back.json")["why"]


def test_a_link_that_is_not_of_the_agents_making_is_not_followed(home: Home) -> None:
    (home.root / "current").unlink()
    (home.root / "current").symlink_to("/usr/local/agent")

    assert "packaged - run" == home.start()


def test_other_commands_are_those_of_an_agent_that_was_heard_and_are_no_trial(home: Home) -> None:
    home.switch(NEW)

    assert ["a unwatched check", "a unwatched run --once"] == [home.start("check"), home.start("run", "--once")]
    assert {} == home.said("trial.json")
