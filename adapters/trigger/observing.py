"""What a fleet's instances run: their reports, laid over what EC2 says exists. Pure.

There is no clock here. Silence is measured from a report to the read of the queue that brought no newer one, so that a
queue which cannot be read makes nobody silent. Where a pass has just looked at the world and the queue was not read for
as long as silence may last, nothing may be concluded, and the feed is named as missing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from adapters.agent_protocol.orders import LIFETIME
from adapters.aws.targets import region_of_group
from adapters.trigger.feeds import Seen, inventories, order_feed, reports_feed, targets_feed
from adapters.trigger.membership import boots, leaves
from adapters.trigger.settings import TriggerSettings
from desired_state.model import Fleet, ZeroUnits
from reconciler.observed import Observed, Snapshots, Unit, UnitId

HALF_LIFE = LIFETIME / 2
SHOWN = 300  # characters of what a host says
GROUPS_AT_MOST = 20  # of a fleet; hosts name them, and each costs a call
NOBODY = "none"  # the one unit of a fleet that is meant to be empty


def observe(fleet: Fleet, settings: TriggerSettings, hosts: Sequence[Seen], snapshots: Snapshots) -> Observed:
    """One unit an instance that stays, in their order (see `spread`); those that boot beside others are `joining`."""
    feeds = inventories(fleet.environment)
    missing = [feed for feed in feeds if feed not in snapshots]
    read_at = min((snapshots[feed].read_at for feed in feeds if feed in snapshots), default=None)
    if not missing:
        missing = [*_unheard(fleet, hosts, snapshots), *_unread(fleet, settings, hosts, snapshots)]
    sick = sick_targets(fleet, snapshots)
    staying = [host for host in hosts if not leaves(host, settings.silent_after)]
    found = [(host, unit_of(host, settings, sick.get(host.id, ""))) for host in staying]
    booting = {host.id for host, unit in found if read_at and boots(host, read_at, healthy=unit.healthy)}
    if len(booting) == len(found):  # nobody serves: all count
        booting.clear()
    units = tuple(unit for _, unit in found if unit.id not in booting)
    return Observed(
        units=units if hosts else _empty(fleet),
        joining=tuple(unit for _, unit in found if unit.id in booting),
        missing=tuple(missing),
        read_at=read_at,
        upkeep=any(_wants_upkeep(host, settings) for host in hosts),
    )


def unit_of(host: Seen, settings: TriggerSettings, sick: str = "") -> Unit:
    """The instance as a unit. `sick` is AWS's word against it, which outweighs its own."""
    report = host.report
    if report is None:
        return Unit(id=host.id, components={}, healthy=False, running=True, unheard=True, message="has never reported")
    said = _ailment(host, settings, sick)
    return Unit(
        id=host.id,
        components=report.get("components") or {},
        healthy=not said,
        running=bool(report.get("running")),
        unheard=is_silent(host, settings),
        message="; ".join(part for part in (said, refusal(host)) if part) or _text(report.get("message")),
    )


def spread(hosts: Iterable[Seen]) -> list[Seen]:
    """In turn from each zone, the oldest first: a slice of it takes no zone down, and who joins comes last."""
    zones: dict[str, list[Seen]] = defaultdict(list)
    for host in hosts:
        zones[host.zone].append(host)
    ranked = [
        (rank, zone, host)
        for zone, members in zones.items()
        for rank, host in enumerate(sorted(members, key=lambda host: (host.launched, host.id)))
    ]
    return [host for _, _, host in sorted(ranked, key=lambda each: each[:2])]


def last_word(host: Seen) -> datetime | None:
    """When SQS took the newest report; None: there is none."""
    sent = (host.report or {}).get("sent")
    return None if sent is None else datetime.fromisoformat(str(sent)).astimezone(UTC)


def is_silent(host: Seen, settings: TriggerSettings, since: datetime | None = None) -> bool:
    """No report for longer than allowed, by the queue's last read. `since`: silence before that does not count."""
    last = max((moment for moment in (last_word(host), since) if moment is not None), default=None)
    if host.reports_read_at is None or last is None:
        return False
    return host.reports_read_at - last > settings.silent_after


def is_outdated(read_at: datetime, now: datetime, settings: TriggerSettings) -> bool:
    """The queue was not read for so long that silence could not be told from our own deafness."""
    return now - read_at > settings.silent_after


