"""A desired-state repository: it answers, its branch reads as desired state, and statuses may be pushed.

The mirror that is handed in lies in a folder of the doctor's own: the controller's is not touched.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from adapters.doctor.findings import About, Finding
from desired_state.git_errors import GitError
from desired_state.mirror import NOTES, Mirror
from desired_state.model import DesiredState, Fleet, FleetName, Sha
from desired_state.parser import Parser
from desired_state.trees import Tree
from reconciler.ports import Clock

BRANCH = "refs/heads/fairlead/doctor"  # named as those of the commands are; it is never made
SLOW = 2.0  # seconds for one question: the poll asks it all day


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found of one repository, and the fleets that it declares, as far as they are sound."""

    findings: tuple[Finding, ...]
    fleets: tuple[Fleet, ...] = ()
    declared: frozenset[FleetName] = frozenset()


def look(name: str, mirror: Mirror, parser: Parser, clock: Clock, *, folder: str, pushes_notes: bool) -> Seen:
    """Ask for the head, fetch, parse, and begin pushes that send nothing."""
    about = About(check="git", name=name)
    findings: list[Finding] = []
    try:
        with mirror:
            findings.append(_reached(about, mirror, clock))
            head = mirror.fetch().sha
            tree = mirror.tree(head).under(folder)
            desired = parser.parse(tree)
            findings += [*_parsed(about, desired, head), _pushed(about, mirror, head, pushes_notes=pushes_notes)]
            if proposing := by_pull_request(parser, tree, desired.fleets.values()):
                findings.append(_branched(about, mirror, head, proposing, has_forge=not pushes_notes))
    except GitError as error:
        return Seen(findings=(*findings, about.failed(error)))
    return Seen(findings=tuple(findings), fleets=tuple(desired.fleets.values()), declared=desired.declared)


def _reached(about: About, mirror: Mirror, clock: Clock) -> Finding:
    began = clock.monotonic()
    head = mirror.remote_head()
    took = clock.monotonic() - began
    if head is None:
        return about.trouble(
            f"{mirror.url} has no branch {mirror.branch}", "push a first commit to it, or correct `branch`"
        )
    said = f"{mirror.url} has {mirror.branch} at {head[:7]}, told in {took * 1000:.0f} ms"
    return about.ok(said) if took < SLOW else about.warning(said, "look at the road to it: every poll asks this")


def _parsed(about: About, desired: DesiredState, head: Sha) -> Iterator[Finding]:
    said = f"{head[:7]} declares {len(desired.declared)} fleets"
    errors, warnings = len(desired.errors), len(desired.problems) - len(desired.errors)
    if errors:
        first = desired.errors[0]
        broken = f"; {len(desired.broken)} of them cannot be read" if desired.broken else ""
        yield about.trouble(f"{said}{broken}: {first}", "run `fairlead validate` in a clone, and mend what it names")
    elif warnings:
        yield about.warning(f"{said}, with {warnings} warnings: {desired.problems[0]}", "run `fairlead validate`")
    else:
        yield about.ok(said)


def _pushed(about: About, mirror: Mirror, head: Sha, *, pushes_notes: bool) -> Finding:
    """`--dry-run` signs in for a push and compares refs; rules for branches and hooks are asked by a real one only."""
    if not pushes_notes:
        return about.skipped("statuses go to the forge: nothing is pushed")
    code, _, _ = mirror.command.attempt("rev-parse", "--verify", "--quiet", NOTES)
    source = head if code else NOTES
    try:
        mirror.git("push", "--dry-run", "--quiet", "--", mirror.url, f"{source}:{NOTES}")
    except GitError as error:
        return about.trouble(f"statuses cannot be pushed: {error}", f"allow this user to push to {NOTES}")
    return about.ok(f"a push to {NOTES} may begin (hooks of the server are not tried)")


def by_pull_request(parser: Parser, tree: Tree, fleets: Iterable[Fleet]) -> list[str]:
    """The environments of these fleets that commands change by pull requests."""
    names = sorted({fleet.environment.name for fleet in fleets})
    found = ((name, parser.environment(tree, name)) for name in names)
    return [name for name, said in found if said and said.changes and said.changes.how == "pull-request"]


def _branched(about: About, mirror: Mirror, head: Sha, proposing: list[str], *, has_forge: bool) -> Finding:
    """Commands push the branch of a pull request by the repository's own `auth`."""
    environments = ", ".join(proposing)
    if not has_forge:
        seen = f"{environments} takes changes by pull request only, and git_notes has none: the commands refuse"
        return about.warning(seen, "set `forge.type`, or leave out `changes.how` there")
    try:
        mirror.git("push", "--dry-run", "--quiet", "--", mirror.url, f"{head}:{BRANCH}")
    except GitError as error:
        return about.warning(
            f"branches cannot be pushed, so no command opens a pull request for {environments}: {error}",
            "allow `auth` to push branches, or run the commands with another one",
        )
    said = f"a push of branches may begin, for pull requests of {environments}"
    return about.ok(f"{said} (rules of the server, and opening one, are not tried)")
