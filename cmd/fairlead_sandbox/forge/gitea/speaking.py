"""Gitea's dialect: who asks, how often they may, which call it is, and how events leave."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead_sandbox.forge.asked import Asked, find, undeclared
from fairlead_sandbox.forge.dialect import Ground
from fairlead_sandbox.forge.faults import Burst
from fairlead_sandbox.forge.gitea import views
from fairlead_sandbox.forge.gitea.errors import Errors
from fairlead_sandbox.forge.gitea.events import SYNC, pull_events, push_events
from fairlead_sandbox.forge.gitea.routes import CALLS
from fairlead_sandbox.forge.hosted import Change, Event, Hosted
from fairlead_sandbox.forge.identities import Identity, token_of
from fairlead_sandbox.forge.pulls import Moved, Pull
from fairlead_sandbox.forge.webhooks import Delivery
from fairlead_sandbox.forge.wire import Answer, NoSuchCall, Refused, Request, Witness, Wrong
from reconciler.ports import Clock

VERSION = "1.25.2"
_TROUBLE = {403: "user should have a permission to write to a repo", 422: "[State]: Required", 429: "Too Many Requests"}


class Gitea:
    """Answers requests to the API on the repositories of the ground that it stands on."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._errors = Errors(ground.addresses.web)

    def answer(self, request: Request, witness: Witness) -> Answer:
        """Raises `Refused` and `Wrong`."""
        if (request.method, request.path) == ("GET", "/version"):
            return Answer(body={"version": VERSION})
        token = request.query.get("token") or request.query.get("access_token")
        who = self._ground.identities.of_token(token or token_of(request.authorization))
        witness.known(who.login)
        self._admit(who, request)
        if (request.method, request.path) == ("GET", "/user"):
            return Answer(body=views.user(who.login, self._ground.addresses))
        return self._in_a_repository(request, who, witness)

    def parsed(self, body: bytes, kind: str) -> Mapping[str, Any]:
        """JSON, and nothing else that is called otherwise. Raises `Refused`."""
        if not body.strip():
            return {}
        if "json" not in kind:
            raise self._errors.misfit("[]: Unsupported Content-Type" if kind else "[]: Empty Content-Type")
        try:
            found = json.loads(body)
        except ValueError as error:
            raise self._errors.misfit(f"[]: invalid character: {error}") from None
        if not isinstance(found, dict):
            raise self._errors.misfit("[]: json: cannot unmarshal array into Go value")
        return found

    def refusal(self, wrong: Wrong) -> Refused:
        """In Gitea's words."""
        if wrong.code == "no-commit" and self._ground.faults.older:
            return self._errors.refused(500, "")
        if wrong.code == "no-commit":
            return self._errors.refused(404, f"object does not exist [id: {wrong.facts['sha']}, rel_path: ]")
        if wrong.code == "bad-hook":
            return self._errors.refused(422, f"Missing config option: {wrong.facts['what']}")
        return self._errors.translated(wrong)

    def struck(self, burst: Burst) -> Answer:
        """Server errors, which have no words for who is no administrator; limits of what stands before the server."""
        headers = {} if burst.retry_after is None else {"Retry-After": str(burst.retry_after)}
        return self._errors.refused(burst.status, _TROUBLE.get(burst.status, ""), headers).answer

    def headers_of_answers(self) -> Mapping[str, str]:
        """On everything that is answered."""
        return {"Cache-Control": "max-age=0, private, must-revalidate", "X-Frame-Options": "SAMEORIGIN"}

    def pushed(self, hosted: Hosted, moved: Moved, who: Identity) -> Iterator[Event]:
        """A branch or a tag moved."""
        yield from push_events(hosted, moved, who)

    def pulled(self, hosted: Hosted, pull: Pull, change: Change, who: Identity) -> Iterator[Event]:
        """Something happened to a pull request."""
        yield from pull_events(hosted, pull, change, who)

    def keeps(self, hosted: Hosted, clock: Clock) -> object:
        """Nothing."""
        return None

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """As `services/webhook/deliver.go` sends them: the same under four names, the signatures in hex."""
        event = "pull_request" if delivery.event == SYNC else delivery.event
        headers = {"Content-Type": "application/json"}
        for vendor in ("Gitea", "Gogs", "GitHub"):
            headers[f"X-{vendor}-Delivery"] = delivery.guid
            headers[f"X-{vendor}-Event"] = event
            headers[f"X-{vendor}-Event-Type"] = delivery.event
        old, new = (self._digest(delivery, how) for how in (hashlib.sha1, hashlib.sha256))
        signatures = {"X-Gitea-Signature": new, "X-Gogs-Signature": new, "X-Hub-Signature": f"sha1={old}"}
        return {**headers, **signatures, "X-Hub-Signature-256": f"sha256={new}"}

    # -- how a request finds its answer ----------------------------------------------------------------------------

    def _digest(self, delivery: Delivery, how: Any) -> str:
        secret = delivery.hook.secret.encode()
        return hmac.new(secret, delivery.body, how).hexdigest() if secret else ""

    def _admit(self, who: Identity, request: Request) -> None:
        room = self._ground.meter.admit(who.login, creates=request.method != "GET")
        if room is not None and room.wait is not None:
            self._ground.meter.count_refused()
            raise self._errors.refused(429, _TROUBLE[429], {"Retry-After": str(room.wait)})

    def _in_a_repository(self, request: Request, who: Identity, witness: Witness) -> Answer:
        found = find(CALLS, request.method, request.path)
        if found is None:
            raise NoSuchCall(self._errors.refused(404, "not found").answer)
        call, parts = found
        hosted = self._ground.hosted.get(parts["full_name"])
        if hosted is None:
            raise Wrong("not-found")
        if strange := undeclared(call.fields, request.body):
            witness.undeclared(strange)
        if call.fields:
            self._errors.check(call.fields, request.body)
        asked = Asked(hosted=hosted, request=request, found=parts, who=who, given=request.body)
        return call.serve(asked)
