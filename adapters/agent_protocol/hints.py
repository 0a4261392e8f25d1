"""Hints: the message through SNS that says *look again*. It commands nothing: lost, doubled or late does no harm."""

from dataclasses import dataclass

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.fields import Fields, Malformed
from adapters.agent_protocol.strict_json import read_json

FORMAT = "fairlead/hint/v1"
LARGEST = 1024  # bytes
ENVELOPE = 16 * 1024  # characters of a message with what SNS writes around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A new order of this fleet lies at that key."""

    fleet: str
    sequence: int
    key: str  # of the object in the bucket
    sha256: str  # of the object's bytes
    hosts: int = 0  # about how many hear it; 0: nobody knows

    def text(self) -> str:
        """The message, below 1 KiB."""
        said = {
            "format": FORMAT,
            "fleet": self.fleet,
            "sequence": self.sequence,
            "key": self.key,
            "sha256": self.sha256,
            **({"hosts": self.hosts} if self.hosts else {}),
        }
        return canonical(said).decode()


def read_hint(body: str) -> Hint | None:
    """The hint in an SQS message's body, raw or in SNS's envelope; None where it is none. Raises nothing."""
    try:
        found = Fields(read_json(body[:ENVELOPE], "message"), "message")
        if found.has("Message") and not found.has("format"):
            found = Fields(read_json(found.text("Message", LARGEST), "message"), "message")
        if found.text("format", 60) != FORMAT:
            return None
        return Hint(
            fleet=found.filled("fleet"),
            sequence=found.whole("sequence", 1),
            key=found.filled("key"),
            sha256=found.text("sha256", 64),
            hosts=found.whole("hosts") if found.has("hosts") else 0,
        )
    except Malformed:
        return None
