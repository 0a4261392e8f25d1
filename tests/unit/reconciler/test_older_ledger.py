"""A ledger restored from a copy of yesterday: what it forgot is found again in the world, or said to be lost."""

import sqlite3

import pytest

from desired_state.model import OnFailure, Policy
from reconciler.record import State


@pytest.fixture
def copied(rig, build, tmp_path):
    """A fleet that was deployed before the ledger was copied."""
    rig.deployed("1.4.1")
    with sqlite3.connect(rig.folder / "ledger.db") as connection:
        connection.execute("VACUUM INTO ?", [str(tmp_path / "copy.db")])
    connection.close()

    def restore():
        rig.ledger.close()
        for file in rig.folder.glob("ledger.db*"):
            file.unlink()
        (tmp_path / "copy.db").rename(rig.folder / "ledger.db")
        rig.open()

    def reopen():
        rig.ledger.close()
        rig.open()

    rig.restore, rig.reopen = restore, reopen
    return rig


def test_what_was_deployed_since_the_copy_is_not_deployed_again(copied, build):
    bump = copied.commit(build.fleet("1.4.2"))
    copied.settle()
    copied.world_of_units.finish()
    copied.settle()
    before = list(copied.started)

    copied.restore()
    copied.commit(build.fleet("1.4.2"))
    copied.settle()

    assert before == copied.started
    assert State.SUCCESS is copied.said(bump).state


def test_what_was_started_since_the_copy_is_found_by_its_key_and_goes_on(copied, build):
    bump = copied.commit(build.fleet("1.4.2"))
    copied.settle()
    before = list(copied.started)

    copied.restore()
    copied.commit(build.fleet("1.4.2"))
    copied.settle()
    copied.world_of_units.finish()
    copied.settle()

    assert before == copied.started
    assert {"1.4.2"} == set(copied.runs().values())
    assert State.SUCCESS is copied.said(bump).state


def test_a_look_that_never_acts_brings_the_copy_to_the_newest_commit_first(copied, build):
    """`fairlead once --observe-only`, the first step after a restore."""
    copied.commit(build.fleet("1.4.2"))
    copied.settle()
    copied.world_of_units.finish()
    copied.settle()
    before = list(copied.started)

    copied.observe_only = True
    copied.restore()
    copied.once()
    copied.commit(build.fleet("1.4.2"))
    copied.once()
    copied.observe_only = False
    copied.reopen()
    copied.settle()

    assert before == copied.started


def test_without_that_look_the_copy_wishes_what_it_knows(copied, build):
    """The repository was not read yet: what runs now is drift to this ledger, and drift is healed."""
    copied.commit(build.fleet("1.4.2"))
    copied.settle()
    copied.world_of_units.finish()
    copied.settle()
    before = list(copied.started)

    copied.restore()
    copied.settle()

    assert before != copied.started


def test_a_quarantine_since_the_copy_is_forgotten_and_the_version_is_tried_as_often_again(copied, build):
    fleet = build.fleet("1.4.2", policy=Policy(retries=1, on_failure=OnFailure.HOLD))
    tried = []
    for restores in (False, True):
        if restores:
            copied.restore()
        before = len(copied.started)
        copied.commit(fleet)
        for _ in range(6):
            copied.settle()
            copied.world_of_units.fail()
            copied.settle()
            copied.wait(minutes=6)
        tried.append(len(copied.started) - before)

    assert tried[0] == tried[1]
