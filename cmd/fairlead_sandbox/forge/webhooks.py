"""Webhooks: each event is posted and signed as GitHub does it, in order, once; what is lost is not sent again."""

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import requests

from fairlead_sandbox.forge.dialect import VERSION, invalid
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

    def headers(self) -> dict[str, str]:
        """As GitHub sends them; the signature is over the body as it is on the wire."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/sandbox",
            "X-GitHub-Delivery": self.guid,
            "X-GitHub-Event": self.event,
            "X-GitHub-Hook-ID": str(self.hook.id),
            "X-GitHub-Hook-Installation-Target-Type": "repository",
            "X-GitHub-Enterprise-Version": VERSION,
        }
        if self.hook.secret:
            digest = hmac.new(self.hook.secret.encode(), self.body, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={digest}"
        return headers


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

    def __init__(self, clock: Clock) -> None:
        self.trouble = Trouble()
        self._clock = clock
        self._lock = Lock()
        self._hooks: dict[int, Webhook] = {}
        self._deliveries: list[Delivery] = []
        self._held: list[Delivery] = []
        self._line = _Line()
        self._numbers = 0

    def add(self, body: Mapping[str, Any]) -> Webhook:
        """Configure one as it was posted; it gets a `ping`. Raises `Refused`."""
        config = body.get("config")
        url = config.get("url") if isinstance(config, Mapping) else None
        if not isinstance(config, Mapping) or not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise invalid("Hook", "custom", message="Config must contain URL for webhooks")
        with self._lock:
            if any(hook.url == url for hook in self._hooks.values()):
                raise invalid("Hook", "custom", message="Hook already exists on this repository")
            hook = Webhook(
                id=len(self._hooks) + 1,
                url=url,
                secret=str(config.get("secret") or ""),
                events=tuple(body.get("events") or ("push",)),
                active=body.get("active", True) is not False,
                created_at=self._clock.now(),
            )
            self._hooks[hook.id] = hook
        self._post(hook, "ping", {"zen": "Keep it logically awesome.", "hook_id": hook.id})
        return hook

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
                status = _deliver(session, delivery)
                with self._lock:
                    self._deliveries.append(replace(delivery, status=status))


def _deliver(session: requests.Session, delivery: Delivery) -> int:
    """The receiver's status; 0 where there was none."""
    try:
        answer = session.post(
            delivery.hook.url,
            data=delivery.body,
            headers=delivery.headers(),
            timeout=PATIENCE,
            allow_redirects=False,
        )
    except requests.RequestException:
        return 0
    return answer.status_code
