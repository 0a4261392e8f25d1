"""Spinnaker's half of the stories: `prod/checkout`, a cluster in each of two regions, with the AMIs of staging."""

from fairlead_sandbox.demo.checks import (
    all_ready,
    baked,
    noted,
    nothing_ran,
    promoted,
    ran,
    restored,
    said,
    serves,
    tried_in,
    waved,
)
from fairlead_sandbox.demo.stage import SPINNAKER, Stage
from fairlead_sandbox.demo.story import Expectation, Track
from reconciler.record import State

FLEET, BAKER = "prod/checkout", "staging/checkout"
OLD, GOOD, BAD = "1.4.1", "1.4.2", "1.5.0"
CHANGED = "prod/catalog"  # another one: its healing is told on another commit
CHANGED_REGION, BY_HAND, HEALED = "eu-west-1", "1.9.0", "2.0.3"
SOAK = 2.0  # seconds, as services/checkout.yaml says
COUNT = 8  # fleets


# ── what is done ─────────────────────────────────────────────────────────────────────────────────────────────────


def bump(stage: Stage) -> str:
    """The good version."""
    return stage.merge_bump("bump", FLEET, GOOD, BAKER)


def bump_to_bad(stage: Stage) -> str:
    """The version whose instances never get healthy in prod, though they did in staging."""
    stage.world.gate.faults.on("unhealthy_version", version=BAD, cluster=stage.world.fleets[FLEET].cluster)
    return stage.merge_bump("bad", FLEET, BAD, BAKER)


def revert_bad(stage: Stage) -> str:
    """Take the bad one back."""
    return stage.merge_revert("revert", of="bad")


def revert_good(stage: Stage) -> str:
    """Take the good one back, too."""
    return stage.merge_revert("back", of="bump")


def change(stage: Stage) -> str:
    """Swap the launch template and the instances of one group."""
    return f"changed {stage.change_by_hand(CHANGED, CHANGED_REGION, BY_HAND)}"


# ── what has to be seen ──────────────────────────────────────────────────────────────────────────────────────────

OPENING = Track(
    by=SPINNAKER,
    does="start the controller, its ledger empty",
    act=lambda stage: f"process {stage.controller.pid}",
    expects=(
        Expectation(what=f"{COUNT} fleets are found and in sync", check=all_ready(COUNT, SPINNAKER), timed=True),
        Expectation(what="success on the commit", check=said("first", FLEET, State.SUCCESS, "already there")),
        Expectation(what="nothing was deployed", check=nothing_ran),
    ),
    outcome=f"{COUNT} fleets in sync",
)

BUMP = Track(
    by=SPINNAKER,
    does=f"merge a bump to {GOOD}, staging and prod",
    act=bump,
    expects=(
        Expectation(what="staging bakes it, for all regions", check=baked(BAKER, GOOD)),
        Expectation(what="pipeline in us-east-1, first wave", check=ran(FLEET, "us-east-1", GOOD, "SUCCEEDED")),
        Expectation(
            what="after the soak, pipeline in eu-west-1",
            check=waved(FLEET, GOOD, first="us-east-1", second="eu-west-1", soak=SOAK),
        ),
        Expectation(what=f"both regions serve {GOOD}, healthy", check=serves(FLEET, GOOD), timed=True),
        Expectation(what="as the AMIs of staging, none baked", check=promoted(FLEET, GOOD, BAKER)),
        Expectation(
            what="success on the commit",
            check=said("bump", FLEET, State.SUCCESS, f"{GOOD} as ami-", "baked in staging", "on 2/2 units"),
        ),
    ),
    outcome=f"2/2 regions at {GOOD}",
)

FAILURE = Track(
    by=SPINNAKER,
    does=f"merge a bump to {BAD}, sick in prod",
    act=bump_to_bad,
    expects=(
        Expectation(what="its pipeline fails in us-east-1", check=ran(FLEET, "us-east-1", BAD, "TERMINAL")),
        Expectation(what="tried again, fails again", check=ran(FLEET, "us-east-1", BAD, "TERMINAL", times=2)),
        Expectation(what=f"{BAD} is put into quarantine", check=noted(FLEET, "quarantined", BAD)),
        Expectation(what=f"rolled back: all serve {GOOD}", check=serves(FLEET, GOOD), timed=True),
        Expectation(
            what="failure on the commit",
            check=said("bad", FLEET, State.FAILURE, f"{BAD} failed", f"rolled back to {GOOD}"),
        ),
        Expectation(what="the other region never tried it", check=tried_in(FLEET, BAD, "us-east-1")),
        Expectation(what="staging has taken it well", check=serves(BAKER, BAD)),
    ),
    outcome="stopped at 1/2 regions",
)

REVERT = Track(
    by=SPINNAKER,
    does="merge a revert of the bad commit",
    act=revert_bad,
    expects=(
        Expectation(
            what="the revert says what it reverts",
            check=said("revert", FLEET, State.SUCCESS, f"rolled back to {GOOD}", "reverts {bad}"),
            timed=True,
        ),
        Expectation(
            what="the reverted commit says by what",
            check=said("bad", FLEET, State.FAILURE, f"rolled back to {GOOD}", "reverted by {revert}"),
        ),
        Expectation(what="the quarantine is lifted", check=noted(FLEET, "quarantine-lifted", BAD)),
        Expectation(what=f"all serve {GOOD}", check=serves(FLEET, GOOD)),
        Expectation(what="staging enabled its old group", check=restored(BAKER, GOOD)),
    ),
    outcome="both commits say so",
)

BACK = Track(
    by=SPINNAKER,
    does=f"merge a revert of the bump to {GOOD}",
    act=revert_good,
    expects=(
        Expectation(what=f"both regions serve {OLD}, healthy", check=serves(FLEET, OLD), timed=True),
        Expectation(what="the old groups were enabled", check=restored(FLEET, OLD)),
        Expectation(
            what="the revert says so",
            check=said("back", FLEET, State.SUCCESS, f"rolled back to {OLD} by enabling v000", "on 2/2 units"),
        ),
        Expectation(what=f"staging serves {OLD}, too", check=serves(BAKER, OLD)),
    ),
    outcome="old groups enabled",
)

DRIFT = Track(
    by=SPINNAKER,
    does=f"put {BY_HAND} on {CHANGED} in {CHANGED_REGION}",
    act=change,
    expects=(
        Expectation(what="the drift is seen", check=noted(CHANGED, "rollout-started", "heal")),
        Expectation(what=f"healed: all serve {HEALED}", check=serves(CHANGED, HEALED), timed=True),
        Expectation(what="its commit says so", check=said("first", CHANGED, State.SUCCESS, HEALED, "drift healed")),
    ),
    outcome="1/2 regions healed",
)
