"""Brings hosts to the versions that the repository names, as if Fairlead had deployed them long ago: by signed orders.

Here alone the sandbox uses Fairlead's own reading of the repository: an order of its own making would be another order.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from adapters.agent_protocol.addresses import order_key
from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.orders import LIFETIME, Order
from adapters.agent_protocol.signing import SigningKey
from adapters.gate.settings import SpinnakerSettings
from adapters.trigger.releases import release_with
from adapters.trigger.settings import TriggerSettings
from desired_state.parser import Parser
from desired_state.trees import MemoryTree
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.builds import Build
from fairlead_sandbox.example import TriggerFleet
from fairlead_sandbox.hosts import Host

PATIENCE = 60.0  # seconds; a busy machine needs a few


def first_orders(
    files: Mapping[str, str], commit: str, built: Mapping[str, Build], key: SigningKey, now: datetime
) -> dict[str, bytes]:
    """Each fleet's first order: everybody runs what the repository says. `built` is what there is, by fleet.

    Raises `ValueError` where the repository does not say it well.
    """
    desired = Parser({"spinnaker": SpinnakerSettings, "trigger": TriggerSettings}).parse(MemoryTree(files))
    made = {}
    for name, build in built.items():
        if name not in desired.fleets:
            raise ValueError(f"{name} cannot be deployed: {'; '.join(map(str, desired.problems))}")
        release = release_with(desired.fleets[name], commit, build.sha256)
        order = Order(fleet=name, sequence=1, target=release, issued=now, expires=now + LIFETIME)
        made[name] = canonical(key.sign(order.document()))
    return made


def put_orders(aws: Aws, fleets: Mapping[str, TriggerFleet], orders: Mapping[str, bytes]) -> None:
    """Lay the orders where agents look for them."""
    for name, body in orders.items():
        aws.client("s3").put_object(Bucket=fleets[name].bucket, Key=order_key(name), Body=body)


def wait_for(hosts: Iterable[Host]) -> None:
    """Return when every host runs the versions of its fleets, healthy.

    Raises `TimeoutError` with an agent's last words.
    """
    until = time.monotonic() + PATIENCE
    for host in hosts:
        while not all(_runs(host, fleet) for fleet in host.fleets.values()):
            if time.monotonic() > until or not host.agent_running:
                raise TimeoutError(f"{host} did not get to its first version:\n{host.log()[-2000:]}")
            time.sleep(0.02)


def _runs(host: Host, fleet: TriggerFleet) -> bool:
    answer = host.service(fleet.name)
    return answer is not None and (answer["version"], answer["status"]) == (fleet.version, 200)
