"""Messages for any webhook, as JSON; signed where a secret is given. `docs/telling-people.md` shows the document.

The headers and the signature are those of Standard Webhooks (github.com/standard-webhooks, spec, version 1), for which
receivers have libraries: `webhook-id` stays the same when the same words come again together, and HMAC-SHA256 is taken
over `id.timestamp.body`. A secret that begins with `whsec_` is base64, any other is its own bytes.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from adapters.notify.exchange import Answer, json_bytes
from adapters.notify.messages import Message, Told
from adapters.notify.notifier import Fate, Letter, Verdict, asked_to_wait
from reconciler.ports import Unreadable, Window

_PEOPLE = frozenset({401, 403, 404, 405, 410, 415})  # it lets us not in, or its path is another
_REFUSED = frozenset({400, 413, 422})
_FACTS = ("repository", "setting_commit", "environment", "service", "owner", "version", "reason", "detail")


class Webhook:
    """Implements `Voice`. `secret` gives what messages are signed with, read anew each time; empty: unsigned."""

    windows = (Window(span=timedelta(seconds=1), most=5), Window(span=timedelta(minutes=1), most=60))

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret

    def write(self, message: Message, now: datetime) -> Letter:
        """The document and its headers. Raises `Unreadable`."""
        body = json_bytes(document(message, now))
        stamp = str(int(now.timestamp()))
        headers = {"webhook-id": message.id, "webhook-timestamp": stamp}
        if secret := self._secret():
            headers["webhook-signature"] = signature(secret, message.id, stamp, body)
        return Letter(body=body, headers=headers)

    def judge(self, answer: Answer) -> Verdict:
        """By its status alone: what a stranger answers is not passed on."""
        status = answer.status
        if 200 <= status < 300:
            return Verdict(fate=Fate.DELIVERED)
        if status == 429:
            return Verdict(fate=Fate.LIMITED, why="it limits our pace (429)", wait=asked_to_wait(answer))
        if status in _PEOPLE or 300 <= status < 400:
            why = f"it answers {status}; correct the url, or let Fairlead in there"
            return Verdict(fate=Fate.SHUT, why=why)
        if status in _REFUSED:
            return Verdict(fate=Fate.REFUSED, why=f"it does not take the message ({status})")
        return Verdict(fate=Fate.AWAY, why=f"it answers {status}", wait=asked_to_wait(answer))


def document(message: Message, now: datetime) -> dict[str, Any]:
    """What is posted."""
    return {
        "type": f"fairlead.{message.kind.value}",
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "data": {
            "title": message.title,
            "count": len(message.told),
            "fleets": [_fleet(told) for told in message.shown],
            "more": message.more,
        },
    }


def _fleet(told: Told) -> dict[str, str]:
    status = told.item.status
    facts = {name: told.fact(name) for name in _FACTS}
    return {
        "id": told.id,
        "fleet": told.fleet,
        "state": status.state.value,
        "message": status.description,
        **facts,
        "url": status.target_url,
    }


def signature(secret: str, identity: str, stamp: str, body: bytes) -> str:
    """`v1,` and the HMAC in base64. Raises `Unreadable` for a secret that is none."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise Unreadable("the secret begins with whsec_ and goes on with something else than base64") from None
    made = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(made.digest()).decode()}"
