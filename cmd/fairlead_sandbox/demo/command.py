"""`fairlead-sandbox demo`: from a folder to an exit code. Whatever happens, what was started is ended."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from adapters.clock import SystemClock
from fairlead_sandbox.demo.audience import audience
from fairlead_sandbox.demo.keeping import what_to_try
from fairlead_sandbox.demo.play import Missing, Play
from fairlead_sandbox.demo.report import (
    print_commits,
    print_missing,
    print_summary,
    print_times,
    statuses_as_the_forge_says,
)
from fairlead_sandbox.demo.stage import Stage
from fairlead_sandbox.demo.stories import ALL
from fairlead_sandbox.world import EXAMPLE_HOSTS
from reconciler.ports import Clock

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
IN_A_PIPE = 110  # columns
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(folder: Path | None, *, keep: bool) -> int:
    """Play the stories; gives 0 when all of them happened, 1 when one did not, 130 when it was interrupted.

    The folder is a new temporary one where none is given. That one is removed again, unless something went wrong.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="fairlead-demo-"))
    code = 1
    try:
        with interruptible():
            code = perform(place, _console(), keep=keep)
    except KeyboardInterrupt:
        print("\ninterrupted; everything that was started has ended", file=sys.stderr)
        code = INTERRUPTED
    finally:
        if folder is None and code != 1:
            shutil.rmtree(place, ignore_errors=True)
    return code


def _console() -> Console:
    """As wide as the terminal; a pipe has no width, and gets one that the tables fit into."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else IN_A_PIPE)


def perform(folder: Path, console: Console, *, keep: bool) -> int:
    """All of it on one console."""
    clock = SystemClock()
    began = clock.monotonic()
    with ExitStack() as parts:
        hosts = sum(EXAMPLE_HOSTS.values())
        with waiting(console, f"starting AWS, Gate, a forge, {hosts} hosts with agents and a controller ..."):
            stage = parts.enter_context(Stage(folder))
        console.print(f"controller: process {stage.controller.pid}, log {stage.controller.log}", soft_wrap=True)
        with audience(console, clock) as watching:
            play = Play(stage, watching, clock)
            play.play(ALL)
        seconds = clock.monotonic() - began
        print_commits(console, statuses_as_the_forge_says(stage))
        print_times(console, play.told)
        print_summary(console, play.told, ALL, seconds)
        missing = play.told[-1].missing
        if missing is not None:
            print_missing(console, missing, stage.controller)
        if keep:
            missing = stay_up(stage, console, clock) or missing
    return 0 if missing is None else 1


def stay_up(stage: Stage, console: Console, clock: Clock) -> Missing | None:
    """Say what to try and show what goes on, until Ctrl-C; gives what is missing where the controller ends before."""
    console.print(what_to_try(stage), markup=False, soft_wrap=True)
    try:
        with audience(console, clock) as watching:
            missing = Play(stage, watching, clock).watch()
    except KeyboardInterrupt:
        console.print("ending the controller and the world ...")
        return None
    print_missing(console, missing, stage.controller)
    return missing


@contextmanager
def waiting(console: Console, said: str) -> Iterator[None]:
    """A line, on a terminal one that moves."""
    if not console.is_terminal:
        console.print(said)
        yield
        return
    with console.status(said):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """The first signal to end is a `KeyboardInterrupt`; those that follow leave the cleaning up alone."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        for each in _ENDINGS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
