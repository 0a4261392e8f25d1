"""The calls that Fairlead makes to Spinnaker's Gate, and the Gates that settings know."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit

from adapters.clock import SystemClock
from adapters.gate.auth import GateAuth
from adapters.gate.configs import SAVED_WITHIN, Configs
from adapters.gate.errors import Accepted, GateRefused, GateTrouble, Refused, Result, Unknown, ailing
from adapters.gate.executions import INCOMPLETE, Execution, of_answer
from adapters.gate.transport import Question, Transport
from reconciler.ports import Clock, Lease

TIMEOUT = 10.0  # seconds
BATCH = 100  # execution ids in one bulk read: a URL of 3 KiB, where servers and proxies take 8
# Orca on Redis reads everything in the span of time and reads it again, without end, while there are at least twice as
# many executions in it as are asked for and too few of them match: what is asked for must never be so few.
FOUND_AT_MOST = 2000
RUNNING_AT_MOST = 2000
EARLIER_AT_MOST = 50
ONCE_AT_MOST = 500  # where what was done must not be done again
UNENDED_AT_MOST = 20  # of one pipeline
LOOKS_LIKE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")  # a search takes names only
SCORES_AT_MOST = 300
_WHO = Question(method="GET", path="/auth/user", what="say who we are")


class Gate:
    """One Gate. Reads raise `GateTrouble` (an `Unreadable`); changes give a typed result and raise only `LeaseLost`."""

    def __init__(
        self,
        url: str,
        auth: GateAuth | None = None,
        *,
        timeout: float = TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        clock = clock or SystemClock()
        self._transport = Transport(self.url, auth or GateAuth(), timeout=timeout, clock=clock)
        self.configs = Configs(Transport(self.url, auth or GateAuth(), timeout=max(timeout, SAVED_WITHIN), clock=clock))
        self._scores = Scores()
        self._config_ids: dict[tuple[str, str], str] = {}

    @property
    def scores(self) -> "Scores":
        """What is known of canaries that run."""
        return self._scores

    def absence(self) -> GateTrouble | None:
        """Why nothing can be asked of it now, where it has not answered for a while; None: it answers, or may.

        Asks nothing but, when the time for it has come, whether it is there again.
        """
        if not self._transport.breaker.is_open:
            return None
        try:
            self._transport.exchange(_WHO)
        except GateTrouble as trouble:
            return None if trouble.answered else trouble
        return None

    def trigger(
        self, application: str, pipeline: str, body: Mapping[str, Any], lease: Lease, *, urgent: bool = False
    ) -> Result:
        """Start a pipeline (name or id) through the v1 trigger: synchronous, and the trigger arrives as it was sent."""
        path = f"/pipelines/{quote(application, safe='')}/{quote(pipeline, safe='')}"
        what = f"start pipeline {pipeline} of {application}"
        try:
            answer = self._transport.exchange(
                Question(method="POST", path=path, what=what, body=body, lease=lease, urgent=urgent)
            )
        except GateRefused as refused:
            return Refused(status=refused.status, sentence=str(refused))
        except GateTrouble as trouble:
            return Unknown(sentence=str(trouble), sent=not trouble.untouched)
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

    def search(
        self, application: str, pipeline: str | None, event_id: str, since: datetime, *, urgent: bool = False
    ) -> list[Execution]:
        """Executions that carry our event id, earliest first. `pipeline` None: of every pipeline of the application.

        Orca loads all that was built `since`, so that is not to be long ago. It may name one of them many times.
        """
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
        answer = self._transport.exchange(Question(method="GET", path=path, what=what, params=params, urgent=urgent))
        return _earliest_first(self._executions(answer, what))

    def newest(
        self, application: str, pipeline: str, event_id: str, since: datetime, *, once: bool = False
    ) -> list[Execution]:
        """Those of the newest executions of a pipeline (its name or id) that carry our event id, earliest first.

        None where Gate does not show the pipeline: whoever starts it will hear why. With `once`, for what must not be
        done a second time, more of them are read, and a Gate that refuses to show the pipeline is `GateTrouble`.
        """
        what = f"show the newest executions of pipeline {pipeline} of {application}"
        config = self._config_id(application, pipeline, once=once)
        if config is None:
            return []
        limit = ONCE_AT_MOST if once else EARLIER_AT_MOST
        params = {"pipelineConfigIds": config, "limit": str(limit), "expand": "false"}
        answer = self._transport.exchange(Question(method="GET", path="/executions", what=what, params=params))
        found = zip(self._executions(answer, what), answer, strict=True)
        began = int(since.timestamp() * 1000)
        mine = (
            one for one, raw in found if _trigger(raw).get("eventId") == event_id and (one.build_time or 0) >= began
        )
        return _earliest_first(mine)

    def _config_id(self, application: str, pipeline: str, *, once: bool) -> str | None:
        """The id of a pipeline's configuration; kept, since it is good for looking back only."""
        if (application, pipeline) not in self._config_ids:
            try:
                found = self.config_id(application, pipeline)
            except GateRefused as refused:
                if once:
                    raise GateTrouble(str(refused)) from None
                return None
            if found is None:
                return None
            self._config_ids[application, pipeline] = found
        return self._config_ids[application, pipeline]

    def running(self, application: str, key_prefix: str, since: datetime) -> dict[str, Execution]:
        """Executions that have not ended and whose correlation id begins with the prefix, by that id.

        The statuses are Orca's `ExecutionStatus` that are not complete. Where there are more than fit into one answer
        the rest is asked for by time, on both sides of what came: a later page by index may come back empty though
        there is more, and stores differ in which end they begin at (`TaskController.searchForPipelinesByTrigger`).
        """
        keyed: dict[str, tuple[str, Execution]] = {}
        spans: list[tuple[int, int | None]] = [(int(since.timestamp() * 1000), None)]
        while spans:
            begins, ends = spans.pop()
            page = self._running_between(application, begins, ends)
            fresh = {one.id: (key, one) for key, one in page if one.id not in keyed}
            keyed |= fresh
            if len(page) >= RUNNING_AT_MOST and fresh:
                times = [one.build_time or 0 for _, one in page]
                spans += [(begins, min(times)), (max(times), ends)]
        return {key: one for key, one in keyed.values() if key.startswith(key_prefix)}

    def _running_between(self, application: str, begins: int, ends: int | None) -> list[tuple[str, Execution]]:
        params = {
            "triggerTypes": "manual",
            "statuses": ",".join(sorted(INCOMPLETE)),
            "triggerTimeStartBoundary": str(begins),
            "size": str(RUNNING_AT_MOST),
            "expand": "false",
            **({} if ends is None else {"triggerTimeEndBoundary": str(ends)}),
        }
        what = f"search the executions of {application}"
        path = f"/applications/{quote(application, safe='')}/executions/search"
        answer = self._transport.exchange(Question(method="GET", path=path, what=what, params=params))
        found = zip(self._executions(answer, what), answer, strict=True)
        return [(str(_trigger(raw).get("correlationId") or ""), one) for one, raw in found]

    def unended(self, config_ids: Sequence[str], *, urgent: bool = False) -> list[Mapping[str, Any]]:
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
        question = Question(method="GET", path="/executions", what=what, params=params, urgent=urgent)
        answer = self._transport.exchange(question)
        list(self._executions(answer, what))  # an empty body is no answer
        return list(answer)

    def config_id(self, application: str, pipeline: str, *, urgent: bool = False) -> str | None:
        """The id of a pipeline's configuration, by its name or id; None where Gate does not show it."""
        if LOOKS_LIKE_ID.fullmatch(pipeline):
            return pipeline
        what = f"show pipeline {pipeline} of {application}"
        path = f"/applications/{quote(application, safe='')}/pipelineConfigs/{quote(pipeline, safe='')}"
        try:
            answer = self._transport.exchange(Question(method="GET", path=path, what=what, urgent=urgent))
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
        """Ask for an execution's end. Gate accepts even what it then does not do: look again afterwards.

        One that it does not know is no refusal: whether it is gone, or a replica lags, is for that look to see.
        """
        ask = Question(
            method="PUT",
            path=f"/pipelines/{quote(execution, safe='')}/cancel",
            what=f"cancel execution {execution}",
            params={"reason": reason},
            lease=lease,
            urgent=True,  # what is ended may be doing harm
        )
        try:
            self._transport.exchange(ask)
        except GateRefused as refused:
            if refused.status == 404:
                return Accepted(ref=execution)
            return Refused(status=refused.status, sentence=str(refused))
        except GateTrouble as trouble:
            return Unknown(sentence=str(trouble))
        return Accepted(ref=execution)

    def user(self) -> str:
        """Whom Gate takes us for; an empty text where it does not say."""
        answer = self._transport.exchange(_WHO)
        return str(answer.get("username") or "") if isinstance(answer, Mapping) else ""

    def _executions(self, answer: Any, what: str) -> Iterator[Execution]:
        """A 200 without a body is how Gate passes on a failure of Orca (`PipelineController`, any code but 404)."""
        if answer is None or answer == [None]:
            raise GateTrouble(ailing(what, "200 with an empty body, which stands for trouble behind it"))
        if not isinstance(answer, list) or not all(isinstance(one, Mapping) and one.get("id") for one in answer):
            raise GateTrouble(ailing(what, "its answer is no execution"))
        yield from (of_answer(one) for one in answer)


