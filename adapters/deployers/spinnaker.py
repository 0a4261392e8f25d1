"""Fleets of baked images, converged by calling a Spinnaker pipeline. Units are the fleet's regional clusters.

Snapshots that it reads, the same from the feeds and from `refresh`:

- `inventory/<account>/<region>`: `aws.inventory.Inventory.part` of the fleet's cluster;
- `executions/<gate url>`: `{intent key: execution}` of the fleet's intents under way, see `gate.executions`; from
  `refresh` also what others have under way, see `gate.foreign`.

The Spinnaker account and pipelines are the users' own: what a pipeline is called with is in `gate.trigger`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

from adapters.agent_protocol.config_text import render
from adapters.aws.baked import Baked, ImageMissing, Images
from adapters.aws.clusters import merged, unit_in
from adapters.aws.inventory import Inventory, inventory_feed
from adapters.aws.objects import put_if_absent
from adapters.aws.sessions import Sessions
from adapters.aws.together import read_together
from adapters.deployers.means import READ_WITHIN, Means
from adapters.gate.client import Gate, Gates
from adapters.gate.errors import Accepted, GateRefused, GateTrouble
from adapters.gate.executions import ABSENCE, absence_of, feed_of, of_body
from adapters.gate.foreign import FOREIGN, Looks, all_run, may_have_twins, told, twins
from adapters.gate.fresh_groups import FreshGroups
from adapters.gate.judging import OUR_CANCEL, Case, Seen, adopted, failed, judge, moved, overdue
from adapters.gate.lanes import Lane, choose, looked_up, still_beside
from adapters.gate.polling import read_work, still_told
from adapters.gate.preparing import judge_step
from adapters.gate.settings import (
    WHOLE,
    SpinnakerSettings,
    before_of,
    cluster_in,
    clusters_in,
    filled,
    problems_of,
    settings_of,
    shared_by_deploy,
    unit_ids,
    waves_of,
)
from adapters.gate.sights import (
    body_of,
    groups,
    left_over,
    may_go_back,
    oldest_read,
    set_aside,
    unknown,
    with_canary,
)
from adapters.gate.starting import LOOK_BACK, call_for, end_twins, in_lane, look, send
from adapters.gate.trigger import config_address, holds_expression, trigger_body
from desired_state.model import Fleet
from reconciler.observed import Observed, Snapshot, Snapshots, Wave
from reconciler.ports import Clock, Lease, Unreadable
from reconciler.reasons import Reason
from reconciler.work import Before, Failure, Intent, Outcome, Phase, Standing


class Spinnaker:
    """The deployer of type `spinnaker`; see `reconciler.ports.Deployer` for what each method promises."""

    settings_model = SpinnakerSettings
    aws_services = ("autoscaling", "ec2", "s3")
    lacks = ""
    check_fleet = staticmethod(problems_of)  # for the parser, which has no deployer
    groups = staticmethod(groups)  # for `fairlead groups`, likewise

    @staticmethod
    def images(fleet: Fleet, sessions: Sessions) -> Iterator[dict[str, str]]:
        """For `fairlead plan --images`; see `gate.lanes.looked_up`."""
        find = partial(Images(sessions).find, shared_by_deploy=shared_by_deploy(fleet))
        return looked_up(fleet, settings_of(fleet), find)

    def __init__(self, *, sessions: Sessions, gates: Gates, clock: Clock, read_within: timedelta = READ_WITHIN) -> None:
        self._sessions = sessions
        self._read_within = read_within
        self._gates = gates
        self._clock = clock
        self._looks = Looks(clock)
        self._images, self._groups = Images(sessions, clock), FreshGroups(sessions, clock, read_within)

    @classmethod
    def of(cls, means: Means) -> Self:
        """Out of the controller's means."""
        return cls(sessions=means.sessions, gates=means.gates, clock=means.clock, read_within=means.read_within)

    def validate(self, fleet: Fleet) -> Iterable[str]:
        """Sentences on what is wrong; one that begins with `warning: ` stops nothing."""
        return problems_of(fleet)

    def selection(self, fleet: Fleet) -> tuple[str, ...]:
        """What the fleet claims for itself, as `account/region/cluster`: two fleets must not share one."""
        settings, environment = settings_of(fleet), fleet.environment
        return tuple(
            f"{environment.account}/{region}/{cluster_in(fleet, settings, region)}" for region in environment.regions
        )

    def host_tags(self, fleet: Fleet) -> None:
        """Its instances are those of Auto Scaling groups."""
        del fleet

    def part(self, fleet: Fleet, region: str, inventory: Inventory) -> Mapping[str, Any]:
        """What of a region's bulk read is the fleet's: the body of its snapshot."""
        return inventory.part(clusters_in(fleet, settings_of(fleet), region))

    def observe(self, fleet: Fleet, snapshots: Snapshots) -> Observed:
        """One unit a region (or one over all); regions that were not read are named in `missing`.

        Those in `fleet.asleep` are set aside, read or not.
        """
        awake = [region for region in fleet.environment.regions if region not in fleet.asleep]
        feeds = {region: inventory_feed(fleet.environment.account, region) for region in awake}
        lacking = tuple(feed for feed in feeds.values() if feed not in snapshots)
        read_at = min((snapshots[feed].read_at for feed in feeds.values() if feed in snapshots), default=None)
        settings = settings_of(fleet)
        parts = {
            region: unit_in(region, snapshots[feed].body, cluster_in(fleet, settings, region), fleet)
            for region in fleet.environment.regions
            if (feed := inventory_feed(fleet.environment.account, region)) in snapshots
        }
        executions = snapshots.get(feed_of(fleet.environment.spinnaker["url"]))
        foreign = told(executions.body.get(FOREIGN, ())) if executions is not None else ""
        units = tuple(unit for region, unit in parts.items() if region in feeds)
        if unit_ids(fleet, settings) == (WHOLE,):
            units = () if lacking else (merged(WHOLE, units),)
        aside = tuple(set_aside(region, parts.get(region), why) for region, why in sorted(fleet.asleep.items()))
        return replace(
            _reach(fleet, snapshots),
            units=units,
            missing=(*lacking, *unknown(fleet, settings, snapshots)),
            read_at=read_at,
            foreign=foreign,
            aside=aside,
            leftovers=left_over(fleet, settings, snapshots),
        )

    def waves(self, fleet: Fleet, observed: Observed) -> tuple[Wave, ...]:
        """The regions in the order of `deploy.waves`."""
        del observed
        return waves_of(fleet, settings_of(fleet))

    def refresh(self, fleet: Fleet, work: Sequence[Outcome], known: Snapshots) -> Snapshots:
        """The fleet's clusters and the work's executions, freshly read; executions first, so that a SUCCEEDED is
        followed by a look at the world. What the feed told of them a moment ago is fresh. Raises `Unreadable`.
        """
        open_work = [outcome for outcome in work if not outcome.phase.ended]
        gate = () if open_work else tuple(self._absence(fleet))
        read = dict([*self._executions(open_work, known), *gate, *self._groups.read(fleet, open_work, known)])
        read = {feed: with_canary(fleet, snapshot, known.get(feed)) for feed, snapshot in read.items()}
        return read if gate else self._with_foreign(fleet, work, read)

    def before(self, fleet: Fleet) -> Before | None:
        """The pipeline of `deploy.before`."""
        step = settings_of(fleet).before
        return Before(irreversible=step.irreversible) if step is not None else None

    def running(self, fleet: Fleet, prefix: str) -> Mapping[str, str]:
        """Executions of the fleet's application that carry a key of ours and have not ended. Raises `Unreadable`."""
        application = filled(settings_of(fleet).application, fleet, WHOLE)
        since = self._clock.now() - LOOK_BACK
        return {key: one.id for key, one in self._gate(fleet).running(application, prefix, since).items()}

    def start(
        self, intents: Sequence[Intent], standing: Standing, snapshots: Snapshots, lease: Lease
    ) -> Iterator[Outcome]:
        """One execution an intent, one after the other: look for what its key has started already, else start it."""
        del standing
        for intent in intents:
            yield self._start(intent, snapshots, lease)

    def _start(self, intent: Intent, snapshots: Snapshots, lease: Lease) -> Outcome:
        """See `gate.starting`."""
        call = call_for(self._gate(intent.fleet), intent)
        known = look(call, lease, self._clock)
        if known is not None:
            return known
        settings = settings_of(intent.fleet)
        outcome = Outcome(intent=intent, phase=Phase.INTENDED)
        try:
            lane = choose(intent, settings, body_of(intent, snapshots), self._find)
        except (ImageMissing, Unreadable) as missing:
            return failed(outcome, Failure.TRANSIENT, Reason.IMAGE_MISSING, str(missing), self._clock.now())
        told_of = before_of(settings).parameters if intent.is_before else settings.parameters
        address = config_address(intent.fleet) if "config" in told_of and not lane.restore else None
        body = trigger_body(intent, settings, address, lane)
        if holds_expression(body):
            message = "what would be sent holds `${`, which Spinnaker would evaluate; take it out of version and names"
            return failed(outcome, Failure.REFUSED, Reason.DEPLOY_REFUSED, message, self._clock.now())
        try:
            self._upload_config(intent.fleet, address, lease)
        except Unreadable as trouble:
            return failed(outcome, Failure.TRANSIENT, Reason.DEPLOY_REFUSED, str(trouble), self._clock.now())
        return _by_another_way(send(in_lane(call, lane), body, lease, self._clock), lane)

    def _find(self, fleet: Fleet, region: str, cluster: str) -> Baked:
        """The AMI of the fleet's version, within the time that a pass has for a look at AWS."""
        what = f"the AMI of {fleet.name} in {region}"
        find = partial(self._images.find, fleet, region, cluster, shared_by_deploy=shared_by_deploy(fleet))
        return read_together({what: find}, self._read_within)[0]

    def check(self, outcome: Outcome, snapshots: Snapshots, now: datetime) -> Outcome:
        """Where it stands by its execution and, after that, by its unit."""
        if outcome.phase.ended:
            return outcome
        intent = outcome.intent
        feed = snapshots.get(feed_of(intent.fleet.environment.spinnaker["url"]))
        body = feed.body.get(intent.key) if feed is not None else None
        if feed is None or body is None:
            return _unread(outcome, now)
        observed = self.observe(intent.fleet, snapshots)
        units = (*observed.units, *observed.aside)  # a region may be suspended while work is under way there
        unit = next((unit for unit in units if unit.id == intent.unit), None)
        if unknown(intent.fleet, settings_of(intent.fleet), snapshots, intent.unit):
            unit = None
        execution = of_body(body)
        lane, settings = Lane.of(execution.lane if execution is not None else {}), settings_of(intent.fleet)
        case = Case(
            outcome=outcome,
            execution=execution,
            seen=Seen(unit=unit, read_at=oldest_read(intent, snapshots), executions_read_at=feed.read_at),
            deadline=deadline_of(intent),
            within=settings.health.within,
            now=now,
            note=lane.note,
            still_beside=still_beside(lane, intent, settings, body_of(intent, snapshots)),
        )
        return judge_step(case) if intent.is_before else judge(case)

    def abort(
        self, outcomes: Sequence[Outcome], standing: Standing | None, snapshots: Snapshots, lease: Lease
    ) -> Iterator[Outcome]:
        """Cancel the executions. Gate says yes even when it does nothing, so the end is for `check` to see."""
        del standing, snapshots
        for outcome in outcomes:
            yield self._abort(outcome, lease)

    def uphold(self, fleet: Fleet, standing: Standing | None, snapshots: Snapshots, lease: Lease) -> str:
        """Nothing is kept for units to look at; but what started a second time for a key is ended."""
        del standing
        seen = snapshots.get(feed_of(fleet.environment.spinnaker["url"]))
        return end_twins(self._gate(fleet), twins(seen.body.get(FOREIGN, ())), lease) if seen is not None else ""

    def _abort(self, outcome: Outcome, lease: Lease) -> Outcome:
        if outcome.phase.ended:
            return outcome
        if outcome.ticket is None:
            return self._abort_unseen(outcome, lease)
        return self._cancel(outcome, outcome.ticket, lease)

    def _abort_unseen(self, outcome: Outcome, lease: Lease) -> Outcome:
        now = self._clock.now()
        if outcome.intent.starts == 0:
            return moved(outcome, Phase.ABORTED, now, message="it was never started")
        try:
            found = call_for(self._gate(outcome.intent.fleet), outcome.intent).found()
        except GateTrouble as trouble:
            return replace(outcome, message=str(trouble), reason=Reason.GATE_UNREACHABLE)
        if not found:  # a request may still be on its way: `check` waits out the settling time
            return moved(outcome, Phase.ABORTING, now, message="nothing was seen to start; waiting to be sure")
        kept = adopted(outcome, found[0], now)
        return kept if kept.phase.ended else self._cancel(kept, found[0].id, lease)

    def _cancel(self, outcome: Outcome, ticket: str, lease: Lease) -> Outcome:
        gate = self._gate(outcome.intent.fleet)
        result = gate.cancel(ticket, f"{OUR_CANCEL}{outcome.intent.fleet.name} is to run something else", lease)
        if isinstance(result, Accepted):
            return moved(outcome, Phase.ABORTING, self._clock.now(), message=f"asked for the end of execution {ticket}")
        return replace(outcome, message=result.sentence, reason=Reason.GATE_UNREACHABLE)

    def _gate(self, fleet: Fleet) -> Gate:
        return self._gates.at(fleet.environment.spinnaker["url"])

    def _upload_config(self, fleet: Fleet, address: str | None, lease: Lease) -> None:
        if fleet.config is None or address is None:
            return
        bucket, _, key = address.removeprefix("s3://").partition("/")
        environment = fleet.environment
        region = next((each for each in environment.regions if each not in fleet.asleep), environment.regions[0])
        client = self._sessions.client("s3", region, role=environment.role, account=environment.account)
        lease.check()
        put_if_absent(client, bucket, key, render(fleet.config.values, fleet.config.format))

    def _absence(self, fleet: Fleet) -> Iterator[tuple[str, Snapshot]]:
        """Where nothing is under way a Gate that is away keeps nobody from looking, only from acting."""
        trouble = self._gate(fleet).absence()
        if trouble is not None:
            feed = feed_of(fleet.environment.spinnaker["url"])
            yield feed, Snapshot(feed=feed, body=absence_of(trouble), read_at=self._clock.now())

    def _executions(self, work: Sequence[Outcome], known: Snapshots) -> Iterator[tuple[str, Snapshot]]:
        by_url: dict[str, list[Outcome]] = {}
        for outcome in work:
            by_url.setdefault(outcome.intent.fleet.environment.spinnaker["url"], []).append(outcome)
        for url, outcomes in by_url.items():
            now, feed = self._clock.now(), feed_of(url)
            told = still_told(outcomes, known.get(feed), now)
            rest = [outcome for outcome in outcomes if outcome.intent.key not in told]
            bodies = read_work(self._gates.at(url), rest) if rest else {}
            read_at = known[feed].read_at if told else self._clock.now()
            yield feed, Snapshot(feed=feed, body={**told, **bodies}, read_at=read_at)

    def _with_foreign(self, fleet: Fleet, work: Sequence[Outcome], read: Mapping[str, Snapshot]) -> Snapshots:
        """What was read, and what others run of the fleet's pipelines now. Raises `Unreadable`.

        A Gate that does not say is no trouble of a fleet that runs what it should, but nothing is started beside what
        nobody knows: it may be about to go back. One that refuses says so to the start.
        """
        now, feed = self._clock.now(), feed_of(fleet.environment.spinnaker["url"])
        known = read.get(feed, Snapshot(feed=feed, body={}, read_at=now))
        running = all_run(work, known.body)
        if running and not may_have_twins(work):
            return read
        try:
            tickets = {outcome.intent.key: outcome.ticket for outcome in work}
            urgent = may_go_back(fleet, work, read)
            foreign = self._looks.look(self._gate(fleet), fleet, tickets, running=running, urgent=urgent)
        except GateRefused:
            return read
        except GateTrouble as trouble:
            if work:
                raise
            return {**read, feed: replace(known, body={**known.body, **absence_of(trouble)})}
        return {**read, feed: replace(known, body={**known.body, FOREIGN: foreign})}


