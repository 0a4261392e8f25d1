"""The head of a merged pull request answers for every commit of the branch that it became, however it was merged."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.feeds.merged_pulls import MergedPulls
from adapters.ledger.store import Store, open_ledger
from desired_state.pull_mirror import PullMirror
from reconciler.reviews import Pull


@dataclass
class Merging:
    """A pull request of two commits at a real git server, and a branch that moved on meanwhile."""

    clone: Any
    mirror: PullMirror
    ledger: Store

    def __post_init__(self) -> None:
        self.git("checkout", "--quiet", "--detach")
        self.own = [self.write("one", "1"), self.write("two", "2")]
        self.git("push", "--quiet", "origin", f"{self.head}:refs/pull/7/head")
        self.git("checkout", "--quiet", "main")
        self.write("three", "3")

    @property
    def head(self) -> str:
        return self.own[-1]

    def git(self, *args: str) -> str:
        return str(self.clone.git(*args))

    def write(self, name: str, text: str) -> str:
        (self.clone.folder / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"write {name}")
        return self.git("rev-parse", "HEAD")

    def merged(self) -> tuple[dict[str, str], str]:
        """What is recorded once main is pushed: the head of each of its newest commits."""
        self.git("push", "--quiet", "origin", "main")
        self.mirror.fetch()
        last = self.git("rev-parse", "main")
        feed = MergedPulls(self.ledger, self.mirror, "refs/pull/{number}/head")
        pull = Pull(number=7, head=self.head, base="main", branch="topic", title="", author="", url="", outside=False,
                    open=False, merged_as=last, commits=len(self.own))  # fmt: skip
        for _ in range(2):  # it is safe to repeat
            feed.record("main", {last: pull})
        commits = self.git("rev-list", "--first-parent", "--max-count=4", "main").split()
        return {sha: each.head for sha, each in self.ledger.heads_of("main", commits).items()}, last


@pytest.fixture
def merging(desired: Any, tmp_path: Path, clock: Any) -> Iterator[Merging]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    with PullMirror(tmp_path / "pulls", desired.url, "main", None, 10) as mirror:
        yield Merging(clone=desired.clone, mirror=mirror, ledger=ledger)
    ledger.close()


def test_a_rebase_gives_the_head_to_each_of_its_commits(merging: Merging) -> None:
    merging.git("cherry-pick", *merging.own)
    found, last = merging.merged()

    assert {last: merging.head, merging.git("rev-parse", f"{last}~1"): merging.head} == found


def test_a_squash_gives_it_to_its_one_commit(merging: Merging) -> None:
    merging.git("cherry-pick", "--no-commit", *merging.own)
    merging.git("commit", "--quiet", "--message", "all of it (#7)")
    found, last = merging.merged()

    assert {last: merging.head} == found


def test_a_merge_commit_gives_it_to_itself(merging: Merging) -> None:
    merging.git("merge", "--quiet", "--no-ff", "--message", "merge", merging.head)
    found, last = merging.merged()

    assert {last: merging.head} == found


def test_a_head_that_is_gone_from_the_forge_leaves_the_last_commit(merging: Merging) -> None:
    merging.git("cherry-pick", *merging.own)
    merging.git("push", "--quiet", "origin", ":refs/pull/7/head")
    found, last = merging.merged()

    assert {last: merging.head} == found
