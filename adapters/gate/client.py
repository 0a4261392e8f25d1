"""The calls that Fairlead makes to Spinnaker's Gate, and the Gates that settings know."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit

from adapters.gate.auth import GateAuth
from adapters.gate.errors import Accepted, GateRefused, GateTrouble, Refused, Result, Unknown, ailing
from adapters.gate.executions import INCOMPLETE, Execution, of_answer
from adapters.gate.transport import Question, Transport
from reconciler.ports import Lease

TIMEOUT = 10.0  # seconds
BATCH = 50  # execution ids in one bulk read
FOUND_AT_MOST = 25
RUNNING_AT_MOST = 500
UNENDED_AT_MOST = 20  # of one pipeline
LOOKS_LIKE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")  # a search takes names only


class Gate:
    """One Gate. Reads raise `GateTrouble` (an `Unreadable`); changes give a typed result and raise only `LeaseLost`."""

    def __init__(
        self,
        url: str,
        auth: GateAuth | None = None,
        *,
        timeout: float = TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        self._transport = Transport(self.url, auth or GateAuth(), timeout=timeout, monotonic=monotonic)

    def trigger(self, application: str, pipeline: str, body: Mapping[str, Any], lease: Lease) -> Result:
        """Start a pipeline (name or id) through the v1 trigger: synchronous, and the trigger arrives as it was sent."""
        path = f"/pipelines/{quote(application, safe='')}/{quote(pipeline, safe='')}"
        what = f"start pipeline {pipeline} of {application}"
        try:
            answer = self._transport.exchange(Question(method="POST", path=path, what=what, body=body, lease=lease))
        except GateRefused as refused:
            return Refused(status=refused.status, sentence=str(refused))
        except GateTrouble as trouble:
            return Unknown(sentence=str(trouble))
        ref = answer.get("ref") if isinstance(answer, Mapping) else None
        if not isinstance(ref, str) or not ref.strip("/"):
            return Unknown(sentence=ailing(what, "it accepted and named no execution"))
        return Accepted(ref=ref.rpartition("/")[2])

    def execution(self, execution: str) -> Execution | None:
        """One execution with the text of its failed stages; None where Gate knows no such id."""
        what = f"show execution {execution}"
        try:
            answer = self._transport.exchange(
                Question(method="GET", path=f"/pipelines/{quote(execution, safe='')}", what=what)
            )
        except GateRefused as refused:
            if refused.status == 404:
                return None
            raise
        return next(self._executions([answer], what))

    def executions(self, ids: Sequence[str]) -> dict[str, Execution]:
        """Executions by id, read in batches; ids that Gate does not know are left out."""
        found: dict[str, Execution] = {}
        for start in range(0, len(ids), BATCH):
            batch = list(ids[start : start + BATCH])
            params = {"executionIds": ",".join(batch), "limit": str(len(batch)), "expand": "false"}
            what = "show the executions under way"
            answer = self._transport.exchange(Question(method="GET", path="/executions", what=what, params=params))
            found.update((execution.id, execution) for execution in self._executions(answer, what))
        return found

    def search(self, application: str, pipeline: str | None, event_id: str, since: datetime) -> list[Execution]:
        """Executions that carry our event id, earliest first. `pipeline` None: of every pipeline of the application."""
        params = {
            "eventId": event_id,
            "triggerTimeStartBoundary": str(int(since.timestamp() * 1000)),
            "size": str(FOUND_AT_MOST),
            "expand": "false",
        }
        if pipeline is not None:
            params["pipelineName"] = pipeline
        what = f"search the executions of {application}"
        path = f"/applications/{quote(application, safe='')}/executions/search"
        answer = self._transport.exchange(Question(method="GET", path=path, what=what, params=params))
        return sorted(self._executions(answer, what), key=lambda one: (one.build_time or 0, one.id))

    def running(self, application: str, key_prefix: str, since: datetime) -> dict[str, Execution]:
        """Executions that have not ended and whose correlation id begins with the prefix, by that id.

        The statuses are Orca's `ExecutionStatus` that are not complete.
        """
        params = {
            "triggerTypes": "manual",
            "statuses": ",".join(sorted(INCOMPLETE)),
            "triggerTimeStartBoundary": str(int(since.timestamp() * 1000)),
            "size": str(RUNNING_AT_MOST),
            "expand": "false",
        }
        what = f"search the executions of {application}"
        path = f"/applications/{quote(application, safe='')}/executions/search"
        answer = self._transport.exchange(Question(method="GET", path=path, what=what, params=params))
        found = zip(self._executions(answer, what), answer, strict=True)
        keyed = ((str((raw.get("trigger") or {}).get("correlationId") or ""), execution) for execution, raw in found)
        return {key: execution for key, execution in keyed if key.startswith(key_prefix)}

    def unended(self, config_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Executions of these pipelines' configurations that have not ended, as Gate shows them, whoever started them.

        No search by trigger: Orca on Redis reads everything in the span of such a one, and maybe without end.
        """
        params = {
            "pipelineConfigIds": ",".join(config_ids),
            "statuses": ",".join(sorted(INCOMPLETE)),
            "limit": str(UNENDED_AT_MOST),
            "expand": "false",
        }
        what = "show the executions that are not over"
        answer = self._transport.exchange(Question(method="GET", path="/executions", what=what, params=params))
        list(self._executions(answer, what))  # an empty body is no answer
        return list(answer)

    def config_id(self, application: str, pipeline: str) -> str | None:
        """The id of a pipeline's configuration, by its name or id; None where Gate does not show it."""
        if LOOKS_LIKE_ID.fullmatch(pipeline):
            return pipeline
        what = f"show pipeline {pipeline} of {application}"
        path = f"/applications/{quote(application, safe='')}/pipelineConfigs/{quote(pipeline, safe='')}"
        try:
            answer = self._transport.exchange(Question(method="GET", path=path, what=what))
        except GateRefused as refused:
            if refused.status == 404:
                return None
            raise
        return str(answer["id"]) if isinstance(answer, Mapping) and answer.get("id") else None

    def pipelines(self, application: str) -> list[Mapping[str, Any]]:
        """The pipelines of an application as Gate shows them; none where it knows no such application."""
        what = f"show the pipelines of {application}"
        path = f"/applications/{quote(application, safe='')}/pipelineConfigs"
        try:
            answer = self._transport.exchange(Question(method="GET", path=path, what=what))
        except GateRefused as refused:
            if refused.status == 404:
                return []
            raise
        if not isinstance(answer, list) or not all(isinstance(one, Mapping) for one in answer):
            raise GateTrouble(ailing(what, "its answer is empty or no list of pipelines"))
        return answer

    def cancel(self, execution: str, reason: str, lease: Lease) -> Result:
        """Ask for an execution's end. Gate accepts even what it then does not do: look again afterwards."""
        ask = Question(
            method="PUT",
            path=f"/pipelines/{quote(execution, safe='')}/cancel",
            what=f"cancel execution {execution}",
            params={"reason": reason},
            lease=lease,
        )
        try:
            self._transport.exchange(ask)
        except GateRefused as refused:
            return Refused(status=refused.status, sentence=str(refused))
        except GateTrouble as trouble:
            return Unknown(sentence=str(trouble))
        return Accepted(ref=execution)

    def user(self) -> str:
        """Whom Gate takes us for; an empty text where it does not say."""
        answer = self._transport.exchange(Question(method="GET", path="/auth/user", what="say who we are"))
        return str(answer.get("username") or "") if isinstance(answer, Mapping) else ""

    def _executions(self, answer: Any, what: str) -> Iterator[Execution]:
        """A 200 without a body is how Gate passes on a failure of Orca."""
        if not isinstance(answer, list) or not all(isinstance(one, Mapping) and one.get("id") for one in answer):
            raise GateTrouble(ailing(what, "its answer is empty or no execution"))
        yield from (of_answer(one) for one in answer)


class Gates:
    """The Gates by URL, with the credentials that settings give for each; one without any is asked unsigned."""

    def __init__(
        self,
        auth: Mapping[str, GateAuth],
        *,
        timeout: float = TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._auth = {url.rstrip("/"): one for url, one in auth.items()}
        self._timeout = timeout
        self._monotonic = monotonic
        self._lock = Lock()
        self._gates: dict[str, Gate] = {}

    def at(self, url: str) -> Gate:
        """The Gate at that URL."""
        url = url.rstrip("/")
        with self._lock:
            if url not in self._gates:
                auth = self._auth.get(url)
                self._gates[url] = Gate(url, auth, timeout=self._timeout, monotonic=self._monotonic)
            return self._gates[url]


def url_problem(url: str) -> str:
    """Why a Gate's URL cannot be used, or an empty string. Plain http is for this machine alone."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "is not a URL"
    if parts.username or parts.password:
        return "holds credentials; they belong into the controller's settings"
    if not host or parts.query or parts.fragment:
        return "must be https://host[:port][/path]"
    if parts.scheme == "https" or (parts.scheme == "http" and host in {"localhost", "127.0.0.1", "::1"}):
        return ""
    return "must begin with https:// (http:// is for localhost only)"