def deadline_of(intent: Intent) -> datetime:
    """When an execution of the intent is overdue: the fleet's own word goes before the controller's pace."""
    settings = settings_of(intent.fleet)
    return intent.created_at + (before_of(settings).deadline if intent.is_before else settings.deadline)


def _by_another_way(outcome: Outcome, lane: Lane) -> Outcome:
    """Who is refused the short way back takes the next one: the version itself can be deployed all the same."""
    if not lane.restore or outcome.failure is not Failure.REFUSED:
        return outcome
    return replace(outcome, failure=Failure.UNHEALTHY, message=f"{outcome.message}; it is deployed instead")


def _unread(outcome: Outcome, now: datetime) -> Outcome:
    """Without a look at Gate nothing changes until the deadline."""
    if now < (outcome.intent.deadline if outcome.ticket is None else deadline_of(outcome.intent)):
        return outcome
    what = "its execution could not be read before the deadline; check in Spinnaker whether it runs"
    return overdue(outcome, now, running=outcome.ticket is not None, what=what)


def _reach(fleet: Fleet, snapshots: Snapshots) -> Observed:
    """Whether the fleet's Gate was found away; nothing else is in it."""
    feed = snapshots.get(feed_of(fleet.environment.spinnaker["url"]))
    absence = feed.body.get(ABSENCE) if feed is not None else None
    if absence is None:
        return Observed(units=())
    wait = timedelta(seconds=absence["retry_in"]) if "retry_in" in absence else None
    return Observed(units=(), out_of_reach=absence["sentence"], retry_in=wait)
