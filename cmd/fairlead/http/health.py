"""`/healthz`: the process is alive. `/readyz`: it can do its work. Cheap, open to all, and free of secrets."""

from collections.abc import Callable, Collection, Mapping
from threading import Event

from fastapi import APIRouter
from starlette.responses import JSONResponse

from fairlead.http.asking import Away, Question
from reconciler.ports import Clock

FRESH = 1.0  # seconds for which the ledger's answer serves


class Health:
    """What is wrong with this process, as sentences; none where all is well."""

    def __init__(
        self,
        ailments: Callable[[], Collection[str]],
        heads: Callable[[], Mapping[str, str]],
        repositories: Collection[str],
        stop: Event,
        clock: Clock,
    ) -> None:
        self._ailments = ailments
        self._heads = Question(heads, clock, FRESH)
        self._repositories = repositories
        self._stop = stop

    def ailments(self) -> tuple[str, ...]:
        """Why the process should be replaced. It asks nobody outside of it."""
        return tuple(self._ailments())

    async def lacks(self) -> tuple[str, ...]:
        """What it waits for before its word counts."""
        if self._stop.is_set():
            return ("the controller is shutting down",)
        try:
            known = await self._heads.answer()
        except Away:
            return ("the ledger does not answer within a second",)
        return tuple(
            f"repository {name} was never read: the log says why" for name in self._repositories if name not in known
        )

    def close(self) -> None:
        """Ask nothing any more."""
        self._heads.close()


def routes(health: Health) -> APIRouter:
    """The two routes."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return _said("alive", health.ailments())

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        return _said("ready", await health.lacks())

    return router


def _said(what: str, wrong: Collection[str]) -> JSONResponse:
    return JSONResponse({what: not wrong, "why": "; ".join(wrong)}, 503 if wrong else 200)
