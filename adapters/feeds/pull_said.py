"""A plan as words for the outbox: the status on a head, and the one comment."""

from datetime import datetime

from reconciler.record import CommitStatus, Medium
from reconciler.reviews import PLAN, Pull
from reconciler.speech import Word, clip

COMMENT = "fairlead/plan comment"


def status_of(name: str, pull: Pull, word: Word, now: datetime) -> CommitStatus:
    """On the head."""
    return CommitStatus(
        repository=name,
        commit=pull.head,
        context=PLAN,
        state=word.state,
        description=clip(word.text),
        target_url=_address(pull.url),
        at=now,
    )


def comment_of(name: str, pull: Pull, word: Word, body: str, now: datetime) -> CommitStatus:
    """On the pull request. The forge finds its own comment again by the context."""
    return CommitStatus(
        repository=name,
        commit=f"pull/{pull.number}",
        context=COMMENT,
        state=word.state,
        description=clip(word.text),
        at=now,
        medium=Medium.COMMENT,
        body=body,
    )


def _address(url: str) -> str:
    return url if url.startswith(("https://", "http://")) and url.isprintable() and " " not in url else ""
