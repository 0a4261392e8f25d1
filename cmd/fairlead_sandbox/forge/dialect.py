"""What a dialect is to the server: it answers requests, in the vendor's words, and tells webhooks what happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fairlead_sandbox.forge.faults import Burst, Faults
from fairlead_sandbox.forge.hosted import Addresses, Hosted, Voice
from fairlead_sandbox.forge.identities import Identities
from fairlead_sandbox.forge.limits import Meter
from fairlead_sandbox.forge.wire import Answer, Refused, Request, Witness, Wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every dialect stands on. `hosted` are the repositories by their full names."""

    addresses: Addresses
    hosted: Mapping[str, Hosted]
    identities: Identities
    meter: Meter
    faults: Faults


class Dialect(Voice, Protocol):
    """One vendor's words."""

    def answer(self, request: Request, witness: Witness) -> Answer:
        """Raises `Refused` and `Wrong`."""
        ...

    def parsed(self, body: bytes, kind: str) -> Mapping[str, Any]:
        """A body of that content type. Raises `Refused`."""
        ...

    def refusal(self, wrong: Wrong) -> Refused:
        """What the forge's state does not allow, in the vendor's words."""
        ...

    def struck(self, burst: Burst) -> Answer:
        """What a server in trouble answers."""
        ...

    def headers_of_answers(self) -> Mapping[str, str]:
        """On everything that is answered."""
        ...
