"""One pull request's plan: what Git says of the merge, and then what the world says of the fleets that it would move.

No system is asked about a fleet whose account, role, regions or selector only the pull request names.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from desired_state.changes import Change
from desired_state.model import DesiredState, Digest, Fleet, FleetName, Sha
from desired_state.parser import Parser
from desired_state.pull_mirror import Merge, PullMirror
from desired_state.tree_walk import WildTree
from reconciler.merge_plan import MergePlan, plan_of
from reconciler.outlook import DEPLOYS, Outlook, frees, from_git, outlook
from reconciler.plan_images import Finding, Look, image_findings
from reconciler.ports import Clock, Deployer, Ledger
from reconciler.record import Event, Record
from reconciler.reviews import Pull

FILES = 2_000  # that a pull request may change and be planned
BYTES = 4 * 1024 * 1024  # of their new content
FLEETS = 1_000  # that are looked at in the ledger, for one plan
HISTORIES = 40  # of them whose last rollouts are read
LINES = 200  # of a fleet's history
LOOKS = 20  # fleets whose images are asked for in one pass, for all plans together
LOOK_FOR = 20.0  # seconds that those may take
REMEMBERED = 5_000  # fleets at a target, of whose images something is known
SETTLED = frozenset({"found", "baked here"})

Said = Mapping[str, str]  # of one region
Where = tuple[object, ...]  # whom to ask, and for what


@dataclass(frozen=True, slots=True, kw_only=True)
class Merging:
    """Where the pull requests of a repository are fetched and merged, and what reads what comes of it.

    The parser is the branch's own: what it has read once is not read again. Of a stranger's files it keeps nothing.
    """

    mirror: PullMirror
    parser: Parser
    folder: str = ""  # of the repository, in which the desired state lies

    def declares(self, tree: Sha) -> DesiredState:
        """What a commit or a tree declares. Raises `GitError`."""
        return self.parser.beside(self.mirror.tree(tree).under(self.folder))


def by_git(
    merging: Merging, base: Sha, before: DesiredState, pull: Pull, refusals: MutableMapping[Sha, str]
) -> MergePlan:
    """What the branch would declare with the pull request merged, beside what it declares: `before`, at `base`.

    `refusals` remembers the heads that are not even merged, and why. Raises `GitError`.
    """
    refused = refusals.get(pull.head) or _unfit(merging.mirror, base, pull)
    if refused:
        refusals[pull.head] = refused
    merge = merging.mirror.merge(base, pull.head) if not refused else Merge()
    if refused or not merge.tree:
        why = refused or _conflict(merge.conflicts, pull)
        return MergePlan(head=pull.head, branch=pull.base, refused=why, outside=pull.outside)
    reader = replace(merging, parser=merging.parser.aside()) if pull.outside else merging
    return replace(plan_of(pull.head, pull.base, before, reader.declares(merge.tree)), outside=pull.outside)


def _conflict(paths: Sequence[str], pull: Pull) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"conflicts with {pull.base} in {paths[0]}{more}: merge {pull.base} into it, or rebase it"


def _unfit(mirror: PullMirror, base: Sha, pull: Pull) -> str:
    """Why it is not even merged; what it changes is measured where it left the branch."""
    left = mirror.left(base, pull.head)
    if not left:
        return f"it has no history in common with {pull.base}: begin it anew from there"
    try:
        files, size = mirror.weight(left, pull.head, FILES)
    except WildTree as wild:
        return str(wild)
    if files > FILES:
        return f"changes more than {FILES} files: too many to be planned; split it"
    if size > BYTES:
        return f"its files have more than {BYTES // 1024 // 1024} MiB: too much to be planned; split it"
    return ""


class Onlooker:
    """What the world says of plans. What was found of images is remembered, in this process only."""

    def __init__(
        self, ledger: Ledger, deployers: Mapping[str, Deployer], look: Look, clock: Clock, *, watches: bool = False
    ) -> None:
        self._ledger, self._deployers, self._look, self._clock = ledger, deployers, look, clock
        self._watches = watches
        self._found: dict[tuple[FleetName, Digest], tuple[Where | None, tuple[Said, ...]]] = {}
        self._left, self._until = LOOKS, 0.0

    def begin(self) -> None:
        """A pass begins: it may ask for as many images as any."""
        self._left, self._until = LOOKS, self._clock.monotonic() + LOOK_FOR

    def seen(self, repository: str, plan: MergePlan) -> MergePlan:
        """The plan with its outlooks. For an outsider's that is nothing but what the repository's files say."""
        now = self._clock.now()
        if plan.outside:
            return replace(plan, outlooks={change.fleet: from_git(change, now) for change in plan.changes})
        records = self._records(repository, plan)
        histories = self._histories([name for name in records if records[name].desired is not None])
        outlooks = {
            change.fleet: self._outlook(change, records.get(change.fleet), histories.get(change.fleet, ()))
            for change in _looked_at(plan)
        }
        images, unasked = self._images(plan)
        unseen = sum(change.fleet not in outlooks for change in plan.deploys)
        return replace(plan, outlooks=outlooks, images=images, unasked=unasked, unseen=unseen)

    def _records(self, repository: str, plan: MergePlan) -> dict[FleetName, Record]:
        """Of this repository's own fleets: a pull request may name one of another's."""
        found = self._ledger.load_many([change.fleet for change in _looked_at(plan)])
        return {record.name: record for record in found if record.repository == repository}

    def _histories(self, names: Sequence[FleetName]) -> dict[FleetName, Sequence[Event]]:
        return {name: self._ledger.history(name, LINES) for name in names[:HISTORIES]}

    def _outlook(self, change: Change, record: Record | None, history: Sequence[Event]) -> Outlook:
        if change.after is None:
            return Outlook()
        deployer = self._deployers[change.after.deploy_type]
        return outlook(change, record, deployer, history, self._clock.now(), watches=self._watches)

    def _images(self, plan: MergePlan) -> tuple[tuple[Finding, ...], int]:
        """What is known of them, and how many fleets nobody asked for."""
        found: list[Finding] = []
        unasked = 0
        for change in plan.deploys:
            said = self._asked(change, plan)
            unasked += not said
            found += said or ()
        return tuple(found), unasked

    def _asked(self, change: Change, plan: MergePlan) -> list[Finding] | None:
        """What is known of its images; None where nobody asked."""
        said = self._said(change.after) if change.after is not None and _is_where_it_was(change) else None
        return None if said is None else image_findings([change], plan.changes, lambda _: said)

    def _said(self, fleet: Fleet) -> tuple[Said, ...] | None:
        """Asked once for what is there, and again and again for what is not."""
        place = _whereabouts(fleet)
        key = (fleet.name, fleet.target_digest)
        known_at, known = self._found.get(key, (None, ()))
        here = known_at == place
        if here and all(one["state"] in SETTLED for one in known):
            return known
        if not self._left or self._clock.monotonic() > self._until:
            return known if here else None
        self._left -= 1
        if len(self._found) > REMEMBERED:
            self._found.clear()
        said = tuple(map(_without_words, self._look(fleet)))
        self._found[key] = (place, said)
        return said


def _looked_at(plan: MergePlan) -> list[Change]:
    """The changes that have an outlook."""
    wanted = (one for one in plan.changes if one.effect in DEPLOYS or one.identity_changed or frees(one))
    return list(islice(wanted, FLEETS))


def _is_where_it_was(change: Change) -> bool:
    """Everything that says whom to ask stands on the branch already."""
    before, after = change.before, change.after
    if before is None or after is None:
        return False
    return _whereabouts(before) == _whereabouts(after)


def _whereabouts(fleet: Fleet) -> tuple[object, ...]:
    sources = {package.name: package.source for package in fleet.packages}
    return fleet.environment, fleet.identity_digest, fleet.bakes, fleet.deploy_type, sources


def _without_words(said: Said) -> Said:
    """What AWS said against being asked may name roles and addresses."""
    return {**said, "message": "AWS could not be asked"} if said["state"] == "unknown" else said
