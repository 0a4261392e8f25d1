"""Child processes: what they are given, how they are ended, what is kept of what they say."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from adapters.agent_protocol.reports import LOG_TAIL, Blame
from fairlead_agent import commands, outputs
from fairlead_agent.commands import Finished, run
from fairlead_agent.trouble import Interrupted, Trouble

LONG = 600.0  # seconds: nothing here may come near it
AS_HERE = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether the process is there and no zombie, which nobody may have asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "GRACE", 0.2)


def test_it_says_how_a_command_ended_and_what_it_said() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], within=LONG)

    assert (Finished(code=3, output_tail="out\nerr"), False, "ended with 3") == (done, done.well, done.how)
    assert run(["true"], within=LONG).well
    killed = run(["sh", "-c", "kill -9 $$"], within=LONG)
    assert (-9, "was ended by signal 9") == (killed.code, killed.how)


def test_there_is_no_shell_and_no_input(tmp_path: Path) -> None:
    assert "$HOME; touch x" == run(["echo", "$HOME; touch x"], within=LONG, cwd=tmp_path).output_tail
    assert [] == list(tmp_path.iterdir())
    assert "" == run(["cat"], within=LONG).output_tail
    assert str(tmp_path) == run(["pwd"], within=LONG, cwd=tmp_path).output_tail


def test_the_agents_own_credentials_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://hunter2")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "hunter2")
    monkeypatch.setenv("FAIRLEAD_TOKEN", "hunter2")
    monkeypatch.setenv("PLAIN", "passed")

    said = run(["env"], within=LONG, environment={"MORE": "given"}).output_tail

    assert "hunter2" not in said
    assert {"PLAIN=passed", "MORE=given"} <= set(said.splitlines())


def test_only_the_last_words_are_kept() -> None:
    chatty = "import sys; sys.stdout.write('é' * 3_000_000 + 'end')"

    tail = run([sys.executable, "-c", chatty], within=LONG).output_tail

    assert (LOG_TAIL, "éend") == (len(tail), tail[-4:])


def test_output_that_is_no_text_is_kept_as_far_as_it_is_one() -> None:
    assert "a\ufffdb" == run(["printf", r"a\377b"], within=LONG).output_tail


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for argv, cwd in (
        (["no-such-program", "--x"], None),
        ([], None),
        (["true"], tmp_path / "nowhere"),
        (["a\0b"], None),
    ):
        with pytest.raises(Trouble) as caught:
            run(argv, within=LONG, cwd=cwd)
        assert Blame.REFUSED == caught.value.blame
    with pytest.raises(Trouble, match=r"cannot run no-such-program: .*No such file or directory"):
        run(["no-such-program"], within=LONG)


def test_a_program_is_found_on_the_path_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho stand-in $1\n")
    (tmp_path / "systemctl").chmod(0o755)

    done = run(["systemctl", "restart"], within=LONG, environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    assert "stand-in restart" == done.output_tail


def test_when_its_time_is_over_the_whole_group_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    done = run(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/heir; echo begun; wait"], within=0.5)

    assert (None, "begun", "did not end in time") == (done.code, done.output_tail, done.how)
    assert not lives(pid_in(tmp_path / "heir"))
    assert time.monotonic() - started < 20


def test_who_does_not_heed_sigterm_is_killed_with_its_group(tmp_path: Path, short_grace: None) -> None:
    deaf = f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/heir; while :; do sleep 600; done' & wait; wait"

    done = run(["sh", "-c", deaf], within=1.0)

    assert done.code is None
    assert not lives(pid_in(tmp_path / "heir"))


def test_an_heir_gets_the_time_that_its_ended_parent_did_not_need(tmp_path: Path) -> None:
    dying = f"trap 'sleep 0.3; echo bye > {tmp_path}/bye; exit' TERM"
    heir = f"{dying}; while :; do sleep 0.05; done"
    child = "sh -c \"$HEIR\" & trap 'exit' TERM; while :; do sleep 0.05; done"

    run(["sh", "-c", child], within=1.0, environment={"HEIR": heir})

    assert "bye\n" == (tmp_path / "bye").read_text()


def test_it_stops_at_once_when_it_is_told_to(tmp_path: Path) -> None:
    stop, raised = Event(), []

    def work() -> None:
        with pytest.raises(Interrupted):
            run(["sh", "-c", f"echo $$ > {tmp_path}/child; exec sleep 600"], within=LONG, stop=stop)
        raised.append(True)

    thread = Thread(target=work)
    thread.start()
    pid = pid_in(tmp_path / "child")
    stop.set()
    thread.join(20)

    assert [True] == raised
    assert not lives(pid)


def test_a_daemon_that_keeps_the_output_open_holds_nothing_up_and_goes_on(tmp_path: Path) -> None:
    daemon = f"while [ ! -e {tmp_path}/end ]; do echo tick; sleep 0.02; done; echo end > {tmp_path}/ended"

    done = run(
        ["sh", "-c", 'sh -c "$DAEMON" & echo started'], within=LONG, environment={"DAEMON": daemon}, lasting=True
    )

    assert done.well
    assert "started" in done.output_tail
    (tmp_path / "end").touch()
    until((tmp_path / "ended").exists)  # it was not ended, and its words met no broken pipe


AGENT = """
import sys
from fairlead_agent.commands import run
run(["sh", "-c", sys.argv[1]], within=600, lasting=True)
print("done", flush=True)
sys.stdin.read()
"""


def test_a_daemon_goes_on_writing_when_the_agent_is_dead(tmp_path: Path) -> None:
    daemon = f"(while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; set -e; echo a; echo b; touch {tmp_path}/said) &"
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, daemon], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=AS_HERE
    )
    assert agent.stdout is not None
    assert b"done\n" == agent.stdout.readline()
    agent.kill()
    agent.communicate()

    (tmp_path / "go").touch()

    until((tmp_path / "said").exists)


def test_a_lasting_command_that_is_under_way_goes_on_when_the_agent_is_dead(tmp_path: Path) -> None:
    waits = f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    script = f"set -e; {waits}; echo x; touch {tmp_path}/said"
    agent = subprocess.Popen([sys.executable, "-c", AGENT, script], stdin=subprocess.PIPE, env=AS_HERE)
    until((tmp_path / "begun").exists)
    agent.kill()
    agent.communicate()

    (tmp_path / "go").touch()

    until((tmp_path / "said").exists)


def test_what_a_lasting_command_says_is_kept_as_any_others(monkeypatch: pytest.MonkeyPatch) -> None:
    chatty = "import sys; sys.stdout.write('é' * 3_000_000 + 'end'); sys.exit(3)"

    done = run([sys.executable, "-c", chatty], within=LONG, lasting=True)

    assert (3, LOG_TAIL, "éend") == (done.code, len(done.output_tail), done.output_tail[-4:])


def test_a_command_that_is_done_leaves_nothing_behind_unless_it_is_lasting(tmp_path: Path) -> None:
    leaves = f"sleep 600 & echo $! > {tmp_path}/heir"
    until(lambda: not outputs._left)  # of other tests
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(5):
        assert run(["sh", "-c", leaves], within=LONG).well
        until(lambda: not lives(pid_in(tmp_path / "heir")))

    assert (threads, files) == (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
    assert run(["sh", "-c", leaves], within=LONG, lasting=True).well
    assert lives(pid_in(tmp_path / "heir"))
    os.kill(pid_in(tmp_path / "heir"), signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "blame"),
    [
        (errno.ENOENT, Blame.REFUSED),
        (errno.EACCES, Blame.REFUSED),
        (errno.ENOEXEC, Blame.REFUSED),
        (errno.ENOTDIR, Blame.REFUSED),
        (errno.EAGAIN, Blame.TRANSIENT),
        (errno.ENOMEM, Blame.TRANSIENT),
        (errno.EMFILE, Blame.TRANSIENT),
    ],
)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_host_without_room_for_a_process_is_no_fault_of_the_release(
    monkeypatch: pytest.MonkeyPatch, number: int, blame: Blame, lasting: bool
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    files = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(subprocess, "Popen", fails)

    with pytest.raises(Trouble, match="cannot run true") as caught:
        run(["true"], within=LONG, lasting=lasting)

    assert (blame, files) == (caught.value.blame, len(list(Path("/proc/self/fd").iterdir())))


def test_no_descriptors_left_is_trouble_of_the_road() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for lasting in (False, True):
            with pytest.raises(Trouble) as caught:
                run(["true"], within=LONG, lasting=lasting)
            assert Blame.TRANSIENT == caught.value.blame
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_child_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    done = run(["sh", "-c", f"exec >&- 2>&-; sleep 0.3; touch {tmp_path}/done; exit 4"], within=LONG)

    assert (4, True) == (done.code, (tmp_path / "done").exists())


def test_every_child_has_a_session_of_its_own() -> None:
    said = run([sys.executable, "-c", "import os; print(os.getpid(), os.getsid(0), os.getpgid(0))"], within=LONG)

    assert 1 == len(set(said.output_tail.split()))


def test_no_descriptor_is_left_open() -> None:
    until(lambda: not outputs._left)  # of other tests
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        run(["echo", "x"], within=LONG)

    assert before == len(list(Path("/proc/self/fd").iterdir()))
