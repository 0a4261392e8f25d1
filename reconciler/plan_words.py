"""A plan in words: what the command line, the status and the comment all say alike. Pure."""

from collections.abc import Iterator

from desired_state.changes import Change, Effect
from desired_state.version_order import goes_back
from reconciler.merge_plan import MergePlan
from reconciler.outlook import DEPLOYS, Outlook
from reconciler.record import State
from reconciler.speech import Word, clip, duration
from reconciler.work import Hold

MEANING = {
    Effect.ADDED: "managed from now on",
    Effect.REMOVED: "no longer managed; nothing is destroyed",
    Effect.DEPLOY: "deploys",
    Effect.SPEC: "deploys nothing; the next rollout goes another way",
    Effect.POLICY: "deploys nothing",
    Effect.BROKEN: "cannot be read; keeps its last good spec",
}
HELD = "other machines than before: held until `fairlead approve`"
GOES_BACK = "goes back to an earlier version"


def count(number: int, noun: str) -> str:
    """`1 fleet`, `2 fleets`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def headline(plan: MergePlan) -> str:
    """`3 fleets change: 2 deploy, 1 is removed`."""
    if plan.refused:
        return plan.refused
    if not plan.changes:
        return "no fleet changes"
    if len(plan.changes) == 1:
        return f"1 fleet changes: it {_single(plan.changes[0])}"
    deploys = len(plan.deploys)
    begins = f"{deploys} deploy{'s' if deploys == 1 else ''}" if deploys else "none deploys"
    return f"{len(plan.changes)} fleets change: " + ", ".join([begins, *_heavy(plan)])


def _single(change: Change) -> str:
    what = {Effect.REMOVED: "is removed", Effect.BROKEN: "cannot be read"}.get(change.effect)
    said = what or ("deploys" if change.effect in DEPLOYS else "does not deploy")
    return f"{said}, and needs approval" if change.identity_changed else said


def _heavy(plan: MergePlan) -> Iterator[str]:
    """What weighs more than a deploy, and is none."""
    approval = sum(change.identity_changed for change in plan.changes)
    if removed := sum(change.effect is Effect.REMOVED for change in plan.changes):
        yield f"{removed} {'is' if removed == 1 else 'are'} removed"
    if plan.broken:
        yield f"{len(plan.broken)} cannot be read"
    if approval:
        yield f"{approval} {'needs' if approval == 1 else 'need'} approval"


def reach(plan: MergePlan) -> str:
    """`3 of 40 fleets in 1 of 3 environments; 24 units`: how far it reaches."""
    touched = {change.fleet.partition("/")[0] for change in plan.changes}
    environments = len(touched | set(plan.environments))
    known = [plan.outlooks[change.fleet].units for change in plan.deploys if change.fleet in plan.outlooks]
    units = [number for number in known if number is not None]
    gone = sum(change.effect is Effect.REMOVED for change in plan.changes)
    text = f"{len(plan.changes)} of {count(plan.fleets + gone, 'fleet')}"
    text += f" in {len(touched)} of {count(environments, 'environment')}"
    if not units:
        return text
    more = "" if len(units) == len(plan.deploys) else f" on {count(len(units), 'fleet')}; others are not known"
    return f"{text}; {count(sum(units), 'unit')}{more}"


def versions(change: Change, arrow: str = "→") -> str:
    """`1.4.1 → 1.4.2`; the one version where it stays."""
    before, after = change.versions
    if before == after or change.effect is Effect.BROKEN:
        return before or ""
    return f"{before or 'nothing'} {arrow} {after or 'nothing'}"


def direction(change: Change) -> str:
    """A sentence on a version that is an earlier one, or may be; nothing else."""
    if change.before is None or change.after is None or change.versions[0] == change.versions[1]:
        return ""
    back = goes_back(change.before, change.after)
    return GOES_BACK if back else "whether that is an earlier version is not known" if back is None else ""


def hold_text(hold: Hold) -> str:
    """When it clears, as far as that is known."""
    if hold.until is not None:
        return f"clears {hold.until:%Y-%m-%d %H:%M} UTC"
    return "clears when somebody acts" if hold.stalled else ""


def expectation(change: Change, outlook: Outlook, *, history: bool) -> Iterator[str]:
    """Units and waves, and how long it may take."""
    if change.effect not in DEPLOYS:
        return
    waves = [f"wave {number}: {wave}" for number, wave in enumerate(outlook.waves, 1)]
    if outlook.units is not None:
        yield count(outlook.units, "unit") + (f" in {count(len(waves), 'wave')}" if waves else "")
    yield from waves
    if outlook.takes is not None:
        of = "its last rollout" if outlook.rollouts == 1 else f"the median of its last {outlook.rollouts} rollouts"
        yield f"takes about {duration(outlook.takes)}: {of}"
    elif history:
        yield "how long it takes: no history yet"


# ── the status ───────────────────────────────────────────────────────────────────────────────────────────────────


def word_of(plan: MergePlan) -> Word:
    """`fairlead/plan`: one line of at most 140 characters."""
    word = _trouble(plan) or Word(state=State.SUCCESS, text=_summary(plan))
    return Word(state=word.state, text=clip(word.text))


def _trouble(plan: MergePlan) -> Word | None:
    if plan.refused:
        return Word(state=State.ERROR, text=plan.refused)
    if plan.errors:
        stalled = len(plan.stalled)
        first, more = plan.errors[0], len(plan.errors) - 1
        begins = f"{count(stalled, 'fleet')} would stall: " if stalled else ""
        return Word(state=State.FAILURE, text=f"{begins}{first}" + (f" (+{more} more)" if more else ""))
    if broken := sorted(plan.broken):
        others = f" (+{len(broken) - 1} more)" if broken[1:] else ""
        return Word(
            state=State.FAILURE, text=f"{count(len(broken), 'fleet')} would stall: {broken[0]} cannot be read{others}"
        )
    if lacking := sorted(plan.lacking):
        change = next(change for change in plan.changes if change.fleet == lacking[0])
        finding = next(one for one in plan.images if one["fleet"] == lacking[0] and one["state"] == "missing")
        others = f" (+{len(lacking) - 1} more)" if lacking[1:] else ""
        what = finding.get("what", "AMI")
        return Word(state=State.FAILURE, text=f"no {what} for {change.fleet} {change.versions[1]}{others}")
    return None


def _summary(plan: MergePlan) -> str:
    deploys = plan.deploys
    if not deploys:
        return headline(plan)
    removed = sum(change.effect is Effect.REMOVED for change in plan.changes)
    others = len(plan.changes) - len(deploys) - removed
    more = [*_heavy(plan), *([f"{others} changed without a deploy"] if others else [])]
    aside = f" (and {', '.join(more)})" if more else ""
    return f"{count(len(deploys), 'fleet')}{aside}: " + ", ".join(
        f"{change.fleet} {versions(change, '->')}" for change in deploys
    )
