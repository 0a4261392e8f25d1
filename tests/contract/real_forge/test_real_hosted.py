"""What every forge with an API does, over a real Gitea: the same cases as over the sandbox's server.

Those that name a forge of their own (`make_site`) are of other vendors, and not among them.
"""

import inspect
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from adapters.clock import ManualClock
from adapters.forges.gitea import dialect
from adapters.ledger.store import open_ledger
from tests.contract.forges import test_hosted as suite
from tests.contract.forges.test_hosted import NOW
from tests.contract.real_forge.between import between
from tests.contract.real_forge.server import RealForge
from tests.contract.real_forge.sites import RealSite

pytestmark = pytest.mark.forge

FAULT = "only the sandbox answers so when it is told to"
LEFT_OUT = {
    "test_what_a_forge_answers_in_trouble_is_told_apart": FAULT,
    "test_a_limit_lets_the_whole_account_rest_for_as_long_as_the_forge_says": FAULT,
    "test_the_token_is_in_no_sentence_and_no_log_line": FAULT,
    "test_comments_that_are_in_trouble_wait_where_the_pull_request_is_there": FAULT,
    "test_trouble_with_pull_requests_is_one_sentence": FAULT,
    "test_open_pull_requests_are_listed_over_pages_newest_first_of_the_branch_that_is_asked_for": "they take "
    "a minute there; test_pages_of_pull_requests_are_turned stands for it",
    "test_no_pace_of_ours_is_too_fast_for_a_forge_with_limits": "Gitea has no limits",
    "test_a_token_that_is_not_accepted_stops_the_account_and_is_said": "a token is revoked in the sandbox only; "
    "test_a_token_that_is_not_accepted_lets_words_wait stands for it",
}

CASES = {
    name: each
    for name, each in vars(suite).items()
    if name.startswith("test_") and "here" in inspect.signature(each).parameters
}
globals().update({name: each for name, each in CASES.items() if name not in LEFT_OUT})


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger's file, with its tables made."""
    file = tmp_path_factory.mktemp("ledger") / "empty.db"
    open_ledger(f"sqlite:///{file}", ManualClock(NOW)).close()
    return file


@pytest.fixture
def here(real_forge: RealForge, empty_ledger: Path, tmp_path: Path) -> Iterator[RealSite]:
    clock = ManualClock(NOW)
    with ExitStack() as ends:
        store = open_ledger(f"sqlite:///{shutil.copy(empty_ledger, tmp_path / 'hosted.db')}", clock)
        ends.callback(store.close)
        road = ends.enter_context(between(real_forge.url))
        yield RealSite(server=real_forge, road=road, store=store, clock=clock, folder=tmp_path, ends=ends)


def test_pages_of_pull_requests_are_turned(here: RealSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect, "PULLS_A_PAGE", 2)
    here.branches(["b1", "b2", "b3", "b4"])
    here.ada.git("push", "--quiet", "origin", f"{here.commits[1]}:refs/heads/release")
    for name in ("b1", "b2", "b3"):
        here.opened(name)
    here.opened("b4", "release")

    assert [3, 2, 1] == [each.number for each in here.forge().pulls("main")]
    assert [4] == [each.number for each in here.forge().pulls("release")]


def test_what_is_left_out_is_of_the_suite() -> None:
    assert [] == [name for name in LEFT_OUT if name not in CASES]
    assert [] == [name for name in CASES if (name in LEFT_OUT) == (name in globals())]
