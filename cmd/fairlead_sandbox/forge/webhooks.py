"""Webhooks: each event is posted once and in order, signed as the dialect does it; what is lost is not sent again."""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import requests

from fairlead_sandbox.forge.wire import Wrong
from reconciler.ports import Clock

PATIENCE = 10.0  # seconds: a receiver that takes longer has failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One that was configured."""

    id: int
    url: str
    secret: str
    events: tuple[str, ...]
    active: bool
    created_at: datetime
    signing: str = ""  # GitLab's signing token


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one receiver. `status` is 0 until it was answered, and where nobody answered."""

    number: int
    guid: str
    hook: Webhook
    event: str
    body: bytes
    at: datetime
    status: int = 0


@dataclass(slots=True, kw_only=True)
class Trouble:
    """Switches for what may happen to events: they act on the next one."""

    lose: bool = False
    double: bool = False  # the same delivery, guid and all, arrives twice
    hold: bool = False  # until `release`


@dataclass(slots=True)
class _Line:
    """What waits, in order. None ends the thread that works on it."""

    waiting: SimpleQueue[Delivery | None] = field(default_factory=SimpleQueue)
    thread: Thread | None = None


class Webhooks:
    """Those of one repository, and the deliveries that were made."""

    def __init__(self, clock: Clock, headers: Callable[[Delivery], dict[str, str]]) -> None:
        self.trouble = Trouble()
        self._headers = headers
        self._clock = clock
        self._lock = Lock()
        self._hooks: dict[int, Webhook] = {}
        self._deliveries: list[Delivery] = []
        self._held: list[Delivery] = []
        self._line = _Line()
        self._numbers = 0

    def add(
        self, url: str, events: Iterable[str], *, secret: str = "", signing: str = "", active: bool = True
    ) -> Webhook:
        """Configure one."""
        with self._lock:
            hook = Webhook(
                id=len(self._hooks) + 1,
                url=url,
                secret=secret,
                signing=signing,
                events=tuple(events),
                active=active,
                created_at=self._clock.now(),
            )
            self._hooks[hook.id] = hook
        return hook

    def change(self, id_: int, **facts: Any) -> Webhook:
        """Another secret, another address. Raises `Wrong` where there is none."""
        with self._lock:
            if id_ not in self._hooks:
                raise Wrong("not-found")
            self._hooks[id_] = replace(self._hooks[id_], **facts)
            return self._hooks[id_]

    def ping(self, hook: Webhook, payload: Mapping[str, Any]) -> None:
        """Tell it of itself."""
        self._post(hook, "ping", payload)

    def all(self) -> list[Webhook]:
        """Oldest first."""
        with self._lock:
            return list(self._hooks.values())

    def deliveries(self) -> list[Delivery]:
        """Those that were made, answered or not, oldest first."""
        with self._lock:
            return list(self._deliveries)

    def send(self, event: str, payload: Mapping[str, Any]) -> None:
        """An event for every active webhook that asked for it."""
        for hook in self.all():
            if hook.active and (event in hook.events or "*" in hook.events):
                self._post(hook, event, payload)

    def release(self) -> None:
        """What was held goes out, and what follows too."""
        self.trouble.hold = False
        with self._lock:
            held, self._held = self._held, []
        for delivery in held:
            self._queue(delivery)

    def stop(self) -> None:
        """End the thread, when it has sent what waits."""
        with self._lock:
            thread = self._line.thread
        if thread is not None:
            self._line.waiting.put(None)
            thread.join(timeout=PATIENCE)

    def _post(self, hook: Webhook, event: str, payload: Mapping[str, Any]) -> None:
        with self._lock:
            self._numbers += 1
            delivery = Delivery(
                number=self._numbers,
                guid=str(uuid.uuid4()),
                hook=hook,
                event=event,
                body=json.dumps(payload).encode(),
                at=self._clock.now(),
            )
            if self.trouble.hold:
                self._held.append(delivery)
                return
        for _ in range(0 if self.trouble.lose else 2 if self.trouble.double else 1):
            self._queue(delivery)

    def _queue(self, delivery: Delivery) -> None:
        with self._lock:
            if self._line.thread is None:
                self._line.thread = Thread(target=self._work, name="forge-webhooks", daemon=True)
                self._line.thread.start()
        self._line.waiting.put(delivery)

    def _work(self) -> None:
        with requests.Session() as session:
            session.trust_env = False  # no proxy stands between two parts of one machine
            while (delivery := self._line.waiting.get()) is not None:
                status = _deliver(session, delivery, self._headers(delivery))
                with self._lock:
                    self._deliveries.append(replace(delivery, status=status))


def _deliver(session: requests.Session, delivery: Delivery, headers: Mapping[str, str]) -> int:
    """The receiver's status; 0 where there was none."""
    try:
        answer = session.post(
            delivery.hook.url,
            data=delivery.body,
            headers=dict(headers),
            timeout=PATIENCE,
            allow_redirects=False,
        )
    except requests.RequestException:
        return 0
    return answer.status_code
