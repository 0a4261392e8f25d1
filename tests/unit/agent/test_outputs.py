"""Outputs that outlive the agent: bounded as long as an agent lives, and found again by the next one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from fairlead_agent import outputs
from fairlead_agent.outputs import MOST, Output, adopt, new_output

CHATTY = "import sys, time\nwhile True: sys.stdout.write('x' * 65536); sys.stdout.flush(); time.sleep(0.001)"


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


@pytest.fixture
def chatty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Output], subprocess.Popen[bytes]]]:
    """Begins heirs that write without end."""
    monkeypatch.setattr(outputs, "LOOK", 0.02)
    until(lambda: not outputs._left)  # of other tests
    begun = []

    def begin(output: Output) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen([sys.executable, "-c", CHATTY], stdout=output.writer))
        return begun[-1]

    yield begin
    for child in begun:
        child.kill()
        child.wait()
    until(lambda: not outputs._left)


def size(child: subprocess.Popen[bytes]) -> int:
    return Path(f"/proc/{child.pid}/fd/1").stat().st_blocks * 512


def test_an_heir_that_writes_without_end_takes_no_more_than_a_little_memory(chatty: Callable[..., object]) -> None:
    output = new_output()
    child = chatty(output)
    assert isinstance(child, subprocess.Popen)
    output.leave()

    written = []
    until(lambda: written.append(size(child)) or any(b < a for a, b in pairwise(written)))

    assert child.poll() is None
    assert max(written) < 64 * MOST


def test_an_output_is_closed_when_its_last_heir_is_gone(chatty: Callable[..., object]) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    output = new_output()
    child = chatty(output)
    assert isinstance(child, subprocess.Popen)
    output.leave()
    assert [output] == outputs._left

    child.kill()
    child.wait()

    until(lambda: not outputs._left)
    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_the_next_agent_finds_what_heirs_of_the_last_one_write_to(chatty: Callable[..., object]) -> None:
    output = new_output()
    child = chatty(output)
    assert isinstance(child, subprocess.Popen)
    assert output.writer is not None
    os.close(output.writer)  # as when the agent dies
    output.close()
    until(lambda: size(child) > 2 * MOST)

    found = adopt()

    assert found >= 1
    until(lambda: size(child) < MOST)
    assert child.poll() is None


def test_the_last_words_survive(chatty: Callable[..., object]) -> None:
    """Whatever is written meanwhile."""
    output = new_output()
    assert output.writer is not None
    os.write(output.writer, b"x" * (MOST + 4096) + b"before ")
    output.trim(16)
    os.write(output.writer, b"after")

    assert b"before after" == output.tail(12)
    assert os.fstat(output.writer).st_blocks * 512 <= 8192
    os.ftruncate(output.writer, 0)  # as `> /dev/stdout` does
    os.write(output.writer, b"y" * 2 * MOST)
    output.trim(16)
    assert (b"y" * 16, True) == (output.tail(16), os.fstat(output.writer).st_blocks * 512 <= 8192)
    output.leave()
