"""What a forge's own module says: how each thing is asked there, and what the answers mean. It does no I/O.

Paths are made of checked parts: a dialect refuses a repository's name that could lead elsewhere, and quotes the rest.
Readers raise `NoSense` for a body that is not of the shape that the forge publishes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.forges.hosted.asking import Answer, Call, Steps, Verdict
from desired_state.model import Sha
from reconciler.record import CommitStatus
from reconciler.reviews import Proposal, Pull


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What of the further words a forge takes at all. Statuses it always takes."""

    comments: bool = True
    deployments: bool = True
    projects: bool = True  # statuses on other repositories


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much goes where. Characters are code points."""

    description: int  # characters of a status
    body: int  # characters of a comment
    words: int | None = None  # for one commit and context; None: no end is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment as the forge shows it."""

    id: int
    author: str  # as `Dialect.login_in` names accounts
    body: str


class Dialect(Protocol):
    """One forge. `project` is always a name that `checked` has let through."""

    @property
    def title(self) -> str:
        """As people call it, for sentences."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Sent with each request, beside the sign-in's."""
        ...

    @property
    def example(self) -> str:
        """Addresses that an API may have: `https://api.github.com or https://HOST/api/v3`."""
        ...

    @property
    def offers(self) -> Offers: ...
    @property
    def room(self) -> Room: ...
    @property
    def pull_ref(self) -> str:
        """See `reconciler.reviews.Reviews`."""
        ...

    def checked(self, repository: str) -> str:
        """The name, as the forge has it. Raises `BadAddress`."""
        ...

    def said(self, body: bytes) -> str:
        """The forge's own words in an error's body; empty where there are none."""
        ...

    def verdict(self, call: Call, answer: Answer, said: str) -> Verdict:
        """What an answer means: DELIVERED for each that says that the thing stands now, or that the question was
        answered. `said` are the forge's words, short and without secrets."""
        ...

    # ── statuses ──

    def status(self, project: str, commit: Sha, word: CommitStatus) -> Steps:
        """Set it: as many calls as it takes, of which the last writes. The description and the link fit already."""
        ...

    def shown(self, project: str, commit: Sha, page: int) -> Call:
        """Ask what stands on a commit, where contexts have come to their newest words; pages count from 1."""
        ...

    def shown_in(self, answer: Answer, commit: Sha) -> Sequence[CommitStatus]:
        """What it shows. Of one context several times the last counts."""
        ...

    def commit_of(self, project: str, tag: str) -> Call:
        """Ask for a tag, by its name without `refs/tags/`; 404 is in `seen`."""
        ...

    def commit_in(self, project: str, answer: Answer) -> Sha | Call:
        """The commit of a tag that was found, or what to ask next, as for annotated tags."""
        ...

    # ── comments ──

    def whoami(self, project: str) -> Call:
        """Ask whom the sign-in for this repository belongs to."""
        ...

    def login_in(self, answer: Answer) -> str:
        """The account's name, as it stands at its comments."""
        ...

    def comments(self, project: str, pull: int, page: int) -> Call:
        """A page of the comments of a pull request, oldest first; pages count from 1."""
        ...

    def comments_in(self, answer: Answer) -> Sequence[Comment]: ...
    def add_comment(self, project: str, pull: int, body: str) -> Call: ...
    def change_comment(self, project: str, pull: int, comment: int, body: str) -> Call: ...

    # ── deployments ──

    def deployments(self, project: str, commit: Sha, environment: str, page: int) -> Call:
        """A page of the deployments of a commit to an environment, at least; pages count from 1."""
        ...

    def deployment_in(self, answer: Answer, commit: Sha, environment: str, word: CommitStatus) -> int | None:
        """The one of ours in it that can still take the word."""
        ...

    def add_deployment(self, project: str, commit: Sha, environment: str, word: CommitStatus) -> Call: ...
    def deployment_made(self, answer: Answer) -> int: ...
    def tell_deployment(self, project: str, deployment: int, environment: str, word: CommitStatus) -> Call:
        """How it goes: by the word's state, or the stage `queued` or `inactive` that its body names."""
        ...

    # ── pull requests ──

    def pulls(self, project: str, base: str, *, is_open: bool, page: int) -> Call:
        """A page of the pull requests against a branch: the open ones newest first, the others last changed first."""
        ...

    def pulls_in(self, answer: Answer) -> Sequence[Pull]: ...
    def details(self, project: str, pull: Pull) -> Call | None:
        """Ask for what the list leaves out of a merged one; None where it leaves out nothing."""
        ...

    def detailed(self, pull: Pull, answer: Answer) -> Pull: ...
    def pulls_from(self, project: str, branch: str, base: str) -> Call:
        """The open ones from a branch of this repository."""
        ...

    def open_pull(self, project: str, proposal: Proposal) -> Call: ...
    def pull_made(self, answer: Answer) -> Pull: ...
    def one_pull(self, project: str, number: int) -> Call:
        """Ask for one; it is read by `pull_made`."""
        ...
