"""Which open pull requests are planned: those of people who can write here first, of others a few of each. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from desired_state.model import Sha
from reconciler.reviews import Pull

MOST = 50  # open pull requests of this repository that are planned: the newest
THEIRS = 20  # of other repositories
EACH = 5  # of those, of one author
TOLD = 100  # of the rest, that are told so
SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Of the open ones, insiders first and then newest first."""

    open: tuple[Pull, ...] = ()
    planned: tuple[Pull, ...] = ()
    rest: tuple[Pull, ...] = ()
    shared: frozenset[Sha] = frozenset()  # heads that an insider and an outsider both propose

    @property
    def heads(self) -> frozenset[tuple[int, Sha]]:
        """All open ones."""
        return frozenset((pull.number, pull.head) for pull in self.open)

    def speaks(self, pull: Pull) -> bool:
        """Whether its verdict stands on the commit: an outsider's not beside an insider's, who sees more."""
        return not (pull.outside and pull.head in self.shared)


def choose(shown: Iterable[Pull], branch: str) -> Choice:
    """Those open against the branch, with a head that can be one."""
    against = (pull for pull in shown if pull.open and pull.base == branch)
    pulls = [pull for pull in against if pull.number > 0 and SHA.fullmatch(pull.head)]
    pulls.sort(key=lambda pull: (pull.outside, -pull.number))
    ours = [pull for pull in pulls if not pull.outside]
    theirs = [pull for pull in pulls if pull.outside]
    planned = [*ours[:MOST], *islice(_few_of_each(theirs), THEIRS)]
    numbers = {pull.number for pull in planned}
    return Choice(
        open=tuple(pulls),
        planned=tuple(planned),
        rest=tuple(pull for pull in pulls if pull.number not in numbers)[:TOLD],
        shared=frozenset(pull.head for pull in ours) & frozenset(pull.head for pull in theirs),
    )


def _few_of_each(pulls: Iterable[Pull]) -> Iterator[Pull]:
    seen: Counter[str] = Counter()
    for pull in pulls:
        seen[pull.author] += 1
        if seen[pull.author] <= EACH:
            yield pull


def left_out(pull: Pull) -> str:
    """Why one of the rest is not planned."""
    if pull.outside:
        return f"not planned: of other repositories only the newest {THEIRS} are, and {EACH} of one author"
    return f"not planned: only the newest {MOST} open pull requests are"