class Scores:
    """How far canaries are, by execution: the number of analyses done, and what is said of them. A few hundred."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, tuple[int, str]] = {}

    def get(self, execution: str) -> tuple[int, str] | None:
        """The last that was noted."""
        with self._lock:
            return self._known.get(execution)

    def put(self, execution: str, said: tuple[int, str]) -> None:
        """Note it; the oldest of too many is forgotten, and read again."""
        with self._lock:
            self._known.pop(execution, None)
            self._known[execution] = said
            if len(self._known) > SCORES_AT_MOST:
                del self._known[next(iter(self._known))]


class Gates:
    """The Gates by URL, with the credentials that settings give for each; one without any is asked unsigned."""

    def __init__(
        self,
        auth: Mapping[str, GateAuth],
        *,
        timeout: float = TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        self._auth = {url.rstrip("/"): one for url, one in auth.items()}
        self._timeout = timeout
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._gates: dict[str, Gate] = {}

    def at(self, url: str) -> Gate:
        """The Gate at that URL."""
        url = url.rstrip("/")
        with self._lock:
            if url not in self._gates:
                auth = self._auth.get(url)
                self._gates[url] = Gate(url, auth, timeout=self._timeout, clock=self._clock)
            return self._gates[url]


def _trigger(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    trigger = raw.get("trigger")
    return trigger if isinstance(trigger, Mapping) else {}


def _earliest_first(executions: Iterable[Execution]) -> list[Execution]:
    """Each once."""
    return sorted({one.id: one for one in executions}.values(), key=lambda one: (one.build_time or 0, one.id))


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
