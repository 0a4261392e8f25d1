"""A ledger of one fleet that is kept in memory as the text which the real one would hold.

It does what a pass asks of a ledger and nothing else, many times as fast as SQLite: for histories by the thousand.
"""

from dataclasses import replace
from functools import lru_cache

from adapters.ledger.codec import FLEET, MEMORY, OUTCOME
from desired_state.model import Setting
from reconciler.memory import Memory
from reconciler.ports import LeaseLost
from reconciler.record import Record, Request, State

read_fleet = lru_cache(8)(FLEET.decode)
read_memory = lru_cache(8)(MEMORY.decode)
read_outcome = lru_cache(256)(OUTCOME.decode)


class OneFleet:
    """What `reconcile` uses of `reconciler.ports.Ledger`, and what Git and people put into it."""

    def __init__(self, name):
        self.name, self.version, self.revision = name, 1, ""
        self.memory, self.work = MEMORY.encode(Memory()), {}
        self.desired = self.setting = None
        self.requests, self.words, self.history = [], {}, []

    def declare(self, fleet, commit, *, reverts=(), keeps=""):
        self.desired, self.revision = FLEET.encode(fleet), commit
        self.setting = Setting(commit=keeps or commit, target_digest=fleet.target_digest, reverts=reverts)
        self.version += 1

    def request(self, ask, at):
        self.requests.append(Request(id=len(self.requests) + 1, ask=ask, by="ada", at=at))

    def load(self, name):
        assert name == self.name
        kept = {self.setting.commit, *self.setting.reverts}
        return Record(
            name=name,
            repository="main",
            desired=read_fleet(self.desired),
            setting=self.setting,
            revision=self.revision,
            generation=1,
            present=True,
            problems=(),
            memory=read_memory(self.memory),
            version=self.version,
            work=tuple(read_outcome(text) for text in self.work.values()),
            requests=tuple(self.requests),
            statuses=tuple(word for word in self.words.values() if word.state is State.PENDING or word.commit in kept),
        )

    def intend(self, lease, record, result):
        return self.save(lease, record, result)

    def save(self, lease, record, result):
        if record.version != self.version:
            raise LeaseLost(f"{self.name} is not at version {record.version} any more")
        self.version += 1
        self.memory = MEMORY.encode(result.memory)
        known = {outcome.intent.key: outcome for outcome in record.work}
        for outcome in result.work:
            if outcome.phase.ended:
                self.work.pop(outcome.intent.key, None)
            elif known.get(outcome.intent.key) != outcome:
                self.work[outcome.intent.key] = OUTCOME.encode(outcome)
        self.words |= {word.commit: word for word in result.statuses}
        self.requests = [request for request in self.requests if request.id not in result.requests_done]
        self.history += [event.kind for event in result.events]
        work = tuple(read_outcome(text) for text in self.work.values())
        return replace(record, memory=result.memory, version=self.version, work=work, requests=tuple(self.requests))

    def pending(self):
        return [word for word in self.words.values() if word.state is State.PENDING]
