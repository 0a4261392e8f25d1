"""GitLab's dialect: who asks, how often they may, which call it is, and how events leave."""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from fairlead_sandbox.forge.asked import Asked, find, undeclared
from fairlead_sandbox.forge.dialect import Ground
from fairlead_sandbox.forge.faults import Burst
from fairlead_sandbox.forge.gitlab import views
from fairlead_sandbox.forge.gitlab.errors import checked, misfit, not_found, refused, translated
from fairlead_sandbox.forge.gitlab.events import merge_request_events, push_events
from fairlead_sandbox.forge.gitlab.pipelines import Pipelines
from fairlead_sandbox.forge.gitlab.routes import CALLS
from fairlead_sandbox.forge.hosted import Change, Event, Hosted
from fairlead_sandbox.forge.identities import Identity, token_of
from fairlead_sandbox.forge.limits import MINUTE, Room
from fairlead_sandbox.forge.pulls import Moved, Pull
from fairlead_sandbox.forge.webhooks import Delivery
from fairlead_sandbox.forge.wire import Answer, NoSuchCall, Refused, Request, Witness, Wrong
from reconciler.ports import Clock

VERSION = "19.4.0"
THROTTLED = "Retry later\n"  # plain text: it is answered before the API is reached
_TROUBLE = {
    403: "403 Forbidden",
    409: "Another update to this commit status is in progress",
    422: "422 Unprocessable Entity",
    500: "500 Internal Server Error",
}
_TOO_OFTEN = {"error": "This endpoint has been requested too many times. Try again later."}


