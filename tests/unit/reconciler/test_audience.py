"""Who else hears of a fleet: the commit of the version in the service's own repository, and records of deployments."""

import random
from dataclasses import replace

import pytest

from desired_state.model import OnFailure, Policy, Source, Suspension
from reconciler.audience import Audience, spread
from reconciler.memory import Followed
from reconciler.record import Medium, State

HOME = Source(repository="acme/checkout", tag="v{version}")


class Hearing:
    """The rig's ledger; what is said on further places is kept here, the newest word of each."""

    def __init__(self, ledger):
        self._ledger, self.further = ledger, {}

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def intend(self, lease, record, result):
        return self._ledger.intend(lease, record, self._split(result))

    def save(self, lease, record, result):
        return self._ledger.save(lease, record, self._split(result))

    def _split(self, result):
        own = [word for word in result.statuses if word.medium is Medium.STATUS and not word.project]
        for word in result.statuses:
            if word not in own:
                self.further[word.repository, word.project, word.commit, word.context] = word
        return replace(result, statuses=tuple(own))


@pytest.fixture
def told(rig):
    """Let the rig's fleets be told on the tags of `acme/*` and as deployments; gives the words on further places."""
    ledger = Hearing(rig.ledger)
    audience = Audience(sources={"main": ("acme/*",)}, deployments=frozenset({"main"}))
    rig.world = replace(rig.world, ledger=ledger, audience=audience)
    return ledger.further


def on_tag(told, version, project="acme/checkout"):
    return told["main", project, f"refs/tags/v{version}", "fairlead/prod/checkout"]


def as_deployment(told, commit):
    return told["main", "", commit, "deployment prod/checkout"]


def stage(word):
    return word.state, word.body


def pending(told):
    return [place for place, word in told.items() if word.state is State.PENDING]


def rounds(rig, count=30, fails=""):
    """Passes; what is under way ends in between, badly for the version that fails."""
    for _ in range(count):
        rig.once()
        work = rig.world_of_units
        running = {
            execution.intent.fleet.version for execution in work.executions.values() if execution.status == "RUNNING"
        }
        work.fail() if fails and fails in running else work.finish()
        work.end_canceled()
        rig.wait(seconds=30)


def deployed(rig, build, version="1.4.1", source=HOME):
    commit = rig.commit(build.fleet(version, source=source))
    rig.run_everywhere(version)
    rig.settle()
    return commit


def test_the_commit_of_the_version_shows_what_the_setting_commit_shows(rig, build, told):
    commit = deployed(rig, build)
    here, there = rig.said(commit), on_tag(told, "1.4.1")

    assert (here.state, here.description) == (there.state, there.description) == (State.SUCCESS, here.description)
    assert (here.state, here.description) == (
        as_deployment(told, commit).state,
        as_deployment(told, commit).description,
    )
    assert Medium.DEPLOYMENT is as_deployment(told, commit).medium


def test_a_version_on_its_way_is_pending_on_its_own_commit(rig, build, told):
    deployed(rig, build)
    commit = rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    assert State.PENDING is on_tag(told, "1.4.2").state is as_deployment(told, commit).state
    assert State.SUCCESS is on_tag(told, "1.4.1").state


def test_a_deploy_that_is_held_is_queued_in_the_record_and_under_way_when_it_moves(rig, build, told):
    deployed(rig, build)
    suspended = build.fleet("1.4.2", source=HOME, suspension=Suspension(reason="the cup"))
    commit = rig.commit(suspended)
    rig.once()
    assert (State.PENDING, "queued") == stage(as_deployment(told, commit))
    assert "" == on_tag(told, "1.4.2").body

    rig.commit(build.fleet("1.4.2", source=HOME), "resumed", keeps=commit)
    rig.once()
    assert (State.PENDING, "") == stage(as_deployment(told, commit))
    rounds(rig)
    assert (State.SUCCESS, "") == stage(as_deployment(told, commit))


def test_a_deploy_that_was_never_reached_is_retired_in_the_record_and_no_error_there(rig, build, told):
    deployed(rig, build)
    passed = rig.commit(build.fleet("1.4.2", source=HOME, suspension=Suspension(reason="the cup")))
    rig.once()
    rig.commit(build.fleet("1.4.3", source=HOME))
    rounds(rig)

    assert (State.ERROR, "inactive") == stage(as_deployment(told, passed))
    assert "superseded by" in as_deployment(told, passed).description
    assert (State.ERROR, "") == stage(on_tag(told, "1.4.2"))


def test_a_deploy_of_a_fleet_that_is_gone_is_retired_in_the_record(rig, build, told):
    deployed(rig, build)
    left = rig.commit(build.fleet("1.4.2", source=HOME, suspension=Suspension(reason="the cup")))
    rig.once()
    rig.commit(None)
    rig.settle(40)

    assert (State.ERROR, "inactive") == stage(as_deployment(told, left))


def test_a_version_that_failed_says_so_on_its_own_commit_and_ends_there(rig, build, told):
    deployed(rig, build)
    fleet = build.fleet("1.4.2", source=HOME, policy=Policy(retries=0))
    bad = rig.commit(fleet)
    rounds(rig, fails="1.4.2")

    assert State.FAILURE is on_tag(told, "1.4.2").state
    assert rig.said(bad).description == on_tag(told, "1.4.2").description
    assert "rolled back to 1.4.1" in on_tag(told, "1.4.2").description
    assert [] == pending(told)


