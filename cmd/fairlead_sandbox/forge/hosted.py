"""A repository on the forge: its bare half, its statuses, pull requests and webhooks."""

from dataclasses import dataclass
from pathlib import Path

from fairlead_sandbox.forge.bare import Bare
from fairlead_sandbox.forge.pulls import Pulls
from fairlead_sandbox.forge.statuses import Statuses
from fairlead_sandbox.forge.webhooks import Webhooks
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the forge is: `web` has no slash at its end."""

    web: str

    @property
    def api(self) -> str:
        """Of its REST API, as an Enterprise Server has it."""
        return f"{self.web}/api/v3"


class Hosted:
    """One repository, `owner/name`."""

    def __init__(self, full_name: str, number: int, path: Path, addresses: Addresses, clock: Clock) -> None:
        self.full_name = full_name
        self.number = number
        self.addresses = addresses
        self.owner, _, self.name = full_name.partition("/")
        self.bare = Bare(path)
        self.statuses = Statuses(clock)
        self.pulls = Pulls(self.bare, self.owner, clock)
        self.webhooks = Webhooks(clock)

    @property
    def default_branch(self) -> str:
        """What HEAD names."""
        return (self.bare.path / "HEAD").read_text().strip().removeprefix("ref: refs/heads/")

    @property
    def url(self) -> str:
        """In the API."""
        return f"{self.addresses.api}/repos/{self.full_name}"

    @property
    def html_url(self) -> str:
        """For people; `.git` behind it is where to clone."""
        return f"{self.addresses.web}/{self.full_name}"
