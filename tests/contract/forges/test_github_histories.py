"""Words of every kind through faults in random order and crashes at random calls: each place ends with its newest word.

The outbox is played, so that a history is quick; the forge, its budget and HTTP are real.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.forges.hosted.saying import marker
from reconciler.ports import Undelivered
from reconciler.record import CommitStatus, Medium, State
from tests.contract.forges.mortal import Killed, Mortal

COMMIT, TAGGED = "ab" * 20, "cd" * 20
STEPS = 30


@dataclass
class PlayedOutbox:
    """The newest word of each place, until it is told; one that is in doubt is told again a minute later."""

    waiting: dict[tuple[str, str], Undelivered] = field(default_factory=dict)
    due: dict[tuple[str, str], datetime] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    ids: int = 0

    def say(self, word: CommitStatus, now: datetime) -> None:
        self.ids += 1
        place = (word.commit, word.context)
        self.waiting[place] = Undelivered(id=self.ids, sequence=self.ids, status=word, attempts=0)
        self.due[place] = max(now, self.due.get(place, now))

    def deliver(self, forge: Any, lease: Any, now: datetime) -> None:
        """What is due, final words first; nothing is known of a process that dies."""
        items = [item for place, item in self.waiting.items() if self.due[place] <= now]
        items.sort(key=lambda item: item.status.state is State.PENDING)
        results = forge.deliver(lease, items, now)
        places = {item.id: place for place, item in self.waiting.items()}
        for result in results:
            place = places[result.id]
            item = self.waiting.pop(place)
            if result.delivered:
                continue
            if result.retry_at is None:
                self.refused.append(result.message)
                continue
            self.waiting[place] = replace(item, attempts=item.attempts + result.tried)
            self.due[place] = max(result.retry_at, now + timedelta(minutes=1)) if result.in_doubt else result.retry_at

    @property
    def next_due(self) -> datetime:
        return min(self.due[place] for place in self.waiting)


def makers(say: Any) -> list[Callable[[State, str], CommitStatus]]:
    return [
        lambda state, text: say.status(COMMIT, state, text),
        lambda state, text: say.status(COMMIT, state, text, context="fairlead/prod"),
        lambda state, text: say.comment(text, state=state, text=text),
        lambda state, text: say.comment(text, pull=8, state=state, text=text),
        lambda state, text: say.deployment(state, text, commit=COMMIT),
        lambda state, text: say.deployment(state, text, commit=COMMIT, context="deployment prod/basket"),
        lambda state, text: say.status("refs/tags/v1", state, text, project="acme/checkout"),
    ]


def faults(say: Any) -> list[Any]:
    return [
        say.canned(status=500),
        say.canned(status=503, headers={"Retry-After": "20"}),
        say.canned(status=429, headers={"Retry-After": "30"}),
        say.canned(status=403, body=b'{"message": "Resource not accessible by integration"}'),
        say.canned(status=403, body=b'{"message": "You have exceeded a secondary rate limit."}'),
        say.canned(status=200, body=b"<html>"),
        say.canned(status=0),
    ]


def shown(bench: Any, word: CommitStatus) -> list[Any]:
    """What stands at a word's place; a list of one where all is well."""
    places = bench.github.places
    if word.medium is Medium.COMMENT:
        bodies = places.bodies(int(word.commit.removeprefix("pull/")), "fairlead-bot")
        return [body.removeprefix(f"{marker(word)}\n") for body in bodies]
    if word.medium is Medium.DEPLOYMENT:
        name = word.context.removeprefix("deployment ")
        made = [each for each in places.deployments if each["environment"] == name]
        return [(each["statuses"][-1]["state"], each["statuses"][-1]["description"]) for each in made]
    commit = TAGGED if word.project else word.commit
    return [
        (each["state"], each["description"])
        for each in bench.github.newest(commit)
        if each["context"] == word.context.lower()
    ]


def wanted(word: CommitStatus) -> Any:
    if word.medium is Medium.COMMENT:
        return word.body
    state = "in_progress" if word.medium is Medium.DEPLOYMENT and word.state is State.PENDING else word.state.value
    return (state, word.description)


@pytest.mark.parametrize("seed", range(16))
def test_each_place_ends_with_its_newest_word(bench: Any, say: Any, seed: int) -> None:
    chance, outbox, bench.jitter = random.Random(seed), PlayedOutbox(), 0.1
    bench.github.commits.add(TAGGED)
    bench.github.places.tags["v1"] = ("commit", TAGGED)
    newest: dict[tuple[str, str], CommitStatus] = {}

    def run(*, mortal: bool) -> None:
        transport = bench.transport(kind=Mortal)
        if mortal:
            transport.left = chance.randint(1, 12)
        with suppress(Killed):
            outbox.deliver(bench.forge(transport=transport), say.lease(), bench.clock.now())

    for step in range(STEPS):
        for make in chance.sample(makers(say), 3):
            word = make(chance.choice(list(State)), f"word {step}")
            newest[word.commit, word.context] = word
            outbox.say(word, bench.clock.now())
        bench.github.next.extend(chance.choice([None, *faults(say)]) for _ in range(chance.choice([0, 0, 1, 3])))
        bench.github.lose = chance.choice([0, 0, 1])
        run(mortal=chance.random() < 0.4)
        bench.clock.advance(timedelta(seconds=chance.choice([1, 10, 45, 90])))
    bench.github.next.clear()
    for _ in range(50):
        if not outbox.waiting:
            break
        bench.clock.advance(max(outbox.next_due - bench.clock.now(), timedelta()))
        run(mortal=False)

    assert ([], {}) == (outbox.refused, outbox.waiting)
    assert {place: [wanted(word)] for place, word in newest.items()} == {
        place: shown(bench, word) for place, word in newest.items()
    }
    times = [each.at for each in bench.github.counted]
    assert max(sum(at <= other < at + timedelta(seconds=10) for other in times) for at in times) <= 10
    assert 0 == bench.github.limited
