"""What Gate answered, as typed results and as sentences that people may read on a commit.

Gate passes on the messages of servers behind it, with their internal URLs: those are taken out, and so are our secrets.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler.ports import Unreadable
from reconciler.reasons import Reason

SHOWN = 300  # characters of someone else's text in a message
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s,;\"')\]]+", re.IGNORECASE)
_HOST = re.compile(
    r"\b[\w.-]+\.(?:internal|local|svc|cluster\.local)(?::\d+)?\b"
    r"|\bspin-[a-z0-9-]+(?:\.[\w.-]+)?(?::\d+)?"  # as Spinnaker's own installers name its servers
    r"|\b[a-z][\w.-]*:\d{4,5}\b"
    r"|\b(?:10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}(?::\d+)?\b",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"\s+")


class GateTrouble(Unreadable):
    """Gate did not give what was asked; the message is a sentence. It may work later."""

    reason = Reason.GATE_UNREACHABLE
    answered = True  # Gate itself was there, whatever it said
    untouched = False  # nothing was done for us, without a doubt


class GateAbsent(GateTrouble):
    """Nothing at all came from Gate, or only what stands in front of it spoke. `how` in a few words."""

    answered = False

    def __init__(self, sentence: str, how: str) -> None:
        super().__init__(sentence)
        self.how = how


class GateAway(GateTrouble):
    """Gate was not asked: it has not answered for a while, and it is not this request's turn to try."""

    answered = False
    untouched = True

    def __init__(self, sentence: str, retry_in: timedelta) -> None:
        super().__init__(sentence)
        self.retry_in = retry_in


class Throttled(GateTrouble):
    """Gate limits our pace: it was not asked, or answered 429."""

    reason = Reason.OBSERVATION_FAILED
    untouched = True

    def __init__(self, sentence: str, retry_in: timedelta, *, answered: bool) -> None:
        super().__init__(sentence)
        self.retry_in = retry_in
        self.answered = answered


class NotSignedIn(GateTrouble):
    """Gate takes us for a stranger. `answered` is False where it was not asked, since we have nothing to show it.

    `untouched`: it said so in a way that leaves no doubt, and nothing was done for us.
    """

    reason = Reason.OBSERVATION_FAILED

    def __init__(self, sentence: str, *, answered: bool = True, untouched: bool = False) -> None:
        super().__init__(sentence)
        self.answered = answered
        self.untouched = untouched


class GateRefused(GateTrouble):
    """Gate answered that it will not: a 4xx that is neither about signing in nor about pace."""

    reason = Reason.OBSERVATION_FAILED

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Gate took the request. `ref` is the execution's id; whether it runs is another question."""

    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Gate will not, and asking again gives the same. A terminal execution may have been recorded all the same."""

    status: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody can tell from the answer whether something was started (or it is certain that only later helps).

    `sent` is False where Gate certainly has nothing of it: it was not asked, or turned us away at its door.
    """

    sentence: str
    sent: bool = True


Result = Accepted | Refused | Unknown


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Someone else's text for our messages: one line, short, without URLs, internal hosts and our own secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = _HOST.sub("[host]", _URL.sub("[url]", _CONTROL.sub(" ", text))).strip()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def message_in(body: Any) -> str:
    """The message of Gate's error body, which may be missing or of any shape."""
    if not isinstance(body, Mapping):
        return ""
    said = body.get("message") or body.get("error") or ""
    return said if isinstance(said, str) else ""


def refusal(status: int, said: str, what: str) -> str:
    """The sentence for a 4xx."""
    because = f": {said}" if said else ""
    fix = {
        403: "; give Fairlead's user EXECUTE on the application",
        404: "; check `application` and `pipeline`",
    }.get(status, "")
    return f"Gate refused to {what} ({status}{because}){fix}"


def away(host: str, since: datetime, how: str) -> str:
    """The one sentence for everybody while a Gate does not answer."""
    return f"Gate at {host} does not answer since {since:%H:%M} UTC: {how}; nothing is started there"


def redirected(what: str, how: str) -> str:
    """The sentence for a redirect that leads to no login."""
    return f"Gate redirected us when asked to {what} ({how}); write the address that it answers at itself"


def without_credentials(how: str) -> str:
    """The sentence for something that we sign in with and do not have."""
    return f"there is nothing to sign in to Gate with: {how}; check the credentials set for this Gate"


def not_signed_in(what: str, how: str) -> str:
    """The sentence for a 401, a redirect to a login page, or an HTML page where JSON was due."""
    return f"Gate did not accept our sign-in when asked to {what} ({how}); check the credentials set for this Gate"


def throttled(what: str, reset: str) -> str:
    """The sentence for a 429; `reset` is Gate's own word for when it takes requests again, or empty."""
    return (
        f"Gate limits our pace and did not {what} (429{f', until {reset}' if reset else ''}); it is tried again later"
    )


def unreachable(what: str, how: str) -> str:
    """The sentence for a road that does not lead to an answer."""
    return f"Gate could not be asked to {what}: {how}; check its URL, the network and the proxy"


def ailing(what: str, how: str) -> str:
    """The sentence for a 5xx and for answers that make no sense."""
    return f"Gate failed when asked to {what} ({how}); it is tried again later"
