"""From pull requests on a real git server to the words that the ledger is given."""

import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from adapters.deployers.memory import InMemory
from adapters.feeds import pull_choice, pull_plans, pulls
from adapters.feeds.pull_plans import FILES, Merging, Onlooker
from adapters.feeds.pulls import AT_ONCE, HIDDEN, TRIES, Pulls, Watched
from adapters.feeds.repositories import Repositories, Source
from adapters.ledger.store import Store, open_ledger
from desired_state import pull_mirror
from desired_state.git_command import Bounds
from desired_state.git_errors import GitUnreachable
from desired_state.mirror import Mirror
from desired_state.model import Fleet
from desired_state.parser import Parser
from desired_state.pull_mirror import PULLS, Merge, PullMirror
from desired_state.tree_walk import DEEPEST
from reconciler.ports import Lease, LeaseLost, LedgerAway, Unreadable
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Proposal, Pull

REFRESH = timedelta(minutes=5)


class AnyDeploy(BaseModel):
    """A deploy type that takes everything."""

    model_config = ConfigDict(extra="allow")


class Listening:
    """A ledger, and what was said to it."""

    def __init__(self, ledger: Store) -> None:
        self._ledger = ledger
        self.said: list[list[CommitStatus]] = []  # a list a transaction
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._ledger, name)

    def say(self, lease: Lease, statuses: Sequence[CommitStatus]) -> None:
        if statuses:
            self.said.append(list(statuses))
        self._ledger.say(lease, statuses)


@dataclass
class Forge:
    """Pull requests as a test opens them: pushed to where the forge keeps their heads."""

    desired: Any
    pull_ref: str = "refs/pull/{number}/head"
    shown: dict[int, Pull] = field(default_factory=dict)
    away: str = ""
    asked: int = 0

    def pulls(self, base: str) -> Sequence[Pull]:
        self.asked += 1
        if self.away:
            raise Unreadable(self.away)
        return [self.shown[number] for number in sorted(self.shown, reverse=True)]

    def propose(self, proposal: Proposal) -> Pull:
        raise NotImplementedError

    def commit(self, files: Mapping[str, str | None], onto: str = "") -> str:
        clone = self.desired.clone
        clone.git("fetch", "--quiet", "origin", "main")
        clone.git("checkout", "--quiet", "--detach", onto or "FETCH_HEAD")
        for path, text in files.items():
            file = clone.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text) if text is not None else file.unlink()
        clone.git("add", "--all")
        clone.git("commit", "--quiet", "--allow-empty", "--message", "propose")
        return str(clone.git("rev-parse", "HEAD"))

    def push(self, number: int, files: Mapping[str, str | None], onto: str = "", **facts: Any) -> Pull:
        head = self.commit(files, onto)
        ref = self.pull_ref.format(number=number)
        self.desired.clone.git("push", "--quiet", "--force", "origin", f"{head}:{ref}")
        return self.show(number, head, **facts)

    def show(self, number: int, head: str, **facts: Any) -> Pull:
        said = {"title": "a title", "author": "sam", "url": f"https://forge.example.com/acme/x/pull/{number}"}
        said |= {"base": "main", "branch": "topic", "outside": False, "head": head, "number": number}
        self.shown[number] = Pull(**(said | facts))
        return self.shown[number]


@pytest.fixture
def ledger(tmp_path: Path, clock: Any) -> Iterator[Store]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    yield store
    store.close()


