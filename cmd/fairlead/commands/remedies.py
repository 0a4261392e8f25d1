"""What clears each reason: the last line of `fairlead why`."""

from reconciler.reasons import Reason

CLEARS: dict[Reason, str] = {
    Reason.ROLLED_BACK: "a commit that sets another version, or `fairlead retry {fleet}`, tries again",
    Reason.QUARANTINED: "a commit that changes the fleet, a revert, or `fairlead retry {fleet}` lifts it",
    Reason.BEFORE_IRREVERSIBLE: "a commit that mends the version, a revert, or `fairlead retry {fleet}` lifts it",
    Reason.PROGRESSING: "by itself, when the rollout ends",
    Reason.ROLLING_BACK: "by itself, when the last good version is back",
    Reason.HEALING: "by itself, when the drift is repaired",
    Reason.ABORTING: "by itself, when the old work is seen ended",
    Reason.SOAKING: "by itself, when the wave has stayed healthy long enough",
    Reason.BACKING_OFF: "by itself, with the next attempt",
    Reason.SUSPENDED: "when the suspend file is removed from Git",
    Reason.FREEZE_WINDOW: "when the freeze ends, or its file is removed from Git",
    Reason.FOREIGN_EXECUTION: "by itself, when that execution is over; end it in Spinnaker where it hangs",
    Reason.FIRST_SIGHT: "`fairlead adopt {fleet}`, or a newer commit that sets its version",
    Reason.IDENTITY_CHANGED: "`fairlead approve {fleet}`, or a commit that restores the old ones",
    Reason.IDENTITY_CONFLICT: "when the evidence of the version agrees again: mend the tags or the image",
    Reason.HISTORY_REWRITTEN: "`fairlead approve {fleet}`, or a newer commit that sets its version",
    Reason.DRIFT_RECURS: "when whatever changes it back is stopped; then `fairlead retry {fleet}`",
    Reason.HEAL_OFF: "`heal: repair` in Git, or a commit that sets what runs",
    Reason.OBSERVE_ONLY: "when the controller runs without --observe-only",
    Reason.UNEQUIPPED: "when the controller runs with what it lacks",
    Reason.AWAITING_OBSERVATION: "by itself, with the first read of the account",
    Reason.MAX_UNAVAILABLE: "when the named units are healthy again, or by more `max_unavailable` in Git",
    Reason.HEALTH_CHECK_FAILED: "a commit that sets a version which gets healthy",
    Reason.BEFORE_FAILED: "a commit that mends the before step, or `fairlead retry {fleet}`",
    Reason.PIPELINE_FAILED: "`fairlead retry {fleet}` once the pipeline is mended, or a commit with another version",
    Reason.DEADLINE_EXCEEDED: "`fairlead retry {fleet}`, or a commit that sets another version",
    Reason.UNHEALTHY: "when the units are healthy again, or by a commit that sets another version",
    Reason.HOST_SILENT: "when the host's agent reports again; then `fairlead retry {fleet}`, or a commit",
    Reason.NO_UNITS: "when the fleet has units; `zero_units: allowed` says that it needs none",
    Reason.DEPLOY_REFUSED: "a commit that mends `deploy`, or `fairlead retry {fleet}` when the other system is mended",
    Reason.INVALID_SPEC: "a commit that mends the file; `fairlead validate` shows the problem",
    Reason.OBSERVATION_FAILED: "by itself, when the read succeeds again",
    Reason.UPKEEP_FAILED: "by itself, when the order can be written again",
    Reason.GATE_UNREACHABLE: "by itself, when Gate answers again",
    Reason.EXECUTION_SUPERSEDED: "by itself, with the next attempt",
    Reason.EXECUTION_STUCK: "when someone ends the execution in Spinnaker",
    Reason.IMAGE_MISSING: "by itself, when the image is there; `fairlead plan --images` shows what lacks where",
    Reason.UNKNOWN: "by itself, with the next pass of the controller",
}


def clears(reason: Reason, fleet: str) -> str:
    """What a person can do, or wait for; empty where there is nothing to clear."""
    return CLEARS.get(reason, "").format(fleet=fleet)
