"""Who else hears of a fleet: the commit of the version in the service's own repository, and records of deployments."""

import random
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import select

from adapters.ledger.statuses import status_of
from adapters.ledger.tables import statuses
from desired_state.model import OnFailure, Policy, Source, Suspension
from reconciler.audience import Audience, spread
from reconciler.memory import Followed
from reconciler.record import CommitStatus, Medium, State

HOME = Source(repository="acme/checkout", tag="v{version}")


class Told(Mapping):
    """The words on further places, as the rig's own outbox holds them: repository, project, commit, context."""

    def __init__(self, rig):
        self._rig = rig

    @property
    def _rows(self):
        with self._rig.ledger._database.reading() as connection:
            return [(row.id, row.sequence, status_of(row)) for row in connection.execute(select(statuses))]

    @property
    def _words(self):
        further = [word for _, _, word in self._rows if word.medium is not Medium.STATUS or word.project]
        return {(word.repository, word.project, word.commit, word.context): word for word in further}

    def __getitem__(self, place):
        return self._words[place]

    def __iter__(self):
        return iter(self._words)

    def __len__(self):
        return len(self._words)

    @property
    def sequences(self):
        return {number: sequence for number, sequence, _ in self._rows}


class Listening:
    """The rig's ledger; what it is given to say is kept too, every word."""

    def __init__(self, ledger):
        self._ledger, self.given = ledger, []

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def intend(self, lease, record, result):
        self.given += result.statuses
        return self._ledger.intend(lease, record, result)

    def save(self, lease, record, result):
        self.given += result.statuses
        return self._ledger.save(lease, record, result)


@pytest.fixture
def told(rig):
    """Let the rig's fleets be told on the tags of `acme/*` and as deployments; gives the words on further places."""
    audience = Audience(sources={"main": ("acme/*",)}, deployments=frozenset({"main"}))
    rig.world = replace(rig.world, audience=audience)
    return Told(rig)


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

    assert (here.state, "1.4.1 on 2/2 units") == (there.state, there.description)
    assert (State.SUCCESS, here.description) == (
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
    assert "1.4.2 failed: HealthCheckFailed; rolled back to 1.4.1 on 2/2 units" == on_tag(told, "1.4.2").description
    assert rig.said(bad).description == as_deployment(told, bad).description
    assert [] == pending(told)


def test_a_version_that_is_superseded_on_its_way_ends_on_its_own_commit(rig, build, told):
    deployed(rig, build)
    first = rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    rig.commit(build.fleet("1.4.3", source=HOME))
    rounds(rig)

    assert [] == pending(told)
    assert State.SUCCESS is on_tag(told, "1.4.3").state
    assert "1.4.2 on 2/2 units; then 1.4.3" == on_tag(told, "1.4.2").description
    assert rig.said(first).description == as_deployment(told, first).description


def test_a_revert_is_told_on_the_commit_of_the_version_that_it_undid(rig, build, told):
    good = deployed(rig, build)
    bad = rig.commit(build.fleet("1.4.2", source=HOME))
    rounds(rig)
    rig.commit(build.fleet("1.4.1", source=HOME), "back", reverts=(bad,))
    rounds(rig)

    assert "reverted: 1.4.1 on 2/2 units" == on_tag(told, "1.4.2").description
    assert "1.4.1 on 2/2 units" == on_tag(told, "1.4.1").description
    assert "rolled back to 1.4.1 (reverted by" in as_deployment(told, bad).description
    assert [] == pending(told)
    assert State.SUCCESS is as_deployment(told, good).state


def test_a_redeploy_of_the_same_version_speaks_on_the_same_commit(rig, build, told):
    deployed(rig, build)
    again = build.fleet("1.4.1", source=HOME, target_digest=build.digest("again"), redeploy="again")
    rig.commit(again, "again")
    rounds(rig)
    assert [] == pending(told)
    assert State.SUCCESS is rig.said(build.sha("again")).state is on_tag(told, "1.4.1").state


def test_a_fleet_that_is_not_managed_any_more_leaves_nothing_pending(rig, build, told):
    deployed(rig, build)
    rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    rig.commit(None)
    rig.settle(40)
    assert "no longer managed" == on_tag(told, "1.4.2").description
    assert [] == pending(told)


def test_where_the_source_is_another_now_the_earlier_place_is_ended(rig, build, told):
    deployed(rig, build)
    commit = rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    moved = build.fleet("1.4.2", source=Source(repository="acme/shop", tag="v{version}"))
    rig.commit(moved, "moved", keeps=commit)
    rig.world = replace(rig.world, ledger=Listening(rig.ledger))
    rig.once()

    given = {word.project: word for word in rig.world.ledger.given if word.project}
    assert State.ERROR is given["acme/checkout"].state
    assert "told elsewhere now" in given["acme/checkout"].description
    assert State.PENDING is given["acme/shop"].state


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
        ("acme/deep/er", False),
        ("acme2/x", False),
        ("evil/acme", False),
    ],
)
def test_words_go_to_repositories_that_the_settings_name_and_to_no_other(rig, build, told, project, allowed):
    deployed(rig, build, source=Source(repository=project, tag="v{version}"))
    assert allowed is any(place[1] == project for place in told)


