"""What the outbox leaves out, where, and who goes first where there is little room."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import DesiredState, Revision, Setting
from reconciler.outbox import FIRST_OF_A_CROWD, FLEETS_A_COMMIT, Outbox
from reconciler.ports import Delivery, RevisionChange
from reconciler.record import CommitStatus, State
from reconciler.reviews import Head


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


def tell(rig, build, forge, commit, states, on_heads_alone=()):
    """One run of the outbox, with these words of fleets in it."""
    due = claim(rig, "statuses:main")
    words = [
        CommitStatus(
            repository="main", commit=commit, context=f"fairlead/{name}", state=state, description="said", at=build.now
        )
        for name, state in states.items()
    ]
    rig.ledger.say(due.lease, words)
    forges = {"main": forge} if forge else {}
    for outlet in ("main", "main+further"):
        Outbox(rig.ledger, forges, on_heads_alone).run(outlet, due.lease)
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


# ── heads of pull requests ───────────────────────────────────────────────────────────────────────────────────────


def merged(rig, build, commit):
    """What is said on the commit is said on the head that it came from too; gives that."""
    head = build.sha("branch")
    rig.ledger.record_heads("main", {commit: Head(head=head)})
    return head


class Places(Forge):
    """Takes every word, and remembers where it went."""

    def deliver(self, lease, statuses, now):
        taken = super().deliver(lease, statuses, now)
        self.told[-len(statuses) :] = [item.status.commit for item in statuses]
        return taken


@pytest.mark.parametrize(("count", "told"), [(FLEETS_A_COMMIT, 2), (FLEETS_A_COMMIT + 1, 0)])
def test_a_head_is_told_of_as_many_fleets_as_its_commit(count, told, rig, build):
    forge, commit = Places(), build.sha("many")
    declare(rig, build, commit, count)
    head = merged(rig, build, commit)

    tell(rig, build, forge, commit, {"prod/s00": State.PENDING})

    assert [commit, head][:told] == forge.told


def test_where_heads_alone_answer_a_commit_with_one_is_silent_and_others_are_not(rig, build):
    forge, commit = Places(), build.sha("merge")
    declare(rig, build, commit, 1)
    head = merged(rig, build, commit)

    tell(rig, build, forge, commit, {"prod/s00": State.SUCCESS}, on_heads_alone=["main"])
    tell(rig, build, forge, build.sha("plain"), {"prod/s00": State.SUCCESS}, on_heads_alone=["main"])

    assert [head, build.sha("plain")] == forge.told


def test_what_a_commit_was_told_before_its_head_was_known_is_closed_there_too(rig, build):
    forge, commit = Places(), build.sha("squash")
    declare(rig, build, commit, 1)
    tell(rig, build, forge, commit, {"prod/s00": State.PENDING}, on_heads_alone=["main"])
    head = merged(rig, build, commit)

    tell(rig, build, forge, commit, {"prod/s00": State.SUCCESS}, on_heads_alone=["main"])

    assert [commit, commit, head] == forge.told


# ── room ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class NoRoomForPending:
    """A forge that tells words in their order until a pending one comes."""

    def __init__(self):
        self.told = []

    def deliver(self, lease, statuses, now):
        results, room = [], True
        for item in statuses:
            room = room and item.status.state is not State.PENDING
            self.told += [item.status.context] if room else []
            later = None if room else now + timedelta(minutes=1)
            waits = {"delivered": room, "retry_at": later, "tried": room}
            results.append(Delivery(id=item.id, sequence=item.sequence, **waits))
        return results


def test_a_pending_roll_up_without_room_keeps_no_final_word_from_its_own(rig, build):
    forge, commit = NoRoomForPending(), build.sha("one")
    declare(rig, build, commit, 2)

    words = {"prod": State.PENDING, "prod/s00": State.FAILURE, "prod/s01": State.PENDING}
    tell(rig, build, forge, commit, words)

    assert ["fairlead/prod/s00"] == forge.told
    assert ["fairlead/prod", "fairlead/prod/s01"] == sorted(each.status.context for each in waiting_in_a_minute(rig))


def waiting_in_a_minute(rig):
    rig.wait(seconds=61)
    return rig.ledger.undelivered("main", 9)


def test_words_for_what_the_settings_do_not_name_wait_and_are_not_lost(rig, build):
    commit = build.sha("one")
    declare(rig, build, commit, 1)

    tell(rig, build, None, commit, {"prod/s00": State.FAILURE})

    assert [State.FAILURE] == [each.status.state for each in rig.ledger.undelivered("main", 9)]


def test_the_first_failures_of_a_crowd_leave_room_for_the_roll_up_that_names_them(rig, build):
    forge, commit = Forge(), build.sha("many")
    declare(rig, build, commit, 40)

    tell(rig, build, forge, commit, {f"prod/s{number:02}": State.FAILURE for number in range(30)})
    assert FIRST_OF_A_CROWD == len(forge.told)
    rig.wait(seconds=1)
    tell(rig, build, forge, commit, {"prod": State.PENDING})

    assert "fairlead/prod" == forge.told[FIRST_OF_A_CROWD]
    assert 31 == len(forge.told)