class GitLab:
    """Answers requests to the API on the projects of the ground that it stands on."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def answer(self, request: Request, witness: Witness) -> Answer:
        """Raises `Refused` and `Wrong`."""
        token = request.headers.get("private-token") or request.query.get("private_token")
        who = self._ground.identities.of_token(token or token_of(request.authorization))
        witness.known(who.login)
        headers = self._admitted(who, request)
        answer = self._of_a_person(request, who) or self._in_a_project(request, who, witness)
        return replace(answer, headers={**answer.headers, **headers})

    def parsed(self, body: bytes, kind: str) -> Mapping[str, Any]:
        """JSON or a form. Raises `Refused`."""
        if not body.strip():
            return {}
        kind = kind.partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        if kind != "application/json":
            raise misfit(f"The provided content-type '{kind}' is not supported.", 415)
        try:
            found = json.loads(body)
        except ValueError:
            raise misfit("message body does not match declared format") from None
        return found if isinstance(found, dict) else {}

    def refusal(self, wrong: Wrong) -> Refused:
        """In GitLab's words."""
        return translated(wrong)

    def struck(self, burst: Burst) -> Answer:
        """Server errors, limits and refusals that pass."""
        headers = {} if burst.retry_after is None else {"Retry-After": str(burst.retry_after)}
        if burst.status == 429:
            return Answer(status=429, body=THROTTLED, kind="text/plain", headers=headers)
        return refused(burst.status, _TROUBLE.get(burst.status, str(burst.status)), headers).answer

    def headers_of_answers(self) -> Mapping[str, str]:
        """On everything that is answered."""
        return {"X-Request-Id": uuid.uuid4().hex[:26].upper(), "X-Gitlab-Meta": '{"version":"1"}'}

    def pushed(self, hosted: Hosted, moved: Moved, who: Identity) -> Iterator[Event]:
        """A branch or a tag moved."""
        yield from push_events(hosted, moved, who)

    def pulled(self, hosted: Hosted, pull: Pull, change: Change, who: Identity) -> Iterator[Event]:
        """Something happened to a merge request."""
        yield from merge_request_events(hosted, pull, change, who)

    def keeps(self, hosted: Hosted, clock: Clock) -> object:
        """The project's pipelines."""
        return Pipelines(hosted.bare, clock)

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """`app/services/web_hook_service.rb`, and the signature that came with signing tokens.

        It is that of Standard Webhooks: over the id, the time and the body.
        """
        hook, stamp = delivery.hook, str(int(delivery.at.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"GitLab/{VERSION}",
            "Idempotency-Key": delivery.guid,
            "X-Gitlab-Event": delivery.event,
            "X-Gitlab-Webhook-UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, hook.url)),
            "X-Gitlab-Instance": self._ground.addresses.web,
            "X-Gitlab-Event-UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, delivery.guid)),
        }
        if hook.secret:
            headers["X-Gitlab-Token"] = hook.secret
        if hook.signing:
            signed = f"{delivery.guid}.{stamp}.".encode() + delivery.body
            digest = hmac.new(base64.b64decode(hook.signing.removeprefix("whsec_")), signed, hashlib.sha256).digest()
            signature = f"v1,{base64.b64encode(digest).decode()}"
            headers |= {"webhook-id": delivery.guid, "webhook-timestamp": stamp, "webhook-signature": signature}
        return headers

    # -- how a request finds its answer ----------------------------------------------------------------------------

    def _admitted(self, who: Identity, request: Request) -> dict[str, str]:
        """The headers that tell what is left of this minute. Raises `Refused`."""
        notes = request.method == "POST" and request.raw.endswith("/notes")
        room = self._ground.meter.admit(who.login, creates=notes)
        if room is None:
            return {}
        headers, retry = self._limits(room)
        if room.minute > room.limits.requests_per_minute:
            self._ground.meter.count_refused()
            told = {**headers, "Retry-After": str(retry)}
            raise Refused(Answer(status=429, body=THROTTLED, kind="text/plain", headers=told))
        if room.wait is not None:
            self._ground.meter.count_refused()
            raise refused(429, _TOO_OFTEN, {**headers, "Retry-After": "60"})
        return headers

    def _limits(self, room: Room) -> tuple[dict[str, str], int]:
        """As `lib/gitlab/rack_attack.rb` says them, by the minutes of the clock; with the seconds to the next one."""
        now, most = self._ground.meter.now(), room.limits.requests_per_minute
        reset = now.replace(second=0, microsecond=0) + MINUTE
        headers = {
            "RateLimit-Name": "throttle_authenticated_api",
            "RateLimit-Limit": str(most),
            "RateLimit-Observed": str(room.minute),
            "RateLimit-Remaining": str(max(most - room.minute, 0)),
            "RateLimit-Reset": str(int(reset.timestamp())),
            "RateLimit-ResetTime": format_datetime(reset, usegmt=True),
        }
        return headers, int(reset.timestamp()) - int(now.timestamp())

    def _of_a_person(self, request: Request, who: Identity) -> Answer | None:
        if (request.method, request.path) == ("GET", "/user"):
            return Answer(body=views.user(who.login, self._ground.addresses))
        if (request.method, request.path) == ("GET", "/version"):
            return Answer(body={"version": VERSION, "revision": "sandbox"})
        return None

    def _in_a_project(self, request: Request, who: Identity, witness: Witness) -> Answer:
        found = find(CALLS, request.method, request.raw)
        if found is None:
            raise NoSuchCall(Answer(status=404, body={"error": "404 Not Found"}))
        call, raw = found
        parts = {name: unquote(part) for name, part in raw.items()}
        hosted = self._project(parts["project"])
        if hosted is None:
            raise not_found("Project")
        if request.method == "POST" and "/statuses/" in request.raw and self._ground.faults.contends():
            raise refused(409, _TROUBLE[409])
        if strange := undeclared(call.fields, request.body):
            witness.undeclared(strange)
        given = checked(call.fields, {**_listed(request.query), **request.body})
        return call.serve(Asked(hosted=hosted, request=request, found=parts, who=who, given=given))

    def _project(self, wanted: str) -> Hosted | None:
        """By its number, or its path."""
        if not wanted.isdecimal():
            return self._ground.hosted.get(wanted)
        return next((each for each in self._ground.hosted.values() if each.number == int(wanted)), None)


def _listed(query: Mapping[str, str]) -> dict[str, Any]:
    """A query with `iids[]=1` as a list."""
    return {name.removesuffix("[]"): [value] if name.endswith("[]") else value for name, value in query.items()}
