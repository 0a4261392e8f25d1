"""What may be wrong with the forge's API: switches that a test or a person turns while it runs. Git goes on."""

from dataclasses import dataclass
from enum import StrEnum
from threading import Event, Lock

from fairlead_sandbox.forge.wire import Answer
from fairlead_sandbox.git_server import Cut

BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
LOGIN_PAGE = "<!DOCTYPE html><html><body><form action='/session' method='post'>Sign in</form></body></html>"


class Outage(StrEnum):
    """How the API is out."""

    NONE = ""
    RESET = "reset"  # the connection is cut
    BAD_GATEWAY = "bad_gateway"  # a proxy before it answers 502 with a page
    LOGIN_PAGE = "login_page"  # a proxy before it sends everybody to sign in


@dataclass(slots=True, kw_only=True)
class Burst:
    """The next `left` requests are not done and get this status, in the dialect's shape: 500, 403, 422, 429, 409."""

    status: int = 500
    left: int = 1
    retry_after: int | None = None  # seconds, as the header says it
    path: str = ""  # only requests whose path has this in it
    writes: bool = False  # only requests that write

    def takes(self, method: str, path: str) -> bool:
        """True where the request is one of them."""
        return self.left > 0 and self.path in path and (not self.writes or method != "GET")


_LOCK = Lock()


@dataclass(slots=True, kw_only=True)
class Faults:
    """They act on the next request."""

    outage: Outage = Outage.NONE
    slow: float = 0.0  # seconds before each answer
    stall: bool = False  # no answer until this is off
    lost_answers: int = 0  # so many writes take effect, and their connection is cut
    burst: Burst | None = None
    older: bool = False  # Gitea: an unknown commit is a 500 without words, not Forgejo's 404
    contended: int = 0  # GitLab: so many commit statuses are refused, for another update of it is in progress

    def before(self, stopped: Event) -> Answer | None:
        """What is answered instead; None where all is well. Raises `Cut`."""
        stopped.wait(self.slow)
        while self.stall and not stopped.wait(0.01):
            pass
        if self.outage is Outage.RESET:
            raise Cut
        if self.outage is Outage.BAD_GATEWAY:
            return Answer(status=502, body=BAD_GATEWAY)
        if self.outage is Outage.LOGIN_PAGE:
            return Answer(status=302, body=LOGIN_PAGE, headers={"Location": "/login"})
        return None

    def struck(self, method: str, path: str) -> Burst | None:
        """The burst that this request falls to."""
        with _LOCK:
            burst = self.burst
            if burst is None or not burst.takes(method, path):
                return None
            burst.left -= 1
            return burst

    def loses_answer(self) -> bool:
        """True for as many writes as were asked for."""
        with _LOCK:
            lost = self.lost_answers > 0
            self.lost_answers -= lost
        return lost

    def contends(self) -> bool:
        """True for as many commit statuses as were asked for."""
        with _LOCK:
            contended = self.contended > 0
            self.contended -= contended
        return contended
