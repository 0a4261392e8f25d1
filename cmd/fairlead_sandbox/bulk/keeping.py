"""What makes and removes queues, topics and subscriptions: in pages, once, and no faster than an account may.

As SQS and SNS do it: CreateQueue and Subscribe give again what is there already.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from fairlead_sandbox.bulk.identities import Caller
from fairlead_sandbox.bulk.queues import Queue, Queues
from fairlead_sandbox.bulk.topics import SNS, Topics
from fairlead_sandbox.bulk.wire import Answer, Asked, Fault, json_answer, query_answer, xml

PAGE = 100  # subscriptions of an answer


class Limits:
    """Requests a second, by action ("sns:Subscribe"); what is above is refused as the service refuses it."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}
        self.refused = 0
        self._taken: dict[str, deque[float]] = {}
        self._lock = Lock()

    def take(self, action: str) -> None:
        """Raises `Fault`."""
        most = self.most.get(action)
        if most is None:
            return
        now = time.monotonic()
        with self._lock:
            taken = self._taken.setdefault(action, deque())
            while taken and taken[0] <= now - 1:
                taken.popleft()
            if len(taken) < most:
                taken.append(now)
                return
            self.refused += 1
        code, status = ("Throttled", 429) if action.startswith("sns") else ("RequestThrottled", 403)
        raise Fault(code, "Rate exceeded", status)


class Keeping:
    """The actions over all queues and topics."""

    def __init__(self, queues: Queues, topics: Topics) -> None:
        self._queues, self._topics = queues, topics
        self._actions: Mapping[str, Callable[[Asked, Caller], Answer]] = {
            "sqs:CreateQueue": self._create_queue,
            "sqs:ListQueues": self._list_queues,
            "sqs:ListQueueTags": self._queue_tags,
            "sqs:SetQueueAttributes": self._set_attributes,
            "sqs:DeleteQueue": self._delete_queue,
            "sns:CreateTopic": self._create_topic,
            "sns:GetTopicAttributes": self._topic_attributes,
            "sns:ListSubscriptionsByTopic": self._list_subscriptions,
            "sns:Subscribe": self._subscribe,
            "sns:Unsubscribe": self._unsubscribe,
        }

    def answer(self, asked: Asked, caller: Caller) -> Answer | None:
        """None for what is none of these. Raises `Fault`."""
        action = self._actions.get(f"{asked.service}:{asked.action}")
        return action(asked, caller) if action is not None else None

    def _create_queue(self, asked: Asked, caller: Caller) -> Answer:
        name, attributes = asked.said["QueueName"], dict(asked.said.get("Attributes", {}))
        known = self._queues.find(caller.account, asked.region, name)
        if known is not None and any(known.attributes.get(key) != value for key, value in attributes.items()):
            said = "A queue already exists with the same name and a different value for an attribute"
            raise Fault("QueueNameExists", said, query_code="QueueAlreadyExists")
        queue = self._queues.make(caller.account, asked.region, name)
        if known is None:
            queue.attributes, queue.tags = attributes, dict(asked.said.get("tags", {}))
        return json_answer({"QueueUrl": queue.url})

    def _list_queues(self, asked: Asked, caller: Caller) -> Answer:
        found = self._queues.named(caller.account, asked.region, asked.said.get("QueueNamePrefix", ""))
        begin, size = int(asked.said.get("NextToken", 0)), int(asked.said.get("MaxResults", 1000))
        page: dict[str, Any] = {"QueueUrls": [queue.url for queue in found[begin : begin + size]]}
        return json_answer(page | ({"NextToken": str(begin + size)} if begin + size < len(found) else {}))

    def _queue_tags(self, asked: Asked, caller: Caller) -> Answer:
        return json_answer({"Tags": self._queues.asked_for(asked, caller).tags})

    def _set_attributes(self, asked: Asked, caller: Caller) -> Answer:
        self._queues.asked_for(asked, caller).attributes.update(asked.said["Attributes"])
        return json_answer({})

    def _delete_queue(self, asked: Asked, caller: Caller) -> Answer:
        queue = self._queues.asked_for(asked, caller)
        self._queues.remove(caller.account, asked.region, queue.url.rpartition("/")[2])
        return json_answer({})

    def _create_topic(self, asked: Asked, caller: Caller) -> Answer:
        arn = f"arn:aws:sns:{asked.region}:{caller.account}:{asked.said['Name']}"
        self._topics.make(arn)
        return query_answer(asked, SNS, f"<TopicArn>{xml(arn)}</TopicArn>")

    def _topic_attributes(self, asked: Asked, caller: Caller) -> Answer:
        del caller
        arn = self._topic(asked)
        entry = f"<entry><key>TopicArn</key><value>{xml(arn)}</value></entry>"
        return query_answer(asked, SNS, f"<Attributes>{entry}</Attributes>")

    def _list_subscriptions(self, asked: Asked, caller: Caller) -> Answer:
        del caller
        arn = self._topic(asked)
        found, begin = self._topics.subscriptions(arn), int(asked.said.get("NextToken") or 0)
        rows = "".join(
            f"<member><SubscriptionArn>{xml(key)}</SubscriptionArn><Owner>1</Owner><Protocol>sqs</Protocol>"
            f"<Endpoint>{xml(endpoint)}</Endpoint><TopicArn>{xml(arn)}</TopicArn></member>"
            for key, endpoint in found[begin : begin + PAGE]
        )
        more = f"<NextToken>{begin + PAGE}</NextToken>" if begin + PAGE < len(found) else ""
        return query_answer(asked, SNS, f"<Subscriptions>{rows}</Subscriptions>{more}")

    def _subscribe(self, asked: Asked, caller: Caller) -> Answer:
        arn, endpoint = self._topic(asked), asked.said["Endpoint"]
        _, _, _, region, account, name = endpoint.split(":", 5)
        queue = self._queues.find(account, region, name) or Queue(json.dumps([caller.account, name]))
        self._topics.subscribe(arn, queue, endpoint)
        return query_answer(asked, SNS, f"<SubscriptionArn>{xml(f'{arn}:{name}')}</SubscriptionArn>")

    def _unsubscribe(self, asked: Asked, caller: Caller) -> Answer:
        del caller
        self._topics.unsubscribe(asked.said["SubscriptionArn"])
        return query_answer(asked, SNS, "")

    def _topic(self, asked: Asked) -> str:
        arn = str(asked.said["TopicArn"])
        if not self._topics.has(arn):
            raise Fault("NotFound", "Topic does not exist", 404)
        return arn
