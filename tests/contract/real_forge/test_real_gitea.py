"""What every forge does with words, and what only a forge with pull requests does, over a real Gitea."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from adapters.clock import ManualClock
from adapters.forges import hosted
from adapters.forges.gitea import dialect
from adapters.forges.gitea import sign_in as signing_in
from adapters.ledger.store import open_ledger
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Proposal
from tests.contract.forges import test_forge as suite
from tests.contract.forges.test_forge import NOW, HeldLease, World, status, waiting
from tests.contract.real_forge.between import between
from tests.contract.real_forge.server import OWNER, RealForge

pytestmark = pytest.mark.forge

# The suite of every forge runs here too, with the world below.
for _name, _each in vars(suite).items():
    if _name.startswith("test_") and "world" in inspect.signature(_each).parameters:
        globals()[_name] = _each


@dataclass
class Lines:
    """What was logged."""

    said: list[str] = field(default_factory=list)

    def warning(self, event: str, **values: Any) -> None:
        self.said.append(f"{event} {values}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RealWorld(World):
    """With the server and the repository behind it."""

    server: RealForge
    repository: str

    def comments(self, pull: int) -> list[str]:
        """The bodies under a pull request, oldest first."""
        return [each["body"] for each in self.server.ask("GET", f"repos/{self.repository}/issues/{pull}/comments")]

    def open_pull(self) -> int:
        """A pull request; its number."""
        self.server.commit(self.repository, "topic-file", new_branch="topic")
        body = {"title": "Topic", "head": "topic", "base": "main"}
        return int(self.server.ask("POST", f"repos/{self.repository}/pulls", body)["number"])


@pytest.fixture
def make_world(real_forge: RealForge, tmp_path: Path) -> Iterator[Callable[..., RealWorld]]:
    """`make_world(token=)`: a repository of its own, with three commits."""
    with ExitStack() as ends:
        store = open_ledger(f"sqlite:///{tmp_path / 'budget.db'}", ManualClock(NOW))
        ends.callback(store.close)

        def make(token: str = "") -> RealWorld:
            repository = real_forge.create(f"desired-{uuid4()}")
            commits = real_forge.seed()
            road = ends.enter_context(between(real_forge.url))
            transport = hosted.Transport(
                f"{road.url}/api/v1",
                title=dialect.Gitea.title,
                example=dialect.Gitea.example,
                headers=dialect.Gitea.headers,
                timeout=30,
                monotonic=ManualClock(NOW).monotonic,
            )
            sign_in = signing_in.token_sign_in(lambda: token or real_forge.token, reference="env:TOKEN")
            allowance = hosted.Allowance(budget=store, windows=hosted.windows(per_minute=600, per_hour=600))
            forge = hosted.HostedForge(
                hosted.Road(dialect.Gitea(), transport, sign_in),
                repository,
                allowance=allowance,
                log=Lines(),
                jitter=lambda: 1.0,
            )

            def read(commit: str) -> list[CommitStatus]:
                said = real_forge.ask("GET", f"repos/{repository}/commits/{commit}/status")
                shown = sorted(said["statuses"] or (), key=lambda each: -each["id"])
                return [_read(commit, each) for each in shown]

            def break_down(broken: bool) -> None:
                road.is_broken = broken

            return RealWorld(
                forge=forge,
                read=read,
                commits=commits,
                asked=lambda: road.asked,
                break_down=break_down,
                server=real_forge,
                repository=repository,
            )

        yield make


@pytest.fixture
def world(make_world: Callable[..., RealWorld]) -> RealWorld:
    return make_world()


def _read(commit: str, shown: dict[str, Any]) -> CommitStatus:
    return CommitStatus(
        repository="main",
        commit=commit,
        context=shown["context"],
        state=State(shown["status"]),
        description=shown["description"],
        target_url=shown["target_url"],
    )


def comment(pull: int, body: str) -> CommitStatus:
    return replace(
        status(f"pull/{pull}"), context="fairlead/plan comment", medium=Medium.COMMENT, body=body, description="plan"
    )


def test_the_suite_of_every_forge_is_here() -> None:
    assert 8 <= sum(each.startswith("test_") and hasattr(suite, each) for each in globals())


def test_a_plan_is_one_comment_that_is_changed_in_place(world: RealWorld) -> None:
    pull = world.open_pull()

    for body in ("**1 fleet** changes", "**2 fleets** change"):
        (delivery,) = world.forge.deliver(HeldLease(), waiting(comment(pull, body)), NOW)
        assert (True, "") == (delivery.delivered, delivery.message)

    (said,) = world.comments(pull)
    assert "**2 fleets** change" in said


def test_a_comment_on_a_pull_request_that_is_not_there_is_refused(world: RealWorld) -> None:
    (delivery,) = world.forge.deliver(HeldLease(), waiting(comment(4711, "x")), NOW)

    assert (False, None) == (delivery.delivered, delivery.retry_at)
    wanted = f"Gitea shows us no pull request 4711 of {world.repository} (404): nothing can be said on it"
    assert wanted == delivery.message


def test_pull_requests_are_shown_and_git_has_their_heads(world: RealWorld) -> None:
    number = world.open_pull()
    forge: Any = world.forge

    (pull,) = forge.pulls("main")

    head = world.server.ask("GET", f"repos/{world.repository}/branches/topic")["commit"]["id"]
    assert (number, head, True, False, OWNER) == (pull.number, pull.head, pull.open, pull.outside, pull.author)
    refs = world.server.ask("GET", f"repos/{world.repository}/git/refs/pull")
    assert (forge.pull_ref.format(number=number), head) in [(each["ref"], each["object"]["sha"]) for each in refs]


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_a_merged_pull_request_says_what_it_became(world: RealWorld, how: str) -> None:
    number = world.open_pull()
    main = world.server.merge(world.repository, number, how)
    forge: Any = world.forge

    (pull,) = forge.pulls("main")

    assert (False, main) == (pull.open, pull.merged_as)


def test_a_pull_request_is_proposed_once(world: RealWorld) -> None:
    world.server.commit(world.repository, "bump-file", new_branch="bump")
    proposal = Proposal(branch="bump", base="main", title="checkout 1.4.2", body="why")
    forge: Any = world.forge

    first, second = forge.propose(proposal), forge.propose(proposal)

    assert first.number == second.number
    assert 1 == len(forge.pulls("main"))


def test_a_token_that_is_not_accepted_lets_words_wait(make_world: Callable[..., RealWorld]) -> None:
    world = make_world(token="0" * 40)

    (delivery,) = world.forge.deliver(HeldLease(), waiting(status(world.commits[0])), NOW)

    assert not delivery.delivered
    assert delivery.retry_at is not None
    assert "did not accept our sign-in" in delivery.message
    assert "0" * 40 not in delivery.message