def groups_of(fleet: Fleet, settings: TriggerSettings, reports: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The target groups that may veto: those of the settings, else those that hosts name and that can be its own.

    Those that most hosts name come first, so that a host which names many crowds out nobody else's.
    """
    drain = settings.drain
    if drain is not None and drain.target_groups != "attached":
        return tuple(drain.target_groups)
    named = Counter(str(arn) for report in reports for arn in set(report.get("target_groups") or ()))
    ranked = sorted(named, key=lambda arn: (-named[arn], arn))
    return tuple(arn for arn in ranked if _is_of(fleet, arn))[:GROUPS_AT_MOST]


def sick_targets(fleet: Fleet, snapshots: Snapshots) -> Mapping[UnitId, str]:
    """What AWS has against instances, where a pass has looked at their target groups."""
    snapshot = snapshots.get(targets_feed(fleet.name))
    groups = snapshot.body["groups"].values() if snapshot is not None else ()
    return {host: f"unhealthy in its target group: {why}" for group in groups for host, why in group.items()}


def _is_of(fleet: Fleet, arn: str) -> bool:
    return region_of_group(arn, fleet.environment.account) in fleet.environment.regions


def _ailment(host: Seen, settings: TriggerSettings, sick: str) -> str:
    """What keeps the host from being healthy, or nothing."""
    report, last = host.report or {}, last_word(host)
    if last is not None and is_silent(host, settings):
        return f"silent since {last:%Y-%m-%d %H:%M:%S} UTC"
    if not report.get("running"):
        return _text(report.get("message")) or "nothing runs on it"
    if not report.get("healthy"):
        return _text(report.get("message")) or "its health check fails"
    return sick


def refusal(host: Seen) -> str:
    """The same as `outstanding_refusal`, for people; empty: there is none."""
    refused = outstanding_refusal(host)
    return f"refuses its order ({refused.get('reason')}): {_text(refused.get('message'))}" if refused else ""


def outstanding_refusal(host: Seen) -> Mapping[str, Any] | None:
    """The refusal that no newer order has settled yet."""
    report = host.report or {}
    refused: Mapping[str, Any] | None = report.get("refused")
    if not refused:
        return None
    claimed = int(refused.get("sequence") or 0)
    return refused if claimed == 0 or claimed >= int(report.get("sequence") or 0) else None


def _wants_upkeep(host: Seen, settings: TriggerSettings) -> bool:
    """Its order ends sooner than half a lifetime from now, or it refuses what lies there."""
    report = host.report
    if report is None or host.reports_read_at is None or is_silent(host, settings):
        return False
    expires = report.get("expires")
    ends = datetime.fromisoformat(str(expires)) if expires else None
    return (ends is not None and ends - host.reports_read_at < HALF_LIFE) or outstanding_refusal(host) is not None


def _unheard(fleet: Fleet, hosts: Sequence[Seen], snapshots: Snapshots) -> Iterator[str]:
    """No host ever reported: because nobody has listened yet, or because no agent speaks."""
    if not hosts or any(host.report is not None for host in hosts):
        return
    place = fleet.environment
    if any(reports_feed(place.account, region, place.name) in snapshots for region in place.regions):
        yield f"any report (does the agent run on {hosts[0].id}, with fleets: {{{fleet.name}: ...}}?)"


def _unread(fleet: Fleet, settings: TriggerSettings, hosts: Sequence[Seen], snapshots: Snapshots) -> Iterator[str]:
    """Queues into which hosts may have reported, and that nobody has read, or not for long."""
    look, place = snapshots.get(order_feed(fleet.name)), fleet.environment
    for region in place.regions:
        feed = reports_feed(place.account, region, place.name)
        known = snapshots.get(feed)
        if known is None and any(host.zone.startswith(region) for host in hosts):
            yield feed
        elif look is not None and known is not None and is_outdated(known.read_at, look.read_at, settings):
            yield f"{feed} since {known.read_at:%H:%M:%S} UTC"


def _empty(fleet: Fleet) -> tuple[Unit, ...]:
    """No instance at all: nothing to see, unless that is meant."""
    if fleet.policy.zero_units is not ZeroUnits.ALLOWED:
        return ()
    said = "no instance has its tags, which is allowed"
    return (Unit(id=NOBODY, components=fleet.components, healthy=True, running=False, message=said),)


def _text(value: Any) -> str:
    return str(value or "")[:SHOWN]
