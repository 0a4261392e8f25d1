"""A repository on the forge: its bare half, and what people and programs say about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fairlead_sandbox.forge.bare import Bare
from fairlead_sandbox.forge.comments import Comments
from fairlead_sandbox.forge.deployments import Deployments
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Moved, Pull, Pulls
from fairlead_sandbox.forge.statuses import Statuses
from fairlead_sandbox.forge.vendor import Vendor
from fairlead_sandbox.forge.webhooks import Delivery, Webhooks
from reconciler.ports import Clock

Event = tuple[str, Mapping[str, Any]]  # its name, and what is posted


class Voice(Protocol):
    """How a dialect tells webhooks what happened."""

    def pushed(self, hosted: "Hosted", moved: Moved, who: Identity) -> Iterator[Event]:
        """A branch or a tag moved."""
        ...

    def pulled(self, hosted: "Hosted", pull: Pull, change: "Change", who: Identity) -> Iterator[Event]:
        """Something happened to a pull request."""
        ...

    def keeps(self, hosted: "Hosted", clock: Clock) -> object:
        """What this dialect alone keeps of a repository."""
        ...

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """What is sent with an event."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened to a pull request: `opened`, `pushed`, `edited`, `closed`, `reopened`, `merged`."""

    kind: str
    before: str = ""  # the head's commit, where it moved
    title: str = ""  # as it was, where it is another now
    body: str | None = None  # likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the forge is: `web` has no slash at its end."""

    web: str
    prefix: str = "/api/v3"

    @property
    def api(self) -> str:
        """Of its REST API, as an installation of one's own has it."""
        return self.web + self.prefix


class Hosted:
    """One repository, `owner/name`, or `group/subgroup/name`. `others` are all of the forge, by full name."""

    def __init__(
        self, full_name: str, path: Path, addresses: Addresses, vendor: Vendor, others: Mapping[str, "Hosted"]
    ) -> None:
        self.full_name = full_name
        self.number: int = max((each.number for each in others.values()), default=0) + 1
        self.addresses = addresses
        self.vendor = vendor
        self.others = others
        self.owner, _, self.name = full_name.rpartition("/")
        self.bare = Bare(path)
        self.parent = ""  # the full name of what it is a fork of
        self.merge_method = "merge"  # of a GitLab project: `merge` or `ff`

    def furnish(self, clock: Clock, voice: Voice) -> None:
        """Give it what is kept beside git."""
        self.voice = voice
        self.statuses = Statuses(clock, self.vendor.statuses)
        self.comments = Comments(clock)
        self.deployments = Deployments(clock)
        self.pulls = Pulls(self.bare, self.full_name, self._bare_of, self.vendor.pull_ref, clock)
        self.webhooks = Webhooks(clock, voice.headers)
        self.extra = voice.keeps(self, clock)  # GitLab's pipelines

    @property
    def default_branch(self) -> str:
        """What HEAD names."""
        return (self.bare.path / "HEAD").read_text().strip().removeprefix("ref: refs/heads/")

    @property
    def url(self) -> str:
        """In the API of GitHub and Gitea."""
        return f"{self.addresses.api}/repos/{self.full_name}"

    @property
    def html_url(self) -> str:
        """For people; `.git` behind it is where to clone."""
        return f"{self.addresses.web}/{self.full_name}"

    def source_of(self, pull: Pull) -> "Hosted | None":
        """The repository of a pull request's head; None where the fork is gone."""
        return self.others.get(pull.fork) if pull.fork else self

    def announce(self, pull: Pull, change: Change, who: Identity) -> None:
        """Let webhooks hear of it."""
        for event, payload in self.voice.pulled(self, pull, change, who):
            self.webhooks.send(event, payload)

    def _bare_of(self, fork: str) -> Bare | None:
        hosted = self.others.get(fork)
        return None if hosted is None else hosted.bare
