"""Hints: one long poll on the instance's own queue. What they say is never believed; each only means *look again*.

Orders are also read without any hint, every `poll` seconds: a queue that is gone, or was never made, delays nothing for
longer than that.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from threading import Event
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from adapters.agent_protocol.addresses import agent_queue_name
from adapters.agent_protocol.hints import Hint, read_hint
from fairlead_agent.clock import Clock, jittered
from fairlead_agent.cloud import LONG_POLL, code_of
from fairlead_agent.log import Log

AT_ONCE = 10  # messages, the most that SQS gives
PAUSE = 2.0  # seconds on average after a queue that could not be read; twice that each further time, until `poll`
READS = 5000  # of one order a second, all hosts together: S3 gives at least 5,500 under one prefix (its guidelines)
LONGEST_SPREAD = 2.0  # seconds: a hint is believed by nobody, and delays nobody for longer
_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class Listener:
    """`listen` is one round of a thread: orders that are due are read, then hints are waited for."""

    def __init__(
        self,
        client: Callable[[], Any],
        host: str,
        looks: Mapping[str, Callable[[], object]],  # reads the order of a fleet
        poll: float,
        clock: Clock,
        log: Log,
    ) -> None:
        self._client = client
        self._name = agent_queue_name(host)
        self._looks = looks
        self._poll = poll
        self._clock = clock
        self._log = log
        self._url = ""
        self._due = 0.0
        self._pause = PAUSE
        self._failing = ""

    def listen(self, ending: Event) -> None:
        """Return after a batch of hints, or when orders are due again. Raises nothing that AWS could cause.

        Hints are deleted when the orders were read: that may fail, and they would only come again.
        """
        if self._clock.monotonic() >= self._due:
            self._look(self._looks)
        try:
            messages = self._receive()
            hints = [read_hint(str(message.get("Body", ""))) for message in messages]
            self._heed([hint for hint in hints if hint is not None], len(messages), ending)
            self._delete(messages)
        except (ClientError, BotoCoreError) as error:
            self._deaf(error, ending)
            return
        self._pause, self._failing = PAUSE, ""

    def _heed(self, hints: Collection[Hint], messages: int, ending: Event) -> None:
        """Thousands hear the same hint at once: each waits for a moment of its own."""
        if len(hints) < messages:
            self._log("hint-unreadable", messages=messages - len(hints), queue=self._name)
        spread = min(LONGEST_SPREAD, max((hint.hosts for hint in hints), default=0) / READS)
        if spread:
            ending.wait(random.uniform(0.0, spread))
        self._look({hint.fleet for hint in hints})

    def _look(self, fleets: Collection[str]) -> None:
        """Read the orders of these; the others keep their time."""
        if set(fleets) >= set(self._looks):
            self._due = self._clock.monotonic() + jittered(self._poll)
        for fleet in sorted(set(fleets) & set(self._looks)):
            self._looks[fleet]()

    def _receive(self) -> list[Mapping[str, Any]]:
        """What came in until orders are due."""
        if not self._url:
            self._url = str(self._client().get_queue_url(QueueName=self._name)["QueueUrl"])
            self._log("listening", queue=self._name)
        left = max(0.0, self._due - self._clock.monotonic())
        answer = self._client().receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=AT_ONCE, WaitTimeSeconds=min(LONG_POLL, int(left) or 1)
        )
        found: list[Mapping[str, Any]] = answer.get("Messages", [])
        return found

    def _delete(self, messages: Iterable[Mapping[str, Any]]) -> None:
        entries = [{"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]} for place, each in enumerate(messages)]
        if entries:  # one that stays comes again, and says nothing that an order does not say
            self._client().delete_message_batch(QueueUrl=self._url, Entries=entries)

    def _deaf(self, error: Exception, ending: Event) -> None:
        """The queue cannot be read: say so once, and try again, more and more rarely."""
        gone = code_of(error).startswith(_GONE)
        fix = "; `fairlead trigger setup` makes it" if gone else ""
        said = f"cannot read the queue {self._name}: {' '.join(str(error).split())[:300]}{fix}"
        if said != self._failing:
            self._log("deaf", why=said, poll=f"{self._poll:g}s")
        self._failing, self._url = said, ""
        left = max(0.1, self._due - self._clock.monotonic())
        ending.wait(min(left, random.uniform(0.1, 2 * self._pause)))  # all of them, where it is SQS itself
        self._pause = min(2 * self._pause, self._poll)
