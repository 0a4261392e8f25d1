"""What the module of a forge says of its webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

Headers = Mapping[str, str]  # by lower-case name


class About(StrEnum):
    """What moved."""

    PUSH = "push"
    PULLS = "pulls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a verified webhook speaks of. `ref` is of a push; `addresses` are those of the repository, see `address`."""

    about: About
    repository: str
    addresses: frozenset[str]
    ref: str = ""


class Dialect(Protocol):
    """One forge's webhooks. Its methods raise `Refused` and nothing else, whatever comes."""

    name: str  # its route is /hooks/<name>

    def glance(self, headers: Headers) -> None:
        """Refuse what says of itself that it is not signed, or not so that it could be believed."""
        ...

    def vouched(self, body: bytes, headers: Headers, secrets: Sequence[str], now: datetime) -> str:
        """What tells this delivery from others, where one of the secrets vouches for it; empty where none does.

        Compares in constant time, and with all of them. `body` is as it came.
        """
        ...

    def delivery(self, headers: Headers) -> str:
        """The forge's id of it, which nobody vouches for."""
        ...

    def idle(self, headers: Headers) -> str:
        """Why nothing is to be done, as far as headers tell: its body is not parsed then; empty: go on."""
        ...

    def event(self, body: bytes, headers: Headers) -> Event | str:
        """What a verified body speaks of, or why nothing is to be done."""
        ...
