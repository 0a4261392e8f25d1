"""Fleets of long-lived instances, converged by an order that their agents carry out. Units are the instances.

One signed order a fleet lies in S3 and says what every instance runs. To start is to admit instances in it, to abort is
to leave them out; agents follow the highest sequence and report what they observe. `trigger.feeds` names the snapshots.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

from adapters.agent_protocol import orders
from adapters.agent_protocol.orders import next_sequence
from adapters.agent_protocol.signing import SigningKey
from adapters.aws.inventory import Inventory, InventoryReader, Place, inventory_feed
from adapters.aws.sessions import Sessions
from adapters.aws.targets import region_of_group, unhealthy_targets
from adapters.aws.together import read_together
from adapters.deployers.means import READ_WITHIN, Means
from adapters.trigger.artifacts import artifacts_of
from adapters.trigger.feeds import (
    find_host,
    hosts_body,
    is_whole,
    order_feed,
    reported_sequences,
    reports_of,
    seen_hosts,
    targets_feed,
)
from adapters.trigger.hosts import hosts_of, room_for
from adapters.trigger.judging import STAGING, WITHOUT, Case, is_admitted, judge, moved, tickets
from adapters.trigger.observing import GROUPS_AT_MOST, groups_of, observe, sick_targets, spread
from adapters.trigger.placed import Placed, half_spent, placed_of, spot_of
from adapters.trigger.preparing import (
    askable,
    asked,
    case_of,
    chosen,
    host_of,
    judge_before,
    lasts,
    ticket_of,
)
from adapters.trigger.publishing import NO_KEY, Published, Publisher, Undone
from adapters.trigger.releases import lasts_at_most
from adapters.trigger.rules import problems_of
from adapters.trigger.settings import TriggerSettings, settings_of
from adapters.trigger.starting import is_news, settled_before, undone, without
from adapters.trigger.strangers import spared
from adapters.trigger.waves import waves_of
from desired_state.model import Fleet
from reconciler.observed import Observed, Snapshot, Snapshots, Wave
from reconciler.ports import Clock, Lease
from reconciler.reasons import Reason
from reconciler.work import BEFORE, Before, Failure, Intent, Outcome, Phase, Standing, Step


class Trigger:
    """The deployer of type `trigger`; see `reconciler.ports.Deployer` for what each method promises."""

    settings_model = TriggerSettings
    aws_services = ("ec2", "autoscaling", "s3", "sns", "elbv2")
    check_fleet = staticmethod(problems_of)  # for the parser, which has no deployer
    hosts = staticmethod(hosts_of)  # for people, who have none either
    room = staticmethod(room_for)
    artifacts = staticmethod(artifacts_of)

    def __init__(
        self, *, sessions: Sessions, clock: Clock, signing: SigningKey | None, read_within: timedelta = READ_WITHIN
    ) -> None:
        self._sessions = sessions
        self._read_within = read_within
        self._clock = clock
        self._reader = InventoryReader(sessions)
        self._publisher = Publisher(sessions=sessions, clock=clock, key=signing)
        self.lacks = "" if signing is not None else NO_KEY

    @classmethod
    def of(cls, means: Means) -> Self:
        """Out of the controller's means."""
        return cls(sessions=means.sessions, clock=means.clock, signing=means.signing, read_within=means.read_within)

    def validate(self, fleet: Fleet) -> Iterable[str]:
        """Sentences on what is wrong; one that begins with `warning: ` stops nothing."""
        return problems_of(fleet)

    def selection(self, fleet: Fleet) -> tuple[str, ...]:
        """What the fleet claims for itself, as `account/region/tag=value,...`."""
        environment = fleet.environment
        tags = ",".join(f"{key}={value}" for key, value in sorted(settings_of(fleet).select.tags.items()))
        return tuple(f"{environment.account}/{region}/{tags}" for region in environment.regions)

    def host_tags(self, fleet: Fleet) -> Mapping[str, str]:
        """What selects its hosts."""
        return settings_of(fleet).select.tags

    def part(self, fleet: Fleet, region: str, inventory: Inventory) -> Mapping[str, Any]:
        """What of a region's bulk read is the fleet's: the body of its snapshot."""
        del region
        return hosts_body(inventory.hosts.tagged(settings_of(fleet).select.tags), inventory.lifecycles)

    def observe(self, fleet: Fleet, snapshots: Snapshots) -> Observed:
        """One unit an instance."""
        settings, hosts = settings_of(fleet), spread(seen_hosts(fleet, snapshots))
        return observe(fleet, settings, hosts, snapshots)

    def waves(self, fleet: Fleet, observed: Observed) -> tuple[Wave, ...]:
        """Slices of the hosts in the order observed, the last over everything."""
        return waves_of(settings_of(fleet), [unit.id for unit in observed.units])

    def before(self, fleet: Fleet) -> Before | None:
        """The settings' step, which one of the hosts runs."""
        step = settings_of(fleet).before
        return Before(irreversible=step.irreversible) if step is not None else None

    def running(self, fleet: Fleet, prefix: str) -> Mapping[str, str]:
        """The hosts that an order of this very target admits one by one, or its step: a rollout was under way.

        One of another target is replaced by the next order, and one that is older than any work takes has ended.
        Raises `Unreadable`.
        """
        (placed,) = read_together(
            {f"the order of {fleet.name}": lambda: self._publisher.read(fleet)}, self._read_within
        )
        order = placed.order
        if order is None or order.admitted is None or order.target.digest != fleet.target_digest:
            return {}
        identity, settings = f"{prefix}{order.target.commit[:12]}:{order.target.digest[:12]}", settings_of(fleet)
        now, step = self._clock.now(), order.before
        if step is not None and now < order.issued + lasts(settings):
            return {f"{identity}:{BEFORE}:w0:a{step.attempt}": ticket_of(order.sequence, step.host)}
        if now >= order.issued + lasts_at_most(settings, STAGING):
            return {}
        return {
            f"{identity}:{host}:w1:a{order.attempts.get(host, 1)}": str(order.sequence)
            for host in sorted(order.admitted)
        }

    # ── looking ──

    def refresh(self, fleet: Fleet, work: Sequence[Outcome], known: Snapshots) -> Snapshots:
        """The fleet's instances, its order, and its target groups, freshly read. Raises `Unreadable`."""
        others = [outcome.intent.fleet for outcome in work if not outcome.phase.ended]
        reads: dict[str, Callable[[], Snapshot]] = {
            f"the instances of {place}": partial(self._hosts, place, spec)
            for place, spec in _places(fleet, others).items()
        }
        reads[f"the order of {fleet.name}"] = partial(self._order, fleet)
        reads[f"the target groups of {fleet.name}"] = partial(self._targets, fleet, known)
        return {snapshot.feed: snapshot for snapshot in read_together(reads, self._read_within)}

    def _hosts(self, place: Place, spec: Fleet) -> Snapshot:
        read_at = self._clock.now()
        hosts = self._reader.read_hosts(place, settings_of(spec).select.tags)
        body = hosts_body(hosts, self._reader.read_lifecycles(place, hosts))
        return Snapshot(feed=inventory_feed(place.account, place.region), body=body, read_at=read_at)

    def _order(self, fleet: Fleet) -> Snapshot:
        read_at = self._clock.now()
        return Snapshot(feed=order_feed(fleet.name), body=self._publisher.read(fleet).body(), read_at=read_at)

    def _targets(self, fleet: Fleet, known: Snapshots) -> Snapshot:
        read_at, environment = self._clock.now(), fleet.environment
        found = {}
        for arn in groups_of(fleet, settings_of(fleet), reports_of(fleet, known)):
            region = region_of_group(arn, environment.account) or environment.regions[0]
            client = self._sessions.client("elbv2", region, role=environment.role, account=environment.account)
            found[arn] = unhealthy_targets(client, arn)
        return Snapshot(feed=targets_feed(fleet.name), body={"groups": found}, read_at=read_at)

    def check(self, outcome: Outcome, snapshots: Snapshots, now: datetime) -> Outcome:
        """Where it stands by the order, the host's report and AWS's word."""
        fleet, unit = outcome.intent.fleet, outcome.intent.unit
        settings, host = settings_of(fleet), find_host(fleet, unit, snapshots)
        if outcome.intent.is_before:
            return judge_before(case_of(outcome, settings, fleet, snapshots, now))
        order, targets = snapshots.get(order_feed(fleet.name)), snapshots.get(targets_feed(fleet.name))
        looked = targets.body["groups"] if targets is not None else {}
        named = groups_of(fleet, settings, [host.report or {}]) if host is not None else ()
        return judge(
            Case(
                outcome=outcome,
                order=order.body if order is not None else None,
                host=host,
                whole=is_whole(fleet, snapshots),
                sick=sick_targets(fleet, snapshots).get(unit, ""),
                looked=set(named) <= set(looked) or len(looked) >= GROUPS_AT_MOST,
                settings=settings,
                now=now,
            )
        )

    # ── acting ──

    def start(
        self, intents: Sequence[Intent], standing: Standing, snapshots: Snapshots, lease: Lease
    ) -> Iterator[Outcome]:
        """One order admits them all."""
        now = self._clock.now()
        settled = {intent.key: settled_before(intent, snapshots, now) for intent in intents}
        yield from (outcome for outcome in settled.values() if outcome is not None)
        wanted = [intent for intent in intents if settled[intent.key] is None]
        if wanted:
            yield from self._order_out(wanted, standing, snapshots, lease)

    def _order_out(
        self, intents: Sequence[Intent], standing: Standing, snapshots: Snapshots, lease: Lease
    ) -> Iterator[Outcome]:
        try:
            published = self._publish(standing, snapshots, lease)
        except Undone as trouble:
            now = self._clock.now()
            yield from (undone(intent, str(trouble), trouble.failure, now) for intent in intents)
            return
        sequence, step = published.order.sequence, published.order.before
        done = f"order {sequence} admits it" if step is None else f"before step on {step.host}"
        said = "; ".join([done, *self._told(standing, published, lease)])
        now, ticket = self._clock.now(), str(sequence) if step is None else ticket_of(sequence, step.host)
        for intent in intents:
            yield moved(Outcome(intent=intent, phase=Phase.INTENDED), Phase.RUNNING, now, said, ticket)

    def abort(
        self, outcomes: Sequence[Outcome], standing: Standing | None, snapshots: Snapshots, lease: Lease
    ) -> Iterator[Outcome]:
        """One order leaves them all out. Each is ended when its host is seen to follow that order."""
        alive = [outcome for outcome in outcomes if not outcome.phase.ended]
        yield from (outcome for outcome in outcomes if outcome.phase.ended)
        if not alive:
            return
        try:
            published = (
                self._publish(standing, snapshots, lease)
                if standing is not None
                else self._leave_out(alive, snapshots, lease)
            )
        except Undone as trouble:
            yield from (replace(one, message=str(trouble), reason=Reason.UPKEEP_FAILED) for one in alive)
            return
        fleet, late = (standing.target if standing is not None else alive[0].intent).fleet, ""
        if published is not None and published.sha256:
            late = self._publisher.hint(fleet, published, lease)
        for outcome in alive:
            ended = self._aborted(outcome, published, snapshots)
            yield replace(ended, message=f"{ended.message}; {late}") if late else ended

    def uphold(self, fleet: Fleet, standing: Standing | None, snapshots: Snapshots, lease: Lease) -> str:
        """Keep in S3 what stands, signed for long enough. A quiet pass has not looked, and changes nothing.

        Hosts are woken only by what asks something else of one of them: the rest they find when they look next.
        """
        if order_feed(fleet.name) not in snapshots:
            return ""
        try:
            published = (
                self._publish(standing, snapshots, lease)
                if standing is not None
                else self._renew(fleet, snapshots, lease)
            )
        except Undone as trouble:
            return str(trouble)
        if published is not None and published.sha256 and self._is_news(fleet, published, snapshots):
            self._publisher.hint(fleet, published, lease)
        replaced = published.replaced if published is not None else ""
        return f"{replaced}; it was written anew, look who wrote there" if replaced else ""

    def _is_news(self, fleet: Fleet, published: Published, snapshots: Snapshots) -> bool:
        hosts = [host.id for host in seen_hosts(fleet, snapshots)]
        return not is_whole(fleet, snapshots) or is_news(published.known, published.order, hosts)

    def _publish(self, standing: Standing, snapshots: Snapshots, lease: Lease) -> Published:
        fleet = standing.target.fleet
        placed = self._placed(fleet, snapshots)
        spoken = spared(standing, list(seen_hosts(fleet, snapshots)))
        before = self._asked_of(standing.before, placed, snapshots) if standing.before is not None else None
        return self._publisher.publish(spoken, placed, reported_sequences(fleet, snapshots), lease, before)

    def _asked_of(self, step: Step, placed: Placed, snapshots: Snapshots) -> orders.Before | None:
        """Raises `Undone` where no host can be asked."""
        fleet = step.intent.fleet
        hosts = askable(fleet, self.observe(fleet, snapshots).units, snapshots)
        try:
            return chosen(step, settings_of(fleet), hosts, placed.order)
        except LookupError as trouble:
            raise Undone(str(trouble), Failure.TRANSIENT) from trouble

    def _renew(self, fleet: Fleet, snapshots: Snapshots, lease: Lease) -> Published | None:
        """Sign again what lies there, where half of its life is spent. None: there is nothing to sign.

        An older order that somebody put back looks as sound: only one that hosts follow is given more time.
        """
        placed, followed = self._placed(fleet, snapshots), reported_sequences(fleet, snapshots)
        if placed.trouble:
            raise Undone(placed.trouble)
        if placed.order is None or not half_spent(placed.order, self._clock.now()):
            return None
        if next_sequence(followed) <= placed.sequence:
            return None
        return self._publisher.amend(fleet, placed.order, placed, followed, lease)

    def _leave_out(self, outcomes: Sequence[Outcome], snapshots: Snapshots, lease: Lease) -> Published | None:
        """Nothing may be said of what units run, but that these are not to run it. None: nothing admits any."""
        fleet = outcomes[0].intent.fleet
        placed = self._placed(fleet, snapshots)
        if placed.order is None:
            return None
        if placed.order.admitted is None and not is_whole(fleet, snapshots):
            raise Undone(f"{placed.address} admits all hosts, and they could not be read to name all but these")
        present = [host.id for host in seen_hosts(fleet, snapshots)]
        order = without(placed.order, [outcome.intent.unit for outcome in outcomes], present)
        known = [*reported_sequences(fleet, snapshots), *tickets(outcomes)]
        return self._publisher.amend(fleet, order, placed, known, lease)

    def _placed(self, fleet: Fleet, snapshots: Snapshots) -> Placed:
        """What this pass saw, unless it looked into another bucket: a rollout keeps that of the spec it began with."""
        snapshot = snapshots.get(order_feed(fleet.name))
        if snapshot is None or snapshot.body["address"] != str(spot_of(fleet)):
            return self._publisher.look(fleet)
        return placed_of(snapshot.body)

    def _aborted(self, outcome: Outcome, published: Published | None, snapshots: Snapshots) -> Outcome:
        """Left out by that order. What no order ever admitted has nothing to end, and an order that was on its way
        cannot come any more once a newer one was put in its place; else `check` waits for it.
        """
        now, ticket = self._clock.now(), outcome.ticket
        if ticket is None and not self._saw_admitted(outcome.intent, snapshots):
            phase = Phase.ABORTED if published is not None and published.sha256 else Phase.ABORTING
            return moved(outcome, phase, now, "no order admitted it")
        sequence = published.order.sequence if published is not None else 0
        said = f"order {sequence} leaves it out" if published is not None else "no order of ours is there any more"
        if ticket is None or not ticket.startswith(WITHOUT):
            host = host_of(ticket) or asked(outcome.intent, snapshots) if outcome.intent.is_before else ""
            ticket = f"{WITHOUT}{sequence}" + (f"@{host}" if host else "")
        return moved(outcome, Phase.ABORTING, now, said, ticket)

    def _saw_admitted(self, intent: Intent, snapshots: Snapshots) -> bool:
        """Whether it was admitted when this pass looked; yes, where it did not."""
        snapshot = snapshots.get(order_feed(intent.fleet.name))
        return snapshot is None or is_admitted(snapshot.body, intent)

    def _told(self, standing: Standing, published: Published, lease: Lease) -> list[str]:
        """Hints go out with what is new; what went wrong with them is said and does no harm."""
        fleet = standing.target.fleet
        late = self._publisher.hint(fleet, published, lease) if published.sha256 else ""
        return [
            *([f"{published.replaced}, and was replaced"] if published.replaced else []),
            *published.said,
            *([f"{late}; agents come by themselves"] if late else []),
        ]


def _places(fleet: Fleet, others: Iterable[Fleet]) -> dict[Place, Fleet]:
    """Every region to read and the spec that selects there. Work keeps its spec, so its regions are read too."""
    found: dict[Place, Fleet] = {}
    feeds = set()
    for spec in (fleet, *others):
        for region in spec.environment.regions:
            place = Place(spec.environment.account, region, spec.environment.role)
            if inventory_feed(place.account, region) not in feeds:
                found[place] = spec
                feeds.add(inventory_feed(place.account, region))
    return found
