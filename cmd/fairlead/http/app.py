"""The routes joined. No pages of documentation, no schema: what is not listed here is 404."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def make_app(routers: Sequence[APIRouter], count: Callable[[str, int], None]) -> ASGIApp:
    """The application of these routers; `count` hears the route and the status of every answer."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for router in routers:
        app.include_router(router)
    return Counted(app, count)


class Counted:
    """Tells of every answer."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int], None]) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        status = [500]

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._count(getattr(scope.get("route"), "path", "other"), status[0])
