"""From pushes on a real git server to what a real ledger knows of them."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from adapters.feeds.repositories import Repositories, Source, shorten, verdict
from adapters.ledger.store import Store, open_ledger
from desired_state.mirror import Mirror
from desired_state.model import DesiredState, Problem, Severity
from desired_state.parser import Parser
from reconciler.ports import Lease, LeaseLost
from reconciler.record import CommitStatus, State


class AnyDeploy(BaseModel):
    """A deploy type that takes everything."""

    model_config = ConfigDict(extra="allow")


@pytest.fixture
def ledger(tmp_path: Path, clock: Any) -> Iterator[Store]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    yield store
    store.close()


@pytest.fixture
def feed_of(tmp_path: Path, desired: Any, ledger: Store, clock: Any) -> Iterator[Callable[[str], Repositories]]:
    """A feed with its own mirror, as another process has one."""
    mirrors = []

    def make(name: str) -> Repositories:
        mirror = Mirror(tmp_path / name, desired.url, "main", None, 10)
        mirrors.append(mirror)
        source = Source(mirror=mirror, parser=Parser({"spinnaker": AnyDeploy}))
        return Repositories(ledger, {"main": source}, clock, timedelta(seconds=30), jitter=lambda: 1.0)

    yield make
    for mirror in mirrors:
        mirror.close()


@pytest.fixture
def feed(feed_of: Callable[[str], Repositories]) -> Repositories:
    return feed_of("mirror")


def leased(ledger: Store) -> Lease:
    ledger.add(["repository:main"])
    (due,) = ledger.claim("repository", 1, timedelta(minutes=10))
    return due.lease


@pytest.fixture
def lease(ledger: Store) -> Lease:
    return leased(ledger)


def validations(ledger: Store) -> dict[str, CommitStatus]:
    return {each.commit: each for each in ledger.statuses("main", context_prefix="fairlead/validate")}


def test_a_first_read_settles_every_fleet_and_judges_the_head(
    feed: Repositories, ledger: Store, lease: Lease, desired: Any
) -> None:
    head = desired.clone.head()

    feed.run("main", lease)

    known = ledger.known("main")
    assert known is not None
    assert head == known.head
    assert ["prod/basket", "prod/checkout", "staging/basket", "staging/checkout"] == sorted(known.settings)
    assert {head} == {setting.commit for setting in known.settings.values()}
    said = validations(ledger)[head]
    assert (State.SUCCESS, "4 fleets are sound") == (said.state, said.description)


def test_only_the_fleet_of_the_commit_gets_a_new_setting(
    feed: Repositories, ledger: Store, lease: Lease, desired: Any
) -> None:
    first = desired.clone.head()
    feed.run("main", lease)
    second = desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})

    feed.run("main", lease)

    known = ledger.known("main")
    assert known is not None
    assert second == known.settings["prod/checkout"].commit
    assert first == known.settings["staging/checkout"].commit


def test_a_broken_file_is_said_on_its_commit_and_its_mending_on_the_next(
    feed: Repositories, ledger: Store, lease: Lease, desired: Any
) -> None:
    feed.run("main", lease)
    broken = desired.change({"environments/prod/checkout.yaml": "version: 1.10\n"})
    mended = desired.change({"environments/prod/checkout.yaml": 'version: "1.10"\n'})

    feed.run("main", lease)

    said = validations(ledger)
    assert State.ERROR is said[broken].state
    assert said[broken].description.startswith("environments/prod/checkout.yaml:1:10: ")
    assert State.SUCCESS is said[mended].state


def test_of_a_long_push_the_newest_twenty_commits_are_judged(
    feed: Repositories, ledger: Store, lease: Lease, desired: Any
) -> None:
    feed.run("main", lease)
    pushed = [desired.change({"environments/prod/checkout.yaml": f"version: 2.0.{n}\n"}) for n in range(22)]

    feed.run("main", lease)

    assert set(pushed[2:]) == set(validations(ledger)) & set(pushed)


def test_a_validation_is_never_pending(feed: Repositories, ledger: Store, lease: Lease, desired: Any) -> None:
    for text in ("version: [\n", "version: 1.4.2\n", "versio: 1\n"):
        desired.change({"environments/prod/checkout.yaml": text})
        feed.run("main", lease)

    states = [each.state for each in validations(ledger).values()]
    assert State.PENDING not in states
    assert 3 == len(states)


def test_a_head_that_is_known_writes_nothing(feed: Repositories, ledger: Store, lease: Lease, tmp_path: Path) -> None:
    feed.run("main", lease)
    before = ledger_bytes(tmp_path)

    feed.run("main", lease)

    assert before == ledger_bytes(tmp_path)


def ledger_bytes(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(tmp_path.glob("ledger.db*")) if not path.name.endswith("-shm")]


def test_the_time_of_the_next_look_is_the_interval(feed: Repositories, lease: Lease, clock: Any) -> None:
    assert clock.now() + timedelta(seconds=30) == feed.run("main", lease)


def test_a_force_push_closes_what_was_open_on_lost_commits(
    feed: Repositories, ledger: Store, lease: Lease, desired: Any
) -> None:
    base = desired.clone.head()
    feed.run("main", lease)
    lost = desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})
    feed.run("main", lease)
    ledger.say(lease, [open_status(base), open_status(lost)])
    desired.force_push(base, {"environments/prod/basket.yaml": "version: 9.9.9\n"})

    feed.run("main", lease)

    closed = {each.commit: each for each in ledger.statuses("main", context_prefix="fairlead/prod/checkout")}
    head = desired.clone.head()
    assert State.PENDING is closed[base].state
    assert (State.ERROR, f"history rewritten: {head[:7]} is the new head") == (
        closed[lost].state,
        closed[lost].description,
    )


def open_status(commit: str) -> CommitStatus:
    return CommitStatus(
        repository="main",
        commit=commit,
        context="fairlead/prod/checkout",
        state=State.PENDING,
        description="wave 1/2",
    )


def test_a_force_push_holds_the_fleets_that_it_would_change_and_no_others(
    feed: Repositories, ledger: Store, lease: Lease, desired: Any
) -> None:
    base = desired.clone.head()
    feed.run("main", lease)
    desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})
    feed.run("main", lease)
    desired.force_push(base, {"environments/staging/basket.yaml": "version: 9.9.9\n"})

    feed.run("main", lease)

    held = {record.name for record in ledger.fleets("main") if record.memory.rewritten}
    assert {"prod/checkout", "staging/basket"} == held


def test_a_push_that_goes_on_from_the_known_head_holds_nothing(
    feed: Repositories, ledger: Store, lease: Lease, desired: Any
) -> None:
    feed.run("main", lease)
    desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})

    feed.run("main", lease)

    assert [] == [record.name for record in ledger.fleets("main") if record.memory.rewritten]


def test_a_remote_that_is_down_is_trouble_that_backs_off_and_clears(
    feed: Repositories, lease: Lease, desired: Any, clock: Any, tmp_path: Path
) -> None:
    feed.run("main", lease)
    desired.server.faults.refuse_with = 503

    waits = [(feed.run("main", lease) or clock.now()) - clock.now() for _ in range(9)]
    during = trouble(tmp_path)
    desired.server.faults.refuse_with = None
    feed.run("main", lease)

    assert [2, 4, 8] == [wait.total_seconds() for wait in waits[:3]]
    assert timedelta(minutes=2) == waits[-1]
    assert "cannot be reached" in during["repository/main"]
    assert {} == trouble(tmp_path)


def trouble(tmp_path: Path) -> dict[str, str]:
    """What the ledger keeps of feeds that cannot read; a fleet's record shows only its own inventories."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as rows:
        return dict(rows.execute("SELECT name, trouble FROM feeds WHERE trouble IS NOT NULL").fetchall())


