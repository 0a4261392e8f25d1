"""GitHub's webhooks: pushes and pull requests, signed with HMAC-SHA256 over the body in `X-Hub-Signature-256`.

docs.github.com: "Validating webhook deliveries", "Webhook events and payloads".
"""

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qs

from adapters.forges.hooks import Event, Headers, Refused
from adapters.forges.hooks.bodies import JSON, kind_of, parsed, plain, pulls_of, push_of
from adapters.forges.hooks.signatures import signs_hex

FORM = "application/x-www-form-urlencoded"
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_URLS = ("clone_url", "ssh_url", "git_url", "html_url", "url")


class GitHubHooks:
    """A `hooks.Dialect`."""

    name = "github"

    def glance(self, headers: Headers) -> None:
        """Refuse without an `X-Hub-Signature-256`; one with SHA-1 is not enough."""
        if not _SIGNATURE.fullmatch(headers.get("x-hub-signature-256", "")):
            raise Refused(401, "not signed: set a secret at the webhook, so that it sends X-Hub-Signature-256")

    def vouched(self, body: bytes, headers: Headers, secrets: Sequence[str], now: datetime) -> str:
        """The signature itself: the delivery's id is not signed."""
        said = headers["x-hub-signature-256"].removeprefix("sha256=")
        return said if signs_hex(secrets, body, said) else ""

    def delivery(self, headers: Headers) -> str:
        """See `Dialect`."""
        return plain(headers.get("x-github-delivery", ""))

    def idle(self, headers: Headers) -> str:
        """Everything but `push` and `pull_request`."""
        event = plain(headers.get("x-github-event", ""))
        if event == "ping":
            return "ping: the secret is right"
        return "" if event in {"push", "pull_request"} else f"nothing to do on {event or 'an event without a name'}"

    def event(self, body: bytes, headers: Headers) -> Event | str:
        """See `Dialect`."""
        payload = parsed(_json_of(body, headers.get("content-type", "")))
        repository = payload.get("repository")
        if headers.get("x-github-event") == "push":
            return push_of(payload, repository, "full_name", _URLS)
        return pulls_of(repository, "full_name", _URLS)


def _json_of(body: bytes, content_type: str) -> bytes:
    """The JSON of a body that is JSON, or a form whose `payload` is JSON; GitHub signs the form as it is sent."""
    kind = kind_of(content_type)
    if kind not in {JSON, FORM}:
        raise Refused(415, f"write {JSON} as the webhook's content type, or {FORM}")
    if kind == JSON:
        return body
    try:
        (payload,) = parse_qs(body.decode(), max_num_fields=4)["payload"]
        return payload.encode()
    except (ValueError, KeyError):
        raise Refused(400, "the body is no JSON of a webhook") from None
