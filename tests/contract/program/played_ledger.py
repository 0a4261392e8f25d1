"""A real SQLite ledger in which a test plays the controller: repositories are read, passes leave words behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapters.feeds.repositories import Repositories, Source
from fairlead import wiring
from fairlead.settings import Settings, load
from reconciler.memory import Condition, ConditionType, Memory, Status
from reconciler.reasons import Reason
from reconciler.record import CommitStatus, Pass, Record, State
from reconciler.rollup import RollUps

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)


class PlayedLedger:
    """What a controller would write."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = wiring.ledger(settings)

    def read(self) -> None:
        """The repository, as its feed reads it."""
        with wiring.mirror(self.settings, self.settings.repositories[0]) as mirror:
            source = Source(mirror=mirror, parser=wiring.parser())
            feed = Repositories(self.store, {"main": source}, wiring.clock(), timedelta(minutes=1))
            self.store.add(["repository:main"])
            (due,) = self.store.claim("repository", 1, timedelta(minutes=5))
            feed.run("main", due.lease)
            self.store.finish(due)

    def roll_up(self) -> None:
        """The roll-ups, as the controller says them."""
        self.store.add(["rollup:main"])
        (due,) = self.store.claim("rollup", 1, timedelta(minutes=5))
        RollUps(self.store, wiring.clock()).run("main", due.lease)
        self.store.finish(due)

    def settle(
        self, fleet: str, *, ready: bool, words: tuple[CommitStatus, ...] = (), seen: datetime | None = None
    ) -> None:
        """A pass over a fleet that is at its version, or not, and was looked at just now, or then."""
        self.store.add([f"fleet:{fleet}"])
        dues = list(self.store.claim("fleet", 10, timedelta(seconds=30)))
        due = next(each for each in dues if each.key == f"fleet:{fleet}")
        read_at = seen or wiring.clock().now()
        self.store.record_snapshots(due.lease, f"inventory/{fleet}", {fleet: {"at": str(read_at)}}, read_at)
        record = self.store.load(fleet)
        assert record is not None
        memory = _memory(record, ready)
        self.store.save(due.lease, record, Pass(record=record, memory=memory, work=(), statuses=words, events=()))
        for each in dues:
            self.store.finish(each)

    def say(self, commit: str, fleet: str, state: State, text: str, *, ready: bool = False) -> None:
        """A word on a commit, as a pass over the fleet says it."""
        word = CommitStatus(
            repository="main", commit=commit, context=f"fairlead/{fleet}", state=state, description=text, at=NOW
        )
        self.settle(fleet, ready=ready, words=(word,))


def _memory(record: Record, ready: bool) -> Memory:
    assert record.desired is not None
    assert record.setting is not None
    reason, message = (Reason.SUCCEEDED, "all units") if ready else (Reason.HEALTH_CHECK_FAILED, "0 of 2 healthy")
    condition = Condition(type=ConditionType.READY, status=ready, reason=reason, message=message, since=NOW)
    status = Status(
        conditions=(condition,),
        target_digest=record.desired.target_digest,
        setting_commit=record.setting.commit,
        version=record.desired.version,
        reason=reason,
        message=message,
    )
    return Memory(adopted=True, status=status)


@contextmanager
def played_ledger(config: Path) -> Iterator[PlayedLedger]:
    """The ledger that the settings name."""
    found = PlayedLedger(load(config))
    try:
        yield found
    finally:
        found.store.close()


def settings_file(tmp_path: Path, desired: Any) -> Path:
    """Settings with one repository."""
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    return config
