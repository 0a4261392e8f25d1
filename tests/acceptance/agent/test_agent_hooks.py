"""Hooks of a release on a real agent: one that does not end, and one in which the agent is killed."""

from pathlib import Path
from typing import Any

from adapters.agent_protocol.orders import Hook


def running(pids: Path) -> list[str]:
    """The processes whose numbers stand in the file, that still run."""
    numbers = pids.read_text().split() if pids.exists() else []
    return [number for number in numbers if _state(number) not in {"", "Z"}]


def _state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_a_hook_that_ignores_sigterm_is_killed_after_its_time_and_all_that_it_started(
    bench: Any, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    deaf = f"trap '' TERM; echo $$ >> {pids}; while :; do sleep 0.1; done"
    hook = Hook(command=f'setsid sh -c "{deaf}" & sh -c "{deaf}" & {deaf}'.replace("$$", "\\$\\$", 2), within=1.0)
    pid = bench.host.service_pid()

    bench.say(bench.release("2.6.0", pre=hook), base=bench.first)

    said = bench.wait_reported("its end", work_state="failed", work_stage="pre-hook")["work"]
    assert ("its pre hook did not end in time (1 s)", "unhealthy") == (said["message"], said["blame"])
    assert 3 == len(pids.read_text().split())
    bench.wait(lambda: not running(pids), "the end of all that it started")
    assert (pid, bench.first.version, "healthy") == (
        bench.host.service_pid(),
        bench.host.version(),
        bench.in_balancer(),
    )


def test_an_agent_killed_in_a_hook_ends_what_is_left_of_it_and_runs_it_again(bench: Any, tmp_path: Path) -> None:
    pids, hold = tmp_path / "pids", tmp_path / "hold"
    hold.touch()
    hook = Hook(command=f"echo $$ >> {pids}; while test -e {hold}; do sleep 0.05; done", within=60.0)
    release = bench.release("2.7.0", post=hook)
    bench.say(release, base=bench.first)
    bench.wait(lambda: running(pids), "the hook")
    bench.wait(lambda: bench.events("post-hook"), "the stage")

    bench.host.kill_agent()
    (first,) = running(pids)
    bench.host.start_agent()
    bench.wait(lambda: len(pids.read_text().split()) == 2, "the hook again")
    assert first not in running(pids)
    hold.unlink()

    bench.wait_done(release)
    assert (2, "healthy") == (len(pids.read_text().split()), bench.in_balancer())
