"""An answer's body in small pieces, so that neither its size nor its pace is for the other side to choose."""

import requests
import urllib3.exceptions

from reconciler.ports import Clock

PIECE = 64 * 1024  # bytes at most; what has come is taken at once


class Cut(Exception):
    """The body is too large, or takes too long; the message finishes "its answer is" or "the answer took"."""


class TooLarge(Cut):
    """More bytes than are taken."""


class TooSlow(Cut):
    """It goes on and on, however well each piece comes in time."""


def body_of(response: requests.Response, clock: Clock, *, within: float, largest: int) -> bytes:
    """The whole body, read `within` seconds (and one time-out of the request) and of `largest` bytes at most.

    Reading by length would wait for all of a piece, however it drips. Raises `Cut`, `requests.RequestException`.
    """
    until, content = clock.monotonic() + within, bytearray()
    try:
        while piece := response.raw.read1(PIECE, decode_content=True):
            content += piece
            if len(content) > largest:
                raise TooLarge(f"over {largest // 1024 // 1024} MiB")
            if clock.monotonic() > until:
                raise TooSlow(f"over {within:g} s")
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from None
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from None
    return bytes(content)
