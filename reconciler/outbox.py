"""Statuses leave here: durable, newest word first, a commit with very many fleets kept readable."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from desired_state.model import Sha
from reconciler.outlets import repository_of
from reconciler.ports import Delivery, Forge, Lease, LeaseLost, Ledger, Undelivered
from reconciler.record import CommitStatus, Medium, State

BATCH = 200
FLEETS_A_COMMIT = 20  # above that only failures are told one by one; the roll-up speaks for the rest (DESIGN 5)
LOUD = frozenset({State.FAILURE, State.ERROR})
LEFT_TO_ROLL_UP = "left to the roll-up"
LEFT_BEHIND = "the roll-up names it first"
FIRST_OF_A_CROWD = 5  # words of single fleets that are told before the roll-up can name them, of a commit of very many
GIVING_WAY = timedelta(seconds=1)  # of the others: longer than a roll-up takes
LEFT_TO_HEAD = "said on the head of its pull request"
LEFT_TO_ITSELF = "the commit says this itself"
LEFT_OUT = frozenset({LEFT_TO_ROLL_UP, LEFT_TO_HEAD, LEFT_TO_ITSELF})
HOMELESS = timedelta(seconds=5), timedelta(hours=1)  # between looks at what our settings do not name: at first, at last
GIVEN_UP = timedelta(days=30)  # and then it is told no more; people are told no news of the day before
STALE = timedelta(days=1)


class Outbox:
    """The families of names that deliver, each name an outlet (`outlets.py`). `forges` are by repository or channel.

    `on_heads_alone`: the repositories where a commit that came from a pull request is told about on its head only.
    """

    def __init__(self, ledger: Ledger, forges: Mapping[str, Forge], on_heads_alone: Collection[str] = ()) -> None:
        self._ledger, self._forges = ledger, forges
        self._on_heads_alone = frozenset(on_heads_alone)

    def run(self, outlet: str, lease: Lease) -> datetime | None:
        """Deliver what is due; gives the time of the next try where something is left. All times are the ledger's."""
        repository, waiting = repository_of(outlet), self._ledger.undelivered(outlet, BATCH)
        if waiting and repository not in self._forges:
            return self._leave(outlet, lease, waiting)
        if waiting:
            self._deliver(repository, lease, waiting)
        return self._ledger.next_telling(outlet)

    def _leave(self, outlet: str, lease: Lease, waiting: Sequence[Undelivered]) -> datetime | None:
        """Left alone: another replica may know a new name already. What nobody took for long is told no more."""
        now, why = self._ledger.take_up(lease, ()), f"the settings name no {repository_of(outlet)}"
        ages = {item.id: now - (item.said_at or now) for item in waiting}
        old = [item for item in waiting if ages[item.id] > _longest(item)]
        fresh = [item for item in waiting if ages[item.id] <= _longest(item)]
        results = [_refused(item, f"given up after {_longest(item).days * 24} hours: {why}") for item in old]
        self._ledger.settle(lease, [*results, *(_later(item, now, why) for item in fresh)])
        if not fresh:
            return self._ledger.next_telling(outlet)
        first, last = HOMELESS
        return now + min(max(min(ages[item.id] for item in fresh) / 4, first), last)

    def _deliver(self, repository: str, lease: Lease, waiting: Sequence[Undelivered]) -> None:
        new = [item for item in waiting if not item.said_before and _is_status(item.status)]
        crowd = self._crowd(repository, new)
        quiet = {**self._left_out(repository, new, crowd), **self._said_there(repository, waiting)}
        waits = [item for item in crowd if item.id not in quiet and not item.put_off][FIRST_OF_A_CROWD:]
        late = {item.id for item in waits}
        told = [item for item in waiting if item.id not in quiet and item.id not in late]
        results = [_refused(item, quiet[item.id]) for item in waiting if item.id in quiet]
        now = self._ledger.take_up(lease, told)
        results += [_later(item, now + GIVING_WAY, LEFT_BEHIND) for item in waits]
        if told:
            results += self._told(self._forges[repository], lease, told, now)
        self._ledger.settle(lease, results)

    def _told(self, forge: Forge, lease: Lease, told: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        """Told in their order; a pending word for which there is no room does not keep final ones from theirs."""
        results = {each.id: each for each in forge.deliver(lease, told, now)}
        behind = _behind_a_pending_one(told, results)
        if behind:
            with suppress(LeaseLost):  # what was told before must reach the ledger, which finds out by itself
                results |= {each.id: each for each in forge.deliver(lease, behind, now)}
        return list(results.values())

    def _left_out(self, repository: str, new: Sequence[Undelivered], crowd: Sequence[Undelivered]) -> Mapping[int, str]:
        """What is not told, and why, by id: never what the forge shows an earlier word of."""
        silent = {item.id: LEFT_TO_ROLL_UP for item in crowd if item.status.state not in LOUD}
        if repository not in self._on_heads_alone:
            return silent
        own = [item for item in new if not item.said_for]
        headed = self._ledger.heads_of(repository, {item.status.commit for item in own})
        return {item.id: LEFT_TO_HEAD for item in own if item.status.commit in headed} | silent

    def _said_there(self, repository: str, waiting: Sequence[Undelivered]) -> Mapping[int, str]:
        """The copies on commits that speak for themselves under that context: what a commit says of itself stands."""
        copies = [item for item in waiting if item.said_for]
        own = self._ledger.statuses(repository, commits={item.status.commit for item in copies}) if copies else ()
        places = {(word.commit, word.context) for word in own}
        return {item.id: LEFT_TO_ITSELF for item in copies if (item.status.commit, item.status.context) in places}

    def _crowd(self, repository: str, new: Sequence[Undelivered]) -> Sequence[Undelivered]:
        """The words of single fleets on commits of very many."""
        of_fleets = [item for item in new if is_fleets(item.status.context)]
        crowded = self._crowded(repository, {_speaker(item) for item in of_fleets})
        return [item for item in of_fleets if _speaker(item) in crowded]

    def _crowded(self, repository: str, commits: Collection[Sha]) -> frozenset[Sha]:
        """The commits of very many fleets: known before the first of them speaks, and when some have moved on."""
        counts = (self._ledger.speaking(repository, commits), self._ledger.set_by(repository, commits))
        return frozenset(
            commit for commit in commits if max(count.get(commit, 0) for count in counts) > FLEETS_A_COMMIT
        )


def _longest(item: Undelivered) -> timedelta:
    return STALE if item.status.medium is Medium.NOTICE else GIVEN_UP


def _speaker(item: Undelivered) -> Sha:
    """The commit that says it, here or on its head."""
    return item.said_for or item.status.commit


def _is_status(status: CommitStatus) -> bool:
    return status.medium is Medium.STATUS and not status.project


def _refused(item: Undelivered, why: str) -> Delivery:
    return Delivery(id=item.id, sequence=item.sequence, delivered=False, message=why)


def _later(item: Undelivered, at: datetime, why: str) -> Delivery:
    return Delivery(id=item.id, sequence=item.sequence, delivered=False, retry_at=at, message=why, tried=False)


def _behind_a_pending_one(told: Sequence[Undelivered], results: Mapping[int, Delivery]) -> Sequence[Undelivered]:
    """The final words that were not tried because a pending one before them had no room."""
    untried = [item for item in told if item.id in results and not results[item.id].tried]
    if not untried or untried[0].status.state is not State.PENDING:
        return ()
    return [item for item in untried if item.status.state is not State.PENDING]


def is_fleets(context: str) -> bool:
    """True for `fairlead/<env>/<service>`, false for roll-ups and validation."""
    return context.count("/") == 2
