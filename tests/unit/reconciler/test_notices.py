"""What people are told of a fleet: troubles that need one of them, once each, and their end."""

import json
import random
from dataclasses import replace

import pytest

from desired_state.model import OnFailure, Policy
from reconciler.audience import Audience
from reconciler.notices import (
    FLOOR,
    LASTS,
    NEEDS_PERSON,
    NEEDS_PERSON_LATER,
    NEEDS_PERSON_WHERE_GIVEN_UP,
    Channel,
)
from reconciler.reasons import Reason
from reconciler.record import Ask, Medium, State

TEAM = Channel(name="payments", owners=("payments",), environments=("prod",))


class Inbox:
    """The rig's ledger; what its outbox takes as news for people is kept here, every word."""

    def __init__(self, ledger):
        self._ledger, self.told, self._sequences = ledger, [], {}

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def intend(self, lease, record, result):
        return self._noted(result, self._ledger.intend(lease, record, result))

    def save(self, lease, record, result):
        return self._noted(result, self._ledger.save(lease, record, result))

    def _noted(self, result, answer):
        words = [word for word in result.statuses if word.medium is Medium.NOTICE]
        for word in words:
            (item,) = (
                each
                for each in self.undelivered(word.repository, 1000)
                if (each.status.commit, each.status.context) == (word.commit, word.context)
            )
            if self._sequences.get(item.id) != item.sequence:
                self._sequences[item.id] = item.sequence
                self.told.append(item.status)
        return answer


@pytest.fixture
def inbox(rig):
    ledger = Inbox(rig.ledger)
    rig.world = replace(rig.world, ledger=ledger, audience=Audience(channels=(TEAM,)))
    return ledger


def kinds(inbox):
    return [json.loads(word.body)["kind"] for word in inbox.told]


def rounds(rig, count=30, fails="", seconds=30):
    for _ in range(count):
        rig.once()
        work = rig.world_of_units
        running = {each.intent.fleet.version for each in work.executions.values() if each.status == "RUNNING"}
        work.fail() if fails and fails in running else work.finish()
        work.end_canceled()
        rig.wait(seconds=seconds)


def mine(build, version="1.4.2", **changes):
    return build.fleet(version, **{"owner": "payments", "policy": Policy(retries=0), **changes})


def deployed(rig, build):
    commit = rig.commit(mine(build, "1.4.1"))
    rig.run_everywhere("1.4.1")
    rig.settle()
    return commit


def test_a_deploy_that_goes_well_is_nothing_that_people_are_told(rig, build, inbox):
    deployed(rig, build)
    rig.commit(mine(build))
    rounds(rig)
    assert [] == kinds(inbox)


def test_a_failure_and_its_rollback_are_told_once_each_with_what_people_need(rig, build, inbox):
    deployed(rig, build)
    bad = rig.commit(mine(build))
    rounds(rig, 60, fails="1.4.2")

    assert ["failed", "rolled-back"] == kinds(inbox)
    first, last = inbox.told
    facts = json.loads(first.body)
    assert ("notify-payments", bad, "prod/checkout", State.FAILURE) == (
        first.repository,
        first.commit,
        first.context,
        first.state,
    )
    assert "1.4.2 failed: 2 of 2 instances are unhealthy; rolling back to 1.4.1" == first.description
    assert last.description.startswith("1.4.2 failed: 2 of 2 instances are unhealthy; rolled back to 1.4.1 on 2/2")
    assert ("payments", "prod", "checkout", "1.4.2", bad) == tuple(
        facts[key] for key in ("owner", "environment", "service", "version", "setting_commit")
    )


def test_the_end_is_told_once_where_the_trouble_was(rig, build, inbox):
    deployed(rig, build)
    bad = rig.commit(mine(build))
    rounds(rig, 40, fails="1.4.2")
    rig.commit(mine(build, "1.4.3"))
    rounds(rig, 40)

    assert ["failed", "rolled-back", "resolved"] == kinds(inbox)
    assert (bad, State.SUCCESS) == (inbox.told[-1].commit, inbox.told[-1].state)
    assert "1.4.3 on 2/2 units" in inbox.told[-1].description


def test_another_failure_is_told_and_takes_the_place_of_the_first(rig, build, inbox):
    deployed(rig, build)
    bad = rig.commit(mine(build))
    rounds(rig, 40, fails="1.4.2")
    worse = rig.commit(mine(build, "1.4.3"))
    rounds(rig, 40, fails="1.4.3")

    assert ["failed", "rolled-back", "failed", "withdrawn", "rolled-back"] == kinds(inbox)
    assert [worse, bad] == [word.commit for word in inbox.told[2:4]]


def test_a_version_that_fails_and_stays_is_told(rig, build, inbox):
    deployed(rig, build)
    rig.commit(mine(build, policy=Policy(retries=0, on_failure=OnFailure.HOLD)))
    rounds(rig, 20, fails="1.4.2")
    assert ["failed"] == kinds(inbox)
    assert "stays where it stands (on_failure: hold)" in inbox.told[0].description


