"""What a webhook may tell, and why it is refused. Free of any forge and of any server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Refusal(Exception):
    """This webhook is not believed, or not understood; with the status and the sentence of the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The names of the queue to look at now; where there are none, why. `mark` is for `forget`."""

    names: tuple[str, ...] = ()
    why: str = ""
    mark: str = ""


class Receiver(Protocol):
    """What knows one forge's webhooks and the repositories that each secret speaks for. Safe to share."""

    def glance(self, headers: Mapping[str, str]) -> None:
        """Spares reading what cannot be believed, whatever its body is. Raises `Refusal` alone."""
        ...

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Heard:
        """Verifies before it parses. What was heard a moment ago asks for nothing. Raises `Refusal` alone."""
        ...

    def forget(self, heard: Heard) -> None:
        """What was heard was not noted: heard again, it counts."""
        ...
