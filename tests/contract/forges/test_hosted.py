"""What every forge with an API does, over the sandbox's server in each dialect: one behaviour, three vendors."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.forges.hosted import HostedForge
from adapters.forges.hosted.saying import marker
from fairlead_sandbox.forge.limits import Limits
from fairlead_sandbox.forge.vendor import Name
from reconciler.ports import Delivery, Undelivered, Unreadable
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Proposal
from tests.contract.forges.hosted_worlds import SECOND, MakeSite, Site

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
KINDS: tuple[Name, ...] = ("github", "gitlab", "gitea")
TITLES = {"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea"}


@dataclass(slots=True)
class HeldLease:
    key: str = "statuses:main"

    def check(self) -> None:
        """It is held."""


@pytest.fixture(params=KINDS)
def here(request: pytest.FixtureRequest, make_site: MakeSite) -> Site:
    return make_site(request.param)


def word(commit: str, state: State = State.SUCCESS, text: str = "1.4.2 on 2/2 units", **more: Any) -> CommitStatus:
    first = CommitStatus(
        repository="main", commit=commit, context="fairlead/prod/checkout", state=state, description=text, at=NOW
    )
    return replace(first, **more)


def tell(forge: HostedForge, *words: CommitStatus, attempts: int = 0, **more: Any) -> list[Delivery]:
    waiting = [Undelivered(id=n, sequence=n, status=each, attempts=attempts, **more) for n, each in enumerate(words, 1)]
    return list(forge.deliver(HeldLease(), waiting, NOW))


def fates(deliveries: list[Delivery]) -> list[str]:
    """Of each: told, refused for good, put off after a try, or not tried."""
    return [
        "told" if each.delivered else "refused" if each.retry_at is None else "later" if each.tried else "waits"
        for each in deliveries
    ]


# ── statuses ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_state_is_shown_as_the_forge_has_it(here: Site) -> None:
    link = "https://fairlead.example.com/fleets/prod/checkout"
    words = [word(here.commits[0], state, context=f"fairlead/prod/{state}", target_url=link) for state in State]

    tell(here.forge(), *words)

    nearest = {State.ERROR: State.FAILURE} if here.kind == "gitlab" else {}  # GitLab has no errors
    wanted = {(f"fairlead/prod/{state}", nearest.get(state, state)) for state in State}
    shown = here.read(here.commits[0])
    assert wanted == {(each.context, each.state) for each in shown}
    assert {("1.4.2 on 2/2 units", link)} == {(each.description, each.target_url) for each in shown}


def test_pending_words_in_a_row_are_all_told(here: Site) -> None:
    forge = here.forge()

    told = [tell(forge, word(here.commits[0], State.PENDING, f"wave {wave}/3")) for wave in (1, 2, 3)]

    assert [["told"]] * 3 == [fates(each) for each in told]
    (shown,) = here.read(here.commits[0])
    assert (State.PENDING, "wave 3/3") == (shown.state, shown.description)


def test_a_final_word_after_pending_ones_has_its_own_text(here: Site) -> None:
    forge = here.forge()
    for wave in (1, 2, 3):
        tell(forge, word(here.commits[0], State.PENDING, f"wave {wave}/3"))

    tell(forge, word(here.commits[0], State.FAILURE, "1.4.2 is unhealthy"))

    assert [(State.FAILURE, "1.4.2 is unhealthy")] == [
        (each.state, each.description) for each in here.read(here.commits[0])
    ]


def test_an_answer_that_is_lost_leaves_the_word_in_doubt_and_saying_it_again_changes_nothing(here: Site) -> None:
    here.lose_answers()
    told = word(here.commits[0])

    (first,) = tell(here.forge(), told)
    shown = here.read(here.commits[0])
    (again,) = tell(here.forge(), told)

    assert (["later"], True) == (fates([first]), first.in_doubt)
    assert ["told"] == fates([again])
    assert shown == here.read(here.commits[0])


def test_a_link_that_no_forge_takes_is_left_out(here: Site) -> None:
    words = [
        word(each, target_url=url) for each, url in zip(here.commits, ("javascript:x", "ftp://x", ""), strict=True)
    ]

    assert ["told"] * 3 == fates(tell(here.forge(), *words))
    assert {""} == {each.target_url for commit in here.commits for each in here.read(commit)}


def test_a_commit_that_is_not_there_is_looked_for_and_then_refused(here: Site) -> None:
    forge, absent = here.forge(), word("12" * 20)

    looks = [tell(forge, absent)]
    looks += [tell(forge, absent, absent_since=NOW - timedelta(minutes=minutes)) for minutes in (7, 8)]

    assert [["later"], ["later"], ["refused"]] == [fates(each) for each in looks]
    assert [True, True, False] == [each.absent for (each,) in looks]
    assert "the repository has no commit 121212121212: no status can be put on it" == looks[-1][0].message


# ── trouble ──────────────────────────────────────────────────────────────────────────────────────────────────────


TROUBLE = {
    500: (["later", "later", "later", "waits"], "waits"),
    502: (["later", "later", "later", "waits"], "waits"),
    403: (["later", "waits", "waits", "waits"], "waits"),
    422: (["refused"] * 4, "told"),
}


def test_what_a_forge_answers_in_trouble_is_told_apart(here: Site) -> None:
    found = {}
    for status in TROUBLE:
        names = [f"fairlead/prod/s{status}-{number}" for number in range(4)]
        here.strike(status)
        during = tell(here.forge(), *(word(here.commits[0], State.PENDING, context=name) for name in names))
        here.break_down(False)
        (after,) = fates(tell(here.forge(), word(here.commits[1])))
        found[status] = (fates(during), after)
        here.clock.advance(timedelta(hours=3))
        assert ["told"] == fates(tell(here.forge(), word(here.commits[2])))  # and the trouble is forgotten

    assert TROUBLE == found


def test_a_limit_lets_the_whole_account_rest_for_as_long_as_the_forge_says(here: Site) -> None:
    here.strike(429, left=1, retry_after=77)

    first, second = tell(here.forge(), *(word(each) for each in here.commits[:2]))

    assert (["later", "waits"], NOW + 78 * SECOND) == (fates([first, second]), first.retry_at)
    assert f"{TITLES[here.kind]} limits our pace (429" in first.message
    here.clock.advance(79 * SECOND)
    assert ["told"] == fates(tell(here.forge(), word(here.commits[0])))


def test_no_pace_of_ours_is_too_fast_for_a_forge_with_limits(here: Site) -> None:
    here.sandbox.meter.limits = Limits(writes_per_minute=80, writes_per_hour=500)
    forge = here.forge()

    told = [tell(forge, word(here.commits[0], context=f"fairlead/prod/s{number}")) for number in range(30)]

    assert 0 == here.sandbox.meter.refused
    assert 10 == sum(each[0].delivered for each in told)  # a sixth of a minute's, at once


def test_a_token_that_is_not_accepted_stops_the_account_and_is_said(here: Site) -> None:
    here.sandbox.identities.revoke(here.token)

    first, second = tell(here.forge(), *(word(each) for each in here.commits[:2]))

    assert ["later", "waits"] == fates([first, second])
    assert f"{TITLES[here.kind]} did not accept our sign-in (401" in first.message
    assert here.token not in first.message


def test_a_repository_that_is_not_shown_stops_no_other_of_the_account(here: Site) -> None:
    (shut,) = tell(here.forge(repository="acme/nowhere"), word(here.commits[0]))
    (other,) = tell(here.forge(), word(here.commits[0]))

    assert ["later", "told"] == fates([shut, other])
    assert f"{TITLES[here.kind]} shows us no " in shut.message


def test_who_may_only_read_is_told_what_to_grant(here: Site) -> None:
    reader = here.who("reader", {"contents": "read"})

    (shut,) = tell(here.forge(token=reader), word(here.commits[0], State.PENDING))

    assert ["later"] == fates([shut])
    assert f"{TITLES[here.kind]} does not let us put statuses into {here.repository} (403" in shut.message
    assert "docs/forges.md" in shut.message


def test_the_token_is_in_no_sentence_and_no_log_line(here: Site) -> None:
    messages = []
    for status in (400, 401, 403, 404, 409, 422, 429, 500):
        here.strike(status, left=1)
        messages += [each.message for each in tell(here.forge(), word(here.commits[0], State.PENDING))]
        here.clock.advance(timedelta(hours=3))

    assert [] == [each for each in [*messages, *map(str, here.log.said)] if here.token in each]


# ── a comment ────────────────────────────────────────────────────────────────────────────────────────────────────


def plan(body: str, pull: int = 1) -> CommitStatus:
    return word(f"pull/{pull}", text="", context="fairlead/plan comment", medium=Medium.COMMENT, body=body)


def propose(here: Site, branch: str = "bump") -> int:
    here.branch(branch)
    return here.forge().propose(Proposal(branch=branch, base="main", title="checkout 1.4.2", body="why")).number


def bodies(here: Site, login: str = "") -> list[str]:
    return [body for who, body in here.remarks(1) if who == (login or here.login)]


def test_the_one_comment_is_updated_in_place_among_very_many_of_others(here: Site) -> None:
    propose(here)
    forged = f"{marker(plan(''))}\nall is well"
    for number in range(45):
        here.remark(1, forged if number == 3 else f"comment {number}", "mallory")

    first = tell(here.forge(), plan("prod/checkout 1.4.1 → 1.4.2"))
    here.remark(1, "looks good", "ada")
    second = tell(here.forge(), plan("prod/checkout 1.4.1 → 1.4.3"))

    assert [["told"], ["told"]] == [fates(first), fates(second)]
    (ours,) = bodies(here)
    assert f"{marker(plan(''))}\nprod/checkout 1.4.1 → 1.4.3" == ours
    assert forged in bodies(here, "mallory")


def test_a_comment_that_says_it_already_is_left_alone(here: Site) -> None:
    propose(here)
    tell(here.forge(), plan("| fleet | from |\n|---|---|\n"))
    before = here.writes()

    assert ["told"] == fates(tell(here.forge(), plan("| fleet | from |\n|---|---|\n")))
    assert before == here.writes()


def test_a_comment_whose_answer_was_lost_is_not_made_twice(here: Site) -> None:
    propose(here)
    here.lose_answers()

    first, again = tell(here.forge(), plan("a plan")), tell(here.forge(), plan("a plan"))

    assert [["later"], ["told"]] == [fates(first), fates(again)]
    assert 1 == len(bodies(here))


def test_a_comment_on_a_pull_request_that_is_not_there_is_refused_with_the_reason(here: Site) -> None:
    (refused,) = tell(here.forge(), plan("a plan", pull=4711))

    assert ["refused"] == fates([refused])
    thing = "merge request" if here.kind == "gitlab" else "pull request"
    assert f"{TITLES[here.kind]} shows us no {thing} 4711 of {here.repository} (404)" in refused.message


def test_comments_that_are_in_trouble_wait_where_the_pull_request_is_there(here: Site) -> None:
    propose(here)
    for status in (500, 502, 503):
        here.strike(status, path="/comments" if here.kind != "gitlab" else "/notes")
        assert ["later"] == fates(tell(here.forge(), plan("a plan")))
        here.clock.advance(timedelta(hours=3))
    here.break_down(False)

    assert ["told"] == fates(tell(here.forge(), plan("a plan")))


def test_trouble_with_comments_stops_no_status(here: Site) -> None:
    propose(here)
    mute = here.who("mute", {"statuses": "write", "contents": "write"})

    comment, status = tell(here.forge(token=mute), plan("a plan"), word(here.commits[0]))

    assert ["later", "told"] == fates([comment, status])


# ── other repositories, by tag ───────────────────────────────────────────────────────────────────────────────────


def test_a_tag_leads_to_its_commit_whether_annotated_or_light(here: Site) -> None:
    commits = here.service("acme/checkout")
    here.tag("acme/checkout", "v1.4.1", commits[0])
    here.tag("acme/checkout", "v1.4.2", commits[1], annotated=True)
    words = [word(f"refs/tags/v1.4.{number}", project="acme/checkout") for number in (1, 2)]

    assert ["told", "told"] == fates(tell(here.forge(), *words))
    assert [[State.SUCCESS], [State.SUCCESS], []] == [
        [each.state for each in here.read(commit, "acme/checkout")] for commit in commits
    ]


def test_a_tag_that_is_not_there_yet_is_looked_for_and_then_refused(here: Site) -> None:
    here.service("acme/checkout")
    tagged = word("refs/tags/v9.9.9", project="acme/checkout")

    first, last = tell(here.forge(), tagged), tell(here.forge(), tagged, absent_since=NOW - timedelta(minutes=8))

    assert [["later"], ["refused"]] == [fates(first), fates(last)]
    assert "acme/checkout shows us no tag v9.9.9: nothing can be said on it" == last[0].message


def test_a_repository_that_the_settings_do_not_name_is_asked_nothing(here: Site) -> None:
    (refused,) = tell(here.forge(sources=("acme/basket",)), word("refs/tags/v1.4.2", project="acme/checkout"))

    assert ["refused"] == fates([refused])
    assert "forge.sources does not name acme/checkout" in refused.message
    assert 0 == here.asked()


# ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────────


def deploying(here: Site, state: State, text: str = "wave 1/2", **more: Any) -> CommitStatus:
    context, medium = "deployment prod/checkout", Medium.DEPLOYMENT
    return word(here.commits[0], state, text, context=context, medium=medium, **more)


def recorded(here: Site) -> list[tuple[str, str, str]]:
    """Commit, environment and state of each deployment at the forge, newest first."""
    return [(each.sha, each.environment, each.state) for each in here.hosted.deployments.all()]


OWN_WORDS = {"github": ("in_progress", "success", "failure"), "gitlab": ("running", "success", "failed")}


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_deployment_is_made_once_and_told_how_it_goes(make_site: MakeSite, kind: Name) -> None:
    here, shown = make_site(kind), []
    for state in (State.PENDING, State.PENDING, State.SUCCESS, State.SUCCESS, State.FAILURE):
        assert ["told"] == fates(tell(here.forge(), deploying(here, state)))
        ((commit, environment, said),) = recorded(here)
        shown.append(said)

    assert (here.commits[0], "prod/checkout") == (commit, environment)
    begun, reached, failed = OWN_WORDS[kind]
    assert [begun, begun, reached, reached, failed] == shown


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_deployment_whose_answer_was_lost_is_not_made_twice(make_site: MakeSite, kind: Name) -> None:
    here = make_site(kind)
    here.lose_answers()

    first, again = (tell(here.forge(), deploying(here, State.SUCCESS)) for _ in range(2))

    assert [["later"], ["told"]] == [fates(first), fates(again)]
    assert [(here.commits[0], "prod/checkout", "success")] == recorded(here)


def test_deployments_that_are_off_or_that_the_forge_has_not_are_refused_and_nothing_is_asked(here: Site) -> None:
    allowed = here.kind == "gitea"

    (refused,) = tell(here.forge(deployments=allowed), deploying(here, State.SUCCESS))

    assert ["refused"] == fates([refused])
    assert ("Gitea has no deployments" if allowed else "deployments are off: set forge.deployments") == refused.message
    assert 0 == here.asked()


# ── pull requests ────────────────────────────────────────────────────────────────────────────────────────────────


def test_to_propose_twice_gives_the_same_pull_request(here: Site) -> None:
    head = here.branch("bump")
    proposal = Proposal(branch="bump", base="main", title="checkout 1.4.2", body="why")

    first, second = here.forge().propose(proposal), here.forge().propose(proposal)

    assert first.number == second.number
    assert 1 == len(here.forge().pulls("main"))
    assert (head, "main", "bump", "checkout 1.4.2") == (second.head, second.base, second.branch, second.title)
    assert (here.login, False, True, "") == (second.author, second.outside, second.open, second.merged_as)
    assert second.url.startswith(here.web)


def test_who_was_quicker_with_the_same_branch_is_found(here: Site) -> None:
    here.branch("bump")
    proposal = Proposal(branch="bump", base="main", title="checkout 1.4.2", body="why")
    forge, quicker = here.forge(), here.forge()
    take = here.store.take

    def overtaken(*args: Any) -> Any:  # between our look and our request
        here.store.take = take  # type: ignore[method-assign]
        quicker.propose(proposal)
        return take(*args)

    here.store.take = overtaken  # type: ignore[method-assign]

    assert 1 == forge.propose(proposal).number
    assert 1 == len(here.forge().pulls("main"))


def test_a_branch_that_is_not_there_cannot_be_proposed(here: Site) -> None:
    with pytest.raises(Unreadable, match=f"{TITLES[here.kind]} "):
        here.forge().propose(Proposal(branch="nowhere", base="main", title="t", body=""))


def test_open_pull_requests_are_listed_over_pages_newest_first_of_the_branch_that_is_asked_for(here: Site) -> None:
    here.ada.git("checkout", "--quiet", "-B", "release", here.commits[1])
    here.ada.git("push", "--quiet", "origin", "release")
    many = 27 if here.kind == "github" else 52  # over one page
    heads = [f"b{number:03}" for number in range(many)]
    here.branches(heads)
    for number, name in enumerate(heads):
        base = "release" if number == 7 else "main"
        here.opened(name, base)

    found = here.forge().pulls("main")

    assert [*range(many, 8, -1), *range(7, 0, -1)] == [each.number for each in found]
    assert {"main"} == {each.base for each in found}
    assert [8] == [each.number for each in here.forge().pulls("release")]


WAYS: dict[str, tuple[str, ...]] = {
    "github": ("merge", "squash", "rebase"),
    "gitlab": ("merge", "squash-merge", "squash"),
    "gitea": ("merge", "squash", "rebase"),
}


def test_what_was_merged_says_what_it_became_and_what_it_came_from(here: Site) -> None:
    wanted = {}
    for method in WAYS[here.kind]:
        head = here.branch(f"by-{method}", commits=2)
        number = here.opened(f"by-{method}")
        wanted[number] = (head, here.merged(number, method), False, 2)

    found = {each.number: (each.head, each.merged_as, each.open, each.commits) for each in here.forge().pulls("main")}

    assert wanted == found


def test_a_merge_by_fast_forward_became_its_own_head(make_site: MakeSite) -> None:
    here = make_site("gitlab")
    here.ada.git("checkout", "--quiet", "-B", "ahead", here.commits[2])
    here.ada.commit("one", {"a.yaml": "1\n"})
    here.ada.git("push", "--quiet", "origin", "ahead")
    number = here.opened("ahead")
    here.merged(number, "ff")

    (pull,) = here.forge().pulls("main")

    assert here.ada.head == pull.head == pull.merged_as


def test_a_pull_request_from_a_fork_is_from_outside_and_its_head_can_be_fetched_here(here: Site) -> None:
    number = here.opened_outside("mallory")
    inside = here.opened("bump") if here.branch("bump") else 0

    forge = here.forge()
    found = {each.number: each for each in forge.pulls("main")}

    assert (True, False) == (found[number].outside, found[inside].outside)
    here.ada.git("fetch", "--quiet", "origin", forge.pull_ref.format(number=number))
    assert found[number].head == here.ada.git("rev-parse", "FETCH_HEAD")


def test_a_fork_that_is_gone_is_still_outside(here: Site) -> None:
    number = here.opened_outside("mallory")
    here.lose_fork("mallory", number)

    assert [True] == [each.outside for each in here.forge().pulls("main")]


def test_closed_ones_are_no_longer_open_and_became_nothing(here: Site) -> None:
    here.branch("bump")
    here.close(here.opened("bump"))

    (pull,) = here.forge().pulls("main")

    assert (False, "") == (pull.open, pull.merged_as)


def test_trouble_with_pull_requests_is_one_sentence(here: Site) -> None:
    proposal = Proposal(branch="bump", base="main", title="t", body="")
    for status in (401, 403, 429, 500):
        for look in (lambda: here.forge().pulls("main"), lambda: here.forge().propose(proposal)):
            here.strike(status)
            with pytest.raises(Unreadable, match=TITLES[here.kind]) as caught:
                look()
            assert here.token not in str(caught.value)
            here.clock.advance(timedelta(hours=3))


# ── GitLab's own ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_another_update_of_the_same_status_is_waited_for(make_site: MakeSite) -> None:
    here = make_site("gitlab")
    here.sandbox.faults.contended = 1

    first, again = (tell(here.forge(), word(here.commits[0], State.PENDING)) for _ in range(2))

    assert [["later"], ["told"]] == [fates(first), fates(again)]
    assert "(409: Another update to this commit status is in progress); it is tried again" in first[0].message


def test_a_pipeline_that_ci_makes_in_between_leaves_nothing_waiting(make_site: MakeSite) -> None:
    here = make_site("gitlab")
    commit = here.commits[2]
    tell(here.forge(), word(commit, State.PENDING, "queued"))
    here.hosted.extra._pipelines.append(replace(here.hosted.extra.all()[0], id=2, login="ci"))  # type: ignore[attr-defined]

    tell(here.forge(), word(commit, State.PENDING, "wave 1/2"))
    both = [each.status for each in here.hosted.extra.of_commit(commit)]  # type: ignore[attr-defined]
    tell(here.forge(), word(commit))
    ended = [(each.pipeline, each.status) for each in here.hosted.extra.of_commit(commit)]  # type: ignore[attr-defined]

    assert ["pending", "running"] == both
    assert [(1, "success"), (2, "success")] == sorted(ended)


def test_a_commit_of_a_fork_is_refused_its_plan_with_the_reason(make_site: MakeSite) -> None:
    here = make_site("gitlab")
    number = here.opened_outside("mallory")
    change = here.hosted.pulls.one(number).head_sha

    (refused,) = tell(here.forge(), word(change, context="fairlead/plan"))

    assert ["refused"] == fates([refused])
    assert "is on no branch of acme/platform/desired and in no pipeline there" in refused.message


def test_a_final_word_said_again_is_not_written_again(make_site: MakeSite) -> None:
    here = make_site("gitlab")
    tell(here.forge(), word(here.commits[0]))
    here.sandbox.log.clear()

    assert ["told"] == fates(tell(here.forge(), word(here.commits[0])))
    assert [] == here.writes()
