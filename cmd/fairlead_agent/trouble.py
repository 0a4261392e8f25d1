"""What can go wrong on a host, as a sentence and whose fault it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from adapters.agent_protocol.reports import Blame


class Trouble(Exception):
    """Something could not be done. `blame` says whether the release, the request or the road is at fault.

    `message` is one sentence for people, `log` the last words of what was run. Neither ever holds a secret.
    """

    def __init__(self, blame: Blame, message: str, log: str = "") -> None:
        super().__init__(message)
        self.blame = blame
        self.message = message
        self.log = log

    @classmethod
    def of_the_road(cls, message: str) -> Self:
        """Nobody is at fault who could be told: the next time it may work."""
        return cls(Blame.TRANSIENT, message)

    def __str__(self) -> str:
        return self.message


class Interrupted(Exception):
    """`stop` was set: something newer is wanted, or the agent is to end. What was begun can be begun again."""


@contextmanager
def on_disk(doing: str) -> Iterator[None]:
    """Says an OSError (disk full, not permitted, read-only) as `Trouble` of the road: `cannot <doing>: ...`."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Trouble(Blame.TRANSIENT, f"cannot {doing}: {error.strerror or error}{where}") from None
