"""`fairlead-sandbox demo`, run for real as people run it: the four stories, a controller that dies, a Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("fairlead-sandbox")
FAIRLEAD = Path(sys.executable).with_name("fairlead")
STRANGE = {  # what a person's machine may have set; none of it may matter
    "AWS_PROFILE": "nobody",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "GIT_DIR": "/nowhere",
    "FAIRLEAD_WORKERS": "many",
    "http_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
}
SHA = r"(?P<sha>[0-9a-f]{7})"


class Demo:
    """A demo that runs, with what it printed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.world = folder / "world"
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [PROGRAM, "demo", "--folder", self.world, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **STRANGE},
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def controller(self) -> int:
        """The controller's process id, as it was said."""
        self.wait_for("controller: process ")
        found = re.search(r"controller: process (\d+)", self.output)
        assert found is not None
        return int(found[1])

    def wait_for(self, text: str, within: float = 150) -> None:
        self._wait(lambda: text in self.output or self._process.poll() is not None, text, within)
        assert text in self.output, self.output

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, within: float = 60) -> int:
        """The exit code."""
        self._wait(lambda: self._process.poll() is not None, "its end", within)
        return self._process.wait()

    def _wait(self, so: Callable[[], bool], what: str, within: float) -> None:
        deadline = time.monotonic() + within
        while not so():
            assert time.monotonic() < deadline, f"no {what} within {within} s:\n{self.output}"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[Demo]:
    running = Demo(folder, *options)
    try:
        yield running
    finally:
        running.stop()


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def notes(output: str) -> dict[str, str]:
    """What git showed at the end: a commit's subject to its note."""
    shown = output.partition("git log --notes=fairlead\n")[2].partition("\n0. ")[0]
    parts = re.split(rf"^commit {SHA}  (.*)$", shown, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that was asked to stay up, when its stories are over."""
    with demo(tmp_path_factory.mktemp("demo"), "--keep") as running:
        running.wait_for("The world stays up until Ctrl-C")
        yield running


def test_all_four_stories_happen(played: Demo) -> None:
    assert "4 of 4 stories happened" in played.output
    for number in range(5):
        assert f"✓ {number}. " in played.output


def test_each_commit_is_shown_with_its_final_statuses(played: Demo) -> None:
    found = notes(played.output)
    bump = found["Merge bump-prod-checkout-1.4.2: Bump prod/checkout to 1.4.2"]
    bad = found["Merge bump-prod-checkout-1.5.0: Bump prod/checkout to 1.5.0"]
    revert = next(note for subject, note in found.items() if subject.startswith("Merge revert-"))

    assert 4 == len(found)
    assert "pending" not in "".join(found.values())
    assert re.search(r"success  fairlead/prod/checkout  1\.4\.2 on 2/2 units in \d+ s", bump)
    assert re.search(rf"failure  fairlead/prod/checkout  rolled back to 1\.4\.2 \(reverted by {SHA}\)", bad)
    assert re.search(rf"success  fairlead/prod/checkout  rolled back to 1\.4\.2 \(reverts {SHA}\)", revert)
    assert "success  fairlead/prod/catalog  2.0.3 on 2/2 units; drift healed in" in found["Say what runs where"]


def test_the_failure_is_said_on_the_commit_before_anybody_reverts_it(played: Demo) -> None:
    story = played.output.partition("== 2.")[2].partition("== 3.")[0]
    assert re.search(rf"{SHA} failure fairlead/prod/checkout 1\.5\.0 failed: .*; rolled back to 1\.4\.2 on 2/2", story)


def test_what_stays_up_answers_and_ends_with_ctrl_c(played: Demo) -> None:
    controller = played.controller
    status = [FAIRLEAD, "status", "--config", played.world / "fairlead.toml"]
    answer = subprocess.run(status, capture_output=True, text=True, check=False)
    played.signal(signal.SIGINT)

    assert (0, "8 fleets, 8 ready") == (answer.returncode, answer.stdout.splitlines()[-1])
    assert 0 == played.end()
    assert not is_there(controller)


def test_a_folder_that_is_in_use_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    answer = subprocess.run([PROGRAM, "demo", "--folder", tmp_path], capture_output=True, text=True, check=False)

    sentence = f"fairlead-sandbox: {tmp_path} holds something already; name a folder that is new or empty\n"
    assert (1, sentence) == (answer.returncode, answer.stderr)


def test_without_git_it_says_so(tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path)}
    answer = subprocess.run([PROGRAM, "demo"], capture_output=True, text=True, check=False, env=nowhere)

    sentence = "fairlead-sandbox: git is not on the PATH; install it: the sandbox serves a real repository\n"
    assert (1, sentence) == (answer.returncode, answer.stderr)


def test_a_controller_that_dies_is_missed(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.wait_for("== 1. ")
        os.kill(running.controller, signal.SIGKILL)

        assert 1 == running.end()
        assert "0 of 4 stories happened" in running.output
        assert "  expected  pipeline in us-east-1, first wave\n" in running.output
        assert "  given up  the controller ended by signal 9\n" in running.output
        assert f"the last lines of {running.world / 'controller.log'}" in running.output
        assert "info    pass  family=" in running.output
        assert "- 4. Somebody changes a group by hand: not played" in running.output
        assert "Traceback" not in running.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_what_it_started(tmp_path: Path, number: int) -> None:
    with demo(tmp_path) as running:
        controller = running.controller
        running.signal(number)

        assert 130 == running.end()
        assert not is_there(controller)
        assert "Traceback" not in running.output
