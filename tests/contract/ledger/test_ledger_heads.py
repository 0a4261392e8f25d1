"""What is said on a merge commit is said on the head that it merged, always, and nothing is decided from that."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.ledger import retention
from desired_state.model import DesiredState
from reconciler.outbox import Outbox
from reconciler.ports import Delivery
from reconciler.record import Medium, State
from reconciler.reviews import Head

NAMES = ("merge", "branch", "again", "plain", "one", "two")


@pytest.fixture
def lease(bench):
    return bench.lease("statuses:main")


@pytest.fixture
def merged(bench, build):
    """`merge` came from `branch`."""
    record(bench, build, "merge")


def record(bench, build, commit, pull=None, head="branch"):
    bench.store.record_heads("main", {build.sha(commit): Head(head=build.sha(head), pull=pull)})
    bench.clock.advance(timedelta(seconds=1))


def everything(bench):
    """What is to be told, of all outlets."""
    return [each for outlet in bench.store.outlets() for each in bench.store.undelivered(outlet, 500)]


def waiting(bench, build):
    """What is to be told: by commit and context, in its order."""
    names = {build.sha(name): name for name in NAMES}
    return {
        (names.get(each.status.commit, each.status.commit), each.status.context): each.status.description
        for each in everything(bench)
    }


def tell_all(bench, lease):
    words = everything(bench)
    bench.store.settle(lease, [Delivery(id=each.id, sequence=each.sequence, delivered=True) for each in words])


CHECKOUT = "fairlead/prod/checkout"


def test_a_word_is_said_on_the_head_too(bench, build, lease, merged):
    bench.store.say(lease, [build.status("merge"), build.status("plain")])

    found = {(each.status.commit, each.said_for) for each in everything(bench)}

    merge, branch, plain = map(build.sha, ("merge", "branch", "plain"))
    assert {(merge, ""), (branch, merge), (plain, "")} == found


@pytest.mark.parametrize("context", ["fairlead/prod", "fairlead/validate", CHECKOUT])
def test_every_status_of_the_commit_is_and_its_end_too(bench, build, lease, merged, context):
    bench.store.say(lease, [build.status("merge", context=context)])
    tell_all(bench, lease)

    bench.store.say(lease, [build.status("merge", State.ERROR, "superseded", context)])

    assert {("merge", context): "superseded", ("branch", context): "superseded"} == waiting(bench, build)


def test_words_that_stand_when_the_head_becomes_known_are_said_there(bench, build, lease):
    bench.store.say(lease, [build.status("merge"), build.status("merge", context="fairlead/prod"), build.status("one")])
    tell_all(bench, lease)

    record(bench, build, "merge")

    assert {("branch", CHECKOUT), ("branch", "fairlead/prod")} == set(waiting(bench, build))
    assert "further:main+further" in bench.due_keys()


def test_nothing_is_said_twice_for_a_head_that_is_recorded_again(bench, build, lease, merged):
    bench.store.say(lease, [build.status("merge")])
    tell_all(bench, lease)
    before = bench.rows("statuses")

    record(bench, build, "merge", pull=7)
    record(bench, build, "merge", pull=None, head="two")
    bench.store.say(lease, [build.status("merge", at=build.now + timedelta(hours=1))])

    assert before == bench.rows("statuses")
    found = bench.store.heads_of("main", [build.sha("merge"), build.sha("plain")])
    assert {build.sha("merge"): Head(head=build.sha("branch"), pull=7)} == found


def test_copies_are_seen_by_nobody_who_decides(bench, build, lease, merged):
    bench.declare("merge", build.fleet())
    bench.store.say(lease, [build.status("merge")])

    assert [build.sha("merge")] == [each.commit for each in bench.store.statuses("main")]
    assert [build.sha("merge")] == [each.commit for each in bench.record().statuses]
    assert [] == bench.store.statuses("main", commits=[build.sha("branch")])
    assert 1 == bench.store.figures().pending["main"].count
    assert 2 == bench.store.figures().undelivered["main", "status"].count


def test_a_copy_moves_no_roll_up(bench, build, lease):
    bench.store.say(lease, [build.status("merge")])
    (due,) = bench.store.claim("rollup", 1, timedelta(seconds=30)) or [bench.claim("rollup:main")]
    bench.store.finish(due)

    record(bench, build, "merge")

    assert "rollup:main" not in bench.due_keys()


def test_what_a_commit_says_of_itself_stands_before_what_is_said_through_it(bench, build, lease):
    """Somebody merged the branch into his own, and pushed that: `branch` set versions itself."""
    told = {}

    class Forge:
        def deliver(self, lease, statuses, now):
            told.update({(each.status.commit, each.status.context): each.status.description for each in statuses})
            return [Delivery(id=each.id, sequence=each.sequence, delivered=True) for each in statuses]

    def tell():
        for outlet in ("main", "main+further"):
            Outbox(bench.store, {"main": Forge()}).run(outlet, lease)

    bench.store.say(lease, [build.status("branch", description="its own")])
    bench.store.say(lease, [build.status("merge", description="of the merge")])
    record(bench, build, "merge")
    bench.store.say(lease, [build.status("merge", State.SUCCESS, "done")])
    tell()
    assert "its own" == told[build.sha("branch"), CHECKOUT]

    bench.store.say(lease, [build.status("merge", context="fairlead/prod")])
    tell()
    bench.store.say(lease, [build.status("branch", description="also its own", context="fairlead/prod")])
    bench.store.say(lease, [build.status("merge", State.SUCCESS, "done", context="fairlead/prod")])
    tell()

    assert "also its own" == told[build.sha("branch"), "fairlead/prod"]


def test_of_two_commits_from_one_head_the_later_one_is_heard_there(bench, build, lease, merged):
    bench.store.say(lease, [build.status("merge"), build.status("merge", context="fairlead/prod")])
    record(bench, build, "again")

    bench.store.say(lease, [build.status("again", description="again")])
    bench.store.say(
        lease, [build.status("merge", State.ERROR, "superseded", name) for name in (CHECKOUT, "fairlead/prod")]
    )

    found = waiting(bench, build)
    assert ("again", "superseded") == (found["branch", CHECKOUT], found["branch", "fairlead/prod"])


def test_a_commit_that_is_its_own_head_speaks_once(bench, build, lease):
    record(bench, build, "branch")
    bench.store.say(lease, [build.status("branch")])

    assert [("branch", CHECKOUT)] == list(waiting(bench, build))


@pytest.mark.parametrize(
    "more",
    [
        {"medium": Medium.COMMENT, "commit": "pull/7", "context": "fairlead/plan comment", "body": "# Plan"},
        {"medium": Medium.DEPLOYMENT, "context": "deployment prod/checkout"},
        {"medium": Medium.NOTICE, "context": "prod/checkout", "repository": "notify-payments"},
        {"project": "acme/checkout", "commit": "refs/tags/v1.4.2"},
    ],
)
def test_other_mediums_and_projects_have_one_place_and_their_words_come_back_whole(bench, build, lease, merged, more):
    word = replace(build.status("merge"), **more)
    bench.store.say(lease, [word])

    assert [word] == [each.status for each in everything(bench)]
    assert [] == bench.store.undelivered("main", 9)
    assert [] == bench.store.statuses("main")
    assert "main" not in bench.store.figures().pending
    assert "rollup:main" not in bench.due_keys()


@pytest.mark.parametrize("change", [{"body": "# Another plan"}, {"project": "acme/basket"}])
def test_another_body_or_project_is_a_new_word(bench, build, lease, change):
    comment = {
        "medium": Medium.COMMENT,
        "context": "fairlead/plan comment",
        "body": "# Plan",
        "project": "acme/checkout",
    }
    bench.store.say(lease, [build.status("merge", **comment)])
    tell_all(bench, lease)
    bench.store.say(lease, [build.status("merge", **comment)])
    assert {} == waiting(bench, build)

    bench.store.say(lease, [build.status("merge", **comment | change)])

    assert 1 == len(waiting(bench, build))


def test_a_read_that_brings_a_merge_says_its_words_on_the_head_at_once(bench, build):
    said = (build.status("merge", State.SUCCESS, "1 fleet is sound", "fairlead/validate"),)
    bench.declare("merge", build.fleet(), statuses=said, heads={build.sha("merge"): Head(head=build.sha("branch"))})

    assert {("merge", "fairlead/validate"), ("branch", "fairlead/validate")} == set(waiting(bench, build))


def test_a_lost_merge_is_closed_on_its_head(bench, build, lease, merged):
    bench.store.say(lease, [build.status("merge")])
    closing = (build.status("merge", State.ERROR, "history rewritten: two is the new head"),)

    bench.declare("two", build.fleet(), statuses=closing)

    assert 2 == [*waiting(bench, build).values()].count("history rewritten: two is the new head")


def test_words_on_heads_are_kept_as_long_as_what_they_repeat(bench, build, lease, merged):
    record(bench, build, "again", head="one")
    bench.declare("merge", build.fleet())
    bench.store.say(lease, [build.status(name, State.SUCCESS, "done") for name in ("merge", "again")])
    tell_all(bench, lease)

    bench.store.prune(build.now + timedelta(days=91))
    bench.store.prune(build.now + timedelta(days=91))

    assert {build.sha("merge"), build.sha("branch")} == {row[2] for row in bench.rows("statuses")["statuses"]}
    assert [build.sha("merge")] == [row[1] for row in bench.rows("heads")["heads"]]


def test_what_is_open_in_another_medium_goes_too(bench, build, lease):
    bench.store.say(lease, [build.status("pull/7", medium=Medium.COMMENT, context="fairlead/plan comment", body="#")])
    tell_all(bench, lease)

    assert 1 == bench.store.prune(build.now + timedelta(days=retention.DAYS["statuses"] + 1))


def test_in_each_outlet_roll_ups_and_failures_go_first_and_what_moves_goes_last(bench, build, lease, merged):
    def word(state, context, **more):
        return build.status("merge", state, "said", context, **more)

    done, failed, moving = State.SUCCESS, State.FAILURE, State.PENDING
    bench.store.say(
        lease,
        [
            word(moving, "fairlead/prod/a"),
            word(done, "fairlead/prod/b"),
            word(failed, "fairlead/prod/c"),
            word(moving, "fairlead/prod"),
            word(done, "fairlead/dev"),
            word(moving, "deployment prod/a", medium=Medium.DEPLOYMENT),
            word(moving, "fairlead/plan comment", medium=Medium.COMMENT),
        ],
    )

    own = ["fairlead/dev", "fairlead/prod", "fairlead/prod/c", "fairlead/prod/b", "fairlead/prod/a"]
    assert own == [each.status.context for each in bench.store.undelivered("main", 99)]
    further = [*own[:-1], "fairlead/plan comment", "fairlead/prod/a", "deployment prod/a"]
    assert set(further[-2:]) == {each.status.context for each in bench.store.undelivered("main+further", 99)[-2:]}
    assert further[:-2] == [each.status.context for each in bench.store.undelivered("main+further", 99)][:-2]


def test_a_pending_roll_up_goes_before_final_words_every_ten_seconds_and_not_more_often(bench, build, lease):
    def order():
        return [each.status.context for each in bench.store.undelivered("main", 9)]

    bench.store.say(lease, [build.status(context="fairlead/prod", description="0/300")])
    tell_all(bench, lease)
    bench.store.say(
        lease, [build.status(context="fairlead/prod", description="1/300"), build.status(state=State.FAILURE)]
    )
    assert [CHECKOUT, "fairlead/prod"] == order()

    bench.clock.advance(timedelta(seconds=10))

    assert ["fairlead/prod", CHECKOUT] == order()


def test_passes_and_the_news_of_a_head_at_once_leave_every_word_on_both(bench, build, lease):
    """Whoever comes first: the last word of each context stands on the merge and on its head."""
    contexts = [f"fairlead/prod/s{number}" for number in range(6)]
    stores = [bench.store, *(bench.another() for _ in range(3))]
    leases = [bench.lease(f"statuses:r{number}") for number in range(3)]

    def speak(number):
        chance = random.Random(number)
        for step in range(12):
            context = chance.choice(contexts[number * 2 : number * 2 + 2])
            stores[number].say(leases[number], [build.status("merge", description=f"{step}", context=context)])

    with ThreadPoolExecutor(4) as pool:
        spoken = [pool.submit(speak, number) for number in range(3)]
        heard = pool.submit(stores[3].record_heads, "main", {build.sha("merge"): Head(head=build.sha("branch"))})
        for each in (*spoken, heard):
            each.result()

    found = waiting(bench, build)
    own = {context: text for (name, context), text in found.items() if name == "merge"}
    assert own == {context: text for (name, context), text in found.items() if name == "branch"}
    assert 3 <= len(own)


def test_an_empty_read_records_nothing(bench, build):
    empty = DesiredState(environments=("prod",), fleets={}, declared=frozenset(), problems=())
    bench.declare("one", desired=empty)
    bench.store.record_heads("main", {})

    assert [] == bench.rows("heads")["heads"]
