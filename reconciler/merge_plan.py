"""What merging a pull request would do: the facts that a status, a comment and `fairlead plan` are written from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from desired_state.changes import Change, Effect, compare
from desired_state.model import DesiredState, FleetName, Problem, Severity, Sha
from reconciler.outlook import DEPLOYS, Outlook
from reconciler.plan_images import Finding, is_wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePlan:
    """The comparison of what the branch declares with what it would declare after the merge."""

    head: Sha
    branch: str  # that it would be merged into
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()  # that the merge would bring, errors first
    earlier: int = 0  # errors that are there without it
    fleets: int = 0  # declared after the merge
    environments: tuple[str, ...] = ()  # in order, after the merge
    refused: str = ""  # why nothing can be told, as a sentence: it conflicts, is too large
    images: tuple[Finding, ...] = ()
    unasked: int = 0  # fleets whose AMI was not looked for
    unseen: int = 0  # fleets that deploy and were not looked at: there are very many
    outlooks: Mapping[FleetName, Outlook] = field(default_factory=dict)
    outside: bool = False  # for a reader who may know only what the repository's files say

    @property
    def errors(self) -> tuple[Problem, ...]:
        """New ones that stop a fleet or a file."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)

    @property
    def deploys(self) -> tuple[Change, ...]:
        """The changes that move units."""
        return tuple(change for change in self.changes if change.effect in DEPLOYS)

    @property
    def lacking(self) -> frozenset[FleetName]:
        """Fleets whose image is not there, and would be waited for."""
        return frozenset(finding["fleet"] for finding in self.images if finding["state"] == "missing")

    @property
    def stalled(self) -> frozenset[FleetName]:
        """Fleets that an error of the merge would stop, whatever file it stands in."""
        return self.broken.union(*(problem.fleets for problem in self.errors))

    @property
    def broken(self) -> frozenset[FleetName]:
        """Fleets that can be read now, or are new, and could not be read after the merge."""
        return frozenset(change.fleet for change in self.changes if change.effect is Effect.BROKEN)

    @property
    def doubtful(self) -> tuple[Finding, ...]:
        """Images that are missing, or that nobody could look for."""
        return tuple(finding for finding in self.images if is_wrong(finding))


def plan_of(head: Sha, branch: str, before: DesiredState, after: DesiredState) -> MergePlan:
    """What a merge means by Git alone."""
    fresh = list(_fresh(before.problems, after.problems))
    earlier = {(problem.file, problem.message) for problem in before.problems}
    return MergePlan(
        head=head,
        branch=branch,
        changes=tuple(compare(before, after)),
        problems=tuple(sorted(fresh, key=lambda problem: (problem.severity is not Severity.ERROR, problem))),
        earlier=sum((problem.file, problem.message) in earlier for problem in after.errors),
        fleets=len(after.declared),
        environments=after.environments,
    )


def _fresh(before: Iterable[Problem], after: Iterable[Problem]) -> Iterator[Problem]:
    """What the merge brings: new problems, and old ones with the fleets that they harm only then. Lines may move."""
    known: dict[tuple[str, str], frozenset[FleetName]] = {}
    for problem in before:
        place = problem.file, problem.message
        known[place] = known.get(place, frozenset()).union(problem.fleets)
    for problem in after:
        harmed = known.get((problem.file, problem.message))
        if harmed is None:
            yield problem
        elif further := tuple(fleet for fleet in problem.fleets if fleet not in harmed):
            yield replace(problem, fleets=further)
