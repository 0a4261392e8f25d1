"""Plans of pull requests out of settings: wherever the forge has pull requests, unless they are turned off."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.feeds.repositories import Source
from adapters.ledger.store import open_ledger
from desired_state.mirror import Mirror
from fairlead import wiring
from fairlead.settings import Settings
from fairlead.wiring.pulls import pull_plans
from reconciler.ports import Delivery
from reconciler.reviews import Pull
from reconciler.world import World


class Notes:
    """A forge without pull requests."""

    def deliver(self, *_: Any) -> Sequence[Delivery]:
        return ()


class Hosted(Notes):
    """One that has them."""

    pull_ref = "refs/pull/{number}/head"

    def pulls(self, base: str) -> Sequence[Pull]:
        return ()

    def propose(self, proposal: Any) -> Pull:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("forge", "plans", "names"), [(Hosted(), True, {"main"}), (Hosted(), False, set()), (Notes(), True, set())]
)
def test_pull_requests_are_planned_where_there_are_any(
    tmp_path: Path, forge: Any, plans: bool, names: set[str]
) -> None:
    url = "https://git.example.com/acme/desired.git"
    said = {"state": tmp_path, "repositories": [{"url": url, "forge": {"plans": plans}}]}
    settings = Settings(**said)  # type: ignore[arg-type]
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", SystemClock())
    source = Source(mirror=Mirror(tmp_path / "mirror", url), parser=wiring.parser())

    made = pull_plans(
        settings,
        World(ledger=ledger, deployers={}, clock=SystemClock()),
        {"main": forge},
        {"main": source},
        lambda fleet: (),
    )
    made.close()
    ledger.close()

    assert names == made.names
