"""Reading the body of a request that nobody vouches for: up to a cap, in time, and no further."""

import asyncio

from starlette.requests import ClientDisconnect, Request

SLOWEST = 5.0  # seconds for a whole body


class Unread(Exception):
    """The body was not read; with the status and the sentence of the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def read(request: Request, cap: int, within: float = SLOWEST) -> bytes:
    """The body, at most `cap` bytes of it in memory. Raises `Unread`.

    What the sender says of the length only shortens the way: what arrives is counted.
    """
    if int(request.headers.get("content-length", "0")) > cap:  # h11 lets nothing but digits through
        raise Unread(413, f"the body is over {cap} bytes")
    try:
        async with asyncio.timeout(within):
            return await _counted(request, cap)
    except TimeoutError:
        raise Unread(408, f"the body did not come within {within:g} s") from None
    except ClientDisconnect:
        raise Unread(400, "the body ended too soon") from None


async def _counted(request: Request, cap: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > cap:
            raise Unread(413, f"the body is over {cap} bytes")
    return bytes(body)
