"""A repository at a real Gitea, as the suite of hosted forges wants a site: see `hosted_worlds.Site`."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.clock import ManualClock
from adapters.forges.hosted import Allowance, Allowed, HostedForge, Road, Transport, windows
from adapters.ledger.store import Store
from fairlead.wiring.forges import DIALECTS, SIGN_INS
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge.vendor import Name
from reconciler.record import CommitStatus, State
from tests.contract.forges.hosted_worlds import Lines
from tests.contract.real_forge.between import Between
from tests.contract.real_forge.server import OWNER, RealForge

# What a person of the sandbox may do, as the scopes of a token.
SCOPES = {"read": "read:repository", "write": "write:repository"}


@dataclass
class RealSite:
    """One repository of three commits; the adapter asks by way of `road`."""

    server: RealForge
    road: Between
    store: Store
    clock: ManualClock
    folder: Path
    ends: ExitStack
    kind: Name = "gitea"
    login: str = OWNER
    log: Lines = field(default_factory=Lines)

    def __post_init__(self) -> None:
        self.repository = self.server.create(f"desired-{uuid4()}")
        self.commits, self.web, self.token = self.server.seed(), self.server.url, self.server.token

    @cached_property
    def ada(self) -> Checkout:
        """A person with a clone."""
        return Checkout(self.folder / "ada", self.server.clone_url(self.repository))

    def branch(self, name: str, *, commits: int = 1) -> str:
        """A pushed branch off the second commit; gives its head."""
        self.ada.git("checkout", "--quiet", "-B", name, self.commits[1])
        for number in range(commits):
            self.ada.commit(f"{name} {number}", {f"{name}.yaml": f"{number}\n"})
        self.ada.git("push", "--quiet", "--force", "origin", name)
        return self.ada.head

    def branches(self, names: Sequence[str]) -> None:
        """All off the same new commit."""
        commit = self.branch(names[0])
        self.ada.git("push", "--quiet", "origin", *(f"{commit}:refs/heads/{name}" for name in names[1:]))

    def forge(self, *, token: str = "", repository: str = "", **allowed: Any) -> HostedForge:
        """The adapter, as wiring makes it."""
        dialect = DIALECTS[self.kind]("main")
        transport = Transport(
            f"{self.road.url}/api/v1",
            title=dialect.title,
            example=dialect.example,
            headers=dialect.headers,
            timeout=60,
            monotonic=self.clock.monotonic,
        )
        return HostedForge(
            Road(dialect, transport, SIGN_INS[self.kind](lambda: token or self.token, reference="env:TOKEN")),
            repository or self.repository,
            allowance=Allowance(budget=self.store, windows=windows(60, 400)),
            log=self.log,
            allowed=Allowed(**{"deployments": True, "sources": ("acme/*",), **allowed}),
            jitter=lambda: 1.0,
        )

    def read(self, commit: str, service: str = "") -> list[CommitStatus]:
        """What the server shows on a commit, newest first."""
        said = self.server.ask("GET", f"repos/{service or self.repository}/commits/{commit}/status")
        return [
            CommitStatus(
                repository="main",
                commit=commit,
                context=each["context"],
                state=State(each["status"]),
                description=each["description"],
                target_url=each["target_url"],
            )
            for each in sorted(said["statuses"] or (), key=lambda each: -each["id"])
        ]

    def asked(self) -> int:
        """Requests of the adapter so far."""
        return self.road.asked

    def writes(self) -> Sequence[str]:
        """Methods and paths of its requests that took effect, in order."""
        return tuple(self.road.writes)

    # ── what others do ──

    def who(self, login: str, permissions: Mapping[str, str]) -> str:
        """A token that may do so much."""
        return self.server.limited(*dict.fromkeys(SCOPES[level] for level in permissions.values()))

    def remark(self, pull: int, body: str, login: str) -> None:
        """Somebody comments."""
        token = self.server.account(login)
        self.server.ask("POST", f"repos/{self.repository}/issues/{pull}/comments", {"body": body}, token=token)

    def remarks(self, pull: int) -> list[tuple[str, str]]:
        """Who said what on a pull request, oldest first."""
        said = self.server.ask("GET", f"repos/{self.repository}/issues/{pull}/comments")
        return [(each["user"]["login"], each["body"]) for each in said]

    def service(self, name: str) -> tuple[str, ...]:
        """Another repository of `OWNER`, of three commits; it is gone with the test."""
        self.ends.callback(self.server.ask, "DELETE", f"repos/{self.server.create(name.partition('/')[2])}")
        return self.server.seed()

    def tag(self, service: str, name: str, commit: str, *, annotated: bool = False) -> None:
        """A tag there; one with a message is annotated."""
        body = {"tag_name": name, "target": commit, "message": name if annotated else ""}
        self.server.ask("POST", f"repos/{service}/tags", body)

    def opened(self, branch: str, base: str = "main", token: str = "") -> int:
        """A pull request; its number."""
        body = {"title": branch, "head": branch, "base": base}
        return int(self.server.ask("POST", f"repos/{self.repository}/pulls", body, token=token)["number"])

    def merged(self, number: int, method: str) -> str:
        """The commit that it became."""
        return self.server.merge(self.repository, number, method)

    def close(self, number: int) -> None:
        """Without a merge."""
        self.server.ask("PATCH", f"repos/{self.repository}/pulls/{number}", {"state": "closed"})

    def opened_outside(self, login: str) -> int:
        """A pull request of a commit that is only in somebody's fork; its number."""
        token = self.server.account(login)
        fork = self.server.ask("POST", f"repos/{self.repository}/forks", {}, token=token)["full_name"]
        file = {"content": "aGkK", "message": "x", "branch": "main", "new_branch": "change"}
        self.server.ask("POST", f"repos/{fork}/contents/file", file, token=token)
        return self.opened(f"{login}:change", token=token)

    def lose_fork(self, login: str, number: int) -> None:
        """It is deleted."""
        name = self.repository.partition("/")[2]
        self.server.ask("DELETE", f"repos/{login}/{name}", token=self.server.account(login))

    # ── what goes wrong ──

    def lose_answers(self) -> None:
        """The next write takes effect, and its connection is cut."""
        self.road.lost_answers = 1
