"""From merge commits on a real git server to words on the heads that they merged."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from adapters.feeds.repositories import Repositories, Source
from adapters.ledger.store import Store, open_ledger
from desired_state.mirror import Mirror
from desired_state.parser import Parser
from fairlead import wiring
from fairlead.settings import ForgeSettings, RepositorySettings, Settings
from reconciler.ports import Undelivered
from reconciler.record import State

SET = "environments/prod/checkout.yaml"


class AnyDeploy(BaseModel):
    """A deploy type that takes everything."""

    model_config = ConfigDict(extra="allow")


@pytest.fixture
def ledger(tmp_path: Path, clock: Any) -> Iterator[Store]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    yield store
    store.close()


@pytest.fixture
def read_of(tmp_path: Path, desired: Any, ledger: Store, clock: Any) -> Iterator[Callable[..., Callable[[], None]]]:
    """One look at the repository, by a controller that lets heads answer, or not."""
    mirror = Mirror(tmp_path / "mirror", desired.url, "main", None, 10)
    source = Source(mirror=mirror, parser=Parser({"spinnaker": AnyDeploy}))

    def make(*with_heads: str) -> Callable[[], None]:
        feed = Repositories(ledger, {"main": source}, clock, timedelta(seconds=30), with_heads=with_heads)

        def read() -> None:
            ledger.add(["repository:main"])
            (due,) = ledger.claim("repository", 1, timedelta(minutes=10))
            feed.run("main", due.lease)
            ledger.finish(due)

        return read

    yield make
    mirror.close()


@pytest.fixture
def read(read_of: Callable[..., Callable[[], None]]) -> Callable[[], None]:
    found = read_of("main")
    found()
    return found


def branch(desired: Any, version: str) -> str:
    """A commit beside `main` that is in no branch of the server; gives it."""
    clone = desired.clone
    clone.git("fetch", "--quiet", "origin", "main")
    clone.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    (clone.folder / SET).write_text(f"version: {version}\n")
    clone.git("commit", "--quiet", "--all", "--message", f"checkout {version}")
    return str(clone.git("rev-parse", "HEAD"))


def merge(desired: Any, first: str, *others: str, push: bool = True) -> str:
    """A merge commit with these parents and the files of the second; gives it."""
    clone = desired.clone
    parents = [word for parent in (first, *others) for word in ("-p", parent)]
    made = clone.git("commit-tree", f"{others[0]}^{{tree}}", *parents, "-m", "Merge pull request")
    if push:
        clone.git("push", "--quiet", "--force", "origin", f"{made}:refs/heads/main")
    return str(made)


def heads(ledger: Store, *commits: str) -> dict[str, str]:
    return {commit: found.head for commit, found in ledger.heads_of("main", commits).items()}


def spoken(ledger: Store, commit: str) -> list[str]:
    return [each.status.context for each in everything(ledger) if each.status.commit == commit]


def say(ledger: Store, commit: str, context: str) -> None:
    """A pending word."""
    ledger.add(["statuses:main"])
    (due,) = ledger.claim("statuses", 1, timedelta(minutes=10))
    (validated,) = ledger.statuses("main", commits=[commit])
    ledger.say(due.lease, [replace(validated, state=State.PENDING, context=context)])


def everything(ledger: Store) -> list[Undelivered]:
    return [each for outlet in ledger.outlets() for each in ledger.undelivered(outlet, 99)]


def test_a_merge_is_answered_on_the_head_that_it_merged(read: Callable[[], None], ledger: Store, desired: Any) -> None:
    merged = merge(desired, desired.clone.head(), head := branch(desired, "1.4.2"))

    read()

    assert {merged: head} == heads(ledger, merged, head)
    assert ["fairlead/validate"] == spoken(ledger, merged) == spoken(ledger, head)
    assert [] == [each for each in ledger.statuses("main") if each.commit == head]


def test_each_merge_of_a_push_is(read: Callable[[], None], ledger: Store, desired: Any) -> None:
    base = desired.clone.head()
    one, two = branch(desired, "1.4.2"), branch(desired, "1.4.3")
    first = merge(desired, base, one, push=False)
    second = merge(desired, first, two)

    read()

    assert {first: one, second: two} == heads(ledger, first, second)


def test_plain_commits_and_merges_of_many_have_no_head(read: Callable[[], None], ledger: Store, desired: Any) -> None:
    plain = desired.change({SET: "version: 1.4.2\n"})
    many = merge(desired, plain, branch(desired, "1.4.3"), branch(desired, "1.4.4"))

    read()

    assert {} == heads(ledger, plain, many)


def test_what_the_branch_had_before_is_no_head(read: Callable[[], None], ledger: Store, desired: Any) -> None:
    """Somebody merged `main` into his own commit and pushed that: the former head is the second parent."""
    mine, former = branch(desired, "1.4.2"), desired.change({SET: "version: 1.4.9\n"})
    read()
    merged = merge(desired, mine, former)

    read()

    assert {} == heads(ledger, merged)


def test_a_merge_that_a_force_push_takes_away_is_closed_on_its_head(
    read: Callable[[], None], ledger: Store, desired: Any
) -> None:
    base = desired.clone.head()
    merged = merge(desired, base, head := branch(desired, "1.4.2"))
    read()
    say(ledger, merged, "fairlead/prod/checkout")
    desired.force_push(base, {"environments/prod/basket.yaml": "version: 9.9.9\n"})

    read()

    said = {
        each.status.commit: each.status.description
        for each in everything(ledger)
        if each.status.context == "fairlead/prod/checkout"
    }
    assert {merged, head} == set(said)
    assert [True, True] == [text.startswith("history rewritten: ") for text in said.values()]


def test_a_first_read_knows_the_head_of_the_merge_in_force_and_of_no_other(
    read_of: Callable[..., Callable[[], None]], ledger: Store, desired: Any
) -> None:
    """As after a lost ledger, which may have left an open word there."""
    past = merge(desired, desired.clone.head(), branch(desired, "1.4.2"))
    in_force = merge(desired, past, head := branch(desired, "1.4.3"))
    mine = branch(desired, "1.4.4")
    read_of("main")()

    assert {in_force: head} == heads(ledger, past, in_force, mine)
    say(ledger, in_force, "fairlead/prod/checkout")
    assert "fairlead/prod/checkout" in spoken(ledger, head)


def test_a_first_read_takes_no_commit_that_the_branch_had_before_for_a_head(
    read_of: Callable[..., Callable[[], None]], ledger: Store, desired: Any
) -> None:
    former = desired.change({SET: "version: 1.4.9\n"})
    merged = merge(desired, former, desired.clone.git("rev-parse", f"{former}^"))
    read_of("main")()

    assert {} == heads(ledger, merged)


def test_a_read_that_no_head_answers_records_none(
    read_of: Callable[..., Callable[[], None]], ledger: Store, desired: Any
) -> None:
    early = merge(desired, desired.clone.head(), branch(desired, "1.4.2"))
    read_of("another")()
    late = merge(desired, early, branch(desired, "1.4.3"))
    read_of("another")()

    assert {} == heads(ledger, early, late)


@pytest.mark.parametrize(("answer_on", "heads_answer", "alone"), [("merge", 0, 0), ("both", 1, 0), ("head", 1, 1)])
def test_the_settings_say_where(answer_on: Any, heads_answer: int, alone: int) -> None:
    repository = RepositorySettings(url="https://x.example", forge=ForgeSettings(answer_on=answer_on))
    settings = Settings(repositories=(repository,))

    assert heads_answer == len(wiring.answering_on(settings, "head", "both"))
    assert alone == len(wiring.answering_on(settings, "head"))
    assert "both" == ForgeSettings().answer_on
