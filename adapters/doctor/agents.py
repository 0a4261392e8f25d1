"""Hosts by their reports in the ledger: who never reported, who fell silent, and who does not know our key."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from adapters.agent_protocol.refusals import RefusalReason
from adapters.aws.inventory import InventoryReader, Place
from adapters.doctor.findings import About, Finding
from adapters.ledger.dialects import micros
from adapters.trigger.settings import settings_of
from desired_state.model import Fleet, ZeroUnits
from reconciler.ports import Clock, Unreadable

SHOWN = 5  # hosts by name
_REPORTS = f"""
    SELECT fleet, host, silent_at, CASE WHEN body LIKE '%"{RefusalReason.UNKNOWN_KEY}"%' THEN 1 ELSE 0 END FROM reports
"""  # noqa: S608

Rows = Callable[[str], Sequence[Any] | None]  # the answer of the ledger to a SELECT; None: there is no ledger


def check_agents(fleets: Sequence[Fleet], inventory: InventoryReader, rows: Rows, clock: Clock) -> Iterator[Finding]:
    """One line a fleet."""
    known: dict[str, list[Any]] = defaultdict(list)
    try:
        found = rows(_REPORTS)
    except (SQLAlchemyError, sqlite3.Error, OSError, ImportError):
        found = None
    if found is None:
        yield About(check="agents", name="reports").skipped("the ledger holds no reports that can be read yet")
        return
    for row in found:
        known[row[0]].append(row)
    now = micros(clock.now())
    for fleet in fleets:
        yield from _of_fleet(fleet, inventory, {row[1]: row for row in known[fleet.name]}, now)


def check_key(key_id: str | None, fleets: int) -> Iterator[Finding]:
    """The key that orders are signed with."""
    about = About(check="agents", name="signing")
    if key_id:
        yield about.ok(f"orders are signed with {key_id}")
    elif fleets:
        yield about.trouble(
            f"there is no key to sign orders with, and {fleets} fleets have agents",
            "make one with `fairlead trigger keys`, and set [signing]",
        )


def _of_fleet(fleet: Fleet, inventory: InventoryReader, rows: dict[str, Any], now: int) -> Iterator[Finding]:
    about = About(check="agents", name=fleet.name)
    try:
        hosts = sorted(_hosts(fleet, inventory))
    except Unreadable as trouble:
        yield about.skipped(f"its hosts are not known: {trouble}")
        return
    if not hosts and fleet.policy.zero_units is not ZeroUnits.ALLOWED:
        yield about.warning(
            "`select.tags` meets no host in " + ", ".join(fleet.environment.regions),
            "correct `select.tags`, or tag the hosts; write `zero_units: allowed` where an empty fleet is meant",
        )
        return
    never = [host for host in hosts if host not in rows]
    silent = [host for host in hosts if host in rows and rows[host][2] < now]
    strangers = [host for host in hosts if host in rows and rows[host][3]]
    if strangers:
        yield about.trouble(f"no key of ours is on {_named(strangers)}", "write its public half into their agent.yaml")
    if never:
        yield about.warning(f"{_named(never)} never reported", "run `fairlead-agent check` there")
    if silent:
        yield about.warning(
            f"{_named(silent)} fell silent", "see that the agent runs there: systemctl status fairlead-agent"
        )
    counted = Counter(never=len(never), silent=len(silent), strangers=len(strangers))
    if not counted.total():
        yield about.ok(f"all {len(hosts)} hosts report" if hosts else "it has no hosts, as `zero_units` allows")


def _hosts(fleet: Fleet, inventory: InventoryReader) -> Iterator[str]:
    environment, tags = fleet.environment, settings_of(fleet).select.tags
    for region in environment.regions:
        place = Place(environment.account, region, environment.role)
        yield from (str(host["id"]) for host in inventory.read_hosts(place, tags))


def _named(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - SHOWN} more" if len(hosts) > SHOWN else ""
    return f"{len(hosts)} host{'s' * (len(hosts) > 1)} ({', '.join(hosts[:SHOWN])}{more})"
