"""SQS: standard queues with visibility timeouts and long polls, and who sent each message."""

import hashlib
import heapq
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from threading import Condition, Lock
from typing import Any

from fairlead_sandbox.bulk.identities import Caller
from fairlead_sandbox.bulk.wire import Answer, Asked, Fault, json_answer
from reconciler.ports import Clock

HIDDEN = 30.0  # seconds that a message is hidden for unless a reader says otherwise
LOOK = 0.5  # seconds between two looks whether the reader is still there
_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # SendMessage in the API reference
_numbers = count(1)


@dataclass(slots=True, kw_only=True)
class Message:
    """One message. Its receipt changes with every receive, and only the newest deletes."""

    number: int
    body: str
    sender: str
    sent: int  # milliseconds since the epoch
    receives: int = 0


class Queue:
    """One queue. `listener` is called after something came, outside of the lock."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.attributes: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.listener: Callable[[], None] | None = None
        self._visible: deque[Message] = deque()
        self._hidden: dict[str, Message] = {}  # by receipt
        self._until: list[tuple[float, str]] = []  # a heap: when a receipt's message is seen again
        self._changed = Condition(Lock())
        self._closed = False

    def __len__(self) -> int:
        return len(self._visible) + len(self._hidden)

    def put(self, body: str, sender: str, sent: int) -> Message:
        """A message comes."""
        message = Message(number=next(_numbers), body=body, sender=sender, sent=sent)
        with self._changed:
            self._visible.append(message)
            self._changed.notify()
        if self.listener is not None:
            self.listener()
        return message

    def take(
        self, most: int, wait: float = 0.0, hidden: float = HIDDEN, gone: Callable[[], bool] = lambda: False
    ) -> list[tuple[str, Message]]:
        """Up to `most` messages with their receipts, hidden for `hidden` seconds; waits at most `wait` seconds for one.

        Who is `gone` is given nothing: it would be hidden from whoever comes after.
        """
        until = time.monotonic() + wait
        with self._changed:
            while not self._shown() and not self._closed:
                left = until - time.monotonic()
                if left <= 0 or gone():
                    return []
                self._changed.wait(min([left, LOOK, *self._next_shown()]))
            if wait and gone():
                self._changed.notify()
                return []
            return [self._hide(hidden) for _ in range(min(most, len(self._visible)))]

    def delete(self, receipt: str) -> None:
        """The message goes, if this is its newest receipt and it is hidden still."""
        with self._changed:
            self._hidden.pop(receipt, None)

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _shown(self) -> bool:
        now = time.monotonic()
        while self._until and self._until[0][0] <= now:
            message = self._hidden.pop(heapq.heappop(self._until)[1], None)
            if message is not None:
                self._visible.append(message)
        return bool(self._visible)

    def _next_shown(self) -> list[float]:
        return [max(0.001, self._until[0][0] - time.monotonic())] if self._until else []

    def _hide(self, seconds: float) -> tuple[str, Message]:
        message = self._visible.popleft()
        message.receives += 1
        receipt = f"{message.number}-{message.receives}"
        self._hidden[receipt] = message
        heapq.heappush(self._until, (time.monotonic() + seconds, receipt))
        return receipt, message


class Queues:
    """All queues, by account, region and name."""

    def __init__(self, clock: Clock, endpoint: Callable[[], str]) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._all: dict[tuple[str, str, str], Queue] = {}
        self._actions: Mapping[str, Callable[[Queue, Asked, Caller, Callable[[], bool]], Mapping[str, Any]]] = {
            "SendMessage": self._send,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "GetQueueAttributes": self._attributes,
        }

    def make(self, account: str, region: str, name: str) -> Queue:
        """The queue, made where there is none."""
        return self._all.setdefault((account, region, name), Queue(f"{self._endpoint()}/{account}/{name}"))

    def find(self, account: str, region: str, name: str) -> Queue | None:
        """The queue, None where there is none."""
        return self._all.get((account, region, name))

    def remove(self, account: str, region: str, name: str) -> None:
        """The queue goes with what is in it."""
        queue = self._all.pop((account, region, name), None)
        if queue is not None:
            queue.close()

    def close(self) -> None:
        """Nobody waits any more."""
        for queue in list(self._all.values()):
            queue.close()

    def put(self, queue: Queue, body: str, sender: str) -> Message:
        """Send, as of now. Raises `Fault` for characters that SQS takes from nobody."""
        if _REFUSED.search(body):
            raise Fault("InvalidMessageContents", "The message contains characters outside the allowed set.")
        return queue.put(body, sender, int(self._clock.now().timestamp() * 1000))

    def answer(self, asked: Asked, caller: Caller, gone: Callable[[], bool]) -> Answer:
        """The actions of senders and readers. Raises `Fault`."""
        queue = self.asked_for(asked, caller)
        if asked.action == "GetQueueUrl":
            return json_answer({"QueueUrl": queue.url})
        if asked.action not in self._actions:
            raise Fault("UnsupportedOperation", f"this SQS does not know {asked.action}")
        return json_answer(self._actions[asked.action](queue, asked, caller, gone))

    def named(self, account: str, region: str, prefix: str) -> list[Queue]:
        """Those whose name begins so, by name."""
        known = sorted(key for key in list(self._all) if key[:2] == (account, region) and key[2].startswith(prefix))
        return [self._all[key] for key in known]

    def asked_for(self, asked: Asked, caller: Caller) -> Queue:
        """The queue that a request is about. Raises `Fault`."""
        account, name = caller.account, asked.said.get("QueueName", "")
        if not name:
            _, account, name = asked.said["QueueUrl"].rsplit("/", 2)
        queue = self.find(account, asked.region, name)
        if queue is None:
            said = "The specified queue does not exist."
            raise Fault("QueueDoesNotExist", said, query_code="AWS.SimpleQueueService.NonExistentQueue")
        return queue

    def _send(self, queue: Queue, asked: Asked, caller: Caller, gone: Callable[[], bool]) -> Mapping[str, Any]:
        del gone
        message = self.put(queue, asked.said["MessageBody"], caller.user_id)
        return {"MessageId": _id_of(message), "MD5OfMessageBody": _md5(message.body)}

    def _receive(self, queue: Queue, asked: Asked, caller: Caller, gone: Callable[[], bool]) -> Mapping[str, Any]:
        del caller
        most = int(asked.said.get("MaxNumberOfMessages", 1))
        if not 1 <= most <= 10:
            raise Fault("InvalidParameterValue", f"Value {most} for parameter MaxNumberOfMessages is invalid.")
        wait = float(asked.said.get("WaitTimeSeconds", 0))
        found = queue.take(most, wait, float(asked.said.get("VisibilityTimeout", HIDDEN)), gone)
        return {"Messages": [_shown(receipt, message) for receipt, message in found]} if found else {}

    def _delete(self, queue: Queue, asked: Asked, caller: Caller, gone: Callable[[], bool]) -> Mapping[str, Any]:
        del caller, gone
        queue.delete(asked.said["ReceiptHandle"])
        return {}

    def _delete_batch(self, queue: Queue, asked: Asked, caller: Caller, gone: Callable[[], bool]) -> Mapping[str, Any]:
        del caller, gone
        for entry in asked.said["Entries"]:
            queue.delete(entry["ReceiptHandle"])
        return {"Successful": [{"Id": entry["Id"]} for entry in asked.said["Entries"]], "Failed": []}

    def _attributes(self, queue: Queue, asked: Asked, caller: Caller, gone: Callable[[], bool]) -> Mapping[str, Any]:
        del caller, gone
        told = {"ApproximateNumberOfMessages": str(len(queue)), "CreatedTimestamp": "1732406400", **queue.attributes}
        return {"Attributes": {name: told[name] for name in asked.said.get("AttributeNames", ()) if name in told}}


def _shown(receipt: str, message: Message) -> dict[str, Any]:
    return {
        "MessageId": _id_of(message),
        "ReceiptHandle": receipt,
        "MD5OfBody": _md5(message.body),
        "Body": message.body,
        "Attributes": {
            "SenderId": message.sender,
            "SentTimestamp": str(message.sent),
            "ApproximateReceiveCount": str(message.receives),
        },
    }


def _id_of(message: Message) -> str:
    return f"00000000-0000-0000-0000-{message.number:012d}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
