"""What an answer of GitHub means for the statuses that wait, as one of six fates, and as a sentence.

GitHub's own words are passed on short, in one line, and without what we signed in with.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

SHOWN = 200  # characters of someone else's text in a message
_SHUT = frozenset({403, 404, 410, 451})
_NO_COMMIT = re.compile(r"sha must be a 40 character", re.IGNORECASE)
_NOT_YET = re.compile(r"no commit found", re.IGNORECASE)
_FULL = re.compile(r"maximum number of statuses", re.IGNORECASE)
_ARCHIVED = re.compile(r"\barchived\b", re.IGNORECASE)
_PACE = re.compile(r"rate limit|abuse detection|too many requests", re.IGNORECASE)


class Fate(Enum):
    """What becomes of a status, and of those behind it."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # this word, for good
    ABSENT = "absent"  # its commit is not there, or not yet
    AILING = "ailing"  # nobody knows; perhaps the next one goes through
    LIMITED = "limited"  # too fast: the whole account rests
    LOCKED_OUT = "locked out"  # the account is not let in: people must help
    SHUT = "shut"  # the repository is not to be had: people must help


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: header names in lower case, the body as it was."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A fate, and why, as a sentence. `answer` is what it was told from, if anything came back."""

    fate: Fate
    message: str = ""
    answer: Answer | None = None
    in_doubt: bool = False  # it was sent, and may take effect yet


class Trouble(Exception):
    """Something kept us from an answer; `verdict` says what follows from it. The message is its sentence."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def verdict_on_status(answer: Answer, *, repository: str, commit: str, secrets: Iterable[str]) -> Verdict:
    """What the answer to `POST /repos/{owner}/{repo}/statuses/{sha}` means."""
    said = redacted(message_in(answer.body), secrets)
    if answer.status == 201:
        return Verdict(fate=Fate.DELIVERED, answer=answer)
    if answer.status == 422 and not _is_page(answer):
        fate = Fate.ABSENT if _NOT_YET.search(said) else Fate.REFUSED
        return Verdict(fate=fate, message=_refusal(said, commit), answer=answer)
    if trouble := _everywhere(answer, said):
        return trouble
    if answer.status not in _SHUT and answer.status >= 400:
        message = f"GitHub does not take the status now ({answer.status}{_so(said)}); it is tried again"
        return Verdict(fate=Fate.AILING, message=message, answer=answer)
    return Verdict(fate=Fate.SHUT, message=_shut(answer.status, said, repository), answer=answer)


def _shut(status: int, said: str, repository: str) -> str:
    if 300 <= status < 400:
        return f"GitHub says that {repository} has moved ({status}); set forge.repository to its new name"
    if status == 403 and _ARCHIVED.search(said):
        return f"{repository} is archived at GitHub and takes no statuses; unarchive it, or take it out of the settings"
    return {
        403: f"GitHub does not let us put statuses into {repository} (403{_so(said)}); give the token or the App "
        "`statuses: write` there (docs/forges.md)",
        404: f"GitHub shows us no repository {repository} (404); check forge.repository, and that the token or the App "
        "may see it",
    }.get(status, f"GitHub takes no statuses for {repository} ({status}{_so(said)}); ask its owner")


def verdict_on_sign_in(answer: Answer, *, secrets: Iterable[str]) -> Verdict:
    """What an answer other than 201 to `POST /app/installations/{id}/access_tokens` means."""
    said = redacted(message_in(answer.body), secrets)
    if trouble := _everywhere(answer, said, app=True):
        return trouble
    sentence = {
        404: "GitHub knows no such installation of the App (404); check forge.auth.installation_id and "
        "forge.auth.app_id",
        422: f"GitHub gives the App no token to write statuses with (422{_so(said)}); give it `statuses: write` and "
        "install it on the repository",
    }.get(answer.status, f"GitHub gives the App no token ({answer.status}{_so(said)}); check its installation")
    return Verdict(fate=Fate.LOCKED_OUT, message=sentence, answer=answer)


def _everywhere(answer: Answer, said: str, *, app: bool = False) -> Verdict | None:
    """What means the same whatever was asked."""
    status = answer.status
    if status == 401:
        fix = "forge.auth.app_id, forge.auth.private_key and this host's clock" if app else "forge.auth"
        message = f"GitHub did not accept our sign-in (401{_so(said)}); check {fix}"
        return Verdict(fate=Fate.LOCKED_OUT, message=message, answer=answer)
    if status == 429 or (status == 403 and _is_about_pace(answer, said)):
        return Verdict(fate=Fate.LIMITED, message=f"GitHub limits our pace ({status}{_so(said)})", answer=answer)
    if status >= 500 or status in {408, 425}:
        return Verdict(fate=Fate.AILING, message=unreachable(f"it answered {status}"), answer=answer)
    if _is_page(answer) or status in {302, 303}:
        how = f"it answered {status} with a web page, or sent us to one; check forge.api and the proxies before it"
        return Verdict(fate=Fate.AILING, message=unreachable(how), answer=answer)
    if status < 300:
        return Verdict(fate=Fate.AILING, message=unreachable(f"it answered {status}"), answer=answer)
    return None


def _is_page(answer: Answer) -> bool:
    """GitHub's API never answers with one: something else stands there."""
    head = answer.body[:200].lstrip().lower()
    return "html" in answer.headers.get("content-type", "") or head.startswith((b"<!doctype html", b"<html"))


def _is_about_pace(answer: Answer, said: str) -> bool:
    headers = answer.headers
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or bool(_PACE.search(said))


def _refusal(said: str, commit: str) -> str:
    if _NO_COMMIT.search(said) or _NOT_YET.search(said):
        return f"the repository has no commit {commit[:12]}: no status can be put on it"
    if _FULL.search(said):
        return f"GitHub takes no more statuses for commit {commit[:12]} under this context: 1,000 were said"
    return f"GitHub refused the status (422{_so(said)})"


def unreachable(how: str) -> str:
    """The sentence for a road that does not lead to an answer that makes sense."""
    return f"GitHub cannot be reached: {how}; statuses wait and are tried again"


def message_in(body: bytes) -> str:
    """GitHub's words in an error body, which may be missing, a page, or of any shape."""
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
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = "".join(each if each.isprintable() or each.isspace() else "?" for each in text)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _so(said: str) -> str:
    return f": {said}" if said else ""
