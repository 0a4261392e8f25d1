"""What a webhook may tell, whose secrets sign it, and why it is refused. Free of any forge and of any server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Refusal(Exception):
    """This webhook is not believed, or not understood; with the status and the sentence of the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A branch that moved, as the forge says: `owner/name`, the branch, and the delivery's id ("": it has none)."""

    repository: str
    branch: str
    delivery: str = ""


class Receiver(Protocol):
    """What knows one forge's webhooks."""

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Push | None:
        """The push, or None for what concerns nobody here. Verifies before it parses. Raises `Refusal`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Webhooks that one set of secrets signs, and the repositories that they may speak of."""

    receiver: Receiver
    watched: Mapping[str, tuple[str, str]]  # name in the settings: `owner/name` and branch

    def names(self, push: Push) -> tuple[str, ...]:
        """Names of the repositories that the push moves. Forges do not tell capitals from small letters."""
        pushed = push.repository.casefold()
        return tuple(
            name
            for name, (repository, branch) in self.watched.items()
            if repository.casefold() == pushed and branch == push.branch
        )
