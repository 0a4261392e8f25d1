"""Turns on one machine: in the order in which people came, and the dead hold nobody up."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from desired_state.line import in_line

PATIENCE = 60.0  # seconds, for a machine that has much to do
HOLD = "import sys; from pathlib import Path; from desired_state.line import in_line\n"
HOLD += "with in_line(Path(sys.argv[1]), 60): print('held', flush=True); sys.stdin.read()"


def places(folder: Path) -> int:
    return sum(not each.name.startswith(".") for each in folder.iterdir())


def wait_until(true: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if true():
            return
        waited.wait(0.01)
    raise AssertionError("it never became so")


def test_turns_come_in_the_order_of_arrival(tmp_path: Path) -> None:
    order: list[int] = []

    def take(number: int) -> None:
        with in_line(tmp_path, PATIENCE):
            order.append(number)

    with in_line(tmp_path, PATIENCE):
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            wait_until(lambda wanted=number + 2: places(tmp_path) == wanted)  # type: ignore[misc]
    for thread in threads:
        thread.join()

    assert [0, 1, 2, 3, 4] == order
    assert 0 == places(tmp_path)


def test_a_place_whose_process_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert "held\n" == process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()
    assert 1 == places(tmp_path)

    with in_line(tmp_path, PATIENCE):
        assert 1 == places(tmp_path)


def test_nobody_waits_longer_than_their_patience(tmp_path: Path) -> None:
    with in_line(tmp_path, PATIENCE), in_line(tmp_path, 0.05):
        assert 2 == places(tmp_path)
