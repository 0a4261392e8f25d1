"""Builders for the reconciler's values, and a rig that runs whole passes over a real ledger and a fleet in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import ManualClock
from adapters.deployers.memory import InMemory
from adapters.ledger.store import open_ledger
from desired_state.model import DesiredState, Environment, Fleet, Package, Policy, Problem, Revision, Setting
from reconciler.memory import Memory
from reconciler.observed import Observed, Unit
from reconciler.plan import Pace
from reconciler.ports import RevisionChange
from reconciler.reconcile import reconcile
from reconciler.record import Ask, CommitStatus, Record, Situation
from reconciler.work import Release
from reconciler.world import World

NAME = "prod/checkout"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def sha(text: str) -> str:
    """A commit id that is easy to tell apart: `sha("good")` begins with its own name where that is hexadecimal."""
    return hashlib.sha1(text.encode()).hexdigest()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_fleet(version: str = "1.4.2", *, spec: str = "", identity: str = "here", **changes: Any) -> Fleet:
    fleet = Fleet(
        name=NAME,
        environment=Environment(name="prod", account="123456789012", regions=("us-east-1", "eu-west-1")),
        service="checkout",
        components={"package/checkout": version},
        packages=(Package(name="checkout", version=version),),
        deploy_type="memory",
        deploy={},
        target_digest=digest(version),
        spec_digest=digest(version + spec),
        identity_digest=digest(identity),
        policy=Policy(),
    )
    return replace(fleet, **changes)


def make_unit(name: str, version: str | None, *, healthy: bool = True, **changes: Any) -> Unit:
    components = {"package/checkout": version} if version else {}
    return Unit(id=name, components=components, healthy=healthy, **changes)


def make_situation(
    *, desired: Fleet, observed: tuple[Unit, ...], memory: Memory | None = None, now: datetime = NOW, **changes: Any
) -> Situation:
    """A situation as `take_stock` gives it for an adopted fleet with nothing else going on."""
    from reconciler.drift import detect_drift

    release = Release(fleet=desired, setting_commit=sha("now"))
    seen = Observed(units=observed)
    memory = memory or Memory(adopted=True, identity=desired.identity_digest)
    record = Record(
        name=NAME,
        repository="main",
        desired=desired,
        setting=Setting(commit=sha("now"), target_digest=desired.target_digest),
        revision=sha("now"),
        generation=1,
        present=True,
        problems=(),
        memory=memory,
        version=1,
    )
    situation = Situation(
        record=record,
        memory=memory,
        desired=release,
        target=release,
        observed=seen,
        drift=detect_drift(release, seen),
        waves=(),
        work=(),
        now=now,
    )
    return replace(situation, **changes)


@dataclass
class Rig:
    """One repository, one fleet, a real ledger on SQLite, a world in memory and a clock that only the test moves."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    observe_only: bool = False

    def __post_init__(self) -> None:
        self.world_of_units = InMemory(self.clock, ["eu-west-1", "us-east-1"])
        self.pace = Pace(active=timedelta(seconds=10), settle=timedelta(seconds=35))
        self.commits: list[str] = []
        self.open()

    def open(self) -> None:
        self.ledger = open_ledger(f"sqlite:///{self.folder / 'ledger.db'}", self.clock)
        self.world = World(
            ledger=self.ledger,
            deployers={"memory": self.world_of_units},
            clock=self.clock,
            pace=self.pace,
            observe_only=self.observe_only,
        )

    def lose_ledger(self) -> None:
        """The ledger's file is gone; the world is as it was."""
        self.ledger.close()
        for file in self.folder.glob("ledger.db*"):
            file.unlink()
        self.open()

    # ── Git ──

    def commit(
        self,
        fleet: Fleet | None,
        name: str = "",
        *,
        reverts: tuple[str, ...] = (),
        problems: tuple[Problem, ...] = (),
        rewritten: bool = False,
        keeps: str = "",
    ) -> str:
        """A head that declares the fleet (None: its file is gone). `keeps` names the setting commit that stays."""
        commit = sha(name or (fleet.version if fleet else "removed"))
        self.commits.append(commit)
        revision = Revision(
            sha=commit, parents=(), author="Ada <ada@example.com>", committed_at=self.clock.now(), subject="set"
        )
        sound = {NAME: fleet} if fleet is not None and not problems else {}
        setting = keeps or commit
        found = [
            Setting(commit=setting, target_digest=known.target_digest, reverts=reverts) for known in sound.values()
        ]
        settings = dict.fromkeys(sound, found[0]) if found else {}
        state = DesiredState(
            environments=("prod",),
            fleets=sound,
            declared=frozenset({NAME} if fleet is not None else ()),
            problems=problems,
        )
        with self._claimed("repository:main") as lease:
            self.ledger.record_revision(
                lease,
                RevisionChange(
                    repository="main",
                    head=revision,
                    desired=state,
                    settings=settings,
                    rewritten=frozenset({NAME} if rewritten else ()),
                    at=self.clock.now(),
                ),
            )
        return commit

    # ── passes ──

    def _claimed(self, key: str) -> _Claim:
        self.ledger.add([key])
        return _Claim(self, key)

    def once(self) -> datetime | None:
        """One pass over the fleet."""
        with self._claimed(f"fleet:{NAME}") as lease:
            return reconcile(NAME, self.world, lease)

    def settle(self, passes: int = 12) -> None:
        """Passes until one asks for no other at once."""
        for _ in range(passes):
            again_at = self.once()
            if again_at is None or again_at > self.clock.now():
                return
        raise AssertionError("the fleet never came to rest")

    def wait(self, **span: float) -> None:
        self.clock.advance(timedelta(**span))

    def ask(self, ask: Ask) -> None:
        self.ledger.request(NAME, ask, "ada", self.clock.now())

    # ── what is to be seen ──

    @property
    def record(self) -> Record:
        record = self.ledger.load(NAME)
        assert record is not None
        return record

    def said(self, commit: str) -> CommitStatus:
        found = self.ledger.statuses("main", commits=[commit], context_prefix="fairlead/prod/checkout")
        assert len(found) == 1, f"{len(found)} statuses on {commit[:7]}"
        return found[0]

    def pending(self) -> list[str]:
        return [status.commit for status in self.ledger.statuses("main", open_only=True)]

    def history(self) -> list[str]:
        return [event.kind for event in self.ledger.history(NAME, 100)]

    @property
    def started(self) -> list[str]:
        return self.world_of_units.started

    def runs(self) -> Mapping[str, str | None]:
        places = self.world_of_units.places.items()
        return {unit: place.components.get("package/checkout") for unit, place in places}

    def run_everywhere(self, version: str, *, healthy: bool = True) -> None:
        for unit in self.world_of_units.places:
            self.world_of_units.run(unit, {"package/checkout": version}, healthy=healthy)

    def deployed(self, version: str = "1.4.1") -> str:
        """A fleet that was deployed and is ready: the common beginning. Gives its setting commit."""
        commit = self.commit(make_fleet(version))
        self.run_everywhere(version)
        self.settle()
        return commit


class _Claim:
    def __init__(self, rig: Rig, key: str) -> None:
        self._rig, self._key = rig, key

    def __enter__(self) -> Any:
        family = self._key.partition(":")[0]
        claimed = self._rig.ledger.claim(family, 10, timedelta(seconds=30))
        self._due = next(due for due in claimed if due.key == self._key)
        return self._due.lease

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._rig.ledger.finish(self._due)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.ledger.close()


class Build:
    """The builders, handed to tests as one fixture."""

    fleet = staticmethod(make_fleet)
    unit = staticmethod(make_unit)
    situation = staticmethod(make_situation)
    sha = staticmethod(sha)
    digest = staticmethod(digest)
    now = NOW


@pytest.fixture
def build() -> type[Build]:
    return Build
