"""Every reason code there is: searchable words, one meaning each. `docs/reasons.md` explains each to a person."""

from enum import StrEnum


class Reason(StrEnum):
    """PascalCase codes; the value is what people see in statuses, logs, conditions and metrics.

    A code that a newer version wrote is `Unknown` here: it must not keep a fleet from being read.
    """

    # ready, or on the way there
    SUCCEEDED = "Succeeded"
    ROLLED_BACK = "RolledBack"  # at the last good version because the desired one failed
    REVERTED = "Reverted"  # at an earlier version because a commit said so
    PROGRESSING = "Progressing"
    SOAKING = "Soaking"
    BACKING_OFF = "BackingOff"
    ROLLING_BACK = "RollingBack"
    HEALING = "Healing"
    ABORTING = "Aborting"
    REMOVED = "Removed"
    UNKNOWN = "Unknown"

    # held: drift is known and deliberately left alone
    SUSPENDED = "Suspended"
    FREEZE_WINDOW = "FreezeWindow"
    FOREIGN_EXECUTION = "ForeignExecution"  # somebody else has work under way on the fleet
    FIRST_SIGHT = "FirstSight"
    IDENTITY_CHANGED = "IdentityChanged"
    IDENTITY_CONFLICT = "IdentityConflict"
    HISTORY_REWRITTEN = "HistoryRewritten"
    DRIFT_RECURS = "DriftRecurs"
    HEAL_OFF = "HealOff"
    OBSERVE_ONLY = "ObserveOnly"
    UNEQUIPPED = "Unequipped"  # the controller lacks what such fleets are deployed with
    QUARANTINED = "Quarantined"
    BEFORE_IRREVERSIBLE = "BeforeIrreversible"  # it failed, and its before step cannot be undone: nothing goes back
    AWAITING_OBSERVATION = "AwaitingObservation"
    MAX_UNAVAILABLE = "MaxUnavailable"  # as many units are out of service as may be at once

    # failed, or cannot be decided
    HEALTH_CHECK_FAILED = "HealthCheckFailed"
    PIPELINE_FAILED = "PipelineFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    UNHEALTHY = "Unhealthy"
    HOST_SILENT = "HostSilent"  # no report for too long: silence counts as failure
    NO_UNITS = "NoUnits"
    BEFORE_FAILED = "BeforeFailed"  # the step before a version did not end well: no wave was begun
    DEPLOY_REFUSED = "DeployRefused"
    INVALID_SPEC = "InvalidSpec"
    OBSERVATION_FAILED = "ObservationFailed"
    UPKEEP_FAILED = "UpkeepFailed"  # what units look at by themselves could not be renewed
    GATE_UNREACHABLE = "GateUnreachable"
    EXECUTION_SUPERSEDED = "ExecutionSuperseded"
    EXECUTION_STUCK = "ExecutionStuck"
    IMAGE_MISSING = "ImageMissing"  # the environment that bakes has no image of the version here yet

    @classmethod
    def _missing_(cls, value: object) -> "Reason | None":
        return cls.UNKNOWN if isinstance(value, str) else None
