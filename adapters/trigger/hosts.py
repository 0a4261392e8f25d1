"""What is known of each host, for people: where it is, what it runs, what it said last. Pure."""

from collections.abc import Mapping
from datetime import datetime

from adapters.agent_protocol.plain_text import lines, one_line
from adapters.agent_protocol.reports import LOG_TAIL, WorkState
from adapters.trigger.feeds import NOTHING, Body, Seen, seen_hosts
from adapters.trigger.membership import boots, leaves
from adapters.trigger.observing import is_silent, last_word, refusal, unit_of
from adapters.trigger.settings import TriggerSettings, settings_of
from adapters.trigger.waves import room_of
from desired_state.model import Fleet
from reconciler.hosts import HostFacts, Room
from reconciler.observed import Snapshots

SHOWN = 300  # characters of a sentence


def hosts_of(fleet: Fleet, snapshots: Snapshots, now: datetime) -> tuple[HostFacts, ...]:
    """Every host that EC2 shows, in no order."""
    settings = settings_of(fleet)
    regions = sorted(fleet.environment.regions, key=len, reverse=True)
    return tuple(_facts(host, settings, regions, now) for host in seen_hosts(fleet, snapshots))


def room_for(fleet: Fleet, hosts: int) -> Room:
    """How many of so many hosts may be out of service at once."""
    return room_of(settings_of(fleet), hosts)


def _facts(host: Seen, settings: TriggerSettings, regions: list[str], now: datetime) -> HostFacts:
    report, unit = host.report or NOTHING, unit_of(host, settings)
    work: Body = report.get("work") or NOTHING
    return HostFacts(
        id=host.id,
        region=next((region for region in regions if host.zone.startswith(region)), ""),
        zone=host.zone,
        components=_cleaned(unit.components),
        running=unit.running and host.report is not None,
        healthy=unit.healthy,
        heard_at=last_word(host),
        silent=_is_silent(host, settings, now),
        joining=_is_joining(host, now),
        leaving=one_line(leaves(host, settings.silent_after))[:SHOWN],
        message=_last_words(work, unit.message),
        agent=one_line(str(report.get("agent") or "")),
        sequence=int(report.get("sequence") or 0),
        refused=one_line(refusal(host)),
        stage=_stage(work),
        failed=one_line(str(work.get("version") or "")) if work.get("state") == WorkState.FAILED else "",
        log=lines(str(work.get("log") or ""))[-LOG_TAIL:],
        report_only=bool(report.get("report_only")),
    )


def _cleaned(components: Mapping[str, str]) -> dict[str, str]:
    return {one_line(name): one_line(version) for name, version in components.items()}


def _is_silent(host: Seen, settings: TriggerSettings, now: datetime) -> bool:
    """One that never reported may still boot; after that it is as silent as any other."""
    return is_silent(host, settings) if host.report is not None else not _is_joining(host, now)


def _is_joining(host: Seen, now: datetime) -> bool:
    healthy = bool((host.report or NOTHING).get("healthy"))
    return host.state == "pending" or boots(host, now, healthy=healthy)


def _stage(work: Body) -> str:
    return one_line(str(work.get("stage") or "begun")) if work.get("state") == WorkState.WORKING else ""


def _last_words(work: Body, message: str) -> str:
    """What it says of itself, and what its last work failed of."""
    said = one_line(message)[:SHOWN]
    if work.get("state") != WorkState.FAILED:
        return said
    why, back = str(work.get("message") or "it failed"), work.get("rolled_back_to")
    failed = one_line(f"{work.get('version')} failed: {why}")[:SHOWN] + (f"; went back to {back}" if back else "")
    return failed if said in failed else f"{failed}; {said}"
