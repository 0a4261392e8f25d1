"""The deployer of types whose format is read and validated by this version but not carried out yet.

Such a fleet is told about in one sentence, as an error on its commit, instead of being passed over in silence.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from desired_state.model import Fleet
from reconciler.observed import Observed, Snapshots, Wave
from reconciler.ports import Lease, Unreadable
from reconciler.work import Failure, Intent, Outcome, Phase, Standing


class Unsupported:
    """Implements `reconciler.ports.Deployer` by observing nothing and starting nothing."""

    def validate(self, fleet: Fleet) -> Iterable[str]:
        """The settings model has said everything already."""
        return ()

    def observe(self, fleet: Fleet, snapshots: Snapshots) -> Observed:
        """Nothing can be seen."""
        return Observed(units=(), missing=(f"a fleet of type {fleet.deploy_type}",))

    def waves(self, fleet: Fleet, observed: Observed) -> tuple[Wave, ...]:
        """There are none."""
        return ()

    def refresh(self, fleet: Fleet, work: Sequence[Outcome]) -> Snapshots:
        """Raises `Unreadable` with the sentence that people see."""
        raise Unreadable(
            f"deploy type {fleet.deploy_type} is validated by this version of Fairlead and not carried out yet"
        )

    def running(self, fleet: Fleet, prefix: str) -> Mapping[str, str]:
        """Nothing is ever under way."""
        return {}

    def start(
        self, intents: Sequence[Intent], standing: Standing, snapshots: Snapshots, lease: Lease
    ) -> Iterable[Outcome]:
        """Never asked for, because nothing is ever observed; refused all the same."""
        for intent in intents:
            said = f"deploy type {intent.fleet.deploy_type} is not carried out yet"
            yield Outcome(intent=intent, phase=Phase.FAILED, failure=Failure.REFUSED, message=said)

    def check(self, outcome: Outcome, snapshots: Snapshots, now: datetime) -> Outcome:
        """Nothing is ever under way."""
        return outcome

    def abort(
        self, outcomes: Sequence[Outcome], standing: Standing | None, snapshots: Snapshots, lease: Lease
    ) -> Iterable[Outcome]:
        """Nothing is ever under way."""
        return outcomes

    def uphold(self, standing: Standing, snapshots: Snapshots, lease: Lease) -> str:
        """Nothing is kept."""
        return ""
