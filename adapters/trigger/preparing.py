"""The step before a version, which one host runs on behalf of all: which host that is, and where it stands. Pure.

The ticket of such an intent is `<sequence>@<host>`: the order that asked for it, and of whom. A host that is gone fails
the attempt, and the next one asks another host. One that falls silent may still be at it: it keeps all the time that
the step may take, so that no other begins while it runs. One that leaves and had not begun is not waited for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.agent_protocol.orders import Before, Order, step_key
from adapters.agent_protocol.reports import Blame, WorkState
from adapters.trigger.feeds import NOTHING, Body, Seen, find_host, is_whole, last_report, order_feed, seen_hosts
from adapters.trigger.judging import STAGING, WITHOUT, failed, minutes, moved, silence, unread
from adapters.trigger.observing import NOBODY, is_silent, refusal
from adapters.trigger.placed import asks_before
from adapters.trigger.releases import before_of
from adapters.trigger.settings import BEFORE_WITHIN, TriggerSettings
from desired_state.model import Fleet
from reconciler.observed import Snapshots, Unit, UnitId
from reconciler.reasons import Reason
from reconciler.work import Failure, Intent, Outcome, Phase, Step

ENDING = timedelta(minutes=1)  # for a command that is ended by force, and its report
DONE = WorkState.DONE
RUNS = "running"  # what a host says while the command runs; before that it is still staging


def ticket_of(sequence: int, host: UnitId) -> str:
    """What the work is known by from here on."""
    return f"{sequence}@{host}"


def host_of(ticket: str | None) -> UnitId:
    """The host of a ticket, also of one that says which order asks for it no more; empty: none was asked."""
    return (ticket or "").partition("@")[2]


def asked(intent: Intent, snapshots: Snapshots) -> UnitId | None:
    """The host that the order in S3 asks for it."""
    order = snapshots.get(order_feed(intent.fleet.name))
    digest = intent.fleet.target_digest
    return asks_before(order.body, intent.setting_commit, digest, intent.attempt) if order is not None else None


def askable(fleet: Fleet, units: Iterable[Unit], snapshots: Snapshots) -> list[Unit]:
    """The units whose hosts do what an order asks: heard, and not only reporting."""
    reporting = {host.id for host in seen_hosts(fleet, snapshots) if (host.report or NOTHING).get("report_only")}
    return [unit for unit in units if not unit.unheard and unit.id not in {*reporting, NOBODY}]


def chosen(step: Step, settings: TriggerSettings, units: Sequence[Unit], present: Order | None) -> Before | None:
    """What an order says of the step. Raises `LookupError` where no host can be asked.

    Who was asked once stays so for the attempt. Each attempt asks another host where there are several: healthy ones,
    else any of `units`, in their order.
    """
    intent = step.intent
    host = host_of(step.ticket) or _kept(intent, present)
    if not host:
        able = [unit.id for unit in units if unit.healthy] or [unit.id for unit in units]
        if not able:
            raise LookupError("no host is heard from that could run its before step")
        host = able[(intent.attempt - 1) % len(able)]
    return before_of(settings, host, intent.attempt)


def _kept(intent: Intent, present: Order | None) -> UnitId:
    if present is None or present.before is None or present.before.attempt != intent.attempt:
        return ""
    is_same = (present.target.commit, present.target.digest) == (intent.setting_commit, intent.fleet.target_digest)
    return present.before.host if is_same else ""


def known_before(intent: Intent, snapshots: Snapshots, now: datetime) -> Outcome | None:
    """What is known of a step before it is asked for, of a life before a lost ledger; None: it is to be asked for.

    Only the host that our own order asks is believed. An attempt that it ended is not begun again.
    """
    order = snapshots.get(order_feed(intent.fleet.name))
    said = order.body.get("before") if order is not None and order.body["document"] is not None else None
    if order is None or not said:
        return None
    commit, digest, attempt = intent.setting_commit, intent.fleet.target_digest, int(said["attempt"])
    host = asks_before(order.body, commit, digest, attempt)
    if host is None:
        return None
    outcome = Outcome(intent=intent, phase=Phase.INTENDED)
    if _step(_report(find_host(intent.fleet, host, snapshots)), step_key(commit, digest, attempt)).get("state") == DONE:
        ticket = ticket_of(order.body["sequence"], host)
        return moved(outcome, Phase.SUCCEEDED, now, f"before step was done on {host}", ticket)
    if attempt > intent.attempt:
        return moved(outcome, Phase.USED_UP, now, f"attempt {intent.attempt} was spent before")
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One step to be judged, and what it is judged by."""

    outcome: Outcome
    asked: UnitId | None  # the host that the order in S3 asks for it
    order: Body | None  # the snapshot's; None: nobody looked
    name: UnitId  # the host, by the ticket or else the order; empty: none was asked
    host: Seen | None  # the same, where EC2 shows it
    report: Body  # the last word of it, also where EC2 shows it no more; empty: nothing ever
    whole: bool  # every region was read: a host that is not there is gone
    settings: TriggerSettings
    now: datetime

    @property
    def step(self) -> Body:
        """What the host says of this very step; empty: nothing."""
        intent = self.outcome.intent
        key = step_key(intent.setting_commit, intent.fleet.target_digest, intent.attempt)
        return _step(self.report, key)


