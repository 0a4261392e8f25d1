"""Where words go whose tag moves, and what is shown whose text changes: over the sandbox's server in each dialect."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.forges.hosted import HostedForge, windows
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.vendor import Name
from reconciler.ports import Delivery, LeaseLost, Undelivered
from reconciler.record import CommitStatus, Medium, State
from tests.contract.forges.hosted_worlds import MakeSite, Site, history

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
KINDS: tuple[Name, ...] = ("github", "gitlab", "gitea")
APP, TAG = "acme/checkout", "refs/tags/v1.4.2"


@dataclass(slots=True)
class Lease:
    """It goes after so many checks."""

    key: str = "statuses:main"
    good_for: int = 1_000

    def check(self) -> None:
        self.good_for -= 1
        if self.good_for < 0:
            raise LeaseLost(self.key)


@pytest.fixture(params=KINDS)
def here(request: pytest.FixtureRequest, make_site: MakeSite) -> Site:
    return make_site(request.param)


@pytest.fixture
def gitlab(make_site: MakeSite) -> Site:
    return make_site("gitlab")


def word(commit: str, state: State = State.PENDING, text: str = "wave 1/2", **more: Any) -> CommitStatus:
    place = {"repository": "main", "commit": commit, "context": "fairlead/prod/checkout"}
    return CommitStatus(**{**place, "state": state, "description": text, **more})


def tell(forge: HostedForge, said: CommitStatus, lease: Lease | None = None, **more: Any) -> Delivery:
    waiting = Undelivered(id=1, sequence=1, status=said, **{"attempts": 0, **more})
    (delivery,) = forge.deliver(lease or Lease(), [waiting], NOW)
    return delivery


def shown(hosted: Hosted, commit: str) -> list[tuple[str, str]]:
    return [(each.state, each.description) for each in hosted.statuses.newest(commit)]


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["moves", "is deleted"])
def test_words_go_where_the_first_one_of_their_tag_went(here: Site, how: str) -> None:
    app = here.sandbox.create(APP)
    commits = history(app)
    app.bare.git("tag", "v1.4.2", commits[0])
    first = tell(here.forge(), word(TAG, project=APP))
    app.bare.git("tag", *(["-d", "v1.4.2"] if how == "is deleted" else ["-f", "v1.4.2", commits[1]]))
    reads = here.sandbox.log.reads

    last = tell(here.forge(), word(TAG, State.SUCCESS, "done", project=APP), told_on=first.told_on)

    assert (True, commits[0], True) == (first.delivered, first.told_on, last.delivered)
    assert [[("success", "done")], []] == [shown(app, each) for each in commits[:2]]
    assert (here.kind == "gitlab") == here.sandbox.log.reads - reads  # it looks at what stands there, at no tag


def test_a_word_in_doubt_says_where_its_tag_led(here: Site) -> None:
    app = here.sandbox.create(APP)
    commit = history(app)[0]
    app.bare.git("tag", "v1.4.2", commit)
    here.sandbox.faults.lost_answers = 1

    doubtful = tell(here.forge(), word(TAG, State.SUCCESS, project=APP))

    assert (False, True, commit) == (doubtful.delivered, doubtful.in_doubt, doubtful.told_on)


def test_a_word_on_a_commit_remembers_nothing(here: Site) -> None:
    assert "" == tell(here.forge(), word(here.commits[0])).told_on


def test_tries_that_an_outage_took_are_no_looks_for_a_commit(here: Site) -> None:
    first = tell(here.forge(), word("12" * 20), attempts=40)

    assert (False, True, NOW + timedelta(seconds=15)) == (first.delivered, first.absent, first.retry_at)


# ── texts at GitLab ──────────────────────────────────────────────────────────────────────────────────────────────


def test_every_text_of_a_roll_up_is_shown(gitlab: Site) -> None:
    commit, texts = gitlab.commits[0], [f"{number}/300 fleets done" for number in range(0, 21, 3)]
    seen = []
    for text in texts:
        assert tell(gitlab.forge(), word(commit, text=text, context="fairlead/prod")).delivered
        seen += shown(gitlab.hosted, commit)

    assert texts == [text for _, text in seen]
    assert ["pending", "running", "pending", "running", "pending", "running", "pending"] == [state for state, _ in seen]


def test_a_third_text_takes_both_its_turns_or_none(gitlab: Site) -> None:
    commit, budget = gitlab.commits[0], windows(60, 400)
    for wave in (1, 2):
        tell(gitlab.forge(), word(commit, text=f"wave {wave}/3"))
    account = f"{gitlab.sandbox.addresses.api.split('/')[2]} token env:TOKEN"
    while gitlab.store.slots((account,), [budget] * 2)[-1] <= gitlab.clock.now():
        gitlab.store.take((account,), budget)
    third = word(commit, text="wave 3/3")

    waits = tell(gitlab.forge(), third)

    assert (False, False) == (waits.delivered, waits.tried)
    assert [("running", "wave 2/3")] == shown(gitlab.hosted, commit)
    gitlab.clock.advance((waits.retry_at or NOW) - NOW)
    assert tell(gitlab.forge(), third).delivered
    assert [("pending", "wave 3/3")] == shown(gitlab.hosted, commit)


def test_who_dies_between_the_two_writes_of_a_text_is_followed_by_who_ends_them(gitlab: Site) -> None:
    commit = gitlab.commits[0]
    for wave in (1, 2):
        tell(gitlab.forge(), word(commit, text=f"wave {wave}/3"))
    third = word(commit, text="wave 3/3")

    with pytest.raises(LeaseLost):
        tell(gitlab.forge(), third, Lease(good_for=1))

    assert [("canceled", "wave 3/3")] == shown(gitlab.hosted, commit)
    assert tell(gitlab.forge(), third).delivered
    assert [("pending", "wave 3/3")] == shown(gitlab.hosted, commit)


# ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "tried", "ended"),
    [
        ("github", ["in_progress"], ["success"]),
        ("gitlab", ["running", "failed"], ["success", "failed"]),  # each try is a deployment of its own
    ],
)
def test_a_deploy_that_is_tried_again_is_under_way_again(
    make_site: MakeSite, kind: Name, tried: list[str], ended: list[str]
) -> None:
    here = make_site(kind)
    deploying = replace(word(here.commits[0], context="deployment prod/checkout"), medium=Medium.DEPLOYMENT)
    for state in (State.PENDING, State.FAILURE, State.PENDING, State.PENDING):
        assert tell(here.forge(), replace(deploying, state=state)).delivered

    assert tried == [each.state for each in here.hosted.deployments.all()]
    tell(here.forge(), replace(deploying, state=State.SUCCESS))
    assert ended == [each.state for each in here.hosted.deployments.all()]
