"""Words of the outbox to messages: of very many fleets with one trouble people are told once, with counts and names."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.notices import Kind
from reconciler.ports import Undelivered

FEW = 4  # fleets with one trouble that are told one by one
MESSAGES = 5  # at once: above that the fleets of one kind are told together, whatever commit set them
NAMED = 8  # fleets that a message names
TITLES = {
    Kind.FAILED: "Failed",
    Kind.ROLLED_BACK: "Rolled back",
    Kind.HELD: "Needs a person",
    Kind.RESOLVED: "Resolved",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One word, and the facts in its body."""

    item: Undelivered
    facts: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        """What it says; of a word that a newer version wrote: what its state says."""
        said = self.facts.get("kind")
        return Kind(said) if said in set(Kind) else Kind.HELD

    @property
    def fleet(self) -> str:
        """ENV/SERVICE."""
        return self.item.status.context

    @property
    def id(self) -> str:
        """The same whenever the same is told, whatever it is told together with."""
        status = self.item.status
        return _id([f"{status.repository} {status.commit} {self.fleet} {self.item.sequence}"])

    def fact(self, name: str) -> str:
        """A fact as text; empty where it is not told."""
        value = self.facts.get(name, "")
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told at once: fleets of one kind of trouble."""

    told: tuple[Told, ...]

    @property
    def kind(self) -> Kind:
        """What it says of every one of them."""
        return self.told[0].kind

    @property
    def commit(self) -> str:
        """The setting commit, where it is one for all; else empty."""
        commits = {each.item.status.commit for each in self.told}
        return commits.pop() if len(commits) == 1 else ""

    @property
    def title(self) -> str:
        """`Failed`, `Needs a person: FirstSight`."""
        reasons = {each.fact("reason") for each in self.told}
        only = f": {reasons.pop()}" if self.kind is Kind.HELD and len(reasons) == 1 and reasons != {""} else ""
        return f"{TITLES[self.kind]}{only}"

    @property
    def shown(self) -> tuple[Told, ...]:
        """The fleets that are named, in the order of their names."""
        return tuple(sorted(self.told, key=lambda each: each.fleet)[:NAMED])

    @property
    def more(self) -> int:
        """How many are only counted."""
        return len(self.told) - len(self.shown)

    @property
    def id(self) -> str:
        """The same for the same words: a receiver knows by it what comes again."""
        return _id(sorted(each.id for each in self.told))


def read(item: Undelivered) -> Told:
    """The word with its facts; a body that is none leaves the word's own sentence."""
    try:
        facts = json.loads(item.status.body)
    except (ValueError, RecursionError):
        facts = {}
    return Told(item=item, facts=facts if isinstance(facts, dict) else {})


def _id(names: Sequence[str]) -> str:
    return f"fairlead_{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]}"


def is_silent(told: Told) -> bool:
    """Nobody is told what was withdrawn, nor the end of what nobody was told."""
    return told.kind is Kind.WITHDRAWN or (told.kind is Kind.RESOLVED and not told.item.said_before)


def gather(words: Sequence[Told]) -> list[Message]:
    """Few messages for many words, in the order in which the first word of each came.

    What may have been told already is not put together with what was not: it comes again under the id that it had.
    """
    messages = _grouped(words, lambda told: (told.kind, told.fact("reason"), told.item.status.commit))
    if len(messages) > MESSAGES:
        messages = _grouped(words, lambda told: (told.kind, told.fact("reason")))
    if len(messages) > MESSAGES:
        messages = _grouped(words, lambda told: (told.kind,))
    return messages


def _grouped(words: Iterable[Told], key: Callable[[Told], tuple[str, ...]]) -> list[Message]:
    groups: dict[tuple[object, ...], list[Told]] = defaultdict(list)
    for told in words:
        groups[told.item.said_before, *key(told)].append(told)
    found: list[Message] = []
    for group in groups.values():
        parts = [group] if len(group) > FEW else [[told] for told in group]
        found += [Message(told=tuple(part)) for part in parts]
    return found
