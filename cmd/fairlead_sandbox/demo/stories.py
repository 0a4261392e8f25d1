"""All stories: the same is done to a fleet of Spinnaker's and to one of the agents', at the same time."""

from fairlead_sandbox.demo import by_spinnaker, by_trigger
from fairlead_sandbox.demo.checks import all_ready, nothing_pending
from fairlead_sandbox.demo.stage import BOTH
from fairlead_sandbox.demo.story import Expectation, Story, Track

TOLD_OF = (by_spinnaker.FLEET, by_trigger.FLEET)
FLEETS = by_spinnaker.COUNT + by_trigger.COUNT

ENDING = Track(
    by=BOTH,
    does="look at everything once more",
    act=lambda stage: f"{len(stage.commits)} commits of the stories",
    expects=(
        Expectation(what=f"{FLEETS} fleets ready", check=all_ready(FLEETS, BOTH)),
        Expectation(what="nothing is left pending", check=nothing_pending),
    ),
)

ALL = (  # numbered from 0
    Story(title="Everything runs what Git says", tracks=(by_spinnaker.OPENING, by_trigger.OPENING)),
    Story(title="A version bump is merged", tracks=(by_spinnaker.BUMP, by_trigger.BUMP)),
    Story(title="A sick version is merged", tracks=(by_spinnaker.FAILURE, by_trigger.FAILURE)),
    Story(title="The sick one is reverted", tracks=(by_spinnaker.REVERT, by_trigger.REVERT)),
    Story(title="The good bump is reverted", tracks=(by_spinnaker.BACK, by_trigger.BACK)),
    Story(title="A machine is changed by hand", tracks=(by_spinnaker.DRIFT, by_trigger.DRIFT), after=ENDING),
)
