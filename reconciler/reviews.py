"""Pull requests (merge requests) as the rest of Fairlead sees them. A forge that has them implements `Reviews`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from desired_state.model import Sha

PLAN = "fairlead/plan"  # the context of the status on a pull request's head


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A pull request, as the forge shows it. What people wrote in it is shown, never believed."""

    number: int
    head: Sha
    base: str  # the branch that it wants to change
    branch: str  # that it comes from
    title: str
    author: str
    url: str
    outside: bool  # it comes from another repository: who wrote it may be nobody who can write here
    open: bool = True
    merged_as: Sha = ""  # the commit that it became
    commits: int = 1  # that it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a merged pull request; `pull` is its number, where that is known."""

    head: Sha
    pull: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A pull request to open, from a branch that was pushed."""

    branch: str
    base: str
    title: str
    body: str


@runtime_checkable
class Reviews(Protocol):
    """The pull requests of one repository."""

    @property
    def pull_ref(self) -> str:
        """Where the head of pull request `{number}` can be fetched with git, as `refs/pull/{number}/head`."""
        ...

    def pulls(self, base: str) -> Sequence[Pull]:
        """Those open against a branch, newest first, and those merged or closed lately. Raises `Unreadable`."""
        ...

    def propose(self, proposal: Proposal) -> Pull:
        """Open a pull request; where one is open from that branch already, give that. Raises `Unreadable`."""
        ...


class Reviewed(Reviews, Protocol):
    """Pull requests of which one can be followed, for one question a look."""

    def pull(self, number: int) -> Pull:
        """As it is now. Raises `Unreadable`."""
        ...
