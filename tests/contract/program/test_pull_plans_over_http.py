"""A pull request on the sandbox's forge, over HTTP and real git: its status and its one comment, to the end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.deployers.memory import InMemory
from adapters.feeds.merged_pulls import MergedPulls
from adapters.feeds.pull_plans import Merging, Onlooker
from adapters.feeds.pulls import Pulls, Watched
from adapters.feeds.repositories import Repositories, Source
from adapters.forges.hosted import HostedForge
from adapters.ledger.store import Store, open_ledger
from desired_state.mirror import Mirror
from desired_state.pull_mirror import PullMirror
from fairlead import wiring
from fairlead.settings import Settings
from fairlead.wiring.forges import hosted as hosted_forge
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Merge, Opening
from fairlead_sandbox.git_server import GitServer
from reconciler.outbox import Outbox
from reconciler.outlets import further, key_of
from reconciler.ports import Lease
from reconciler.reviews import Head, Proposal
from tests.contract.program.conftest import Clone, example_files

REPOSITORY = "acme/desired"
BUMP = {"environments/prod/checkout.yaml": "version: 1.4.2\n"}


@dataclass
class Stage:
    """The forge, a person on it, and everything of a controller that pull requests need."""

    kind: str
    forge: Forge
    hosted: HostedForge
    clone: Clone
    ledger: Store
    repositories: Repositories
    pulls: Pulls
    outbox: Outbox
    leases: dict[str, Lease] = field(default_factory=dict)

    def read(self) -> None:
        self.repositories.run("main", self.lease("repository:main"))

    def plan(self) -> None:
        """One pass of the feed, and everything that it says delivered."""
        self.pulls.run("main", self.lease("pulls:main"))
        for outlet in ("main", further("main")):
            self.outbox.run(outlet, self.lease(key_of(outlet)))

    def lease(self, key: str) -> Lease:
        """Held to the end."""
        if key not in self.leases:
            self.ledger.add([key])
            (due,) = self.ledger.claim(key.partition(":")[0], 1, timedelta(hours=1))
            self.leases[key] = due.lease
        return self.leases[key]

    def propose(self, branch: str, files: Mapping[str, str | None], title: str = "Bump") -> int:
        self.push(branch, files)
        return self.hosted.propose(Proposal(branch=branch, base="main", title=title, body="")).number

    def push(self, branch: str, files: Mapping[str, str | None]) -> str:
        head = self.commit(files)
        self.clone.git("push", "--quiet", "--force", "origin", f"{head}:refs/heads/{branch}")
        return head

    def commit(self, files: Mapping[str, str | None]) -> str:
        clone = self.clone
        clone.git("fetch", "--quiet", "origin", "main")
        clone.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
        for path, text in files.items():
            (clone.folder / path).write_text(str(text))
        clone.git("add", "--all")
        clone.git("commit", "--quiet", "--message", "propose")
        return clone.git("rev-parse", "HEAD")

    @property
    def there(self) -> Hosted:
        """The repository at the forge."""
        return self.forge.repository(REPOSITORY)

    def comments(self, number: int) -> list[Any]:
        return self.there.comments.of(number)


@pytest.fixture(params=["github", "gitlab", "gitea"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    clock = SystemClock()
    with GitServer(tmp_path / "served") as git, Forge(git, clock, request.param) as forge:
        url = forge.create(REPOSITORY).html_url + ".git"
        clone = Clone(tmp_path / "clone", url)
        clone.commit("begin", example_files())
        ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
        monkeypatch.setenv("FORGE_TOKEN", forge.identities.add_person("fairlead"))
        wanted = {"type": request.param, "api": forge.addresses.api, "repository": REPOSITORY}
        wanted |= {"auth": {"mode": "token", "token": "env:FORGE_TOKEN"}}
        settings = Settings(state=tmp_path, repositories=[{"url": url, "forge": wanted}])  # type: ignore[list-item]
        hosted = hosted_forge(settings, settings.repositories[0], clock)(ledger)
        mirror = Mirror(tmp_path / "mirror", url, "main", None, 10)
        theirs = PullMirror(tmp_path / "pulls", url, "main", None, 10)
        parser = wiring.parser()
        heads = MergedPulls(ledger, theirs, hosted.pull_ref).record
        watched = Watched(reviews=hosted, merging=Merging(mirror=theirs, parser=parser), heads=heads)
        onlooker = Onlooker(ledger, {"spinnaker": InMemory(clock)}, lambda fleet: (), clock)
        yield Stage(
            kind=request.param,
            forge=forge,
            hosted=hosted,
            clone=clone,
            ledger=ledger,
            repositories=Repositories(ledger, {"main": Source(mirror=mirror, parser=parser)}, clock, timedelta(0)),
            pulls=Pulls(ledger, {"main": watched}, onlooker, clock, timedelta(seconds=1), timedelta(minutes=5)),
            outbox=Outbox(ledger, {"main": hosted}),
        )
        for each in (mirror, theirs, ledger):
            each.close()


def test_a_pull_request_gets_a_status_and_one_comment_that_follows_its_head(stage: Stage) -> None:
    stage.read()
    number = stage.propose("topic", BUMP)
    stage.plan()
    first = stage.comments(number)
    head = stage.push("topic", {"environments/prod/checkout.yaml": "version: 1.5.0\n"})
    stage.plan()

    (word,) = stage.there.statuses.newest(head)
    (comment,) = stage.comments(number)
    assert ("success", "fairlead/plan", "1 fleet: prod/checkout 1.4.1 -> 1.5.0") == (
        word.state,
        word.context,
        word.description,
    )
    assert [comment.id] == [each.id for each in first]
    assert "| `prod/checkout` | `1.4.1` → `1.5.0` | deploys" in comment.body
    written = len(stage.forge.log.successes("/"))

    for _ in range(3):
        stage.plan()

    assert written == len(stage.forge.log.successes("/"))


def test_a_fork_s_pull_request_is_an_outsider_s(stage: Stage) -> None:
    stage.read()
    fork = stage.forge.fork(REPOSITORY, "eve")
    stage.clone.git("remote", "add", "eve", fork.html_url + ".git")
    head = stage.commit(BUMP)
    stage.clone.git("push", "--quiet", "eve", f"{head}:refs/heads/topic")
    opening = Opening(head="topic", base="main", title="@team <b>", body="", fork=fork.full_name)
    number = stage.there.pulls.open(opening, Identity(login="eve", permissions={})).number

    stage.plan()

    (comment,) = stage.comments(number)
    assert "_It comes from another repository: only what the files of this one say is told here._" in comment.body
    assert "no history yet" not in comment.body
    shown = [] if stage.kind == "gitlab" else ["1 fleet: prod/checkout 1.4.1 -> 1.4.2"]  # GitLab has no such commit
    assert shown == [word.description for word in stage.there.statuses.newest(head)]


def test_the_head_of_a_squashed_pull_request_answers_too(stage: Stage) -> None:
    stage.read()
    number = stage.propose("topic", BUMP)
    who = Identity(login="ada", permissions={})
    merged = stage.there.pulls.merge(number, Merge(method="squash", message=lambda pull, _: pull.title), who)

    stage.plan()

    expected = {merged.merge_commit: Head(head=merged.head_sha, pull=number)}
    assert expected == stage.ledger.heads_of("main", {merged.merge_commit})