def test_a_retry_that_fails_again_is_told_again(rig, build, inbox):
    deployed(rig, build)
    rig.commit(mine(build, policy=Policy(retries=0, on_failure=OnFailure.HOLD)))
    rounds(rig, 20, fails="1.4.2")
    rig.ask(Ask.RETRY)
    rounds(rig, 40, fails="1.4.2")
    assert ["failed", "failed"] == kinds(inbox)


def test_a_fleet_first_seen_is_told_until_a_person_adopts_it(rig, build, inbox):
    rig.run_everywhere("1.3.0")
    rig.commit(mine(build))
    rounds(rig, 5)
    assert ["held"] == kinds(inbox)
    assert State.ERROR is inbox.told[0].state
    assert "FirstSight" == json.loads(inbox.told[0].body)["reason"]

    rig.ask(Ask.ADOPT)
    rounds(rig, 40)
    assert ["held", "resolved"] == kinds(inbox)


def test_what_comes_and_goes_is_told_once_and_its_end_once_when_it_stays_away(rig, build, inbox):
    deployed(rig, build)
    began = rig.clock.now()
    for turn in range(40):
        rig.world_of_units.lacks = "this controller was given no key" if turn % 2 else ""
        rig.run_everywhere("1.3" if turn % 2 else "1.4.1")
        rig.once()
        rig.wait(seconds=20)
    rig.world_of_units.lacks = ""
    rig.run_everywhere("1.4.1")
    rounds(rig, 15)

    assert 1 <= kinds(inbox).count("held") <= 1 + (rig.clock.now() - began) / FLOOR
    assert kinds(inbox) == ["held", "resolved"] * (len(inbox.told) // 2)


def test_an_end_waits_for_the_floor_and_says_when(rig, build, inbox):
    rig.run_everywhere("1.3.0")
    rig.commit(mine(build))
    rig.once()
    rig.run_everywhere("1.4.2")
    rig.wait(seconds=10)
    again_at = rig.once()

    assert ["held"] == kinds(inbox)
    assert again_at is not None
    rig.clock.advance(again_at - rig.clock.now())
    for _ in range(3):
        rig.once()
        rig.clock.advance(FLOOR)
    assert ["held", "resolved"] == kinds(inbox)


def test_what_may_pass_by_itself_is_told_when_it_lasts(rig, build, inbox):
    deployed(rig, build)
    rig.run_everywhere("1.4.1", healthy=False)
    again_at = rig.once()
    assert [] == kinds(inbox)
    assert again_at == rig.clock.now() + LASTS

    rig.clock.advance(LASTS)
    rig.once()
    assert ["held"] == kinds(inbox)
    assert "Unhealthy" == json.loads(inbox.told[0].body)["reason"]


def test_a_fleet_that_is_not_managed_any_more_ends_its_trouble(rig, build, inbox):
    rig.run_everywhere("1.3.0")
    rig.commit(mine(build))
    rig.once()
    rig.commit(None)
    rig.settle(40)
    assert ["held", "resolved"] == kinds(inbox)
    assert "no longer managed: its file is gone" == inbox.told[-1].description


@pytest.mark.parametrize(
    ("channel", "hears"),
    [
        (Channel(name="all"), True),
        (Channel(name="some", owners=("pay*",), environments=("p*", "staging")), True),
        (Channel(name="other", owners=("search",)), False),
        (Channel(name="elsewhere", environments=("staging",)), False),
        (Channel(name="nobody", owners=()), False),
    ],
)
def test_a_channel_hears_of_its_owners_fleets_in_its_environments(channel, hears):
    assert hears is channel.hears("payments", "prod")


def test_who_is_not_its_owners_channel_hears_nothing(rig, build, inbox):
    rig.run_everywhere("1.3.0")
    rig.commit(mine(build, owner="search"))
    rounds(rig, 3)
    assert [] == kinds(inbox)


OTHER = Channel(name="other", owners=("search",), environments=("prod",))


def heard(inbox):
    return [(word.repository.removeprefix("notify-"), json.loads(word.body)["kind"]) for word in inbox.told]


@pytest.mark.parametrize("without", [Audience(), Audience(channels=(OTHER,))])
def test_replicas_with_other_settings_tell_a_trouble_once_and_its_end_once(rig, build, inbox, without):
    rig.commit(mine(build))
    rig.run_everywhere("1.4.0")
    ours, theirs = rig.world, replace(rig.world, audience=without)
    for _ in range(6):
        for rig.world in (ours, theirs):
            rig.once()
            rig.wait(minutes=5)
    assert [("payments", "held")] == heard(inbox)

    rig.ask(Ask.ADOPT)
    rounds(rig, 20)
    assert [("payments", "held"), ("payments", "resolved")] == heard(inbox)


def test_replicas_whose_channels_differ_tell_each_of_them_once(rig, build, inbox):
    rig.commit(mine(build))
    rig.run_everywhere("1.4.0")
    night = Channel(name="night")
    worlds = [replace(rig.world, audience=Audience(channels=(channel,))) for channel in (TEAM, night)]
    for _ in range(6):
        for rig.world in worlds:
            rig.once()
            rig.wait(minutes=5)
    assert [("payments", "held"), ("night", "held")] == heard(inbox)
    assert 1 == len({word.body for word in inbox.told})

    rig.ask(Ask.ADOPT)
    rounds(rig, 20)
    assert [("payments", "resolved"), ("night", "resolved")] == heard(inbox)[2:]


def test_the_end_goes_to_those_who_were_told_though_the_owner_is_another(rig, build, inbox):
    deployed(rig, build)
    rig.world = replace(rig.world, audience=Audience(channels=(TEAM, OTHER)))
    rig.commit(mine(build))
    rounds(rig, 15, fails="1.4.2")
    rig.commit(mine(build, "1.4.3", owner="search"))
    rounds(rig, 20)
    assert [("payments", "failed"), ("payments", "rolled-back"), ("payments", "resolved")] == heard(inbox)


def test_who_hears_no_more_is_told_the_end_when_the_next_owner_is_told_of_the_next_failure(rig, build, inbox):
    deployed(rig, build)
    rig.world = replace(rig.world, audience=Audience(channels=(TEAM, OTHER)))
    rig.commit(mine(build))
    rounds(rig, 15, fails="1.4.2")
    rig.commit(mine(build, "1.4.3", owner="search"))
    rounds(rig, 15, fails="1.4.3")
    assert [
        ("other", "failed"),
        ("payments", "resolved"),
        ("other", "rolled-back"),
    ] == sorted(heard(inbox)[2:4], key=lambda each: each[0]) + heard(inbox)[4:]
    assert (
        "its owner has changed" in next(word for word in inbox.told[2:4] if "payments" in word.repository).description
    )


def test_a_channel_that_comes_while_a_trouble_stands_is_told_of_it_once(rig, build, inbox):
    rig.commit(mine(build))
    rig.run_everywhere("1.4.0")
    rounds(rig, 3)
    rig.world = replace(rig.world, audience=Audience(channels=(TEAM, Channel(name="night"))))
    rounds(rig, 30)
    assert [("payments", "held"), ("night", "held")] == heard(inbox)


def test_every_notice_links_to_the_fleets_page(rig, build, inbox):
    rig.world = replace(rig.world, public_url="https://fairlead.example.com")
    deployed(rig, build)
    rig.commit(mine(build))
    rounds(rig, 15, fails="1.4.2")
    rig.commit(mine(build, "1.4.3"))
    rounds(rig, 20)
    assert ["failed", "rolled-back", "resolved"] == kinds(inbox)
    assert {"https://fairlead.example.com/fleets/prod/checkout"} == {word.target_url for word in inbox.told}


def test_a_trouble_is_told_of_each_reason_in_one_list_only():
    lists = [NEEDS_PERSON, NEEDS_PERSON_LATER, NEEDS_PERSON_WHERE_GIVEN_UP]
    assert sum(map(len, lists)) == len(frozenset.union(*lists))
    assert not frozenset.union(*lists) & {Reason.SUSPENDED, Reason.FREEZE_WINDOW, Reason.FOREIGN_EXECUTION}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_people_are_not_flooded_and_a_fleet_that_is_well_owes_them_no_end(rig, build, inbox, seed):
    chance = random.Random(seed)
    deployed(rig, build)
    began, commits = rig.clock.now(), 1
    ours = rig.world
    for step in range(40):
        rig.world = chance.choice([ours, ours, replace(ours, audience=Audience())])  # of replicas, or settings
        if chance.random() < 0.15:
            commits += 1
            rig.commit(mine(build, f"1.5.{chance.randrange(3)}"), f"{seed}-{step}")
        if chance.random() < 0.3:
            unit = chance.choice(sorted(rig.world_of_units.places))
            rig.world_of_units.run(unit, {"package/checkout": "1.0"}, healthy=chance.random() < 0.5)
        rounds(rig, 1, fails=chance.choice(["", "1.5.1"]), seconds=chance.choice([1, 10, 60]))
    rig.commit(mine(build, "1.6.0"), "last")
    rounds(rig, 20)
    span = rig.clock.now() - began

    quarantines = rig.history().count("quarantined")
    assert len([kind for kind in kinds(inbox) if kind != "withdrawn"]) <= span / FLOOR + 2 * (commits + quarantines) + 2
    open_places = {word.commit: word.state for word in inbox.told}
    assert rig.record.memory.status.ready
    assert {State.SUCCESS} >= set(open_places.values())
    assert all(len(word.description) <= 140 for word in inbox.told)
