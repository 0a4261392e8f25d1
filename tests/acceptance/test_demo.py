"""`fairlead-sandbox demo`, run for real as people run it: its stories, a controller that dies, a Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from fairlead_sandbox import processes

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
AMI = r"ami-[0-9a-f]{17}"


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

    def wait_for(self, text: str, within: float = 300) -> None:
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

    @property
    def started(self) -> list[Path]:
        """The pid files of all hosts' agents and services."""
        return sorted(self.world.glob("hosts/*/run/*.pid"))

    @property
    def left(self) -> list[Path]:
        """Those of them that run."""
        return [path for path in self.started if processes.running(path) is not None]

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


def said(output: str) -> dict[str, str]:
    """What the forge showed at the end: a commit's subject to its statuses."""
    shown = output.partition("GET /repos/sandbox/main/commits/<commit>/status\n")[2].partition("\n0. ")[0]
    parts = re.split(rf"^commit {SHA}  (.*)$", shown, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that was asked to stay up, when its stories are over."""
    with demo(tmp_path_factory.mktemp("demo"), "--keep") as running:
        running.wait_for("The world stays up until Ctrl-C")
        yield running


def seconds(output: str, story: int) -> list[float]:
    """The closing table's row of a story: Spinnaker's seconds, then the agents'."""
    row = re.search(rf"^✓ {story}\. .*$", output, flags=re.MULTILINE)
    assert row is not None, output
    return [float(found) for found in re.findall(r"(\d+\.\d) s ", row[0])]


def told(output: str, story: int) -> str:
    """A story with its steps, as they are listed at the end."""
    return output.partition(f"\n{story}. ")[2].partition("\n\n")[0]


def test_all_stories_happen_for_both_ways_to_deploy(played: Demo) -> None:
    assert "5 of 5 stories happened" in played.output
    for number in range(6):
        spinnaker, trigger = seconds(played.output, number)
        assert 0 < spinnaker < 120
        assert 0 < trigger < 120


def test_a_bump_reaches_eight_agents_wave_by_wave(played: Demo) -> None:
    story = told(played.output, 1)
    assert re.search(r"trigger +one host first +i-[0-9a-f]{17} alone, healthy after \d+\.\d s", story)
    assert re.search(r"trigger +after the soak, half of them +1 → 4 hosts; began (?!0|1\.)\d+\.\d s after", story)
    assert re.search(r"trigger +then the rest +4 → 8 hosts", story)
    assert re.search(r"trigger +8 hosts serve 2\.4\.0, healthy +8 of 8 hosts answer 200 with 2\.4\.0", story)
    assert re.search(r"trigger +each host downloaded it +S3 gave the artifact to 8 hosts", story)


def test_a_sick_version_stops_at_one_host(played: Demo) -> None:
    story = told(played.output, 2)
    canary = re.search(r"trigger +one host tries it: not healthy +(i-[0-9a-f]{17}): not healthy within", story)
    assert canary is not None, story
    assert re.search(rf"trigger +that host goes back by itself +{canary[1]} runs 2\.4\.0 again after", story)
    assert re.search(rf"trigger +the other 7 never touched it .* 7 of 8 took no step, {canary[1]} did", story)
    assert re.search(rf"trigger +nor downloaded it +S3 gave the artifact to {canary[1]}", story)


def test_the_agents_logs_say_the_same(played: Demo) -> None:
    """Judged without the demo's own checks."""
    logs = [path.read_text() for path in sorted(played.world.glob("hosts/*/agent.log"))]
    steps = [log.count(" activating fleet=prod/matchmaker version=2.4.0") for log in logs]
    sick = [log.count(" activating fleet=prod/matchmaker version=2.5.0") for log in logs]

    assert (9, 8) == (len(logs), sum(1 for count in steps if count))
    assert [0] * 8 == sorted(sick)[:-1]
    assert max(sick) == 2


def test_a_revert_takes_all_hosts_back_without_a_download(played: Demo) -> None:
    story = told(played.output, 4)
    assert re.search(r"trigger +8 hosts serve 2\.3\.1, healthy +8 of 8 hosts answer 200 with 2\.3\.1", story)
    assert re.search(r"trigger +from what hosts keep: no download +nobody asked S3 for the artifact", story)
    assert re.search(
        r"trigger +the revert says so +success: rolled back to 2\.3\.1 \(reverts .*\) on 8/8 units in", story
    )


def test_one_ami_is_baked_in_staging_and_promoted_to_prod(played: Demo) -> None:
    story = told(played.output, 1)
    baked = re.search(rf"Spinnaker +staging bakes it, for all regions +({AMI} in eu-west-1, {AMI} in us-east-1)", story)
    assert baked is not None, story
    assert re.search(rf"Spinnaker +as the AMIs of staging, none baked +{baked[1]}; 0 bakes in prod", story)
    assert re.search(rf"success: 1\.4\.2 as {AMI} baked in staging \(\+1\) on 2/2 units in", story)


def test_a_rollback_enables_the_old_groups_in_seconds(played: Demo) -> None:
    took = re.search(
        r"the old groups were enabled +enabled checkout-prod-v000 in eu-west-1 in (\d+\.\d) s, "
        r"checkout-prod-v000 in us-east-1 in (\d+\.\d) s",
        told(played.output, 4),
    )
    assert took is not None
    assert re.search(
        r"staging enabled its old group +enabled checkout-staging-v001 in us-east-1 in \d+\.\d s",
        told(played.output, 3),
    )
    row = next(line for line in played.output.splitlines() if line.startswith("✓ 4. "))
    assert "old groups enabled" in row


def test_nobody_takes_a_played_bake_for_a_real_one(played: Demo) -> None:
    closing = " ".join(played.output.partition("seconds from the merge until")[2].split())
    assert "Gate, which here bakes in 0.7 s and deploys in 0.7 s; a real bake and boot take minutes." in closing


def test_each_commit_is_shown_with_its_final_statuses(played: Demo) -> None:
    found = said(played.output)
    bad = found["Merge pull request #3 from sandbox/bump-prod-checkout-1.5.0"]
    sick = found["Merge pull request #4 from sandbox/bump-prod-matchmaker-2.5.0"]
    reverts = "".join(text for subject, text in found.items() if re.search(r"from sandbox/revert-\d$", subject))

    assert 9 == len(found)
    assert "pending" not in "".join(found.values())
    assert re.search(rf"failure  fairlead/prod/checkout  rolled back to 1\.4\.2 \(reverted by {SHA}\)", bad)
    assert re.search(rf"failure  fairlead/prod/matchmaker  rolled back to 2\.4\.0 \(reverted by {SHA}\)", sick)
    assert re.search(
        rf"success  fairlead/prod/checkout  rolled back to 1\.4\.1 by enabling v000 \(reverts {SHA}", reverts
    )
    assert "success  fairlead/prod/matchmaker  2.3.1 on 8/8 units; drift healed in" in reverts
    assert "success  fairlead/prod/catalog  2.0.3 on 2/2 units; drift healed in" in found["Say what runs where"]


def test_every_change_is_a_pull_request_that_is_merged(played: Demo) -> None:
    merged = re.findall(rf"\(pull request #(\d) merged as {SHA}\)", played.output)

    assert [str(number) for number in range(1, 9)] == [number for number, _ in merged]


def test_the_forge_itself_and_the_repository_say_the_same(played: Demo) -> None:
    """Judged without the demo's own readers: as a person with curl and git."""
    environment = dict(re.findall(r"^(\w+)='(.*)'$", (played.world / "world.env").read_text(), flags=re.MULTILINE))
    headers = {"Authorization": f"Bearer {environment['FORGE_TOKEN']}"}

    def ask(path: str) -> Any:
        return requests.get(environment["FORGE"] + path, headers=headers, timeout=10).json()

    pulls = ask("/pulls?state=all")
    bare = played.world / "git" / "sandbox" / "main.git"
    log = ["git", "--git-dir", str(bare), "log", "--merges", "--first-parent", "--format=%H", "main"]
    merges = subprocess.run(log, capture_output=True, text=True, check=True).stdout.split()
    notes = subprocess.run(
        ["git", "--git-dir", str(bare), "for-each-ref", "refs/notes"], capture_output=True, check=True
    )

    assert [(number, True) for number in range(8, 0, -1)] == [(pull["number"], pull["merged"]) for pull in pulls]
    assert merges == [pull["merge_commit_sha"] for pull in pulls]
    assert b"" == notes.stdout
    for pull in pulls:
        combined = ask(f"/commits/{pull['merge_commit_sha']}/status")
        assert ("failure" if pull["number"] in (3, 4) else "success") == combined["state"]
        assert {"fairlead"} == {each["creator"]["login"] for each in ask(f"/commits/{combined['sha']}/statuses")}


@pytest.mark.parametrize(
    ("fleet", "sick", "good", "units"),
    [("prod/checkout", "1.5.0", "1.4.2", "2/2"), ("prod/matchmaker", "2.5.0", "2.4.0", "8/8")],
)
def test_the_failure_is_said_before_anybody_reverts_it(
    played: Demo, fleet: str, sick: str, good: str, units: str
) -> None:
    story = played.output.partition("== 2.")[2].partition("== 3.")[0]
    assert re.search(
        rf"{SHA} failure fairlead/{fleet} {sick} failed: .*; rolled back to {good}(?: by enabling v001)? on {units}",
        story,
    )


def test_what_stays_up_answers_and_ends_with_ctrl_c(played: Demo) -> None:
    controller, ran = played.controller, played.left
    status = [FAIRLEAD, "status", "--config", played.world / "fairlead.toml"]
    answer = subprocess.run(status, capture_output=True, text=True, check=False)
    played.signal(signal.SIGINT)

    assert (0, "12 fleets, 12 ready") == (answer.returncode, answer.stdout.splitlines()[-1])
    assert 0 == played.end()
    assert not is_there(controller)
    assert (9 + 12, []) == (len(ran), played.left)


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
        assert "0 of 5 stories happened" in running.output
        assert "  expected  Spinnaker: staging bakes it, for all regions\n" in running.output
        assert "  given up  the controller ended by signal 9\n" in running.output
        assert f"the last lines of {running.world / 'controller.log'}" in running.output
        assert "info    pass  family=" in running.output
        assert "- 5. A machine is changed by hand " in running.output
        assert "✗ 1. A version bump is merged" in running.output
        assert "Traceback" not in running.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_what_it_started(tmp_path: Path, number: int) -> None:
    with demo(tmp_path) as running:
        controller, ran = running.controller, running.left
        running.signal(number)

        assert 130 == running.end()
        assert not is_there(controller)
        assert (9 + 12, []) == (len(ran), running.left)
        assert "Traceback" not in running.output
