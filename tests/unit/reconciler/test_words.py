"""Words on commits: lengths, durations, roll-ups."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.memory import Status
from reconciler.record import CommitStatus, State
from reconciler.rollout import BACKOFF_CAP, backoff
from reconciler.rollup import fleets_in, head_word, own_commit_word, roll_up
from reconciler.speech import CAUSE, LONGEST, clip, duration, fit


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (48.4, "48 s"), (60, "1 min"), (190, "3 min 10 s"), (3600, "1 h"), (7500, "2 h 5 min"), (-3, "0 s")],
)
def test_durations_read_as_people_say_them(seconds, said):
    assert said == duration(timedelta(seconds=seconds))


@given(st.text(max_size=400), st.text(alphabet="abc ", max_size=60))
def test_every_description_fits(first, last):
    assert len(clip(first)) <= LONGEST
    assert len(fit(first, last)) <= LONGEST
    assert fit(first, last).endswith(last)


@given(st.text(alphabet="abc", min_size=141, max_size=400), st.text(alphabet="xyz", max_size=400))
def test_neither_half_is_lost_however_long_both_are(first, last):
    said = fit(first, last)
    assert len(said) <= LONGEST
    assert said.startswith(first[: CAUSE // 2 - 1])
    assert last[:80] in said


def test_clip_keeps_short_text_and_makes_one_line():
    assert "a b c" == clip("a\n b\tc")


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b\x07\x9b\u202e\n"), max_size=80))
def test_no_terminal_obeys_what_a_status_says(hostile):
    assert clip(hostile).isprintable()
    assert fit(hostile, "; stays").isprintable()


@given(st.integers(min_value=1, max_value=60))
def test_backoff_is_capped_and_the_same_for_the_same_failure(failures):
    assert timedelta(0) <= backoff(failures, "key") <= BACKOFF_CAP
    assert backoff(failures, "key") == backoff(failures, "key")


HEAD, SET = "a" * 40, "b" * 40


def said(commit, service, state, environment="prod"):
    return CommitStatus(
        repository="main", commit=commit, context=f"fairlead/{environment}/{service}", state=state, description=""
    )


def by_place(statuses):
    return {(status.context, status.commit): (status.state, status.description) for status in statuses}


def test_a_setting_commit_is_pending_while_any_fleet_is_and_then_the_worst(build):
    states = [State.SUCCESS, State.SUCCESS, State.PENDING, State.FAILURE]
    statuses = [said(SET, f"s{index}", state) for index, state in enumerate(states)]

    pending = by_place(roll_up("main", SET, (), statuses, build.now))
    done = by_place(roll_up("main", SET, (), [statuses[0], statuses[3]], build.now))

    assert (State.PENDING, "2/4 fleets done, 1 under way, 1 failed: s3") == pending["fairlead/prod", SET]
    assert (State.FAILURE, "1/2 fleets done, 1 failed: s3") == done["fairlead/prod", SET]


def test_a_head_that_sets_nothing_says_so_and_how_the_environment_stands(build):
    situation = build.situation(desired=build.fleet(), observed=(build.unit("us-east-1", "1.4.2"),))
    words = by_place(roll_up("main", HEAD, [situation.record], (), build.now))
    assert (State.SUCCESS, "sets no version; 0/1 fleets at theirs") == words["fairlead/prod", HEAD]


def test_a_head_that_changes_only_how_fleets_are_run_says_so(build):
    situation = build.situation(desired=build.fleet(), observed=())
    record = replace(situation.record, revision=HEAD)
    words = by_place(roll_up("main", HEAD, [record], (), build.now))
    assert "changes how 1 fleet is run, no version; 0/1 fleets at theirs" == words["fairlead/prod", HEAD][1]


def test_a_commit_is_pending_until_a_pass_has_spoken_about_each_fleet_that_it_sets(build):
    fresh = build.situation(desired=build.fleet(), observed=()).record
    commit = fresh.setting.commit
    spoken = replace(fresh, memory=replace(fresh.memory, status=Status(setting_commit=commit)))
    done = [said(commit, "checkout", State.SUCCESS)]

    before = by_place(roll_up("main", commit, [fresh], (), build.now))
    after = by_place(roll_up("main", commit, [spoken], done, build.now))

    assert (State.PENDING, "0/1 fleets done, 1 under way") == before["fairlead/prod", commit]
    assert (State.SUCCESS, "1/1 fleets done") == after["fairlead/prod", commit]


def test_an_open_roll_up_on_an_earlier_head_is_closed(build):
    status = CommitStatus(
        repository="main", commit=SET, context="fairlead/prod", state=State.PENDING, description="2/4 under way"
    )
    words = by_place(roll_up("main", HEAD, (), [status], build.now))
    assert State.SUCCESS is words["fairlead/prod", SET][0]


def test_a_plan_of_a_pull_request_is_no_environment_s_word():
    planned = CommitStatus(
        repository="main", commit=SET, context="fairlead/plan", state=State.PENDING, description="planning"
    )

    assert () == roll_up("main", HEAD, (), (planned,), None)


def test_a_roll_up_tells_whether_it_speaks_of_the_fleets_that_its_commit_set():
    states = {"basket": State.FAILURE, "checkout": State.SUCCESS}

    assert (2, 0) == (fleets_in(own_commit_word(states).text), fleets_in(head_word("a" * 40, ()).text))
