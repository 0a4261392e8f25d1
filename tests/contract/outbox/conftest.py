"""The sandbox's forge with GitHub's limits on, on a clock that only the test moves."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.clock import ManualClock
from fairlead_sandbox.forge.limits import Limits
from fairlead_sandbox.forge.server import Forge
from fairlead_sandbox.git_server import GitServer
from tests.contract.outbox.crowd import Crowd

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)


@pytest.fixture
def crowd_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Crowd]]:
    """So many fleets, changed by one merge that was read a moment ago."""
    with ExitStack() as stack:

        def make(fleets: int, answer_on: str = "both") -> Crowd:
            clock = ManualClock(NOW)
            git = stack.enter_context(GitServer(tmp_path / "served"))
            forge = stack.enter_context(Forge(git, clock))
            forge.meter.limits = Limits()
            hosted = forge.create("acme/desired")
            names = [f"s{number:03}" for number in range(fleets)]
            monkeypatch.setenv("CROWD_TOKEN", forge.identities.add_person("fairlead"))
            crowd = Crowd(tmp_path, clock, git, forge, hosted, names, answer_on)
            crowd.begin()
            stack.callback(crowd.store.close)
            return crowd

        yield make
