"""What an agent costs its host."""

from pathlib import Path
from typing import Any

MOST = 64 * 1024  # KiB
MOST_WITH_HOOKS = 70 * 1024  # one more client of AWS's


def resident(pid: int | None) -> int:
    """What a process holds, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_an_idle_agent_holds_less_than_64_mib(bench: Any) -> None:
    """After a deploy through its target groups, with every client that it will ever need but the secrets'."""
    bench.say(new := bench.release("2.4.0"))
    bench.wait_done(new)

    assert resident(bench.host.agent_pid) < MOST
