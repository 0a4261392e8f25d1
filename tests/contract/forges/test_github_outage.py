"""A GitHub that is away for ten minutes while 300 statuses want to be written: none is lost, the pace is kept.

The whole way is real but for time: a ledger with its queue and leases, the outbox, the adapter, HTTP.
"""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from adapters.ledger.dialects import moment
from adapters.ledger.tables import queue, statuses
from reconciler.outbox import Outbox
from reconciler.ports import LeaseLost
from reconciler.record import CommitStatus, State

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LEASE = timedelta(seconds=30)
COMMITS = tuple(f"{number:040x}" for number in range(1, 16))
CONTEXTS = ("fairlead/prod", *(f"fairlead/prod/service-{number}" for number in range(19)))
TEXTS = {State.PENDING: "wave 1/2", State.SUCCESS: "1.4.2 on 2/2 units", State.FAILURE: "1.4.2 failed on 1/2 units"}


class Controllers:
    """What controller processes do for statuses, one step at a time."""

    def __init__(self, bench: Any, replicas: int = 1, **pace: int) -> None:
        self.bench, self.clock, self.store = bench, bench.clock, bench.store
        forges = [bench.forge(**pace) for _ in range(replicas)]
        self.outboxes = [Outbox(self.store, {"main": forge}) for forge in forges]
        self.expected: dict[tuple[str, str], CommitStatus] = {}

    def say(self, words: Sequence[CommitStatus]) -> None:
        self.store.add(["rollup:main"])
        (due,) = self.store.claim("rollup", 1, LEASE)
        self.store.say(due.lease, words)
        self.store.finish(due)
        self.expected |= {(word.commit, word.context): word for word in words}

    def run_until(self, end: datetime) -> None:
        """Every run that is due, at the moment at which it is."""
        turn = 0
        while True:
            for due in self.store.claim("statuses", 1, LEASE):
                outbox, turn = self.outboxes[turn % len(self.outboxes)], turn + 1
                self.store.finish(due, again_at=outbox.run("main", due.lease))
            soonest = self.next_run()
            self.clock.advance(max(min(soonest or end, end) - self.clock.now(), timedelta()))
            if soonest is None or soonest >= end:
                return

    def next_run(self) -> datetime | None:
        with self.store._database.reading() as connection:
            due = connection.scalar(select(func.min(queue.c.due)).where(queue.c.family == "statuses"))
        return None if due is None else moment(due)

    @property
    def left(self) -> int:
        untold = statuses.c.sequence > statuses.c.delivered_sequence
        with self.store._database.reading() as connection:
            return connection.scalar(select(func.count()).where(untold)) or 0

    def shown(self) -> dict[tuple[str, str], tuple[str, str]]:
        return {
            (commit, status["context"]): (status["state"], status["description"])
            for commit in COMMITS
            for status in self.bench.github.newest(commit)
        }

    def wanted(self) -> dict[tuple[str, str], tuple[str, str]]:
        return {place: (word.state.value, word.description) for place, word in self.expected.items()}


def most_in(times: Sequence[datetime], span: timedelta) -> int:
    """The largest number of them in any span that is half open."""
    return max(sum(start <= each < start + span for each in times) for start in times)


def words(say: Any, state: State, places: Sequence[tuple[str, str]]) -> list[CommitStatus]:
    return [say.status(commit, state, TEXTS[state], context=context) for commit, context in places]


@pytest.fixture
def places() -> list[tuple[str, str]]:
    found = [(commit, context) for commit in COMMITS for context in CONTEXTS]
    assert 300 == len(found)
    return found


