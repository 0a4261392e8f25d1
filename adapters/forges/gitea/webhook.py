"""Gitea's and Forgejo's webhooks: pushes and pull requests, signed with HMAC-SHA256 in `X-Gitea-Signature`.

Forgejo sends the same under its own name too (`X-Forgejo-Signature`), and both send GitHub's headers besides. Both sign
the JSON, also where they send it in a form (go-gitea/gitea, services/webhook/deliver.go): a form would have to be
parsed before its signature can be checked, so it is refused unread. Neither has a ping: their test is a push.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from adapters.forges.hooks import Event, Headers, Refused
from adapters.forges.hooks.bodies import JSON, kind_of, parsed, plain, pulls_of, push_of
from adapters.forges.hooks.signatures import signs_hex

_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_URLS = ("clone_url", "ssh_url", "html_url")


class GiteaHooks:
    """A `hooks.Dialect`, for Forgejo too."""

    name = "gitea"

    def glance(self, headers: Headers) -> None:
        """Refuse without a signature, and what is no JSON."""
        if not _SIGNATURE.fullmatch(_said(headers, "signature")):
            raise Refused(401, "not signed: set a secret at the webhook, so that it sends X-Gitea-Signature")
        if kind_of(headers.get("content-type", "")) != JSON:
            raise Refused(415, f"write {JSON} as the webhook's content type: the signature of a form is not over it")

    def vouched(self, body: bytes, headers: Headers, secrets: Sequence[str], now: datetime) -> str:
        """The signature itself: the delivery's id is not signed."""
        said = _said(headers, "signature")
        return said if signs_hex(secrets, body, said) else ""

    def delivery(self, headers: Headers) -> str:
        """See `Dialect`."""
        return plain(_said(headers, "delivery"))

    def idle(self, headers: Headers) -> str:
        """Everything but `push` and `pull_request`, which stands for pushes to one as well."""
        event = plain(_said(headers, "event"))
        return "" if event in {"push", "pull_request"} else f"nothing to do on {event or 'an event without a name'}"

    def event(self, body: bytes, headers: Headers) -> Event | str:
        """See `Dialect`."""
        payload = parsed(body)
        repository = payload.get("repository")
        if _said(headers, "event") == "push":
            return push_of(payload, repository, "full_name", _URLS)
        return pulls_of(repository, "full_name", _URLS)


def _said(headers: Headers, what: str) -> str:
    return headers.get(f"x-gitea-{what}") or headers.get(f"x-forgejo-{what}", "")
