"""The four stories: what a person does, and everything that has to be seen after it. All of it is checked for real."""

from collections.abc import Callable
from dataclasses import dataclass

from fairlead_sandbox.demo.checks import Check, all_ready, noted, nothing_pending, ran, said, serves, waved
from fairlead_sandbox.demo.stage import Stage
from reconciler.record import State

FLEET = "prod/checkout"
GOOD, BAD = "1.4.2", "1.5.0"
CHANGED = "prod/catalog"  # another one: its healing is told on another commit
CHANGED_REGION, BY_HAND = "eu-west-1", "1.9.0"


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
    does="start the controller, its ledger empty",
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
        does=f"merge a pull request to {GOOD}",
        act=bump,
        expects=(
            Expectation(what="pipeline in us-east-1, first wave", check=ran(FLEET, "us-east-1", GOOD, "SUCCEEDED")),
            Expectation(
                what="after the soak, pipeline in eu-west-1",
                check=waved(FLEET, GOOD, first="us-east-1", second="eu-west-1", soak=2.0),
            ),
            Expectation(what=f"both regions serve {GOOD}", check=serves(FLEET, GOOD)),
            Expectation(what="success on the commit", check=said("bump", FLEET, State.SUCCESS, f"{GOOD} on 2/2 units")),
        ),
        happened=f"{GOOD} rolled out in two waves, success on the commit",
    ),
    Story(
        title="A version fails its health check",
        does=f"merge a pull request to {BAD}, a sick version",
        act=bump_to_bad,
        expects=(
            Expectation(what="its pipeline fails in us-east-1", check=ran(FLEET, "us-east-1", BAD, "TERMINAL")),
            Expectation(what="tried again, fails again", check=ran(FLEET, "us-east-1", BAD, "TERMINAL", times=2)),
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
        does="merge a pull request that reverts it",
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
        does=f"put {BY_HAND} on {CHANGED} in {CHANGED_REGION}",
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

ALL = (OPENING, *STORIES)  # numbered from 0
