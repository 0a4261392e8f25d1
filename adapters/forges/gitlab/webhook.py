"""GitLab's webhooks: pushes and merge requests, with a signing token or with a secret token.

A signing token (from GitLab 19.0; docs.gitlab.com, "Webhooks", "Signing tokens") is `whsec_` and 32 bytes in base64. It
signs `webhook-id.webhook-timestamp.body` with HMAC-SHA256 into `webhook-signature: v1,<base64>`, as the specification
Standard Webhooks (standardwebhooks.com) has it. A secret token is the secret itself, sent in `X-Gitlab-Token`: it says
who sends, and vouches for nothing that is sent. So where a signature came and a signing token is known, the token in
clear does not count.
"""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from adapters.forges.hooks import Event, Headers, Refused
from adapters.forges.hooks.bodies import JSON, as_object, kind_of, parsed, plain, pulls_of, push_of
from adapters.forges.hooks.signatures import is_any, raw

SIGNING = "whsec_"  # how a signing token begins
LATEST = timedelta(minutes=5)  # off our clock, either way
_SHORTEST = 16  # bytes of a key; GitLab makes 32
_STAMP = re.compile(r"[0-9]{1,12}")
_MOST_SIGNATURES = 10
_URLS = ("git_http_url", "git_ssh_url", "web_url", "http_url", "ssh_url", "url")


class GitLabHooks:
    """A `hooks.Dialect`."""

    name = "gitlab"

    def glance(self, headers: Headers) -> None:
        """Refuse without a signature and without a token, and what is no JSON."""
        if not headers.get("webhook-signature") and not headers.get("x-gitlab-token"):
            raise Refused(401, "not signed: set a signing token or a secret token at the webhook")
        if kind_of(headers.get("content-type", "")) != JSON:
            raise Refused(415, f"a webhook of GitLab is {JSON}")

    def vouched(self, body: bytes, headers: Headers, secrets: Sequence[str], now: datetime) -> str:
        """Of what is signed its id, which stays when it is sent again; else a digest of `Idempotency-Key` and body.

        That key is not signed. Who knows a token in clear can write a new body too, so this spares repeats, no more.
        """
        keys = list(_keys(secrets))
        if keys and headers.get("webhook-signature"):
            return _signed(body, headers, keys, now)
        tokens = [each for each in secrets if not each.startswith(SIGNING)]
        if not is_any(tokens, headers.get("x-gitlab-token", "")):
            return ""
        once = raw(headers.get("idempotency-key", ""))
        return "token " + sha256(once + bytes(1) + body).hexdigest()

    def delivery(self, headers: Headers) -> str:
        """See `Dialect`."""
        return plain(headers.get("x-gitlab-event-uuid", ""))

    def idle(self, headers: Headers) -> str:
        """Nothing: a system hook names its event in the body alone."""
        return ""

    def event(self, body: bytes, headers: Headers) -> Event | str:
        """See `Dialect`."""
        payload = parsed(body)
        kind = payload.get("object_kind") or payload.get("event_name")
        project = as_object(payload.get("project"))
        if kind == "push":
            return push_of(payload, project, "path_with_namespace", _URLS)
        if kind == "merge_request":
            return pulls_of(project, "path_with_namespace", _URLS)
        return f"nothing to do on {_named(kind)}"


def checked_secret(secret: str) -> str:
    """The secret. Raises ValueError with a sentence where it is a signing token that can sign nothing."""
    if secret.startswith(SIGNING) and not list(_keys([secret])):
        raise ValueError(f"a signing token is {SIGNING} and base64, as GitLab shows it once")
    return secret


def _named(kind: Any) -> str:
    return (plain(kind) if isinstance(kind, str) else "") or "an event without a name"


def _keys(secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        if secret.startswith(SIGNING):
            with suppress(ValueError):  # what is no base64 signs nothing
                key = b64decode(secret.removeprefix(SIGNING), validate=True)
                if len(key) >= _SHORTEST:
                    yield key


def _signed(body: bytes, headers: Headers, keys: Sequence[bytes], now: datetime) -> str:
    """The id of what one of the keys signed; empty where none did. Raises `Refused` where it is too old."""
    one, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    content = b".".join((raw(one), raw(stamp), body))
    mine = ["v1," + b64encode(hmac.new(key, content, sha256).digest()).decode() for key in keys]
    said = headers["webhook-signature"].split(" ")[:_MOST_SIGNATURES]
    if not any([is_any(mine, each) for each in said]) or not one:  # noqa: C419 - all are compared
        return ""
    if not _STAMP.fullmatch(stamp) or abs(int(stamp) - now.timestamp()) > LATEST.total_seconds():
        raise Refused(401, "signed over five minutes ago, or by another clock: check the clock of this host")
    return f"id {one}"
