"""What `rollback --manual` is made of: AWS, and where a fleet's server groups are."""

from datetime import timedelta

from adapters.aws.inventory import inventory_feed
from adapters.aws.owners import OwnersWords
from adapters.aws.sessions import FEW, Sessions
from adapters.by_hand.paper import Paper, write_paper
from adapters.by_hand.standing import Standing, Versions
from adapters.clock import SystemClock
from adapters.gate.settings import cluster_in, settings_of
from desired_state.model import Fleet
from reconciler.observed import Snapshots

BAKED = "spinnaker"
TIMEOUT = timedelta(seconds=10)


def paper(fleet: Fleet, to: str | None, last_good: Versions | None, snapshots: Snapshots) -> Paper:
    """What to do by hand. Raises `Unreadable`, and `LookupError` or `ValueError` with a sentence."""
    if fleet.deploy_type != BAKED:
        raise LookupError(
            "only fleets that Spinnaker deploys need this; the hosts of others follow their order, without Gate"
        )
    settings = settings_of(fleet)
    clusters = {region: cluster_in(fleet, settings, region) for region in fleet.environment.regions}
    sessions = Sessions(max_attempts=FEW, request_timeout=TIMEOUT, whole_answers=True)  # a region may be down
    account = fleet.environment.account
    feeds = {region: inventory_feed(account, region) for region in clusters}
    known = {region: snapshots[feed].body for region, feed in feeds.items() if feed in snapshots}
    standing = Standing(sessions, OwnersWords(sessions, SystemClock(), TIMEOUT))
    return write_paper(fleet, clusters, standing, to, last_good, known)