def test_a_version_that_is_superseded_on_its_way_ends_on_its_own_commit(rig, build, told):
    deployed(rig, build)
    first = rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    rig.commit(build.fleet("1.4.3", source=HOME))
    rounds(rig)

    assert [] == pending(told)
    assert State.SUCCESS is on_tag(told, "1.4.3").state
    assert rig.said(first).description == on_tag(told, "1.4.2").description


def test_a_revert_is_told_on_the_commit_of_the_version_that_it_undid(rig, build, told):
    good = deployed(rig, build)
    bad = rig.commit(build.fleet("1.4.2", source=HOME))
    rounds(rig)
    rig.commit(build.fleet("1.4.1", source=HOME), "back", reverts=(bad,))
    rounds(rig)

    assert "rolled back to 1.4.1 (reverted by" in on_tag(told, "1.4.2").description
    assert "rolled back to 1.4.1 (reverts" in on_tag(told, "1.4.1").description
    assert [] == pending(told)
    assert State.SUCCESS is as_deployment(told, good).state


def test_a_redeploy_of_the_same_version_speaks_on_the_same_commit(rig, build, told):
    deployed(rig, build)
    again = build.fleet("1.4.1", source=HOME, target_digest=build.digest("again"), redeploy="again")
    rig.commit(again, "again")
    rounds(rig)
    assert [] == pending(told)
    assert rig.said(build.sha("again")).description == on_tag(told, "1.4.1").description


def test_a_fleet_that_is_not_managed_any_more_leaves_nothing_pending(rig, build, told):
    deployed(rig, build)
    rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    rig.commit(None)
    rig.settle(40)
    assert "no longer managed: its file is gone" == on_tag(told, "1.4.2").description
    assert [] == pending(told)


def test_where_the_source_is_another_now_the_earlier_place_is_ended(rig, build, told):
    deployed(rig, build)
    commit = rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    moved = build.fleet("1.4.2", source=Source(repository="acme/shop", tag="v{version}"))
    rig.commit(moved, "moved", keeps=commit)
    rig.once()

    assert State.ERROR is on_tag(told, "1.4.2").state
    assert "told elsewhere now" in on_tag(told, "1.4.2").description
    assert State.PENDING is on_tag(told, "1.4.2", "acme/shop").state


def test_what_was_ended_by_a_force_push_is_ended_on_the_versions_commit_too(rig, build, told):
    deployed(rig, build)
    lost = rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    closed = replace(rig.said(lost), state=State.ERROR, description="history rewritten: 1234567 is the new head")
    with rig._claimed("repository:main") as lease:
        rig.ledger.say(lease, [closed])
    rig.commit(build.fleet("1.4.1", source=HOME), "rewritten")
    rounds(rig)

    assert [] == pending(told)
    assert "superseded by" in on_tag(told, "1.4.2").description


@pytest.mark.parametrize(
    ("project", "allowed"),
    [
        ("acme/checkout", True),
        ("Acme/Checkout", True),
        ("acme/deep/er", True),
        ("acme2/x", False),
        ("evil/acme", False),
    ],
)
def test_words_go_to_repositories_that_the_settings_name_and_to_no_other(rig, build, told, project, allowed):
    deployed(rig, build, source=Source(repository=project, tag="v{version}"))
    assert allowed is any(place[1] == project for place in told)


def test_nothing_is_said_again_while_nothing_changes(rig, build, told):
    deployed(rig, build)
    told.clear()
    before = rig.record.version
    for _ in range(3):
        rig.wait(minutes=10)
        rig.once()
    assert {} == told
    assert before == rig.record.version


def test_without_an_audience_a_fleet_with_a_source_leaves_what_it_always_did(rig, build):
    deployed(rig, build)
    assert ((), None) == (rig.record.memory.followed, rig.record.memory.noticed)


def test_who_is_not_told_any_more_is_forgotten(build):
    situation = build.situation(desired=build.fleet(source=HOME), observed=(build.unit("a", "1.4.2"),))
    memory = replace(situation.memory, followed=(Followed(setting_commit="x", commit="y", project="acme/checkout"),))
    heard = spread(situation, memory, None, (), Audience())
    assert ((), ()) == (heard.words, heard.memory.followed)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_no_commit_of_a_version_stays_pending(rig, build, told, seed):
    chance = random.Random(seed)
    deployed(rig, build)
    for step in range(25):
        version = f"1.5.{chance.randrange(4)}"
        if chance.random() < 0.3:
            failing = chance.choice(list(OnFailure))
            source = chance.choice([HOME, HOME, Source(repository="acme/shop", tag="{version}"), None])
            fleet = build.fleet(version, source=source, policy=Policy(retries=0, on_failure=failing))
            rig.commit(fleet, f"{seed}-{step}")
        rounds(rig, 1, fails=chance.choice(["", "1.5.1", "1.5.2"]))
    rig.commit(build.fleet("1.6.0", source=HOME), "last")
    rounds(rig)
    assert [] == pending(told)
