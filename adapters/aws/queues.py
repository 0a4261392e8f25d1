"""SQS queues, read by whoever keeps what was read: a message goes when its reader says so, never before.

A message that was read is hidden from other readers for `HIDDEN`; who dies in that time loses nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable
from reconciler.ports import Clock, Unreadable

BATCH = 10  # messages, the most that SQS gives or takes at once
AT_ONCE = 8  # requests, where there is a lot to read
MOST = 2000  # messages of one look
WITHIN = timedelta(seconds=5)  # after that a look ends, however much is left
HIDDEN = timedelta(seconds=30)
GLANCE = timedelta(seconds=1)  # a wait asks all of SQS's servers, no wait only some
_MISSING = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, and who sent it: `sender` is `<id of the role>:<name of the session>` for who assumed a role."""

    id: str  # the queue's own: one that comes again has it again
    body: str
    sender: str
    sent: datetime  # by the queue's clock, to the millisecond
    receipt: str
    received: int = 1  # how often, this time among them; about

    @property
    def session(self) -> str:
        """The name of the sender's session: the instance id where an instance sent it; empty where there is none."""
        return self.sender.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a queue brought. Everything that was sent before `until` had been read by then."""

    messages: tuple[Message, ...]
    until: datetime
    began: datetime


class SqsQueue:
    """One queue by its name. Every method raises `Unreadable`, with `missing` where there is no such queue."""

    def __init__(self, client: Any, name: str, missing: str) -> None:
        self._client = client
        self._name = name
        self._missing = missing
        self._url = ""

    def look(self, wait: timedelta, clock: Clock) -> Look:
        """Wait for a message, at most `wait` (whole seconds, up to 20), and take what there is, up to `MOST`.

        Until when everything was read: now, where a wait that asks all of SQS's servers ended with nothing; else when
        the oldest of these was sent, because more may be left, and SQS gives messages roughly in their order.
        """
        looked_at, began = clock.now(), clock.monotonic()
        found = self._receive(wait)
        if not found:
            return Look(messages=(), until=clock.now(), began=looked_at)
        last = found
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            while len(last) >= BATCH and len(found) < MOST and clock.monotonic() - began < WITHIN.total_seconds():
                last = [each for some in pool.map(self._receive, [timedelta(0)] * AT_ONCE) for each in some]
                found += last
        oldest = min(message.sent for message in found)
        return Look(messages=tuple(found), until=min(oldest, clock.now()), began=looked_at)

    def peek(self) -> tuple[Message, ...]:
        """What is in it, each message once, up to `MOST` and a few; all is there for other readers when this returns.

        Meanwhile it is hidden from them, a second at least. One batch at a time would hide less and show the first
        batch only: SQS gives first again what was put back first. So a reader that holds silence against a sender
        must not read at the same time.
        """
        found: dict[str, Message] = {}

        def take() -> bool:
            last = {each.id: each for each in self._receive(GLANCE)}
            fresh = not last.keys() <= found.keys()
            found.update(last)  # with the newest receipt
            return fresh

        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            try:
                fresh = True
                while fresh and len(found) < MOST:
                    asked = [pool.submit(take) for _ in range(AT_ONCE)]
                    wait(asked)  # where one fails the others bring messages all the same
                    fresh = True in [each.result() for each in asked]
            finally:
                messages = tuple(found.values())
                for _ in pool.map(self._put_back, _batches(messages)):
                    pass  # asks each for its failure
        return messages

    def delete(self, messages: Sequence[Message]) -> None:
        """These are kept elsewhere now. One that SQS does not let go comes again."""
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for _ in pool.map(self._delete, _batches(messages)):
                pass  # asks each for its failure

    def _receive(self, wait: timedelta) -> list[Message]:
        with self._readable():
            answer = self._client.receive_message(
                QueueUrl=self._address(),
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=int(wait.total_seconds()),
                VisibilityTimeout=int(HIDDEN.total_seconds()),
                MessageSystemAttributeNames=["SenderId", "SentTimestamp", "ApproximateReceiveCount"],
            )
        return [_message(each) for each in answer.get("Messages", ())]

    def _put_back(self, messages: Sequence[Message]) -> None:
        """One that SQS keeps hidden comes again after `HIDDEN` by itself."""
        entries = [
            {"Id": str(place), "ReceiptHandle": each.receipt, "VisibilityTimeout": 0}
            for place, each in enumerate(messages)
        ]
        with self._readable():
            self._client.change_message_visibility_batch(QueueUrl=self._address(), Entries=entries)

    def _delete(self, messages: Sequence[Message]) -> None:
        entries = [{"Id": str(place), "ReceiptHandle": each.receipt} for place, each in enumerate(messages)]
        with self._readable():
            self._client.delete_message_batch(QueueUrl=self._address(), Entries=entries)

    def _address(self) -> str:
        if not self._url:
            self._url = str(self._client.get_queue_url(QueueName=self._name)["QueueUrl"])
        return self._url

    @contextmanager
    def _readable(self) -> Iterator[None]:
        with readable(f"the queue {self._name}", "sqs"):
            try:
                yield
            except ClientError as error:
                if code_of(error) not in _MISSING:
                    raise
                self._url = ""
                raise Unreadable(self._missing) from error


def _batches(messages: Sequence[Message]) -> list[Sequence[Message]]:
    return [messages[start : start + BATCH] for start in range(0, len(messages), BATCH)]


def _message(said: Mapping[str, Any]) -> Message:
    attributes = said["Attributes"]
    return Message(
        id=said["MessageId"],
        body=said["Body"],
        sender=attributes["SenderId"],
        sent=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
        receipt=said["ReceiptHandle"],
        received=int(attributes.get("ApproximateReceiveCount", 1)),
    )