def test_nothing_is_said_again_while_nothing_changes(rig, build, told):
    deployed(rig, build)
    before = (told.sequences, rig.record.version)
    for _ in range(3):
        rig.wait(minutes=10)
        rig.once()
    assert before == (told.sequences, rig.record.version)


def test_without_an_audience_a_fleet_with_a_source_leaves_what_it_always_did(rig, build):
    deployed(rig, build)
    assert ((), None) == (rig.record.memory.followed, rig.record.memory.noticed)


@pytest.mark.parametrize("settings", [Audience(), Audience(sources={"main": ("other/*",)})])
def test_a_pass_by_a_replica_with_other_settings_leaves_no_place_without_its_end(rig, build, told, settings):
    deployed(rig, build)
    commit = rig.commit(build.fleet("1.4.2", source=HOME))
    rig.once()
    ours = rig.world
    rig.world = replace(ours, audience=settings)
    rig.once()
    assert State.PENDING is on_tag(told, "1.4.2").state is as_deployment(told, commit).state

    rig.world = ours
    rig.commit(build.fleet("1.4.3", source=HOME))
    rounds(rig)
    assert [] == pending(told)


@pytest.mark.parametrize("then", ["arrives", "fails", "superseded", "gone"])
def test_what_was_begun_is_ended_though_the_settings_name_the_place_no_more(rig, build, told, then):
    deployed(rig, build)
    fleet = build.fleet("1.4.2", source=HOME, policy=Policy(retries=0))
    commit = rig.commit(fleet)
    rig.once()
    rig.world = replace(rig.world, audience=Audience())
    if then == "superseded":
        rig.commit(build.fleet("1.4.3", source=HOME))
    if then == "gone":
        rig.commit(None)
    rounds(rig, fails="1.4.2" if then == "fails" else "")

    assert [] == pending(told)
    ends = {"fails": State.FAILURE, "gone": State.ERROR}
    assert ends.get(then, State.SUCCESS) is on_tag(told, "1.4.2").state is as_deployment(told, commit).state
    assert ("main", "acme/checkout", "refs/tags/v1.4.3", "fairlead/prod/checkout") not in told


def test_where_a_pass_has_nothing_to_say_the_end_is_what_stands_on_the_setting_commit(build):
    situation = build.situation(desired=build.fleet(source=HOME), observed=(build.unit("a", "1.4.2"),))
    here = situation.desired.setting_commit
    place = Followed(setting_commit=here, commit="refs/tags/v1.4.2", project="acme/checkout")
    memory = replace(situation.memory, followed=(place,))
    standing = CommitStatus(
        repository="main", commit=here, context="fairlead/prod/checkout", state=State.SUCCESS, description="x"
    )
    situation = replace(situation, record=replace(situation.record, statuses=(standing,)))
    heard = spread(situation, memory, None, (), Audience())
    assert [(State.SUCCESS, "refs/tags/v1.4.2")] == [(word.state, word.commit) for word in heard.words]
    assert (replace(place, open=False),) == heard.memory.followed


SECRETS = "eu-west-1|us-east-1|i-0|ami-|unhealthy|the cup|Suspended|FirstSight|waits for ada"


def test_the_services_own_repository_is_told_states_versions_and_counts_and_nothing_else(rig, build, told):
    deployed(rig, build)
    held = build.fleet("1.4.2", source=HOME, suspension=Suspension(reason="the cup waits for ada"))
    rig.commit(held)
    rig.once()
    assert "1.4.2 waits" == on_tag(told, "1.4.2").description

    rig.commit(build.fleet("1.4.2", source=HOME, policy=Policy(retries=0)), "go on")
    rig.world = replace(rig.world, ledger=Listening(rig.ledger), public_url="https://fairlead.example.com")
    rounds(rig, fails="1.4.2")
    there = [word.description for word in rig.world.ledger.given if word.project]
    own = [word.description for word in rig.world.ledger.given if not word.project]
    assert [] == [text for text in there if re.search(SECRETS, text)]
    assert [] != [text for text in own if re.search(SECRETS, text)]
    assert {"1.4.2 on 0/2 units, under way", "1.4.2 failed: HealthCheckFailed; rolling back to 1.4.1"} < set(there)
    assert "https://fairlead.example.com/fleets/prod/checkout" == on_tag(told, "1.4.2").target_url


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_no_commit_of_a_version_stays_pending(rig, build, told, seed):
    chance = random.Random(seed)
    deployed(rig, build)
    ours = rig.world
    for step in range(25):
        rig.world = chance.choice([ours, ours, replace(ours, audience=Audience())])  # of replicas, or settings
        version = f"1.5.{chance.randrange(4)}"
        if chance.random() < 0.3:
            failing = chance.choice(list(OnFailure))
            source = chance.choice([HOME, HOME, Source(repository="acme/shop", tag="{version}"), None])
            fleet = build.fleet(version, source=source, policy=Policy(retries=0, on_failure=failing))
            rig.commit(fleet, f"{seed}-{step}")
        rounds(rig, 1, fails=chance.choice(["", "1.5.1", "1.5.2"]))
    rig.world = ours
    rig.commit(build.fleet("1.6.0", source=HOME), "last")
    rounds(rig)
    assert [] == pending(told)
