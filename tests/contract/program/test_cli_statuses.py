"""statuses show and statuses repair, over a real SQLite ledger and the outbox."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.feeds.repositories import Repositories, Source
from fairlead import wiring
from fairlead.cli import app
from fairlead.settings import load
from reconciler.mending import Fate
from reconciler.outbox import LEFT_TO_HEAD, LEFT_TO_ROLL_UP
from reconciler.ports import Delivery
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Head

CHECKOUT, HEAD = "fairlead/prod/checkout", "b" * 40


@pytest.fixture
def config(tmp_path: Path, desired: Any) -> Path:
    path = tmp_path / "fairlead.toml"
    path.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    return path


@pytest.fixture
def store(config: Path) -> Iterator[Any]:
    """The ledger that the settings name, with the example read into it, and every word told."""
    settings = load(config)
    ledger = wiring.ledger(settings)
    with wiring.mirror(settings, settings.repositories[0]) as mirror:
        source = Source(mirror=mirror, parser=wiring.parser())
        feed = Repositories(ledger, {"main": source}, wiring.clock(), timedelta(minutes=1))
        ledger.add(["repository:main"])
        (due,) = ledger.claim("repository", 1, timedelta(minutes=5))
        feed.run("main", due.lease)
        ledger.finish(due)
    tell(ledger)
    yield ledger
    ledger.close()


@pytest.fixture
def head(store: Any) -> str:
    return str(store.known("main").head)


@pytest.fixture
def run(config: Path) -> Callable[..., Result]:
    return lambda *args: CliRunner().invoke(app, ["statuses", *args, "--config", str(config)])


def tell(ledger: Any, **changes: Any) -> Sequence[str]:
    """Let the forge take what waits, but for the changes; gives the contexts."""
    ledger.add(["statuses:main"])
    (due,) = ledger.claim("statuses", 1, timedelta(minutes=5))
    words = [each for outlet in ("main", "main+further") for each in ledger.undelivered(outlet, 99)]
    ledger.take_up(due.lease, words)
    results = [Delivery(id=each.id, sequence=each.sequence, delivered=True) for each in words]
    ledger.settle(due.lease, [replace(each, **changes) for each in results])
    ledger.finish(due)
    return [each.status.context for each in words]


def word(commit: str, state: State = State.PENDING, context: str = CHECKOUT, text: str = "wave 1/2") -> CommitStatus:
    return CommitStatus(repository="main", commit=commit, context=context, state=state, description=text)


def say(ledger: Any, *words: CommitStatus) -> None:
    ledger.add(["rollup:main"])
    (due,) = ledger.claim("rollup", 1, timedelta(minutes=5))
    ledger.say(due.lease, words)
    ledger.finish(due)


def fates(done: Result) -> dict[tuple[str, str], str]:
    return {(each["context"], each["where"]): each["fate"] for each in json.loads(done.stdout)["places"]}


def test_a_commit_of_which_everything_is_told(run: Callable[..., Result], store: Any, head: str) -> None:
    done = run("show", head[:7], "-o", "json")

    assert 0 == done.exit_code
    (place,) = json.loads(done.stdout)["places"]
    assert ("fairlead/validate", "commit", "success", "delivered") == tuple(
        place[name] for name in ("context", "where", "state", "fate")
    )
    assert place["delivered_at"].endswith("Z")
    assert (None, "", 0) == (place["next_try"], place["why"], place["attempts"])


def test_what_waits_and_what_was_refused_are_shown_with_their_reason(
    run: Callable[..., Result], store: Any, head: str
) -> None:
    store.record_heads("main", {head: Head(head=HEAD, pull=7)})
    say(store, word(head))
    tell(store, delivered=False, retry_at=wiring.clock().now() + timedelta(hours=1), message="GitHub limits our pace")
    say(store, word(head, State.SUCCESS, "fairlead/prod"))
    tell(store, delivered=False, message="no permission")
    say(store, word(head, State.PENDING, "fairlead/staging"))

    done = run("show", head, "-o", "json")

    own, copy = "commit", f"head {HEAD[:7]} of #7"
    assert 1 == done.exit_code
    assert {
        (CHECKOUT, own): "waiting",
        (CHECKOUT, copy): "waiting",
        ("fairlead/prod", own): "refused",
        ("fairlead/prod", copy): "refused",
        ("fairlead/staging", own): "waiting",
        ("fairlead/staging", copy): "waiting",
        ("fairlead/validate", own): "delivered",
        ("fairlead/validate", copy): "waiting",
    } == fates(done)
    shown = run("show", head).stdout
    assert f"{CHECKOUT} on {copy}: GitHub limits our pace" in shown
    assert "fairlead/prod on commit: no permission" in shown
    contexts = ("fairlead/validate", "fairlead/prod", CHECKOUT, "fairlead/staging")
    assert {(context, copy) for context in contexts} == set(fates(run("show", HEAD, "-o", "json")))


@pytest.mark.parametrize("why", [LEFT_TO_HEAD, LEFT_TO_ROLL_UP])
def test_what_is_left_out_is_no_trouble(run: Callable[..., Result], store: Any, head: str, why: str) -> None:
    say(store, word(head))
    tell(store, delivered=False, message=why)

    done = run("show", head, "-o", "json")

    assert (0, Fate.LEFT_OUT) == (done.exit_code, fates(done)[CHECKOUT, "commit"])


def test_other_places_are_found_by_their_own_name(run: Callable[..., Result], store: Any) -> None:
    tag = replace(word("refs/tags/v1.4.2"), project="acme/checkout")
    comment = replace(word("pull/7", context="fairlead/plan comment"), medium=Medium.COMMENT, body="# Plan")
    say(store, tag, comment)

    assert {(CHECKOUT, "acme/checkout refs/tags/v1.4.2"): "waiting"} == fates(run("show", tag.commit, "-o", "json"))
    assert {("fairlead/plan comment", "comment"): "waiting"} == fates(run("show", "pull/7", "-o", "json"))


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("abc", 2, "'abc' is no commit: write at least 7 characters of its id"),
        ("'; DROP TABLE statuses", 2, "is no commit"),
        ("0123456789", 1, "nothing is said of 0123456789: is it a commit that sets versions, or the head?"),
        ("cccccccccc", 2, f"cccccccccc begins 2 commits: write more of {'c' * 12}, {'c' * 12}"),
    ],
)
def test_a_commit_that_is_none_is_refused_in_a_sentence(
    run: Callable[..., Result], store: Any, text: str, code: int, sentence: str
) -> None:
    say(store, word("c" * 39 + "1"), word("c" * 39 + "2"))

    done = run("show", text)

    assert (code, "") == (done.exit_code, done.stdout)
    assert sentence in done.stderr


def test_repair_tells_all_of_a_commit_anew_also_what_was_refused(
    run: Callable[..., Result], store: Any, head: str
) -> None:
    say(store, word(head, State.FAILURE, text="1.4.2 failed"))
    tell(store, delivered=False, message="no permission")
    for due in (*store.claim("fleet", 99, timedelta(minutes=5)), *store.claim("rollup", 9, timedelta(minutes=5))):
        store.finish(due)

    done = run("repair", head, "-o", "json")

    assert 0 == done.exit_code
    changed = {each["context"]: each["state"] for each in json.loads(done.stdout)["changed"]}
    assert {"fairlead/prod": "pending", "fairlead/staging": "pending"} == changed
    assert {CHECKOUT, "fairlead/validate", "fairlead/prod", "fairlead/staging"} == set(tell(store))
    assert ["fleet:prod/checkout"] == [due.key for due in store.claim("fleet", 99, timedelta(minutes=5))]
    assert 0 == run("show", head).exit_code


def test_repair_may_be_repeated_and_changes_nothing_that_is_right(
    run: Callable[..., Result], store: Any, head: str
) -> None:
    run("repair", head)
    tell(store)
    before = [(each.context, each.state, each.description) for each in store.statuses("main")]

    for _ in range(2):
        assert [] == json.loads(run("repair", head, "-o", "json").stdout)["changed"]

    assert 3 == len(tell(store))
    assert before == [(each.context, each.state, each.description) for each in store.statuses("main")]


def test_repair_says_on_the_head_what_is_missing_there(run: Callable[..., Result], store: Any, head: str) -> None:
    """As after an upgrade, where a version that knows no heads closed a commit."""
    store.record_heads("main", {head: Head(head=HEAD)})
    tell(store)
    with store._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM statuses WHERE said_for <> ''")

    run("repair", head)

    assert 2 == tell(store).count("fairlead/validate")


def test_repair_ends_what_is_open_for_a_fleet_of_which_nothing_is_known(
    run: Callable[..., Result], store: Any, head: str
) -> None:
    say(store, word(head, context="fairlead/prod/gone"))

    run("repair", head)

    said = {each.context: each for each in store.statuses("main")}
    assert (State.ERROR, "no longer managed: its file is gone") == (
        said["fairlead/prod/gone"].state,
        said["fairlead/prod/gone"].description,
    )


def test_a_dry_run_changes_nothing(run: Callable[..., Result], store: Any, head: str, config: Path) -> None:
    say(store, word(head))
    before = store.undelivered("main", 99)

    done = run("repair", head, "--dry-run")

    assert (0, before) == (done.exit_code, store.undelivered("main", 99))
    assert "2 words on " in done.stdout
    assert "would be told anew" in done.stdout


def test_people_are_told_once_and_again_only_where_it_did_not_reach_them(
    run: Callable[..., Result], store: Any, head: str
) -> None:
    notice = replace(word(head, State.FAILURE, "prod/checkout"), repository="notify-ops", medium=Medium.NOTICE)
    say(store, notice)
    (due,) = [due for due in store.claim("notices", 9, timedelta(minutes=5)) if due.key == "notices:notify-ops"]
    (item,) = store.undelivered("notify-ops", 9)
    store.settle(due.lease, [Delivery(id=item.id, sequence=item.sequence, delivered=True)])

    run("repair", head)

    assert [] == store.undelivered("notify-ops", 9)
