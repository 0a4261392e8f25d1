"""The channels in which people are told: whether each can be reached, without posting anything there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from adapters.doctor.findings import About, Finding
from adapters.notify.addresses import BadAddress
from adapters.notify.exchange import Unreached
from reconciler.ports import Unreadable

UNKNOWN = "whether it takes notices cannot be known without posting one"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLook:
    """One channel. `reach` connects and gives what kept it from that; it raises what `Exchange.reach` does."""

    name: str
    reach: Callable[[], str]

    def check(self) -> Iterator[Finding]:
        """What is to be said of it. Its address is a secret and is not told."""
        about = About(check="notify", name=self.name)
        try:
            hidden = self.reach()
        except Unreached as trouble:
            fix = (
                "name its host in `private_hosts`, or correct the url"
                if trouble.ours
                else "check its url and the network"
            )
            yield about.unreachable(f"the channel cannot be reached: {str(trouble).partition(';')[0]}", fix)
        except (BadAddress, Unreadable) as wrong:
            yield about.refused(str(wrong))
        else:
            yield about.skipped(f"{hidden}: {UNKNOWN}") if hidden else about.ok(f"it is reached; {UNKNOWN}")