@dataclass
class World:
    """Everything around the feed."""

    folder: Path
    desired: Any
    ledger: Store
    clock: Any
    forge: Forge
    parser: Parser
    mirrors: list[Mirror] = field(default_factory=list)
    leases: dict[str, Lease] = field(default_factory=dict)
    looks: list[str] = field(default_factory=list)
    images: Callable[[Fleet], Sequence[Mapping[str, str]]] = lambda fleet: ()
    merged: list[tuple[str, Mapping[str, Pull]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        mirror = Mirror(self.folder / "mirror", self.desired.url, "main", None, 10)
        self.mirrors.append(mirror)
        source = Source(mirror=mirror, parser=self.parser)
        self.repositories = Repositories(self.ledger, {"main": source}, self.clock, timedelta(seconds=30))
        self.begin()

    def begin(self) -> None:
        """A process that knows nothing yet."""
        self.heard = Listening(self.ledger)
        self.units = InMemory(self.clock, ["us-east-1"])
        mirror = PullMirror(self.folder / f"pulls-{len(self.mirrors)}", self.desired.url, "main", None, 10)
        self.mirrors.append(mirror)
        self.mirror = mirror
        merging = Merging(mirror=mirror, parser=self.parser)
        watched = Watched(reviews=self.forge, merging=merging, heads=lambda *said: self.merged.append(said))
        onlooker = Onlooker(self.heard, {"spinnaker": self.units}, self._look, self.clock)
        self.feed = Pulls(self.heard, {"main": watched}, onlooker, self.clock, timedelta(seconds=30), REFRESH)

    def _look(self, fleet: Fleet) -> Sequence[Mapping[str, str]]:
        self.looks.append(fleet.name)
        return self.images(fleet)

    def read(self) -> None:
        self.repositories.run("main", self.lease("repository:main"))

    def lease(self, key: str = "pulls:main") -> Lease:
        if key not in self.leases:
            self.ledger.add([key])
            (due,) = self.ledger.claim(key.partition(":")[0], 1, timedelta(hours=10))
            self.leases[key] = due.lease
        return self.leases[key]

    def look(self) -> list[CommitStatus]:
        """One pass; gives what was said in it."""
        before = len(self.heard.said)
        self.again_at = self.feed.run("main", self.lease())
        return [word for words in self.heard.said[before:] for word in words]

    def close(self) -> None:
        for mirror in self.mirrors:
            mirror.close()


@pytest.fixture
def world(tmp_path: Path, desired: Any, ledger: Store, clock: Any) -> Iterator[World]:
    parser = Parser({"spinnaker": AnyDeploy})
    made = World(folder=tmp_path, desired=desired, ledger=ledger, clock=clock, forge=Forge(desired), parser=parser)
    made.read()
    yield made
    made.close()


BUMP = {"environments/prod/checkout.yaml": "version: 1.4.2\n"}


def test_a_bump_is_told_on_its_head_and_in_one_comment(world: World) -> None:
    pull = world.forge.push(7, BUMP)

    status, comment = world.look()

    assert [2] == [len(words) for words in world.heard.said], "one transaction"
    assert ("fairlead/plan", pull.head, State.SUCCESS) == (status.context, status.commit, status.state)
    assert "1 fleet: prod/checkout 1.4.1 -> 1.4.2" == status.description
    assert pull.url == status.target_url
    assert ("pull/7", "fairlead/plan comment", Medium.COMMENT) == (comment.commit, comment.context, comment.medium)
    assert "| `prod/checkout` | `1.4.1` → `1.4.2` | deploys" in comment.body
    assert f"Merging `{pull.head[:7]}` into `main` changes 1 of 4 fleets in 1 of 2 environments." in comment.body


def test_an_idle_pass_asks_the_forge_once_and_runs_no_git(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    asked, world.heard.asked, processes = world.forge.asked, [], []
    start = world.mirror.command.start
    world.mirror.command.start = lambda *args, **more: processes.append(args) or start(*args, **more)  # type: ignore[method-assign]

    said = world.look()

    assert ([], [], asked + 1) == (said, processes, world.forge.asked)
    assert ["heads"] == world.heard.asked


def test_a_new_head_is_planned_anew_and_the_comment_is_the_same_one(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    pull = world.forge.push(7, {"environments/prod/checkout.yaml": "version: 1.5.0\n"})

    status, comment = world.look()

    assert (pull.head, "1 fleet: prod/checkout 1.4.1 -> 1.5.0") == (status.commit, status.description)
    assert "pull/7" == comment.commit


def test_the_plan_is_of_what_the_merge_would_give(world: World) -> None:
    """The branch of the pull request still holds what main has left since."""
    behind = world.desired.clone.head()
    world.desired.change({"environments/staging/checkout.yaml": "version: 9.9.9\n"})
    world.read()
    world.forge.push(7, BUMP, onto=behind)

    status, _ = world.look()

    assert "1 fleet: prod/checkout 1.4.1 -> 1.4.2" == status.description


def test_a_branch_that_moved_is_planned_against_anew(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    world.desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})
    world.read()

    status, comment = world.look()

    assert "no fleet changes" == status.description
    assert "no fleet changes" in comment.body


def test_a_branch_that_moved_elsewhere_says_nothing_new(world: World) -> None:
    world.forge.push(7, BUMP)
    first = world.look()
    world.desired.change({"README.md": "words\n"})
    world.read()

    again = world.look()

    assert [replace(word, at=None) for word in first] == [replace(word, at=None) for word in again]


def test_a_conflict_is_told_with_the_file(world: World) -> None:
    behind = world.desired.clone.head()
    world.desired.change({"environments/prod/checkout.yaml": "version: 1.4.9\n"})
    world.read()
    world.forge.push(7, BUMP, onto=behind)

    status, comment = world.look()

    text = "conflicts with main in environments/prod/checkout.yaml: merge main into it, or rebase it"
    assert (State.ERROR, text) == (status.state, status.description)
    assert text in comment.body


def test_an_error_is_told_with_its_line(world: World) -> None:
    world.forge.push(7, {"environments/prod/checkout.yaml": "version: 1.10\n"})

    status, comment = world.look()

    assert State.FAILURE is status.state
    assert status.description.startswith("1 fleet would stall: environments/prod/checkout.yaml:1:10: ")
    assert "**1 error that it would bring**" in comment.body
    assert "- `environments/prod/checkout.yaml:1:10: " in comment.body


def test_an_error_that_stood_there_before_fails_nobody_else_s_pull_request(world: World) -> None:
    world.desired.change({"environments/prod/basket.yaml": "version: [\n"})
    world.read()
    world.forge.push(7, BUMP)

    status, comment = world.look()

    assert (State.SUCCESS, "1 fleet: prod/checkout 1.4.1 -> 1.4.2") == (status.state, status.description)
    assert "_Without it there is 1 error already._" in comment.body


def test_an_error_of_before_that_stops_further_fleets_fails_the_one_that_names_it(
    world: World, files: dict[str, str]
) -> None:
    world.desired.change({"services/bad.yaml": files["services/checkout.yaml"] + "ownr: x\n"})
    world.read()
    world.forge.push(7, {"environments/prod/checkout.yaml": "version: 1.4.1\nservice: bad\n"})

    status, _ = world.look()

    assert State.FAILURE is status.state
    assert status.description.startswith("1 fleet would stall: services/bad.yaml:")


def test_what_changes_no_fleet_gets_a_status_and_no_comment(world: World) -> None:
    world.forge.push(7, {"README.md": "words\n"})

    (status,) = world.look()

    assert (State.SUCCESS, "no fleet changes") == (status.state, status.description)


def test_a_comment_that_is_not_so_any_more_is_taken_back_by_any_process(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    world.begin()
    world.forge.push(7, {"README.md": "words\n"})

    _, comment = world.look()

    assert "### Fairlead plan: no fleet changes" == comment.body.splitlines()[0]


def test_another_process_plans_the_same_and_the_ledger_keeps_one(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    known = world.ledger.undelivered("main", 100)
    world.begin()

    world.look()

    assert known == world.ledger.undelivered("main", 100)


def test_a_forge_that_is_away_is_trouble_of_the_feed_alone_until_it_is_back(world: World) -> None:
    world.forge.push(7, BUMP)
    world.forge.away = "the forge does not answer"

    assert [] == world.look()

    assert {"pulls/main": "the forge does not answer"} == world.ledger.troubles()
    assert world.again_at > world.clock.now()
    world.forge.away = ""
    assert 2 == len(world.look())
    assert {} == world.ledger.troubles()


def test_a_head_that_cannot_be_fetched_harms_no_other_and_is_told_in_the_end(world: World) -> None:
    world.forge.push(7, BUMP)
    world.forge.show(8, "ab" * 20)

    first, *rest = ([word.commit for word in world.look()] for _ in range(TRIES))

    assert "pull/7" in first
    assert ["ab" * 20] == rest[-1]
    assert [] == world.look()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that a test reaches soon."""
    for name, number in {"MOST": 3, "THEIRS": 5, "EACH": 2}.items():
        monkeypatch.setattr(pull_choice, name, number)
    for name, number in {"FILES": 20, "BYTES": 100_000}.items():
        monkeypatch.setattr(pull_plans, name, number)
    monkeypatch.setattr(pulls, "KEPT", 5)


@pytest.mark.usefixtures("few")
def test_only_the_newest_are_planned_and_the_rest_is_told_so(world: World) -> None:
    head = world.forge.push(1, BUMP).head
    numbers = range(2, 5)
    world.desired.clone.git("push", "--quiet", "origin", *(f"{head}:refs/pull/{number}/head" for number in numbers))
    for number in numbers:
        world.forge.show(number, head)
    oldest = world.forge.push(1, {"README.md": "oldest\n"}).head

    said = world.look()

    assert 3 == sum(word.medium is Medium.COMMENT for word in said)
    (told,) = [word for word in said if word.commit == oldest]
    assert (State.ERROR, "not planned: only the newest 3 open pull requests are") == (told.state, told.description)


def test_a_pending_word_ends_when_its_pull_request_is_closed(world: World) -> None:
    pull = world.forge.push(7, BUMP)
    pending = CommitStatus(
        repository="main", commit=pull.head, context="fairlead/plan", state=State.PENDING, description="planning"
    )
    world.ledger.say(world.lease(), [pending])
    world.forge.shown[7] = replace(pull, open=False)

    (word,) = world.look()

    assert (pull.head, State.ERROR) == (word.commit, word.state)


def test_planning_that_takes_long_is_told_to_those_who_wait(world: World) -> None:
    """The images of the first are asked for, and that takes long."""
    world.images = lambda fleet: world.clock.pass_by(seconds=30) or ()
    newest, waiting = (world.forge.push(number, BUMP | {"README.md": str(number)}) for number in (8, 7))

    said = world.look()

    assert [(newest.head, State.SUCCESS), (waiting.head, State.PENDING), (waiting.head, State.SUCCESS)] == [
        (word.commit, word.state) for word in said if word.medium is Medium.STATUS
    ]


def test_merged_pull_requests_are_passed_on_once(world: World) -> None:
    pull = world.forge.push(7, BUMP)
    merged = world.forge.shown[7] = replace(pull, open=False, merged_as="cd" * 20)
    world.look()
    world.look()

    assert [("main", {"cd" * 20: merged})] == world.merged


def test_a_head_that_is_no_commit_is_not_looked_at(world: World) -> None:
    for number, head in enumerate(["", "main", "--upload-pack=touch", "AB" * 20, "ab" * 19], 1):
        world.forge.show(number, head)

    assert [] == world.look()


def test_the_heads_of_closed_pull_requests_are_let_go(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    del world.forge.shown[7]
    world.forge.push(8, BUMP | {"README.md": "8"})
    world.look()

    assert f"{PULLS}/8\n" == world.mirror.git("for-each-ref", "--format=%(refname)", PULLS)


def test_one_that_git_cannot_merge_keeps_no_other_from_being_planned(world: World) -> None:
    poison, other = (world.forge.push(number, BUMP | {"README.md": str(number)}) for number in (8, 7))
    merge = world.mirror.merge

    def merging(base: str, head: str) -> Merge:
        if head == poison.head:
            raise GitUnreachable("git was not done after 60 s")
        return merge(base, head)

    world.mirror.merge = merging  # type: ignore[method-assign]

    first, *rest = ({word.commit for word in world.look()} for _ in range(TRIES))

    assert other.head in first
    assert {poison.head} == rest[-1]
    assert "git was not done after 60 s" == world.ledger.troubles()["pulls/main"]
    assert [] == world.look()
    assert {} == world.ledger.troubles()


def test_a_mirror_that_is_broken_is_made_again(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    for pack in (world.mirror.folder / "objects").rglob("*"):
        if pack.is_file():
            pack.unlink()
    world.mirror.close()
    pull = world.forge.push(7, {"environments/prod/checkout.yaml": "version: 1.5.0\n"})

    said = [word for _ in range(3) for word in world.look()]

    assert pull.head in {word.commit for word in said}
    assert {} == world.ledger.troubles()


def test_what_a_killed_git_left_behind_is_in_nobody_s_way(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    (world.mirror.folder / PULLS / "7.lock").touch()
    pull = world.forge.push(7, {"environments/prod/checkout.yaml": "version: 1.5.0\n"})

    assert pull.head in {word.commit for word in world.look()}


# ── what is said of the world ────────────────────────────────────────────────────────────────────────────────────


def missing(fleet: Fleet) -> Sequence[Mapping[str, str]]:
    said = {"region": "us-east-1", "account": "123456789012", "ami": "", "state": "missing"}
    return [{**said, "message": "no AMI of checkout 1.4.2"}]


def test_a_missing_image_fails_the_status(world: World) -> None:
    world.images = missing
    world.forge.push(7, BUMP)

    status, comment = world.look()

    assert (State.FAILURE, "no AMI for prod/checkout 1.4.2") == (status.state, status.description)
    assert "no AMI of checkout 1.4.2" in comment.body


def test_an_image_that_came_is_seen_by_the_slow_refresh(world: World) -> None:
    world.images = missing
    world.forge.push(7, BUMP)
    world.look()
    world.images = lambda fleet: [{**missing(fleet)[0], "state": "found", "message": "ami-1 is there"}]
    assert [] == world.look()
    world.clock.pass_by(minutes=6)

    status, comment = world.look()

    assert State.SUCCESS is status.state
    assert "ami-1 is there" in comment.body
    world.clock.pass_by(minutes=6)
    world.look()
    assert ["prod/checkout"] * 2 == world.looks, "what was found is not looked for again"


ENVIRONMENT = 'account: "{account}"\nregions: [{region}]\nspinnaker: {{url: "https://{gate}", account: prod}}\n'


PLACES = [
    {"account": "210987654321", "region": "us-east-1", "gate": "gate.example.com"},
    {"account": "123456789012", "region": "ap-south-1", "gate": "gate.example.com"},
    {"account": "123456789012", "region": "us-east-1", "gate": "evil.example.com"},
]
ROLE = "role: arn:aws:iam::123456789012:role/admin\n"


def test_nobody_is_asked_where_only_the_pull_request_says_so(world: World, files: dict[str, str]) -> None:
    path = "environments/prod/environment.yaml"
    for number, text in enumerate([*(ENVIRONMENT.format(**place) for place in PLACES), files[path] + ROLE], 1):
        world.forge.push(number, BUMP | {path: text})

    said = world.look()

    assert 4 == sum("Not checked: the AMIs or artifacts of" in word.body for word in said)
    assert [] == world.looks


def test_an_outsider_learns_what_the_files_say_and_nothing_else(world: World) -> None:
    world.images = missing
    world.units.run("us-east-1", {"package/checkout": "1.4.1"})
    world.forge.push(7, BUMP, outside=True)

    status, comment = world.look()

    assert State.SUCCESS is status.state
    assert "| `prod/checkout` | `1.4.1` → `1.4.2` | deploys" in comment.body
    assert [] == [said for said in ("unit", "no AMI", "history", "adopt") if said in comment.body.lower()]
    assert ([], 0) == (world.looks, sum(name in {"load_many", "history"} for name in world.heard.asked))
    assert "It comes from another repository" in comment.body


def test_an_outsider_s_pull_request_of_an_insider_s_head_turns_no_verdict_and_learns_no_words(world: World) -> None:
    world.images = missing
    head = world.forge.push(7, BUMP).head
    (comment,) = [word for word in world.look() if word.medium is Medium.COMMENT]
    world.forge.show(8, head, outside=True, author="mallory")

    said = {(word.medium, word.commit): word for word in world.look()}

    status = said[Medium.STATUS, head]
    assert (State.FAILURE, HIDDEN) == (status.state, status.description)
    assert comment.body == said[Medium.COMMENT, "pull/7"].body
    assert "AMI" not in said[Medium.COMMENT, "pull/8"].body
    del world.forge.shown[8]
    assert ["no AMI for prod/checkout 1.4.2"] == [
        word.description for word in world.look() if word.medium is Medium.STATUS
    ]


def test_a_verdict_that_the_files_alone_give_is_told_in_their_words_on_a_shared_head(world: World) -> None:
    head = world.forge.push(7, BUMP).head
    world.forge.show(8, head, outside=True)

    said = [(word.state, word.description) for word in world.look() if word.medium is Medium.STATUS]

    assert [(State.SUCCESS, "1 fleet: prod/checkout 1.4.1 -> 1.4.2")] == said


# ── very many ────────────────────────────────────────────────────────────────────────────────────────────────────


def flood(world: World, numbers: Collection[int], author: Callable[[int], str]) -> None:
    """Outsiders' pull requests of one commit each."""
    base = world.desired.clone.git("rev-parse", "HEAD^{tree}")
    heads = {
        number: world.desired.clone.git("commit-tree", base, "-p", "HEAD", "-m", str(number)) for number in numbers
    }
    refs = (f"{head}:refs/pull/{number}/head" for number, head in heads.items())
    world.desired.clone.git("push", "--quiet", "origin", *refs)
    for number, head in heads.items():
        world.forge.show(number, head, outside=True, author=author(number))


@pytest.mark.usefixtures("few")
def test_no_crowd_of_outsiders_denies_a_plan_to_an_insider(world: World) -> None:
    ours = world.forge.push(1, BUMP)
    flood(world, range(2, 10), lambda number: f"eve{number}")

    said = {word.commit: word.state for word in world.look() if word.medium is Medium.STATUS}

    assert State.SUCCESS is said.pop(ours.head)
    assert {State.SUCCESS: AT_ONCE, State.ERROR: 3} == Counter(said.values())


@pytest.mark.usefixtures("few")
def test_one_outsider_takes_the_place_of_no_other(world: World) -> None:
    other = world.forge.push(1, BUMP, outside=True, author="ann")
    flood(world, range(2, 6), lambda _: "eve")

    said = [word for _ in range(3) for word in world.look()]

    assert State.SUCCESS in {word.state for word in said if word.commit == other.head}
    assert 2 == sum("2 of one author" in word.description for word in said)


@pytest.mark.usefixtures("few")
def test_a_plan_that_stands_is_not_taken_back_by_newer_ones(world: World) -> None:
    standing = world.forge.push(1, {"README.md": "words\n"}, outside=True, author="eve")
    world.look()
    flood(world, range(2, 5), lambda _: "eve")

    assert [] == [word for word in world.look() if word.commit == standing.head]


def test_a_branch_that_moves_makes_an_outsider_s_plan_anew_only_slowly(world: World) -> None:
    ours, theirs = (world.forge.push(number, BUMP | {"README.md": "x"}, outside=number == 8) for number in (7, 8))
    theirs = world.forge.push(8, BUMP, outside=True)
    world.look()
    world.desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})
    world.read()

    at_once, (_, slowly) = {word.commit for word in world.look()}, (world.clock.pass_by(minutes=6), world.look())

    assert (True, False) == (ours.head in at_once, theirs.head in at_once)
    assert theirs.head in {word.commit for word in slowly}


def test_of_outsiders_no_fleet_is_kept_and_the_branch_s_parser_learns_nothing(world: World) -> None:
    held = world.parser._sources._fleets._held
    files = world.parser._sources._files._checked._held
    known = set(held), set(files)
    world.forge.push(
        7, BUMP | {"fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging, prod]\n"}, outside=True
    )

    said = world.look()

    assert "pull/7" in {word.commit for word in said}
    assert known == (set(held), set(files))
    assert [None] == [made.plan for made in world.feed._known["main"].made.values()]


@pytest.mark.usefixtures("few")
def test_a_very_large_plan_is_made_again_when_the_world_is_looked_at(world: World) -> None:
    text = "version: 1.0.0\nservice: checkout\n"
    world.forge.push(7, {f"environments/prod/b{number}.yaml": text for number in range(6)})
    first = world.look()
    assert [None] == [made.plan for made in world.feed._known["main"].made.values()]
    world.clock.pass_by(minutes=6)

    assert [word.body for word in first] == [word.body for word in world.look()]


def test_looks_have_a_least_span_between_them(world: World) -> None:
    world.forge.push(7, BUMP)
    world.feed._least = timedelta(seconds=3)
    world.look()
    asked = world.forge.asked

    world.look()

    assert (asked, world.clock.now() + timedelta(seconds=3)) == (world.forge.asked, world.again_at)
    world.clock.pass_by(seconds=3)
    world.look()
    assert asked + 1 == world.forge.asked


# ── hostile pull requests ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("few")
def test_what_is_too_large_or_has_nothing_in_common_is_not_even_merged(world: World) -> None:
    clone = world.desired.clone
    world.forge.push(9, {f"services/x{number}.yaml": "a: 1\n" for number in range(21)})
    world.forge.push(8, {"services/checkout.config.yaml": "a: " + "x" * 100_000})
    clone.git("checkout", "--quiet", "--orphan", "alone")
    clone.git("commit", "--quiet", "--allow-empty", "--message", "alone")
    head = clone.git("rev-parse", "HEAD")
    clone.git("push", "--quiet", "origin", f"{head}:refs/pull/7/head")
    world.forge.show(7, head)

    said = [word for word in world.look() if word.medium is Medium.STATUS]

    assert [State.ERROR] * 3 == [word.state for word in said]
    assert [
        "changes more than 20 files: too many to be planned; split it",
        "its files have more than 0 MiB: too much to be planned; split it",
        "it has no history in common with main: begin it anew from there",
    ] == [word.description for word in said]


def raw_tree(world: World, *entries: tuple[str, bytes, str]) -> str:
    """Written as no git would write it."""
    data = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
    command = [
        "git",
        "-C",
        str(world.desired.clone.folder),
        "hash-object",
        "-w",
        "-t",
        "tree",
        "--literally",
        "--stdin",
    ]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode().strip()


def blob(world: World) -> str:
    return str(world.desired.clone.git("hash-object", "-w", "fairlead.yaml"))


def propose_tree(world: World, number: int, *more: tuple[str, bytes, str]) -> Pull:
    clone = world.desired.clone
    clone.git("fetch", "--quiet", "origin", "main")
    rows = [line.split() for line in clone.git("ls-tree", "FETCH_HEAD").splitlines()]
    entries = [(mode.lstrip("0"), name.encode(), sha) for mode, _, sha, name in rows]
    tree = raw_tree(world, *sorted([*entries, *more], key=lambda entry: entry[1]))
    head = clone.git("commit-tree", tree, "-p", "FETCH_HEAD", "-m", "wild")
    clone.git("push", "--quiet", "origin", f"{head}:refs/pull/{number}/head")
    return world.forge.show(number, head, outside=True)


def git_verbs(world: World) -> list[str]:
    """Filled with what git is run for in the mirror of pull requests."""
    verbs: list[str] = []
    start = world.mirror.command.start
    world.mirror.command.start = lambda *args, **more: verbs.append(args[0]) or start(*args, **more)  # type: ignore[method-assign]
    return verbs


def test_a_few_objects_that_name_billions_of_files_are_refused_before_git_lists_or_merges_them(world: World) -> None:
    tree = raw_tree(world, *(("100644", b"f%d" % number, blob(world)) for number in range(10)))
    for _ in range(10):
        tree = raw_tree(world, *(("40000", b"d%d" % number, tree) for number in range(10)))
    bomb = propose_tree(world, 8, ("40000", b"zz", tree))
    verbs = git_verbs(world)

    (word,) = [word for word in world.look() if word.medium is Medium.STATUS]

    assert (bomb.head, State.ERROR) == (word.commit, word.state)
    assert f"changes more than {FILES} files: too many to be planned; split it" == word.description
    assert [] == [verb for verb in verbs if verb in {"merge-tree", "diff-tree"}]


@pytest.mark.parametrize("name", [b"zz", b"..", b"a/b", b".git"])
def test_a_tree_that_git_would_not_make_is_refused_and_the_mirror_stays(world: World, name: bytes) -> None:
    one = ("100644", name, blob(world))
    wild = propose_tree(world, 8, one, one) if name == b"zz" else propose_tree(world, 8, one)
    other = world.forge.push(7, BUMP)
    world.mirror.fetch()
    made = world.mirror.folder.stat().st_ino

    said = {word.commit: word for word in world.look()}
    world.clock.pass_by(minutes=6)
    world.look()

    assert "git would not make" in said[wild.head].description
    assert (State.ERROR, State.SUCCESS) == (said[wild.head].state, said[other.head].state)
    assert ({}, made) == (world.ledger.troubles(), world.mirror.folder.stat().st_ino)


def test_folders_without_end_are_refused(world: World) -> None:
    tree = raw_tree(world, ("100644", b"f", blob(world)))
    for _ in range(DEEPEST + 1):
        tree = raw_tree(world, ("40000", b"d", tree))
    propose_tree(world, 8, ("40000", b"zz", tree))

    (word,) = [word for word in world.look() if word.medium is Medium.STATUS]

    assert word.description.startswith(f"its folders lie more than {DEEPEST} deep in each other")


def test_nothing_of_a_pull_request_is_run_or_checked_out(world: World, tmp_path: Path) -> None:
    """Hooks, filters, merge drivers and submodules that its files name do nothing."""
    mark = tmp_path / "was-run"
    behind = world.desired.clone.head()
    world.desired.change({"README.md": "one\n"})
    world.read()
    config = f'[merge "evil"]\n\tdriver = touch {mark}\n[filter "evil"]\n\tsmudge = touch {mark}\n'
    evil = {
        ".gitattributes": "* merge=evil filter=evil diff=evil\n",
        ".gitconfig": config,
        "config": config,
        "hooks/post-merge": f"#!/bin/sh\ntouch {mark}\n",
        ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::touch {mark}\n\tupdate = !touch {mark}\n',
        "README.md": "two\n",
    }
    world.forge.push(7, BUMP | evil, onto=behind)

    world.look()

    assert not mark.exists()
    assert {"HEAD", "config", "objects", "refs"} <= {path.name for path in world.mirror.folder.iterdir()}
    assert not (world.mirror.folder / "README.md").exists()


def test_the_mirror_that_deploys_are_read_from_never_holds_a_stranger_s_commit(world: World) -> None:
    pull = world.forge.push(7, BUMP, outside=True)

    world.look()

    code, _, _ = world.mirrors[0].command.attempt("cat-file", "-e", pull.head)
    assert 0 != code


def test_reading_the_branch_costs_no_more_after_a_plan(world: World) -> None:
    """What a pull request's files say is not what the branch is compared with next."""
    world.forge.push(7, {"services/checkout.yaml": "owner: [\n"})
    known = world.parser._seen

    world.look()

    assert known is world.parser._seen


def test_an_outsider_s_head_that_never_comes_keeps_nobody_waiting_for_long(world: World) -> None:
    slow, theirs, ours = (
        world.forge.push(number, BUMP | {"README.md": str(number)}, outside=number != 7) for number in (9, 8, 7)
    )
    bring = world.mirror.bring

    def bringing(refs: Mapping[int, str], *more: Any) -> dict[int, str]:
        if 9 in refs:
            raise GitUnreachable("git fetch was not done after 60 s")
        return bring(refs, *more)

    world.mirror.bring = bringing  # type: ignore[method-assign]

    first, second, third = ({word.commit for word in world.look()} for _ in range(TRIES))

    assert (ours.head in first, theirs.head in second, {slow.head}) == (True, True, third)
    assert [] == world.look()


def test_an_insider_s_head_that_never_comes_is_trouble_and_keeps_no_other_from_being_planned(world: World) -> None:
    slow, ours = (world.forge.push(number, BUMP | {"README.md": str(number)}) for number in (9, 7))
    bring = world.mirror.bring

    def bringing(refs: Mapping[int, str], *more: Any) -> dict[int, str]:
        if 9 in refs:
            raise GitUnreachable("git fetch was not done after 60 s")
        return bring(refs, *more)

    world.mirror.bring = bringing  # type: ignore[method-assign]

    said = [{word.commit for word in world.look()} for _ in range(TRIES)]

    assert (True, {slow.head}) == (ours.head in set().union(*said), said[-1])
    assert {"pulls/main": "git fetch was not done after 60 s"} == world.ledger.troubles()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test need not fill for long."""
    monkeypatch.setattr(pulls, "THEIRS", Bounds(seconds=10, file=256 * 1024))
    monkeypatch.setattr(pull_mirror, "SLACK", 256 * 1024)
    monkeypatch.setattr(pull_mirror, "ROOM", 768 * 1024)


def on_disk(world: World) -> int:
    return sum(path.stat().st_size for path in world.mirror.folder.rglob("*") if path.is_file())


def noise(size: int, seed: int) -> str:
    return Random(seed).randbytes(size // 2).hex()


@pytest.mark.usefixtures("small")
def test_an_outsider_s_head_above_its_bounds_is_given_up_and_leaves_nothing_on_the_disk(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    before = on_disk(world)
    large = world.forge.push(8, {"noise": noise(1024 * 1024, 8)}, outside=True)
    other = world.forge.push(6, {"README.md": "6"}, outside=True)

    said = [word for _ in range(TRIES) for word in world.look()]

    assert other.head in {word.commit for word in said}
    assert [State.ERROR] == [word.state for word in said if word.commit == large.head]
    assert on_disk(world) < before + 100_000
    assert [] == world.look()


@pytest.mark.usefixtures("small")
def test_what_pull_requests_brought_is_gone_when_they_are(world: World) -> None:
    world.forge.push(7, {"noise": noise(512 * 1024, 7)})
    world.look()
    before = on_disk(world)
    del world.forge.shown[7]
    world.forge.push(8, BUMP)
    world.look()

    assert on_disk(world) < before - 200_000


@pytest.mark.usefixtures("small")
def test_a_mirror_that_outgrew_its_room_is_begun_anew(world: World) -> None:
    for number in (5, 6, 7, 8):
        world.forge.push(number, {"noise": noise(512 * 1024, number)})
        world.look()
    last = world.forge.push(9, BUMP)

    said = [word for _ in range(2) for word in world.look()]

    assert State.SUCCESS in {word.state for word in said if word.commit == last.head}
    assert on_disk(world) < 768 * 1024
    assert {} == world.ledger.troubles()


def test_what_half_a_fetch_left_behind_is_thrown_away(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    half = world.mirror.folder / "objects" / "pack" / "tmp_pack_Abc123"
    half.write_bytes(b"PACK")
    world.forge.push(7, {"environments/prod/checkout.yaml": "version: 1.5.0\n"})
    world.look()

    assert not half.exists()


def test_a_plan_is_never_said_on_another_head(world: World) -> None:
    world.forge.push(7, BUMP)
    world.look()
    world.forge.show(7, "ab" * 20)
    world.clock.pass_by(minutes=6)

    assert [] == [word for word in world.look() if word.state is State.SUCCESS]


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", [LedgerAway("away"), LeaseLost("pulls:main")])
def test_what_could_not_be_written_is_said_by_the_next_pass(world: World, fault: Exception) -> None:
    pull = world.forge.push(7, BUMP)
    say = world.heard.say

    def failing(lease: Lease, statuses: Sequence[CommitStatus]) -> None:
        if statuses:
            raise fault

    world.heard.say = failing  # type: ignore[method-assign]
    with pytest.raises(type(fault)):
        world.look()
    world.heard.say = say  # type: ignore[method-assign]

    status, comment = world.look()

    assert (pull.head, "pull/7") == (status.commit, comment.commit)


def test_a_pull_request_into_another_branch_is_not_looked_at(world: World) -> None:
    world.forge.push(7, BUMP, base="release")

    assert [] == world.look()