def case_of(outcome: Outcome, settings: TriggerSettings, fleet: Fleet, snapshots: Snapshots, now: datetime) -> Case:
    """The outcome and all that a pass saw of it."""
    order = snapshots.get(order_feed(fleet.name))
    asks = asked(outcome.intent, snapshots)
    if outcome.phase is Phase.INTENDED and order is not None and asks is not None:
        ticket = ticket_of(order.body["sequence"], asks)
        outcome = moved(outcome, Phase.RUNNING, now, f"before step on {asks}", ticket)
    name = host_of(outcome.ticket) or asks or ""
    return Case(
        outcome=outcome,
        asked=asks,
        order=order.body if order is not None else None,
        name=name,
        host=find_host(fleet, name, snapshots),
        report=last_report(fleet, name, snapshots),
        whole=is_whole(fleet, snapshots),
        settings=settings,
        now=now,
    )


def judge_before(case: Case) -> Outcome:
    """The step as it stands now. What was done is done, also where its end was asked for."""
    outcome = case.outcome
    if outcome.phase.ended:
        return outcome
    if case.step.get("state") == DONE:
        return moved(outcome, Phase.SUCCEEDED, case.now, f"before step done on {case.name}")
    if outcome.phase is Phase.ABORTING:
        said = _ending(case)
        return moved(outcome, Phase.ABORTED, case.now, said) if said else outcome
    if outcome.phase is Phase.RUNNING:
        return _running(case)
    if case.now >= outcome.intent.deadline:
        said = "no order asked for the before step until the deadline"
        return failed(outcome, Failure.TRANSIENT, Reason.DEADLINE_EXCEEDED, said, case.now)
    return outcome


def _running(case: Case) -> Outcome:
    if case.step.get("state") == WorkState.FAILED:
        return _failed_there(case)
    if case.host is None:
        return _lost(case, Reason.BEFORE_FAILED, f"{case.name} is gone") if case.whole else case.outcome
    return _heard(case, case.host)


def _heard(case: Case, host: Seen) -> Outcome:
    outcome = case.outcome
    if deaf := unread(host, case.settings, case.now):
        return moved(outcome, Phase.RUNNING, case.now, deaf)
    if (going := case.report.get("leaving")) and not _has_begun(case):
        return moved(outcome, Phase.ABORTED, case.now, f"{host.id} leaves, and did not begin the before step: {going}")
    began = outcome.since or outcome.intent.created_at
    is_mute = is_silent(host, case.settings, began)
    if case.now >= began + lasts(case.settings):
        return _lost(case, Reason.HOST_SILENT, silence(host)) if is_mute else _too_late(case)
    said = f"before step: {silence(host)}, and may still be at it" if is_mute else _progress(case, host)
    return moved(outcome, Phase.RUNNING, case.now, said)


def _progress(case: Case, host: Seen) -> str:
    doing = case.step.get("message") or refusal(host)
    return f"before step on {case.name}" + (f": {doing}" if doing else "")


def _failed_there(case: Case) -> Outcome:
    said = f"before step on {case.name}: {case.step.get('message') or 'it failed'}"
    failure, reason = {
        Blame.REFUSED.value: (Failure.REFUSED, Reason.DEPLOY_REFUSED),
        Blame.TRANSIENT.value: (Failure.TRANSIENT, None),
    }.get(str(case.step.get("blame")), (Failure.UNHEALTHY, Reason.BEFORE_FAILED))
    return failed(case.outcome, failure, reason, said, case.now)


def _lost(case: Case, reason: Reason, why: str) -> Outcome:
    if _is_staging(case):
        return failed(case.outcome, Failure.TRANSIENT, reason, f"before step: {why}; it was staging", case.now)
    said = f"before step: {why}; whether it finished is not known"
    return failed(case.outcome, Failure.UNHEALTHY, reason, said, case.now)


def _too_late(case: Case) -> Outcome:
    """While it stages nothing was begun: a slow road is no fault of the version."""
    failure = Failure.UNHEALTHY if _has_begun(case) else Failure.TRANSIENT
    why = f"before step on {case.name} took longer than {minutes(lasts(case.settings))}"
    return failed(case.outcome, failure, Reason.DEADLINE_EXCEEDED, why, case.now)


def _has_begun(case: Case) -> bool:
    return bool(case.step.get("message") == RUNS)


def _is_staging(case: Case) -> bool:
    """By its last word the command was not begun."""
    return bool(case.step) and not _has_begun(case)


def lasts(settings: TriggerSettings) -> timedelta:
    """How long the step may take: to stage, to run, and to be ended."""
    return STAGING + (settings.before.within if settings.before is not None else BEFORE_WITHIN) + ENDING


def _ending(case: Case) -> str:
    """Over when the host follows an order without it and rests; or ended, or cannot be heard of any more."""
    host, outcome = case.host, case.outcome
    if host is None:
        return f"{case.name} is gone" if case.whole and case.name else ""
    if case.step.get("state") == WorkState.FAILED:
        return f"{host.id} had ended it: {case.step.get('message')}"
    if case.order is None or case.asked is not None:
        return ""
    if _follows(case) and case.step.get("state") != WorkState.WORKING:
        return f"{host.id} follows an order without it"
    if is_silent(host, case.settings, outcome.intent.created_at):
        return silence(host)
    overdue = case.now >= outcome.intent.created_at + 2 * lasts(case.settings)
    return f"{host.id} did not say that it ended it" if overdue else ""


def _follows(case: Case) -> bool:
    """Its report is of an order that does not ask for it. A ticket of ours says which was the first."""
    ticket, order = case.outcome.ticket or "", case.order or NOTHING
    first = ticket.removeprefix(WITHOUT).partition("@")[0]
    least = int(first) if ticket.startswith(WITHOUT) else int(order["sequence"])
    return int(case.report.get("sequence") or 0) >= least


def _report(host: Seen | None) -> Body:
    return (host.report if host is not None else None) or NOTHING


def _step(report: Body, key: str) -> Body:
    found: Body = report.get("before") or NOTHING
    return found if found.get("key") == key else NOTHING
