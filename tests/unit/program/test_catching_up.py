"""Before a controller acts its ledger knows the heads of today, whatever the ledger says of yesterday."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from threading import Event
from types import SimpleNamespace
from typing import Any

from adapters.clock import ManualClock
from fairlead.catching_up import catch_up


class Played:
    """A ledger one head behind, with a trouble of an earlier day, and a loop whose read of the repository may fail."""

    def __init__(self, *, readable: bool) -> None:
        self.head, self.trouble, self.reads, self.readable = "old", "no answer, yesterday", 0, readable

    def heads(self) -> dict[str, str]:
        return {"main": self.head}

    def troubles(self) -> dict[str, str]:
        return {"repository/main": self.trouble} if self.trouble else {}

    def add(self, keys: Iterable[str]) -> None:
        assert ["repository:main"] == list(keys)

    def drain(self, families: Sequence[str]) -> int:
        self.reads += 1
        if self.readable:
            self.head, self.trouble = "new", ""
        return 1


def caught_up(played: Played) -> bool:
    world = SimpleNamespace(clock=ManualClock(datetime(2026, 11, 26, tzinfo=UTC)))
    remote = SimpleNamespace(remote_head=lambda name: "new")
    parts: Any = SimpleNamespace(repositories=remote, ledger=played, world=world)
    return catch_up(parts, ["main"], played, Event())


def test_a_trouble_of_yesterday_does_not_stand_for_todays_read() -> None:
    played = Played(readable=True)

    assert caught_up(played)
    assert ("new", 1) == (played.head, played.reads)


def test_a_repository_that_cannot_be_read_keeps_nobody_waiting() -> None:
    played = Played(readable=False)

    assert not caught_up(played)
    assert 1 == played.reads
