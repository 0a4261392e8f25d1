"""`fairlead-agent check`: whether the agent could work here, in a sentence each. Changes nothing."""

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from adapters.agent_protocol.addresses import agent_queue_name, order_key, reports_queue_name
from fairlead_agent.clock import Clock
from fairlead_agent.cloud import Cloud
from fairlead_agent.identity import Identity
from fairlead_agent.keyring import Keyring
from fairlead_agent.metadata import Metadata
from fairlead_agent.notices import group_of
from fairlead_agent.orders import Orders
from fairlead_agent.settings import Settings
from fairlead_agent.waiting import waits_for_nothing

Finding = tuple[bool, str]  # whether it is well, and what was found


def findings(settings: Settings, identity: Identity, cloud: Cloud, clock: Clock) -> Iterator[Finding]:
    """What was found, one by one."""
    yield True, f"this host is {identity.host} in {identity.region}"
    troubles: list[str] = []

    def told(event: str, **facts: Any) -> None:
        troubles.append(f"{event}: {facts['why']}")

    keys = Keyring(settings.keys, cloud, clock, told)
    known = sorted(keys())
    yield (
        bool(known) and not troubles,
        "; ".join([f"orders may be signed by {', '.join(known) or 'nobody'}", *troubles]),
    )
    for fleet in settings.fleets:
        yield _order(fleet, settings, keys, cloud, clock)
    yield _queue(agent_queue_name(identity.host), cloud, "hints come at once", "without it the order is only polled")
    for environment in sorted({fleet.partition("/")[0] for fleet in settings.fleets}):
        name = reports_queue_name(environment)
        yield _queue(name, cloud, "reports go there", "without it the host is silent to the controller")
    for hook in filter(None, (settings.launch_hook, settings.terminating_hook)):
        yield _hook(hook, settings, identity, cloud)


def _order(fleet: str, settings: Settings, keys: Keyring, cloud: Cloud, clock: Clock) -> Finding:
    address = f"s3://{settings.bucket}/{order_key(fleet)}"
    found = Orders(lambda: cloud.client("s3"), settings.bucket, fleet, keys).look(clock.now(), 0, "")
    if found.order is not None:
        return True, f"{address}: order {found.order.sequence} is sound, version {found.order.target.version}"
    if found.refused is not None:
        return False, f"{address}: {found.refused.reason}: {found.refused.message}"
    absent = "there is no order yet" in found.trouble
    return absent, f"{found.trouble}; the controller writes it" if absent else found.trouble


def _hook(hook: str, settings: Settings, identity: Identity, cloud: Cloud) -> Finding:
    """By a heartbeat, which at most gives an instance that waits more time."""
    group, why = group_of(settings, Metadata())
    if not group:
        return False, f"the hook {hook} cannot be answered: {why}"
    named = {"LifecycleHookName": hook, "AutoScalingGroupName": group, "InstanceId": identity.host}
    try:
        cloud.client("autoscaling").record_lifecycle_action_heartbeat(**named)
    except (ClientError, BotoCoreError) as error:
        if not waits_for_nothing(error):
            return False, f"the hook {hook} of {group} cannot be answered: {' '.join(str(error).split())[:200]}"
        return True, f"the hook {hook} of {group} may be answered; nothing waits for it"
    return True, f"the hook {hook} of {group} may be answered, and this instance waits for it"


def _queue(name: str, cloud: Cloud, well: str, otherwise: str) -> Finding:
    ask: Callable[..., Any] = lambda: cloud.client("sqs").get_queue_url(QueueName=name)  # noqa: E731
    try:
        ask()
    except (ClientError, BotoCoreError) as error:
        said = " ".join(str(error).split())[:200]
        return False, f"the queue {name} is not reached ({said}); {otherwise}; `fairlead trigger setup` makes it"
    return True, f"the queue {name} is there: {well}"
