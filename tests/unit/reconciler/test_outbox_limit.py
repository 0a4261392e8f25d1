"""A commit that sets very many fleets is kept readable from its first word on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import DesiredState, Revision, Setting
from reconciler.outbox import FLEETS_A_COMMIT, Outbox
from reconciler.ports import Delivery, RevisionChange
from reconciler.record import CommitStatus, State


class Forge:
    """Takes every word."""

    def __init__(self):
        self.told = []

    def deliver(self, lease, statuses, now):
        self.told += [item.status.context for item in statuses]
        return [Delivery(id=item.id, sequence=item.sequence, delivered=True) for item in statuses]


def claim(rig, key):
    rig.ledger.add([key])
    return rig.ledger.claim(key.partition(":")[0], 1, timedelta(seconds=30))[0]


def declare(rig, build, commit, count):
    """One commit that sets so many fleets."""
    fleets = {name: replace(build.fleet(), name=name) for name in (f"prod/s{number:02}" for number in range(count))}
    head = Revision(sha=commit, parents=(), author="Ada <ada@example.com>", committed_at=build.now, subject="set")
    due = claim(rig, "repository:main")
    rig.ledger.record_revision(
        due.lease,
        RevisionChange(
            repository="main",
            head=head,
            desired=DesiredState(environments=("prod",), fleets=fleets, declared=frozenset(fleets)),
            settings={
                name: Setting(commit=commit, target_digest=fleet.target_digest) for name, fleet in fleets.items()
            },
            at=build.now,
        ),
    )
    rig.ledger.finish(due)


def tell(rig, build, forge, commit, states):
    """One run of the outbox, with these words of fleets in it."""
    due = claim(rig, "statuses:main")
    words = [
        CommitStatus(
            repository="main", commit=commit, context=f"fairlead/{name}", state=state, description="said", at=build.now
        )
        for name, state in states.items()
    ]
    rig.ledger.say(due.lease, words)
    Outbox(rig.ledger, {"main": forge}).run("main", due.lease)
    rig.ledger.finish(due)


@pytest.mark.parametrize(("count", "told"), [(FLEETS_A_COMMIT, 1), (FLEETS_A_COMMIT + 1, 0)])
def test_the_first_of_many_fleets_to_speak_is_told_only_where_all_of_them_may_be(count, told, rig, build):
    forge, commit = Forge(), build.sha("many")
    declare(rig, build, commit, count)

    tell(rig, build, forge, commit, {"prod/s00": State.PENDING})

    assert told == len(forge.told)


def test_a_failure_among_many_is_told(rig, build):
    forge, commit = Forge(), build.sha("many")
    declare(rig, build, commit, FLEETS_A_COMMIT + 1)

    tell(rig, build, forge, commit, {"prod/s00": State.SUCCESS, "prod/s01": State.FAILURE})

    assert ["fairlead/prod/s01"] == forge.told
