"""What moto's SQS and SNS lack or get wrong, mended.

Found by trying moto 5.2.5: a long poll waits inside the one request at a time; every message has one sender; a queue
takes characters that SQS refuses; it loses its policy when any other attribute is set; SNS delivers to a queue whose
policy does not let it, and fails when it is gone.
"""

import contextlib
import hashlib
import json
import re
from typing import Any

from moto.core.utils import unix_time_millis
from moto.sns.models import Subscription
from moto.sqs.exceptions import QueueDoesNotExist, SQSException
from moto.sqs.models import Queue, SQSBackend, sqs_backends
from moto.sts.models import AssumedRole, sts_backends

from fairlead_sandbox.aws_state import asked_now, replace, state_now

_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # SendMessage in the API reference
_SNS = "sns.amazonaws.com"


def mend() -> None:
    """Mend moto; once a process."""
    _mend_sending()
    _mend_receiving()
    _mend_attributes()
    _mend_delivering()
    replace(AssumedRole, "user_id", property(_user_id))


def queue_key(region: str, name: str) -> str:
    """Names a queue of a state."""
    return f"{region}/{name}"


def _user_id(role: Any) -> str:
    """`AROA...:<session name>`. Moto made a new id of a role that IAM does not know at each look."""
    digest = hashlib.sha256(role.role_arn.encode()).hexdigest().upper()
    return f"AROA{digest[:17]}:{role.session_name}"


def _mend_sending() -> None:
    def send_message(self: Any, queue_name: str, message_body: str, *rest: Any, **named: Any) -> Any:
        if _REFUSED.search(message_body):
            raise SQSException("InvalidMessageContents", "The message contains characters outside the allowed set.")
        message = sent(self, queue_name, message_body, *rest, **named)
        asked = asked_now()
        if asked.service == "sqs":
            message.sender_id = _sender(self.account_id, asked.access_key) or message.sender_id
        state_now().announce(queue_key(self.region_name, queue_name))
        return message

    def delete_queue(self: Any, queue_name: str) -> None:
        deleted(self, queue_name)
        state_now().announce(queue_key(self.region_name, queue_name))

    sent = replace(SQSBackend, "send_message", send_message)
    deleted = replace(SQSBackend, "delete_queue", delete_queue)


def _sender(account: str, access_key: str) -> str | None:
    """The `SenderId` of whoever has these credentials, None where they did not come from STS."""
    role = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key)
    return role.user_id if role is not None else None


def session_of(account: str, access_key: str) -> str:
    """The name of the role session that has this key, empty where it did not come from STS."""
    role = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key)
    return str(role.session_name) if role is not None else ""


def _mend_receiving() -> None:
    """It never waits; how long it should have waited is left with the request, and `aws.py` waits without the lock."""

    def receive_message(self: Any, queue_name: str, count: int, wait: int, *rest: Any, **named: Any) -> list[Any]:
        asked = asked_now()
        asked.wait, asked.queue = float(wait), queue_key(self.region_name, queue_name)
        found: list[Any] = received(self, queue_name, count, 0, *rest, **named)
        hidden = [max(each.visible_at, each.delayed_until) for each in self.get_queue(queue_name)._messages]
        asked.next_visible = max(0.01, (min(hidden) - unix_time_millis()) / 1000) if hidden else 0.0
        return found

    received = replace(SQSBackend, "receive_message", receive_message)


def _mend_attributes() -> None:
    def set_attributes(self: Any, attributes: dict[str, Any], *rest: Any) -> None:
        policy = getattr(self, "_policy_json", None)
        setting(self, attributes, *rest)
        if policy and "Policy" not in attributes:
            self._policy_json = policy

    setting = replace(Queue, "_set_attributes", set_attributes)


def _mend_delivering() -> None:
    def publish(self: Any, *arguments: Any, **named: Any) -> None:
        if self.protocol == "sqs" and not _may_deliver(self):
            return
        with contextlib.suppress(QueueDoesNotExist):  # it gives up on a queue that is gone; who published never hears
            published(self, *arguments, **named)

    published = replace(Subscription, "publish", publish)


def _may_deliver(subscription: Any) -> bool:
    """The queue's policy lets this topic send. Principals and conditions in the forms that people write them."""
    _, _, _, region, account, name = subscription.endpoint.split(":")
    queue = sqs_backends[account][region].queues.get(name)
    if queue is None or not queue.policy:
        return False
    policy = json.loads(queue.policy) if isinstance(queue.policy, str) else queue.policy
    return any(_lets(each, subscription.topic.arn) for each in _listed(policy.get("Statement", [])))


def _lets(statement: dict[str, Any], topic: str) -> bool:
    principal = statement.get("Principal")
    services = (
        _listed(principal.get("Service", principal.get("AWS", []))) if isinstance(principal, dict) else [principal]
    )
    actions = {str(each).lower() for each in _listed(statement.get("Action", []))}
    if statement.get("Effect") != "Allow" or not {_SNS, "*"} & set(services):
        return False
    return bool(actions & {"sqs:sendmessage", "sqs:*", "*"}) and _meets(statement.get("Condition", {}), topic)


def _meets(conditions: dict[str, Any], topic: str) -> bool:
    said = [
        pattern
        for each in conditions.values()
        for key, value in each.items()
        if key.lower() == "aws:sourcearn"
        for pattern in _listed(value)
    ]
    return not said or any(re.fullmatch(re.escape(each).replace(r"\*", ".*"), topic) for each in said)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