def test_an_outage_of_ten_minutes_loses_nothing_and_the_budget_is_kept_after_it(
    bench: Any, say: Any, places: list[tuple[str, str]]
) -> None:
    chance = random.Random(7)
    bench.github.commits.update(COMMITS)
    fairlead = Controllers(bench, replicas=2)
    begun = bench.clock.now()
    fairlead.say(words(say, State.PENDING, places[:100]))
    fairlead.run_until(begun + MINUTE)
    told_before = len(bench.github.writes)

    for number, place in enumerate(places):  # all through the outage, each place moves on, some twice
        bench.github.down = say.canned(status=503 if number < 200 else 0)
        fairlead.say(words(say, State.PENDING, [place]))
        if number % 2:
            fairlead.say(words(say, chance.choice([State.SUCCESS, State.FAILURE]), [place]))
        fairlead.run_until(begun + MINUTE + (number + 1) * 10 * MINUTE / 300)
    probes = len(bench.github.writes) - told_before
    bench.github.down = None
    back = bench.clock.now()
    fairlead.say(words(say, State.SUCCESS, places[::3]))
    fairlead.run_until(back + 3 * HOUR)

    assert begun + 11 * MINUTE == back
    assert (0, fairlead.wanted()) == (fairlead.left, fairlead.shown())
    assert 0 == bench.github.limited
    times = [each.at for each in bench.github.writes]
    assert most_in(times, timedelta(seconds=10)) <= 10
    assert most_in(times, MINUTE) <= 60
    assert most_in(times, HOUR) <= 400
    assert probes < 40  # where trying each when it is said would have been 450
    first_back = min(each.at for each in bench.github.writes if each.at >= back)
    assert first_back - back <= timedelta(minutes=5)


def test_a_newer_word_is_never_followed_by_an_older_one(bench: Any, say: Any, places: list[tuple[str, str]]) -> None:
    bench.github.commits.update(COMMITS)
    fairlead = Controllers(bench)
    begun = bench.clock.now()
    for number in range(30):
        bench.github.down = say.canned(status=503) if 5 <= number < 15 else None
        word = [say.status(commit, State.PENDING, f"step {number}", context=context) for commit, context in places[:10]]
        fairlead.say(word)
        fairlead.run_until(begun + (number + 1) * MINUTE)
    fairlead.run_until(begun + 3 * HOUR)

    for said in bench.github.said.values():
        steps = [int(status["description"].removeprefix("step ")) for status in said]
        assert sorted(set(steps)) == steps
        assert 29 == steps[-1]


def test_final_words_overtake_the_pending_ones_that_wait(bench: Any, say: Any, places: list[tuple[str, str]]) -> None:
    bench.github.commits.update(COMMITS)
    fairlead = Controllers(bench, per_minute=6, per_hour=400)
    fairlead.say(words(say, State.PENDING, places[:60]))
    fairlead.run_until(bench.clock.now() + MINUTE)
    failed = words(say, State.FAILURE, places[60:63])
    waited = len(bench.github.writes)

    fairlead.say(failed)
    fairlead.run_until(bench.clock.now() + 31 * timedelta(seconds=1))

    assert ["failure"] * 3 == [each.body["state"] for each in bench.github.writes[waited : waited + 3]]


def test_the_hour_s_budget_is_spent_evenly_over_two_hours(bench: Any, say: Any, places: list[tuple[str, str]]) -> None:
    bench.github.commits.update(COMMITS)
    fairlead = Controllers(bench, per_minute=60, per_hour=100)
    fairlead.say(words(say, State.SUCCESS, places))

    fairlead.run_until(bench.clock.now() + 2 * HOUR + MINUTE * 3)

    hours = Counter(int((each.at - say.now) / HOUR) for each in bench.github.writes)
    assert {0: 100, 1: 100, 2: 100} == hours
    assert (0, fairlead.wanted()) == (fairlead.left, fairlead.shown())


def test_a_limit_in_the_middle_loses_nothing(bench: Any, say: Any, places: list[tuple[str, str]]) -> None:
    """Somebody else spends the same account: GitHub is fuller than we know."""
    bench.github.commits.update(COMMITS)
    fairlead = Controllers(bench)
    limit = say.canned(status=403, headers={"Retry-After": "120"}, body=b'{"message": "secondary rate limit"}')
    bench.github.next.extend([None] * 30 + [limit])
    fairlead.say(words(say, State.SUCCESS, places[:100]))

    fairlead.run_until(bench.clock.now() + HOUR)

    assert (0, fairlead.wanted()) == (fairlead.left, fairlead.shown())
    limited = next(each.at for each in bench.github.writes if each.answer == 403)
    assert min(each.at for each in bench.github.writes if each.at > limited) >= limited + timedelta(seconds=120)