def test_another_process_clears_the_trouble_too(
    feed: Repositories, feed_of: Callable[[str], Repositories], lease: Lease, desired: Any, tmp_path: Path
) -> None:
    feed.run("main", lease)
    desired.server.faults.refuse_with = 503
    feed.run("main", lease)
    desired.server.faults.refuse_with = None

    feed_of("other").run("main", lease)

    assert {} == trouble(tmp_path)


def test_a_lost_lease_records_nothing(feed: Repositories, ledger: Store, clock: Any) -> None:
    lease = leased(ledger)
    clock.pass_by(hours=1)

    with pytest.raises(LeaseLost):
        feed.run("main", lease)

    assert None is ledger.known("main")


def test_a_poll_is_news_only_when_the_head_moved(feed: Repositories, lease: Lease, desired: Any) -> None:
    at_start = feed.poll("main")
    feed.run("main", lease)
    after_reading = feed.poll("main")
    desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})

    assert [True, False, True] == [at_start, after_reading, feed.poll("main")]


def test_a_poll_that_finds_nothing_new_is_one_round_trip(feed: Repositories, lease: Lease, desired: Any) -> None:
    feed.run("main", lease)
    feed.poll("main")
    desired.server.accesses.clear()

    feed.poll("main")

    assert 1 == len(desired.server.accesses)


def test_a_poll_of_a_remote_that_is_down_is_news_once(feed: Repositories, lease: Lease, desired: Any) -> None:
    feed.run("main", lease)
    desired.server.faults.refuse_with = 503

    first = feed.poll("main")
    feed.run("main", lease)

    assert [True, False] == [first, feed.poll("main")]


# ── the sentence ─────────────────────────────────────────────────────────────────────────────────────────────────


def state_with(*problems: Problem) -> DesiredState:
    return DesiredState(environments=("prod",), fleets={}, declared=frozenset(), problems=problems)


def problem(message: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(file="environments/prod/a.yaml", line=3, column=5, message=message, severity=severity)


def test_the_first_problem_and_the_number_of_others_fit_a_status() -> None:
    state, text = verdict(state_with(problem("x" * 200), problem("second"), problem("third")))

    assert State.ERROR is state
    assert 140 == len(text)
    assert text.startswith("environments/prod/a.yaml:3:5: xxx")
    assert text.endswith("x… (+2 more)")


def test_warnings_do_not_fail_a_commit() -> None:
    said = verdict(state_with(problem("one", Severity.WARNING), problem("two", Severity.WARNING)))

    assert (State.SUCCESS, "0 fleets are sound, 2 warnings") == said


def test_what_fits_is_not_shortened() -> None:
    assert "x" * 140 == shorten("x" * 140, 140)
