"""The clients of AWS that the fleets will need, made before the first deploy waits for them."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from adapters.aws.sessions import Sessions
from adapters.deployers.means import OnAws
from desired_state.model import Fleet
from reconciler.ports import Deployer, Ledger


class Client(NamedTuple):
    """What a client is for."""

    service: str
    region: str
    role: str | None


def client_maker(ledger: Ledger, sessions: Sessions, deployers: Mapping[str, Deployer]) -> Callable[[], int]:
    """A function that makes the clients which the ledger's fleets need, and gives how many there are.

    It asks nothing of AWS. Loading what a service's calls look like is most of the work, and is done once a process.
    It raises `Unreadable` and `LedgerAway`, which harm nobody: who needs a client makes it.
    """
    return partial(_make, ledger, sessions, deployers)


def _make(ledger: Ledger, sessions: Sessions, deployers: Mapping[str, Deployer]) -> int:
    fleets = [record.desired for record in ledger.fleets() if record.present and record.desired is not None]
    wanted = dict.fromkeys(each for fleet in fleets for each in _of_fleet(fleet, deployers.get(fleet.deploy_type)))
    for service, region, role in wanted:
        sessions.prepare(service, region, role=role)
    return len(wanted)


def _of_fleet(fleet: Fleet, deployer: Deployer | None) -> Iterator[Client]:
    if not isinstance(deployer, OnAws):
        return
    for region in fleet.environment.regions:
        yield Client("sts", region, None)
        yield from (Client(service, region, fleet.environment.role) for service in ("sts", *deployer.aws_services))
