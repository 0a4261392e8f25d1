"""A forge of each dialect: the sandbox's over HTTP with real git, the adapter before it, and a look from outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from adapters.clock import ManualClock
from adapters.forges.hosted import Allowance, Allowed, HostedForge, Road, Transport, windows
from adapters.ledger.store import Store
from fairlead.wiring.forges import DIALECTS, SIGN_INS
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.forge.faults import Burst
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.git_server import GitServer
from reconciler.record import CommitStatus, State

REPOSITORY: Mapping[Name, str] = {
    "github": "acme/desired",
    "gitlab": "acme/platform/desired",  # GitLab's groups have groups
    "gitea": "acme/desired",
}
STATES = {each.value: each for each in State} | {"running": State.PENDING, "failed": State.FAILURE}
ENDLESS = 1_000_000


@dataclass
class Lines:
    """What was logged."""

    said: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def warning(self, event: str, **values: Any) -> None:
        self.said.append((event, values))


@dataclass
class Site:
    """One forge with one repository of three commits, signed in to as `fairlead-bot`."""

    kind: Name
    sandbox: Forge
    store: Store
    clock: ManualClock
    folder: Path
    log: Lines = field(default_factory=Lines)

    def __post_init__(self) -> None:
        self.repository = REPOSITORY[self.kind]
        self.hosted = self.sandbox.create(self.repository)
        self.token = self.sandbox.identities.add_person("fairlead-bot")
        self.commits = history(self.hosted)

    @cached_property
    def ada(self) -> Checkout:
        """A person with a clone."""
        clone = Checkout(self.folder / "ada", self.sandbox.git.url(self.repository))
        clone.pull()
        return clone

    def branch(self, name: str, *, commits: int = 1) -> str:
        """A pushed branch off the second commit; gives its head."""
        self.ada.git("checkout", "--quiet", "-B", name, self.commits[1])
        for number in range(commits):
            self.ada.commit(f"{name} {number}", {f"{name}.yaml": f"{number}\n"})
        self.ada.git("push", "--quiet", "--force", "origin", name)
        return self.ada.head

    def forge(self, *, token: str = "", repository: str = "", **allowed: Any) -> HostedForge:
        """The adapter, as wiring makes it."""
        dialect = DIALECTS[self.kind]("main")
        transport = Transport(
            self.sandbox.addresses.api,
            title=dialect.title,
            example=dialect.example,
            headers=dialect.headers,
            timeout=10,
            monotonic=self.clock.monotonic,
        )
        sign_in = SIGN_INS[self.kind](lambda: token or self.token, reference="env:TOKEN")
        return HostedForge(
            Road(dialect, transport, sign_in),
            repository or self.repository,
            allowance=Allowance(budget=self.store, windows=windows(60, 400)),
            log=self.log,
            allowed=Allowed(**{"deployments": True, "sources": ("acme/*",), **allowed}),
            jitter=lambda: 1.0,
        )

    def read(self, commit: str, hosted: Hosted | None = None) -> list[CommitStatus]:
        """What is shown on a commit, newest first."""
        return [
            CommitStatus(
                repository="main",
                commit=commit,
                context=each.context,
                state=STATES[each.state],
                description=each.description,
                target_url=each.target_url,
            )
            for each in (hosted or self.hosted).statuses.newest(commit)
        ]

    def asked(self) -> int:
        """Requests so far."""
        return self.sandbox.log.reads + len(self.sandbox.log.all())

    def writes(self) -> Sequence[str]:
        """Methods and paths of what took effect, in order."""
        return [f"{each.method} {each.path}" for each in self.sandbox.log.successes()]

    def strike(self, status: int, *, left: int = ENDLESS, **more: Any) -> None:
        """Answer like that from now on."""
        self.sandbox.faults.burst = Burst(status=status, left=left, **more)

    def break_down(self, broken: bool) -> None:
        """The API is out, or is there again."""
        self.sandbox.faults.burst = Burst(status=503, left=ENDLESS) if broken else None


def history(hosted: Hosted) -> tuple[str, ...]:
    """Three commits on `main`, made in one process; oldest first."""
    stream = "".join(
        f"commit refs/heads/main\ncommitter a <a@example.com> {1_700_000_000 + number} +0000\ndata 1\nx\n\n"
        for number in range(3)
    )
    hosted.bare.git("fast-import", "--quiet", input=stream)
    return tuple(hosted.bare.git("rev-list", "--reverse", "main").split())


def site(kind: Name, git: GitServer, store: Store, clock: ManualClock, folder: Path) -> Site:
    """A forge of that dialect."""
    return Site(kind=kind, sandbox=Forge(git, clock, kind), store=store, clock=clock, folder=folder)


MakeSite = Callable[[Name], Site]
