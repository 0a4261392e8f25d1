"""What is asked of a forge, and what comes back, as plain data: a dialect makes the one and reads the other."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

APART = timedelta(seconds=10)  # two texts of a word, where a forge can only put another in its place


class Need(Enum):
    """What a call takes: the right that it is made with, and how far trouble with it reaches."""

    STATUSES = "statuses"
    COMMENTS = "comments"  # on pull requests
    DEPLOYMENTS = "deployments"
    CONTENTS = "contents"  # of a repository: its tags
    PULLS = "pull requests"  # listed
    PROPOSALS = "new pull requests"


class Fate(Enum):
    """What becomes of a word, and of those behind it."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # this word, for good
    ABSENT = "absent"  # its commit or tag is not there, or not yet
    EARLY = "early"  # what stands there is too new to be replaced; it waits without an attempt
    AILING = "ailing"  # nobody knows; perhaps the next one goes through
    LIMITED = "limited"  # too fast: the whole account rests
    LOCKED_OUT = "locked out"  # the account is not let in: people must help
    SHUT = "shut"  # the repository, or this need of it, is not to be had: people must help


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `path` begins with `/` and stands behind the API's address; `body` is sent as JSON.

    `project` is the repository at the forge that it concerns, `about` what in it, for sentences: `commit 1234abcd`.
    Answers with a status in `seen` come to who asked, whatever a dialect says of them. `look` is for those of them that
    do not tell what is wrong: it is asked next, and what is not there is said by its answer. A write that is of no use
    without the next one takes both turns at once, so that the word does not stop between them. `etag` is that of an
    answer that is known: 304 says that it still holds.
    """

    method: str
    path: str
    need: Need
    project: str
    about: str = ""
    body: Mapping[str, Any] | None = None
    seen: frozenset[int] = frozenset()
    look: "Call | None" = None
    turns: int = 1  # of the budget, for a write: 2 for itself and the next one, which has 0
    etag: str = ""

    @property
    def writes(self) -> bool:
        """It changes something: it is counted in the budget, made only under the lease, and may be in doubt."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: header names in lower case, the body as it was."""

    status: int
    headers: Mapping[str, str]
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


class NoSense(ValueError):
    """An answer that is not of the shape that it should have."""


# What is said in several calls: each is given back its answer, and only where that was taken or is `seen`.
Steps = Generator[Call, Answer, Verdict]
