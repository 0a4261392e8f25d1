"""The four stories: what a person does, and everything that has to be seen after it. All of it is checked for real."""

from collections.abc import Callable
from dataclasses import dataclass

from fairlead_sandbox.demo.scene import Scene
from fairlead_sandbox.demo.stage import Run, Stage
from reconciler.record import State

FLEET = "prod/checkout"
GOOD, BAD = "1.4.2", "1.5.0"
CHANGED = "prod/catalog"  # another one: its healing is told on another commit
CHANGED_REGION, BY_HAND = "eu-west-1", "1.9.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Whether it is so, and what was seen instead or as proof, in words."""

    so: bool
    words: str


Check = Callable[[Stage, Scene], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Something that has to become true within so many seconds."""

    what: str
    check: Check
    within: float = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`act` does something and says what it did; then each expectation is awaited in turn."""

    title: str
    does: str
    act: Callable[[Stage], str]
    expects: tuple[Expectation, ...]
    happened: str  # the summary, once it all did


# ── what is looked at ────────────────────────────────────────────────────────────────────────────────────────────


def all_ready(count: int) -> Check:
    """So many fleets are known, and each is ready."""

    def check(stage: Stage, scene: Scene) -> Seen:
        ready = [fleet for fleet in scene.fleets if fleet.ready]
        rest = ", ".join(f"{each.name} {each.stands} ({each.reason})" for each in scene.fleets if not each.ready)
        so = len(scene.fleets) == count == len(ready)
        return Seen(so=so, words=f"{len(ready)} of {len(scene.fleets)} fleets ready" + (f"; not: {rest}" * bool(rest)))

    return check


def said(commit: str, fleet: str, state: State, *words: str) -> Check:
    """The commit's note has that state for the fleet, with these words in it."""

    def check(stage: Stage, scene: Scene) -> Seen:
        view = scene.commit(stage.commits[commit])
        line = view.status(f"fairlead/{fleet}") if view else None
        if line is None:
            return Seen(so=False, words=f"no status on {stage.commits[commit][:7]}")
        filled = [word.format(**{name: sha[:7] for name, sha in stage.commits.items()}) for word in words]
        so = line.state is state and all(word in line.description for word in filled)
        return Seen(so=so, words=f"{line.state}: {line.description}")

    return check


def ran(region: str, version: str, status: str, times: int = 1) -> Check:
    """Gate ran the fleet's pipeline so often for a region and version, each time with that end."""

    def check(stage: Stage, scene: Scene) -> Seen:
        runs = [run for run in stage.runs(FLEET) if (run.version, run.region) == (version, region)]
        ended = [run for run in runs if run.status == status]
        return Seen(so=len(ended) >= times, words=_runs(runs))

    return check


def waved(version: str, first: str, second: str) -> Check:
    """The second region's pipeline began after the first one's had ended, and both succeeded."""

    def check(stage: Stage, scene: Scene) -> Seen:
        runs = {run.region: run for run in stage.runs(FLEET) if run.version == version and run.status == "SUCCEEDED"}
        if not {first, second} <= runs.keys():
            return Seen(so=False, words=_runs([run for run in stage.runs(FLEET) if run.version == version]))
        pause = (runs[second].began - (runs[first].ended or runs[second].began)) / 1000
        return Seen(so=pause > 0, words=f"{second} began {pause:.1f} s after {first} had ended")

    return check


def serves(fleet: str, version: str) -> Check:
    """AWS says that this version, and no other, is in service in every region, and the fleet says the same."""

    def check(stage: Stage, scene: Scene) -> Seen:
        view = scene.fleet(fleet)
        if view is None or (view.runs, view.healthy) != (version, True):
            return Seen(so=False, words=f"{fleet} runs {view.runs or 'nothing yet'}" if view else f"no fleet {fleet}")
        found = stage.versions(fleet)
        words = ", ".join(f"{region} {'+'.join(sorted(versions)) or 'nothing'}" for region, versions in found.items())
        return Seen(so=all(versions == {version} for versions in found.values()), words=words)

    return check


def noted(fleet: str, kind: str, *words: str) -> Check:
    """The fleet's history has a line of that kind with these words."""

    def check(stage: Stage, scene: Scene) -> Seen:
        events = stage.history(fleet)
        found = next((e for e in events if e.kind == kind and all(word in e.message for word in words)), None)
        if found is not None:
            return Seen(so=True, words=found.message)
        newest = f"{events[0].kind}: {events[0].message}" if events else "nothing"
        return Seen(so=False, words=f"newest in its history: {newest}")

    return check


def nothing_pending(stage: Stage, scene: Scene) -> Seen:
    """No commit has a status that still waits."""
    waiting = [
        f"{line.context} on {commit.short}"
        for commit in scene.commits
        for line in commit.lines
        if line.state is State.PENDING
    ]
    statuses = sum(len(commit.lines) for commit in scene.commits)
    return Seen(so=not waiting, words=f"pending: {', '.join(waiting)}" if waiting else f"{statuses} statuses, all final")


def _runs(runs: list[Run]) -> str:
    return ", ".join(f"{run.version} in {run.region}: {run.status}" for run in runs) or "no pipeline was started"


# ── what is done ─────────────────────────────────────────────────────────────────────────────────────────────────


def bump(stage: Stage) -> str:
    """The good version."""
    return f"merged as {stage.merge_bump('bump', FLEET, GOOD)[:7]}"


def bump_to_bad(stage: Stage) -> str:
    """The version whose instances never get healthy."""
    stage.world.gate.faults.on("unhealthy_version", version=BAD)
    return f"merged as {stage.merge_bump('bad', FLEET, BAD)[:7]}"


def revert(stage: Stage) -> str:
    """Take the bad one back."""
    return f"merged as {stage.merge_revert('revert', of='bad')[:7]}"


def change(stage: Stage) -> str:
    """Swap the launch template and the instances of one group."""
    return f"changed {stage.change_by_hand(CHANGED, CHANGED_REGION, BY_HAND)}"


OPENING = Story(
    title="Everything runs what Git says",
    does="start the controller on a ledger that is empty",
    act=lambda stage: f"process {stage.controller.pid}",
    expects=(
        Expectation(what="8 fleets are found and in sync", check=all_ready(8), within=60),
        Expectation(what="success on the commit", check=said("first", FLEET, State.SUCCESS, "already there")),
    ),
    happened="8 fleets in sync, nothing started",
)

STORIES = (
    Story(
        title="A version bump is merged",
        does=f"merge a pull request: {FLEET} to {GOOD}",
        act=bump,
        expects=(
            Expectation(what="pipeline in us-east-1, first wave", check=ran("us-east-1", GOOD, "SUCCEEDED")),
            Expectation(
                what="after the soak, pipeline in eu-west-1", check=waved(GOOD, first="us-east-1", second="eu-west-1")
            ),
            Expectation(what=f"both regions serve {GOOD}", check=serves(FLEET, GOOD)),
            Expectation(what="success on the commit", check=said("bump", FLEET, State.SUCCESS, f"{GOOD} on 2/2 units")),
        ),
        happened=f"{GOOD} rolled out in two waves, success on the commit",
    ),
    Story(
        title="A version fails its health check",
        does=f"merge a pull request: {FLEET} to {BAD}, whose instances never get healthy",
        act=bump_to_bad,
        expects=(
            Expectation(what="its pipeline fails in us-east-1", check=ran("us-east-1", BAD, "TERMINAL")),
            Expectation(what="tried again, fails again", check=ran("us-east-1", BAD, "TERMINAL", times=2)),
            Expectation(what=f"{BAD} is put into quarantine", check=noted(FLEET, "quarantined", BAD)),
            Expectation(what=f"rolled back: all serve {GOOD}", check=serves(FLEET, GOOD)),
            Expectation(
                what="failure on the commit",
                check=said("bad", FLEET, State.FAILURE, f"{BAD} failed", f"rolled back to {GOOD}"),
            ),
        ),
        happened=f"{BAD} tried, quarantined and rolled back to {GOOD}, failure on the commit",
    ),
    Story(
        title="The bad commit is reverted",
        does="merge a pull request: revert that commit",
        act=revert,
        expects=(
            Expectation(
                what="the revert says what it reverts",
                check=said("revert", FLEET, State.SUCCESS, f"rolled back to {GOOD}", "reverts {bad}"),
            ),
            Expectation(
                what="the reverted commit says by what",
                check=said("bad", FLEET, State.FAILURE, f"rolled back to {GOOD}", "reverted by {revert}"),
            ),
            Expectation(what="the quarantine is lifted", check=noted(FLEET, "quarantine-lifted", BAD)),
            Expectation(what=f"all serve {GOOD}, all ready", check=all_ready(8)),
        ),
        happened=f"Git and the fleet agree on {GOOD} again, both commits say so",
    ),
    Story(
        title="Somebody changes a group by hand",
        does=f"put {BY_HAND} on {CHANGED} in {CHANGED_REGION}, past Git and pipelines",
        act=change,
        expects=(
            Expectation(what="the drift is seen", check=noted(CHANGED, "rollout-started", "heal")),
            Expectation(what="healed: all serve 2.0.3", check=serves(CHANGED, "2.0.3")),
            Expectation(
                what="its commit says so", check=said("first", CHANGED, State.SUCCESS, "2.0.3", "drift healed")
            ),
            Expectation(what="nothing is left pending", check=nothing_pending),
        ),
        happened="drift seen and healed, the commit says so",
    ),
)
