"""Intents as orders: which of them can be ordered at all, whom an order concerns, one that leaves hosts out. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from adapters.agent_protocol.orders import Order
from adapters.trigger.feeds import Body, find_host
from adapters.trigger.judging import failed, has_ended, moved
from adapters.trigger.preparing import known_before
from reconciler.observed import Snapshots, UnitId
from reconciler.reasons import Reason
from reconciler.work import BEFORE, Failure, Intent, Outcome, Phase


def settled_before(intent: Intent, snapshots: Snapshots, now: datetime) -> Outcome | None:
    """What is known of an intent before anything is ordered; None: it is to be ordered."""
    if intent.is_before:
        return known_before(intent, snapshots, now)
    outcome = Outcome(intent=intent, phase=Phase.INTENDED)
    host = find_host(intent.fleet, intent.unit, snapshots)
    report = host.report if host is not None else None
    if report is not None and report.get("report_only"):
        said = f"the agent of {intent.unit} only reports; start it without --report-only and `report_only`"
        return failed(outcome, Failure.REFUSED, Reason.DEPLOY_REFUSED, said, now)
    if report is None or not has_ended(intent, report):
        return None
    if intent.starts > 1:  # begun in this life: `check` says how it ended
        return moved(outcome, Phase.RUNNING, now, "the host has it already", str(report.get("sequence")))
    said = f"attempt {intent.attempt} was spent before: {intent.unit} ended it {_state(report)}"
    return moved(outcome, Phase.USED_UP, now, said)


def undone(intent: Intent, message: str, failure: Failure, now: datetime) -> Outcome:
    """An intent whose order was not written. Where nobody knows, it stays intended and is looked at again."""
    outcome = Outcome(intent=intent, phase=Phase.INTENDED, reason=Reason.UPKEEP_FAILED, message=message, since=now)
    if failure is Failure.NONE:
        return outcome
    reason = Reason.DEPLOY_REFUSED if failure is Failure.REFUSED else Reason.UPKEEP_FAILED
    return failed(outcome, failure, reason, message, now)


def without(order: Order, hosts: Collection[UnitId], present: Iterable[UnitId]) -> Order:
    """The order with these hosts, or its step before the version, left out.

    One that admits all comes to name those that are there.
    """
    admitted = frozenset(present) if order.admitted is None else order.admitted
    kept = admitted - frozenset(hosts)
    step = None if BEFORE in hosts else order.before
    attempts = {host: n for host, n in order.attempts.items() if host in kept}
    return replace(order, admitted=kept, attempts=attempts, before=step)


def is_news(known: Order | None, order: Order, hosts: Collection[UnitId]) -> bool:
    """Whether an order asks anything else of one of these hosts than the one before it did.

    Another base alone is no news to hosts that are admitted: it says where the next failure may lead, and the order
    that could fail will be news.
    """
    if known is None or not hosts:
        return True
    if (known.target, set(known.rejected), known.before) != (order.target, set(order.rejected), order.before):
        return True
    is_same_base = known.base == order.base
    return not all(
        known.admits(host) == order.admits(host)
        and (known.attempts.get(host, 1) == order.attempts.get(host, 1) if order.admits(host) else is_same_base)
        for host in hosts
    )


def _state(report: Body) -> str:
    return str((report.get("work") or {}).get("state"))
