"""Whose word counts: what hosts of the fleet said, and what any instance may claim."""

from types import SimpleNamespace

from adapters.aws.inventory import inventory_feed
from adapters.trigger.feeds import reported_sequences, reports_of
from desired_state.model import Fleet

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/mm/6d0ecf831eec9f09"


def test_only_instances_that_ec2_shows_with_the_fleets_tags_have_a_say(made: SimpleNamespace) -> None:
    fleet: Fleet = made.fleet()
    snapshots = made.snapshots({"i-ours": made.report()})
    feed = f"reports/{fleet.environment.account}/us-east-1/prod"
    claim = made.report(sequence=9, target_groups=[GROUP])
    snapshots[feed].body["hosts"]["i-of-others"] = claim

    assert reported_sequences(fleet, snapshots) == [7]
    assert claim not in reports_of(fleet, snapshots)


def test_before_ec2_was_asked_every_reporter_is_worth_a_look(made: SimpleNamespace) -> None:
    """Target groups are looked at in the first pass after a start, too."""
    fleet: Fleet = made.fleet()
    said = made.report(target_groups=[GROUP])
    snapshots = made.without(made.snapshots({"i-ours": said}), inventory_feed(fleet.environment.account, "us-east-1"))

    assert reports_of(fleet, snapshots) == [said]
