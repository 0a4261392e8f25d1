"""When the outbox comes back: nothing that was put off is forgotten."""

from datetime import timedelta

from reconciler.outbox import Outbox
from reconciler.ports import Delivery
from reconciler.record import CommitStatus, State


class Forge:
    """Takes words, or puts them off for a minute."""

    def __init__(self):
        self.down = False
        self.told = []

    def deliver(self, lease, statuses, now):
        later = now + timedelta(minutes=1)
        self.told += [] if self.down else [item.status.commit for item in statuses]
        return [
            Delivery(
                id=item.id,
                sequence=item.sequence,
                delivered=not self.down,
                retry_at=later if self.down else None,
            )
            for item in statuses
        ]


def word(build, commit):
    return CommitStatus(
        repository="main",
        commit=build.sha(commit),
        context="fairlead/prod/checkout",
        state=State.SUCCESS,
        description="done",
        at=build.now,
    )


def run(rig, outbox, *words):
    """One claim of the name, as the loop does it: what nobody asks for again is gone from the queue."""
    rig.ledger.add(["statuses:main"])
    due = rig.ledger.claim("statuses", 1, timedelta(seconds=30))[0]
    rig.ledger.say(due.lease, words)
    again_at = outbox.run("main", due.lease)
    rig.ledger.finish(due, again_at=again_at)
    return again_at


def test_a_word_that_a_forge_put_off_is_not_forgotten_when_a_later_one_is_taken(rig, build):
    forge = Forge()
    outbox = Outbox(rig.ledger, {"main": forge})
    forge.down = True
    run(rig, outbox, word(build, "first"))
    forge.down = False
    rig.wait(seconds=30)

    again_at = run(rig, outbox, word(build, "second"))
    rig.clock.advance(again_at - rig.clock.now())
    run(rig, outbox)

    assert [build.sha("second"), build.sha("first")] == forge.told


def test_an_outbox_with_nothing_left_sleeps(rig, build):
    assert run(rig, Outbox(rig.ledger, {"main": Forge()}), word(build, "only")) is None
