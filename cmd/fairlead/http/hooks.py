"""`/hooks/<forge>`: somebody with a secret says that something moved. It is looked at at once; no more is believed.

The signature is checked before anything is parsed, over a body that is read up to a cap. Bodies are held by a bounded
number of requests, and what they make due is a name or two a repository, however many come.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from threading import Event

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from fairlead.http.asking import Away, in_time
from fairlead.http.bodies import Unread, read
from fairlead.http.hints import Hints
from fairlead.http.pushes import Heard, Receiver, Refusal
from fairlead.http.turns import NoTurn, Turns
from reconciler.loop import Log
from reconciler.ports import Clock

CAP = 1 << 20  # bytes of a body
AT_ONCE = 32  # bodies in memory
OF_ONE = 16  # of them from one address: a proxy in front is one too
TURN_WITHIN = 0.5  # seconds that a request waits for its turn
WRITTEN_WITHIN = 0.9  # seconds that it waits for the ledger
TOLD_EVERY = 60.0  # seconds: the log hears of each kind of trouble no more often
_UNREAD = {408: "too_slow", 413: "too_large"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a webhook."""

    status: int
    result: str
    why: str = ""


class Hooks:
    """Receives the webhooks of all forges, each by its own receiver."""

    def __init__(
        self,
        receivers: Mapping[str, Receiver],
        hints: Hints,
        stop: Event,
        clock: Clock,
        log: Log,
        count: Callable[[str, str], None],
    ) -> None:
        self._receivers, self._hints, self._stop = dict(receivers), hints, stop
        self._clock, self._log, self._count = clock, log, count
        self._turns = Turns(AT_ONCE, OF_ONE)
        self._told: dict[str, float] = {}

    @property
    def forges(self) -> tuple[str, ...]:
        """Those that somebody may sign for."""
        return tuple(self._receivers)

    async def receive(self, forge: str, request: Request) -> Answer:
        """Always an answer, within a second of the end of the body. `forge` is one of `forges`."""
        try:
            answer = await self._taken(self._receivers[forge], request)
        except Unread as unread:
            answer = Answer(status=unread.status, result=_UNREAD.get(unread.status, "cut_off"), why=str(unread))
        except NoTurn:
            answer = Answer(status=503, result="busy", why="too many webhooks at once: try again")
        except Refusal as refusal:
            answer = Answer(status=refusal.status, result="refused", why=str(refusal))
        except Away:
            why = "the ledger does not answer; what moved is polled all the same"
            answer = Answer(status=503, result="ledger_away", why=why)
        self._count(forge, answer.result)
        if answer.status >= 400:
            self._tell(forge, answer)
        return answer

    async def _taken(self, receiver: Receiver, request: Request) -> Answer:
        if self._stop.is_set():
            return Answer(status=503, result="stopping", why="the controller is shutting down")
        receiver.glance(request.headers)
        async with self._turn(request):
            heard = receiver.receive(await read(request, CAP), request.headers)
        if not heard.names:
            return Answer(status=200, result="ignored", why=heard.why)
        await self._note(receiver, heard)
        return Answer(status=202, result="queued")

    async def _note(self, receiver: Receiver, heard: Heard) -> None:
        noted = False
        try:
            await in_time(self._hints.add(heard.names), WRITTEN_WITHIN)
            noted = True
        finally:
            if not noted:
                receiver.forget(heard)

    def _turn(self, request: Request) -> AbstractAsyncContextManager[None]:
        peer = request.client.host if request.client else ""
        return self._turns.turn(peer, TURN_WITHIN)

    def _tell(self, forge: str, answer: Answer) -> None:
        now, kind = self._clock.monotonic(), f"{forge} {answer.result}"
        if now - self._told.get(kind, -TOLD_EVERY) >= TOLD_EVERY:
            self._told[kind] = now
            self._log.warning(
                "webhook not taken", forge=forge, result=answer.result, status=answer.status, why=answer.why
            )


def routes(hooks: Hooks) -> APIRouter:
    """A route a forge; what has no receiver has none."""
    router = APIRouter()
    for forge in hooks.forges:
        router.add_api_route(f"/hooks/{forge}", partial(_answer, hooks, forge), methods=["POST"], response_model=None)
    return router


async def _answer(hooks: Hooks, forge: str, request: Request) -> JSONResponse:
    answer = await hooks.receive(forge, request)
    said = {"result": answer.result, "why": answer.why}
    return JSONResponse(said, answer.status, headers=dict(_ending(answer)))


def _ending(answer: Answer) -> Iterator[tuple[str, str]]:
    """What is left of a body that was not read is not read either."""
    if answer.status >= 400:
        yield "connection", "close"