# ── what reaches GitHub late ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def deploy(bench: Any, say: Any) -> tuple[CommitStatus, CommitStatus]:
    """A pending word, and the final one that follows it."""
    bench.github.commits.update(COMMITS)
    context = "fairlead/prod/checkout"
    return say.status(COMMITS[0], State.PENDING, context=context), say.status(COMMITS[0], context=context)


def written(bench: Any) -> list[str]:
    return [each.body["state"] for each in bench.github.writes]


def test_a_process_that_stood_still_over_its_lease_leaves_no_older_word_behind(
    bench: Any, deploy: tuple[CommitStatus, CommitStatus]
) -> None:
    pending, done = deploy
    fairlead = Controllers(bench)
    fairlead.say([pending])
    (due,) = bench.store.claim("statuses", 1, LEASE)

    def another_takes_over() -> None:
        bench.clock.advance(timedelta(minutes=5))
        fairlead.say([done])
        fairlead.run_until(bench.clock.now() + HOUR)

    bench.github.late.append(another_takes_over)
    with pytest.raises(LeaseLost):
        fairlead.outboxes[0].run("main", due.lease)
    assert "pending" == bench.github.newest(COMMITS[0])[0]["state"]

    fairlead.run_until(bench.clock.now() + timedelta(seconds=1))

    assert fairlead.wanted() == fairlead.shown()
    fairlead.run_until(bench.clock.now() + 2 * HOUR)
    assert ["success", "success", "pending", "success"] == written(bench)


def test_a_process_that_died_while_its_word_was_under_way_leaves_no_older_word_behind(
    bench: Any, say: Any, deploy: tuple[CommitStatus, CommitStatus]
) -> None:
    pending, done = deploy
    fairlead = Controllers(bench)
    fairlead.say([pending])
    (due,) = bench.store.claim("statuses", 1, LEASE)
    bench.store.take_up(due.lease, bench.store.undelivered("main", 9))
    bench.clock.advance(LEASE)
    fairlead.say([done])
    fairlead.run_until(bench.clock.now() + timedelta(seconds=1))

    bench.forge().deliver(say.lease(), say.waiting(pending), bench.clock.now())
    fairlead.run_until(bench.clock.now() + MINUTE)

    assert fairlead.wanted() == fairlead.shown()
    fairlead.run_until(bench.clock.now() + 2 * HOUR)
    assert ["success", "pending", "success"] == written(bench)


def test_a_time_out_that_github_carries_out_later_leaves_no_older_word_behind(
    bench: Any, say: Any, deploy: tuple[CommitStatus, CommitStatus]
) -> None:
    pending, done = deploy
    fairlead = Controllers(bench)
    bench.github.next.append(say.canned(status=0))
    fairlead.say([pending])
    fairlead.run_until(bench.clock.now() + timedelta(seconds=1))
    fairlead.say([done])
    fairlead.run_until(bench.clock.now() + timedelta(seconds=1))

    bench.forge().deliver(say.lease(), say.waiting(pending), bench.clock.now())
    fairlead.run_until(bench.clock.now() + MINUTE)

    assert fairlead.wanted() == fairlead.shown()
    fairlead.run_until(bench.clock.now() + 2 * HOUR)
    assert ["pending", "success", "pending", "success"] == written(bench)


def test_a_late_answer_in_the_middle_of_a_batch_reaches_the_ledger(
    bench: Any, say: Any, deploy: tuple[CommitStatus, CommitStatus]
) -> None:
    fairlead = Controllers(bench)
    fairlead.say([deploy[0], say.status(COMMITS[1], State.PENDING)])
    (due,) = bench.store.claim("statuses", 1, LEASE)

    def another_takes_over() -> None:
        bench.clock.advance(LEASE)
        fairlead.say([deploy[1], say.status(COMMITS[1])])
        fairlead.run_until(bench.clock.now() + HOUR)

    bench.github.late.append(another_takes_over)
    with pytest.raises(LeaseLost):
        fairlead.outboxes[0].run("main", due.lease)
    fairlead.run_until(bench.clock.now() + HOUR)

    assert fairlead.wanted() == fairlead.shown()
