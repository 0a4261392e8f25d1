"""What `rollback --manual` is made of: AWS, and where a fleet's server groups are."""

from adapters.aws.sessions import Sessions
from adapters.by_hand.paper import Paper, write_paper
from adapters.by_hand.standing import Standing, Versions
from adapters.gate.settings import cluster_in, settings_of
from desired_state.model import Fleet

BAKED = "spinnaker"


def paper(fleet: Fleet, to: str | None, last_good: Versions | None) -> Paper:
    """What to do by hand. Raises `Unreadable`, and `LookupError` or `ValueError` with a sentence."""
    if fleet.deploy_type != BAKED:
        raise LookupError(
            "only fleets that Spinnaker deploys need this; the hosts of others follow their order, without Gate"
        )
    settings = settings_of(fleet)
    clusters = {region: cluster_in(fleet, settings, region) for region in fleet.environment.regions}
    return write_paper(fleet, clusters, Standing(Sessions(whole_answers=True)), to, last_good)
