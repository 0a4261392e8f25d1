"""Controllers are killed at any moment while the forge fails: in the end it shows what the ledger says, everywhere."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from fairlead_sandbox.forge import Outage
from fairlead_sandbox.world import World
from reconciler.record import State

FLEET, CONTEXT = "prod/checkout", "fairlead/prod/checkout"
LONG = 120.0  # seconds; a word that was put off after several failures waits for some of them


class Telling:
    """One world with a forge, whose controller dies now and then."""

    def __init__(
        self, world: World, ledger: Any, start: Callable[..., Any], wait: Callable[..., Any], seed: int
    ) -> None:
        self.world, self.ledger = world, ledger
        self._start, self._wait = start, wait
        self.chance = random.Random(seed)
        self.controller = start(world)
        self.merges: list[tuple[str, str]] = []  # commit, and the head that it merged
        self.kills = 0

    def merge(self) -> None:
        """A person merges a bump, or a file that nobody can read, when the forge is there."""
        self.recover()
        version = f"1.4.{len(self.merges) + 1}" if self.chance.random() < 0.8 else "[1"
        checkout, branch = self.world.checkout, f"bump-{len(self.merges)}"
        checkout.pull()
        with checkout.on_branch(branch):
            checkout.commit("Bump", {f"environments/{FLEET}.yaml": f"version: {version}\n"})
            head = checkout.git("rev-parse", "HEAD")
        self.merges.append((self.world.forge_half.person.merge(branch, "Bump").commit, head))

    def fail(self) -> None:
        """The forge fails in another way, or not any more."""
        faults = self.world.forge.faults
        faults.outage = self.chance.choice(list(Outage))
        faults.slow = self.chance.choice([0.0, 0.0, 0.3, 4.0])  # the last is longer than the controller waits
        faults.lost_answers = self.chance.choice([0, 0, 1, 3])

    def kill(self) -> None:
        """At any moment: some way into what it does for the last merge."""
        wanted = len(self.world.forge.log.all()) + self.chance.randrange(4)
        with suppress(TimeoutError):
            self._wait(lambda: len(self.world.forge.log.all()) >= wanted, "some writes", self.chance.random() * 4)
        self.controller.kill()
        self.kills += 1
        self.controller = self._start(self.world)

    def recover(self) -> None:
        faults = self.world.forge.faults
        faults.outage, faults.slow, faults.lost_answers = Outage.NONE, 0.0, 0

    def ends(self) -> None:
        """Everything that was merged is told in the end, on the merge and on its head, as the ledger has it."""
        last = self.merges[-1][0]
        self._wait(lambda: self._is_settled(last), "an end of everything", LONG)
        self._wait(lambda: self.differing() == {}, "the forge to show it", LONG)

    def _is_settled(self, last: str) -> bool:
        said = self.ledger.statuses("main")
        spoken = {each.context for each in said if each.commit == last}
        is_open = any(each.state is State.PENDING for each in said)
        return {"fairlead/validate", "fairlead/prod"} <= spoken and not is_open

    def differing(self) -> dict[tuple[str, str], tuple[Any, Any]]:
        """Places that show something else than the ledger has: that, and what it has."""
        found = {}
        heads = dict(self.merges)
        for word in self.ledger.statuses("main"):
            for commit in {word.commit, heads.get(word.commit, word.commit)}:
                shown = {each.context: each for each in self.world.forge_half.person.statuses(commit)}.get(word.context)
                is_same = shown and (shown.state, shown.description) == (word.state.value, word.description)
                if not is_same:
                    found[commit, word.context] = (shown, word)
        return found


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(10))
def test_what_is_told_ends_right_however_often_the_controller_is_killed(
    make_world: Callable[..., World],
    start: Callable[..., Any],
    wait_until: Any,
    wait_for_status: Any,
    ledger_of: Callable[[World], Any],
    seed: int,
) -> None:
    print(f"seed {seed}")
    world = make_world(forge="token", lease="3s", request_timeout="2s")
    telling = Telling(world, ledger_of(world), start, wait_until, seed)
    wait_for_status(world, world.checkout.head, "success")
    for _ in range(3):
        telling.merge()
        telling.fail()
        telling.kill()
    telling.recover()

    telling.ends()

    assert 3 == telling.kills
    refused = [told for told in _places(telling) if told.is_refused]
    assert [] == refused
    assert {} == telling.differing()


def _places(telling: Telling) -> list[Any]:
    return [told for commit, _ in telling.merges for told in telling.ledger.told("main", commit)]
