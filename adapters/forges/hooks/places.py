"""The repositories that webhooks may speak of, and who speaks for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapters.forges.hooks.dialect import About, Event


class Refused(Exception):
    """It is not acted on. `status` is what to answer; the message is a sentence that holds nothing of what came."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository of the settings: where it lies, who may sign for it, and whether its pull requests are looked at.

    `secrets` is asked for each webhook, so that they may change while the controller runs; an empty one signs nothing.
    """

    name: str
    url: str
    branch: str
    repository: str = ""  # owner/name at the forge; left out: known by its URL
    plans: bool = False
    secrets: Callable[[], Sequence[str]] = field(repr=False)

    def is_meant(self, event: Event) -> bool:
        """The event is of this repository."""
        if self.repository:
            return self.repository.lower() == event.repository.lower()
        return address(self.url) in event.addresses

    def keys(self, event: Event) -> tuple[str, ...]:
        """The names in the queue to look at now. A base that moved changes what pull requests would do."""
        if event.about is About.PUSH and event.ref != f"refs/heads/{self.branch}":
            return ()
        pushed = (f"repository:{self.name}",) if event.about is About.PUSH else ()
        return (*pushed, f"pulls:{self.name}") if self.plans else pushed


def address(url: str) -> str:
    """`host/path` of a clone URL in any of its spellings, to compare; the URL itself where it is none."""
    plain = url.strip().lower().rstrip("/").removesuffix(".git")
    _, scheme, after = plain.partition("://")
    place, slash, path = (after or plain).partition("/")
    host, _, port = place.rpartition("@")[2].partition(":")
    inner = "" if scheme or not port else f"{port}/"  # git@host:owner/name has no port
    return f"{host}/{inner}{path}" if slash else plain
