"""Three hundred fleets in one repository at the sandbox's forge, and two controllers' worth of outboxes, on one clock.

Real: git over HTTP, the feed that reads the merge, the ledger with its queue and leases, roll-ups, outbox, the adapter,
the forge's API and its limits. Played: time, and what each fleet's passes come to.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select

from adapters.clock import ManualClock
from adapters.feeds.repositories import Repositories, Source
from adapters.ledger.dialects import moment
from adapters.ledger.store import Store, open_ledger
from adapters.ledger.tables import queue, statuses
from desired_state.mirror import Mirror
from desired_state.parser import Parser
from fairlead.settings import ForgeSettings, RepositorySettings, Settings
from fairlead.wiring.forges import hosted
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.person import Person
from fairlead_sandbox.forge.server import Forge
from fairlead_sandbox.git_server import GitServer
from reconciler import outlets
from reconciler.outbox import Outbox
from reconciler.ports import Lease
from reconciler.record import CommitStatus, Pass, State
from reconciler.rollup import RollUps

LEASE = timedelta(minutes=5)
SERVICE = "package: {0}\ndeploy: {{type: spinnaker, application: {0}, pipeline: deploy, select: {{cluster: {0}}}}}\n"
ENVIRONMENT = (
    'account: "123456789012"\nregions: [us-east-1]\nspinnaker: {url: "https://gate.example.com", account: prod}\n'
)


class AnyDeploy(BaseModel):
    """A deploy type that takes everything."""

    model_config = ConfigDict(extra="allow")


def run_git(folder: Path, *args: str) -> str:
    """As a person whose own settings do not count."""
    who = {f"GIT_{role}_{what}": "ada@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *args], cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


def write(folder: Path, names: Iterable[str], version: str) -> None:
    """The files of these fleets of `prod`, at that version."""
    files = {f"environments/prod/{name}.yaml": f"version: {version}\n" for name in names}
    files |= {f"services/{name}.yaml": SERVICE.format(name) for name in names}
    files |= {"fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n"}
    files |= {"environments/prod/environment.yaml": ENVIRONMENT}
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "--message", version)


@dataclass(slots=True)
class Crowd:
    """The world of one test. `merge` is the commit that changes every fleet, `head` what it merged."""

    folder: Path
    clock: ManualClock
    git: GitServer
    forge: Forge
    hosted: Hosted
    names: list[str]
    answer_on: str
    store: Store = field(init=False)
    outboxes: list[Outbox] = field(init=False)
    merge: str = ""
    head: str = ""
    script: list[tuple[datetime, Callable[[], None]]] = field(default_factory=list)
    turns: int = 0

    def begin(self) -> None:
        """Everything is read once at the first commit; then the pull request is merged, and read."""
        self.store = open_ledger(f"sqlite:///{self.folder / 'ledger.db'}", self.clock)
        settings = self._settings()
        forges = [hosted(settings, settings.repositories[0], self.clock)(self.store) for _ in range(2)]
        alone = ["main"] if self.answer_on == "head" else []
        self.outboxes = [Outbox(self.store, {"main": forge}, alone) for forge in forges]
        clone, url = self.folder / "clone", f"http://127.0.0.1:{self.git.port}/acme/desired.git"
        run_git(self.folder, "init", "--quiet", "--initial-branch=main", str(clone))
        run_git(clone, "remote", "add", "origin", url)
        write(clone, self.names, "1.4.1")
        run_git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/main")
        mirror = Mirror(self.folder / "mirror", url, "main", None, 60)
        with_heads = [] if self.answer_on == "merge" else ["main"]
        source = Source(mirror=mirror, parser=Parser({"spinnaker": AnyDeploy}))
        feed = Repositories(self.store, {"main": source}, self.clock, timedelta(hours=9), with_heads=with_heads)
        self._run("repository", feed.run)
        self.run_until(self.clock.now() + timedelta(minutes=2))
        write(clone, self.names, "1.4.2")
        run_git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/bump")
        self.head = run_git(clone, "rev-parse", "HEAD")
        person = Person(self.forge.addresses.api, "acme/desired", self.forge.identities.add_person("ada"))
        self.merge = person.merge("bump", "Bump everything").commit
        self._run("repository", feed.run)
        mirror.close()
        for due in self.store.claim("fleet", 1000, LEASE):  # their passes come as the script has them
            self.store.finish(due)

    def _settings(self) -> Settings:
        sign_in = {"mode": "token", "token": "env:CROWD_TOKEN"}
        place = {"api": self.forge.addresses.api, "repository": "acme/desired", "auth": sign_in}
        forge = ForgeSettings.model_validate({"type": "github", "answer_on": self.answer_on, **place})
        return Settings(repositories=(RepositorySettings(url="https://x.example", forge=forge),))

    def _run(self, family: str, run: Callable[[str, Lease], datetime | None], most: int = 1) -> bool:
        if family == "repository":
            self.store.add(["repository:main"])
        claimed = self.store.claim(family, most, LEASE)
        for due in claimed:
            again_at = run(due.key.partition(":")[2], due.lease)
            self.store.finish(due, again_at=None if family == "repository" else again_at)
        return bool(claimed)

    # ── what fleets come to ──

    def at(self, when: datetime, name: str, state: State, text: str) -> None:
        """Let a pass of this fleet say so then."""
        self.script.append((when, lambda: self._pass(f"prod/{name}", state, text)))

    def _pass(self, fleet: str, state: State, text: str) -> None:
        self.store.add([f"fleet:{fleet}"])
        (due,) = self.store.claim("fleet", 2, LEASE)
        record = self.store.load(fleet)
        assert record is not None
        memory = replace(record.memory, status=replace(record.memory.status, setting_commit=self.merge))
        word = CommitStatus(
            repository="main",
            commit=self.merge,
            context=f"fairlead/{fleet}",
            state=state,
            description=text,
            at=self.clock.now(),
        )
        result = Pass(record=record, memory=memory, work=(), statuses=(word,), events=())
        self.store.save(due.lease, record, result)
        self.store.finish(due)

    # ── time ──

    def run_until(self, end: datetime) -> None:
        """Whatever is due, at the moment at which it is: passes, roll-ups, and the replicas' outboxes in turn."""
        self.script.sort(key=lambda each: each[0])
        while True:
            while self.script and self.script[0][0] <= self.clock.now():
                self.script.pop(0)[1]()
            self._drain()
            times = [end, *(each[0] for each in self.script[:1]), *self._next_due()]
            if min(times) >= end:
                self.clock.advance(end - self.clock.now())
                return
            self.clock.advance(max(min(times) - self.clock.now(), timedelta()))

    def _drain(self) -> None:
        rollup = RollUps(self.store, self.clock).run
        while self._run("rollup", rollup) or any(self._run(name, self._deliver) for name in outlets.FAMILIES):
            pass

    def _deliver(self, repository: str, lease: Lease) -> datetime | None:
        self.turns += 1
        return self.outboxes[self.turns % 2].run(repository, lease)

    def _next_due(self) -> list[datetime]:
        with self.store._database.reading() as connection:
            due = connection.scalar(
                select(func.min(queue.c.due)).where(queue.c.family.in_(["rollup", *outlets.FAMILIES]))
            )
        return [] if due is None else [moment(due)]

    # ── what became of it ──

    def shown(self, commit: str) -> Mapping[str, tuple[str, str]]:
        return {each.context: (each.state, each.description) for each in self.hosted.statuses.newest(commit)}

    def first_with(self, commit: str, context: str, text: str) -> datetime:
        """When the forge first showed such a text there."""
        said = [
            each.at for each in self.hosted.statuses.all(commit) if each.context == context and text in each.description
        ]
        assert said, f"{context} never said {text!r}"
        return said[-1]

    def writes(self) -> list[datetime]:
        return [each.at for each in self.forge.log.all(method="POST", path="/statuses/")]

    def left(self) -> int:
        untold = (statuses.c.sequence > statuses.c.delivered_sequence, statuses.c.refused.is_(None))
        with self.store._database.reading() as connection:
            return connection.scalar(select(func.count()).where(*untold)) or 0
