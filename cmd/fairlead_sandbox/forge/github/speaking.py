"""GitHub's dialect: who asks, how often they may, which call it is, and how events leave."""

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead_sandbox.forge.asked import Asked, find, undeclared
from fairlead_sandbox.forge.dialect import Ground
from fairlead_sandbox.forge.faults import Burst
from fairlead_sandbox.forge.github import views
from fairlead_sandbox.forge.github.apps import Apps
from fairlead_sandbox.forge.github.errors import DOCS, SECONDARY, VERSION, check, not_found, refused, translated
from fairlead_sandbox.forge.github.events import pull_events, push_event
from fairlead_sandbox.forge.github.routes import CALLS
from fairlead_sandbox.forge.hosted import Change, Event, Hosted
from fairlead_sandbox.forge.identities import Identity, token_of
from fairlead_sandbox.forge.limits import Room
from fairlead_sandbox.forge.pulls import Moved, Pull
from fairlead_sandbox.forge.webhooks import Delivery
from fairlead_sandbox.forge.wire import Answer, NoSuchCall, Refused, Request, Witness, Wrong
from reconciler.ports import Clock

_TROUBLE = {403: SECONDARY, 429: SECONDARY, 422: "Validation Failed", 409: "Conflict", 404: "Not Found"}
_ACCESS_TOKEN = re.compile("/app/installations/([0-9]+)/access_tokens")


class GitHub:
    """Answers requests to the API on the repositories of the ground that it stands on."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._apps = Apps(ground.identities)

    def answer(self, request: Request, witness: Witness) -> Answer:
        """Raises `Refused` and `Wrong`."""
        public = self._public(request)
        if public is not None:
            return public
        who = self._ground.identities.of_token(token_of(request.authorization))
        witness.known(who.login)
        headers = {} if request.path == "/rate_limit" else self._admitted(who, request)
        answer = self._of_a_person(request, who) or self._in_a_repository(request, who, witness)
        return Answer(status=answer.status, body=answer.body, headers={**answer.headers, **headers})

    def parsed(self, body: bytes, kind: str) -> Mapping[str, Any]:
        """A JSON object; empty where nothing was sent. Raises `Refused`."""
        try:
            found = json.loads(body) if body.strip() else {}
        except ValueError:
            raise refused(400, "Problems parsing JSON") from None
        if not isinstance(found, dict):
            raise refused(400, "Body should be a JSON object")
        return found

    def refusal(self, wrong: Wrong) -> Refused:
        """In GitHub's words."""
        return translated(wrong)

    def struck(self, burst: Burst) -> Answer:
        """Server errors, limits and refusals that pass."""
        headers = {} if burst.retry_after is None else {"Retry-After": str(burst.retry_after)}
        answer = refused(burst.status, _TROUBLE.get(burst.status, "Server Error"), headers=headers).answer
        return Answer(status=burst.status, body=answer.body, headers=answer.headers)

    def headers_of_answers(self) -> Mapping[str, str]:
        """As an Enterprise Server sends them."""
        return {
            "X-GitHub-Request-Id": uuid.uuid4().hex[:20].upper(),
            "X-GitHub-Enterprise-Version": VERSION,
            "X-GitHub-Media-Type": "github.v3; format=json",
        }

    def pushed(self, hosted: Hosted, moved: Moved, who: Identity) -> Iterator[Event]:
        """A branch or a tag moved."""
        yield "push", push_event(hosted, moved, who)

    def pulled(self, hosted: Hosted, pull: Pull, change: Change, who: Identity) -> Iterator[Event]:
        """Something happened to a pull request."""
        yield from pull_events(hosted, pull, change, who)

    def keeps(self, hosted: Hosted, clock: Clock) -> object:
        """Nothing."""
        return None

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """As GitHub sends them; the signature is over the body as it is on the wire."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/sandbox",
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(delivery.hook.id),
            "X-GitHub-Hook-Installation-Target-Type": "repository",
            "X-GitHub-Enterprise-Version": VERSION,
        }
        if delivery.hook.secret:
            digest = hmac.new(delivery.hook.secret.encode(), delivery.body, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature-256"] = f"sha256={digest}"
        return headers

    # -- how a request finds its answer ----------------------------------------------------------------------------

    def _admitted(self, who: Identity, request: Request) -> dict[str, str]:
        """The headers that tell what is left. Raises `Refused`."""
        room = self._ground.meter.admit(who.login, creates=request.method != "GET")
        if room is None:
            return {}
        headers = _limits(room)
        if room.spent or room.wait is not None:
            self._ground.meter.count_refused()
        if room.spent:
            raise refused(403, f"API rate limit exceeded for user {who.login}.", headers=headers)
        if room.wait is not None:
            raise refused(room.limits.status, SECONDARY, headers={**headers, "Retry-After": str(room.wait)})
        return headers

    def _public(self, request: Request) -> Answer | None:
        """What is answered to everybody, or to an app's JWT."""
        asked = (request.method, request.path)
        if asked in (("GET", ""), ("GET", "/")):
            return Answer(body=views.root(self._ground.addresses.api, DOCS))
        if asked == ("GET", "/meta"):
            return Answer(body={"verifiable_password_authentication": True, "installed_version": VERSION})
        if asked == ("GET", "/app"):
            return Answer(body=views.app(self._signer(request), self._ground.addresses))
        installation = _ACCESS_TOKEN.fullmatch(request.path)
        if installation is None or request.method != "POST":
            return None
        names = [hosted.name for hosted in self._ground.hosted.values()]
        app, now = self._signer(request), self._ground.meter.now()
        token = self._apps.installation_token(app, int(installation[1]), request.body, names, now)
        return Answer(status=201, body=token)

    def _signer(self, request: Request) -> Any:
        return self._apps.signer(request.authorization, self._ground.meter.now())

    def _of_a_person(self, request: Request, who: Identity) -> Answer | None:
        asked = (request.method, request.path)
        if asked == ("GET", "/user"):
            if who.app:
                raise refused(403, "Resource not accessible by integration")
            return Answer(body=views.user(who.login, self._ground.addresses))
        if asked == ("GET", "/rate_limit"):
            if self._ground.meter.limits is None:
                raise refused(404, "Rate limiting is not enabled.")
            return Answer(body=views.rate(*self._ground.meter.left(who.login)))
        return None

    def _in_a_repository(self, request: Request, who: Identity, witness: Witness) -> Answer:
        found = find(CALLS, request.method, request.path)
        if found is None:
            raise NoSuchCall(not_found().answer)
        call, parts = found
        hosted = self._ground.hosted.get(parts["full_name"])
        if hosted is None or (who.repositories is not None and hosted.name not in who.repositories):
            raise not_found()
        if strange := undeclared(call.fields, request.body):
            witness.undeclared(strange)
        if request.method != "GET":
            check(call.fields, request.body)
        return call.serve(Asked(hosted=hosted, request=request, found=parts, who=who, given=request.body))


def _limits(room: Room) -> dict[str, str]:
    most = room.limits.requests_per_hour
    return {
        "x-ratelimit-limit": str(most),
        "x-ratelimit-remaining": str(max(most - room.used, 0)),
        "x-ratelimit-used": str(room.used),
        "x-ratelimit-reset": str(int(room.resets.timestamp())),
        "x-ratelimit-resource": "core",
    }
