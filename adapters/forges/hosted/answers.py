"""What answers mean at every forge, in neutral words, and how a forge's own words are repeated.

They are passed on short, in one line, and without what we signed in with.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.forges.hosted.asking import Answer, Fate, NoSense, Verdict

SHORTEST_SECRET = 8  # characters: less is no token, and stands in many a word
SHOWN = 200  # characters of someone else's text in a message
_PACE = re.compile(r"rate limit|abuse detection|too many requests", re.IGNORECASE)
_NEXT = re.compile(r'<[^>]*>\s*;[^,]*\brel="?next\b', re.IGNORECASE)


def everywhere(title: str, answer: Answer, said: str, fix: str = "forge.auth") -> Verdict | None:
    """What means the same whatever was asked; None for what only the dialect can tell. `fix`: the settings to check."""
    status = answer.status
    if status == 401:
        message = f"{title} did not accept our sign-in (401{so(said)}); check {fix}"
        return Verdict(fate=Fate.LOCKED_OUT, message=message, answer=answer)
    if status == 429 or (status == 403 and _is_about_pace(answer, said)):
        return Verdict(fate=Fate.LIMITED, message=f"{title} limits our pace ({status}{so(said)})", answer=answer)
    if status >= 500 or status in {408, 425}:
        return Verdict(fate=Fate.AILING, message=unreachable(title, f"it answered {status}"), answer=answer)
    if is_page(answer) or status in {302, 303}:
        how = f"it answered {status} with a web page, or sent us to one; check forge.api and the proxies before it"
        return Verdict(fate=Fate.AILING, message=unreachable(title, how), answer=answer)
    if status < 300:
        return Verdict(fate=Fate.AILING, message=unreachable(title, f"it answered {status}"), answer=answer)
    return None


def is_page(answer: Answer) -> bool:
    """An API never answers with one: something else stands there."""
    head = answer.body[:200].lstrip().lower()
    return "html" in answer.headers.get("content-type", "") or head.startswith((b"<!doctype html", b"<html"))


def _is_about_pace(answer: Answer, said: str) -> bool:
    headers = answer.headers
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or bool(_PACE.search(said))


def unreachable(title: str, how: str) -> str:
    """The sentence for a road that does not lead to an answer that makes sense."""
    return f"{title} cannot be reached: {how}; statuses wait and are tried again"


def no_sense(title: str, answer: Answer) -> Verdict:
    """What an answer of another shape than the published one means."""
    message = unreachable(title, f"it answered {answer.status} with what makes no sense")
    return Verdict(fate=Fate.AILING, message=message, answer=answer)


# ── what stands in a body ────────────────────────────────────────────────────────────────────────────────────────


def message_in(body: bytes) -> str:
    """A forge's words in an error body, which may be missing, a page, or of any shape: `message` and `errors`."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, Mapping):
        return ""
    errors = found.get("errors")
    parts = [found.get("message"), *(map(_of_error, errors) if isinstance(errors, list) else ())]
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def _of_error(error: Any) -> Any:
    return error.get("message") or error.get("code") if isinstance(error, Mapping) else error


def redacted(text: str, secrets: Iterable[str]) -> str:
    """One line, short, printable, without our secrets."""
    text = without(text, secrets)
    text = "".join(each if each.isprintable() or each.isspace() else "?" for each in text)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def without(text: str, secrets: Iterable[str]) -> str:
    """The text, with `[secret]` in the place of each that is long enough to be one."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "[secret]")
    return text


def so(said: str) -> str:
    """`: what was said`, where anything was."""
    return f": {said}" if said else ""


def record_in(answer: Answer) -> Mapping[str, Any]:
    """The body as an object. Raises `NoSense`."""
    found = _parsed(answer)
    if not isinstance(found, Mapping):
        raise NoSense
    return found


def records_in(answer: Answer) -> Sequence[Mapping[str, Any]]:
    """The body as a list of objects. Raises `NoSense`."""
    found = _parsed(answer)
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise NoSense
    return found


def _parsed(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise NoSense from None


def has_next(answer: Answer) -> bool:
    """There is another page (RFC 8288, `rel="next"`)."""
    return bool(_NEXT.search(answer.headers.get("link", "")))
