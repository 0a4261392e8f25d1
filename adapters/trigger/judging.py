"""Where work on a host stands: by the order in S3, by what the host reports, and by what AWS shows. Pure.

A host's word that it is done counts when its report shows the release installed, running and healthy. Silence counts as
failure. Where the reports themselves cannot be read, nothing is concluded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from adapters.agent_protocol.plain_text import one_line
from adapters.agent_protocol.refusals import RefusalReason
from adapters.agent_protocol.reports import Blame, WorkState
from adapters.trigger.feeds import NOTHING, Body, Seen
from adapters.trigger.membership import BOOT, leaves
from adapters.trigger.observing import SHOWN, is_outdated, is_silent, last_word, outstanding_refusal, refusal, unit_of
from adapters.trigger.placed import admits, asks_before
from adapters.trigger.releases import lasts_at_most
from adapters.trigger.settings import TriggerSettings
from reconciler.observed import Unit
from reconciler.reasons import Reason
from reconciler.work import Failure, Intent, Outcome, Phase

STAGING = timedelta(minutes=10)  # allowed for downloads, before a host is touched
STAGE_OF_DOWNLOADS = "staging"  # as the agent reports it
WITHOUT = "without:"  # begins the ticket of an aborted intent: the sequence of the order that leaves it out
_OF_THE_HOST = frozenset({RefusalReason.UNKNOWN_KEY, RefusalReason.NOT_YET})  # a sound order, and a host set up wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One outcome to be judged, and what it is judged by."""

    outcome: Outcome
    order: Body | None  # the snapshot's; None: nobody looked
    host: Seen | None
    whole: bool  # every region was read: a host that is not there is gone
    sick: str  # AWS's word against the host
    looked: bool  # the target groups that it names were looked at
    settings: TriggerSettings
    now: datetime

    @property
    def intent(self) -> Intent:
        """What was intended."""
        return self.outcome.intent

    @property
    def report(self) -> Body:
        """What the host says; empty: nothing ever."""
        return (self.host.report if self.host is not None else None) or NOTHING

    @property
    def work(self) -> Body:
        """What the host says of this very work; empty: nothing."""
        found: Body = self.report.get("work") or NOTHING
        return found if found.get("key") == work_key(self.intent) else NOTHING

    @property
    def admitted(self) -> bool:
        """The order in S3 asks for this very work."""
        return self.order is not None and is_admitted(self.order, self.intent)


def work_key(intent: Intent) -> str:
    """The key of the assignment that a host makes of an intent; see `agent_protocol.orders.Assignment`."""
    return f"{intent.setting_commit[:12]}:{intent.fleet.target_digest[:12]}:a{intent.attempt}"


def is_admitted(order: Body, intent: Intent) -> bool:
    """Whether the order asks the host for what the intent says, at its attempt."""
    commit, digest = intent.setting_commit, intent.fleet.target_digest
    if intent.is_before:
        return asks_before(order, commit, digest, intent.attempt) is not None
    return admits(order, commit, digest, intent.unit, intent.attempt)


def tickets(outcomes: Iterable[Outcome]) -> list[int]:
    """The sequences of the orders that admitted or left out each of them; nothing where none did yet."""
    known = (outcome.ticket for outcome in outcomes if outcome.ticket is not None)
    return [int(ticket.removeprefix(WITHOUT).partition("@")[0]) for ticket in known]


def has_ended(intent: Intent, report: Body | None) -> bool:
    """Whether the host says that it ended this very work: it never begins it again."""
    work = (report or NOTHING).get("work") or NOTHING
    return work.get("key") == work_key(intent) and work.get("state") != WorkState.WORKING


def moved(outcome: Outcome, phase: Phase, now: datetime, message: str, ticket: str | None = None) -> Outcome:
    """The outcome in a phase that is no failure. `since` stays while the phase does."""
    return replace(
        outcome,
        phase=phase,
        message=message,
        ticket=ticket or outcome.ticket,
        failure=Failure.NONE,
        reason=None,
        since=outcome.since if outcome.phase is phase and outcome.since else now,
    )


def failed(outcome: Outcome, failure: Failure, reason: Reason | None, message: str, now: datetime) -> Outcome:
    """The outcome as failed."""
    return replace(outcome, phase=Phase.FAILED, failure=failure, reason=reason, message=message, since=now)


def judge(case: Case) -> Outcome:
    """The outcome as it stands now."""
    if case.outcome.phase.ended:
        return case.outcome
    if case.host is None:
        return _unseen(case)
    if going := leaves(case.host, case.settings.silent_after):
        return moved(case.outcome, Phase.ABORTED, case.now, f"{case.host.id} is leaving: {going}")
    if case.outcome.phase is Phase.ABORTING:
        return _aborting(case)
    if case.outcome.phase is Phase.RUNNING:
        return _running(case)
    return _intended(case)


def _unseen(case: Case) -> Outcome:
    if not case.whole:
        return case.outcome
    said = f"{case.intent.unit} is gone: EC2 shows no such instance with the fleet's tags"
    return moved(case.outcome, Phase.ABORTED, case.now, said)


def _intended(case: Case) -> Outcome:
    if case.order is not None and case.admitted:
        number = str(case.order["sequence"])
        begun = moved(case.outcome, Phase.RUNNING, case.now, f"order {number} admits it", number)
        return _running(replace(case, outcome=begun))
    if case.now >= case.intent.deadline:
        said = f"no order admitted {case.intent.unit} before the deadline"
        return failed(case.outcome, Failure.TRANSIENT, Reason.DEADLINE_EXCEEDED, said, case.now)
    return case.outcome


# ── running ──


def _running(case: Case) -> Outcome:
    state = case.work.get("state")
    if state == WorkState.FAILED:
        return _failed_there(case)
    unit = unit_of(case.host, case.settings, case.sick) if case.host is not None else None
    lacking = _lacking(case, unit)
    if state == WorkState.DONE and not lacking:
        said = f"{case.intent.unit} runs {case.intent.fleet.version} and is healthy"
        return moved(case.outcome, Phase.SUCCEEDED, case.now, said)
    return _still(case, _progress(case, lacking))


def _lacking(case: Case, unit: Unit | None) -> str:
    """What keeps the host from being done with it, or nothing."""
    wanted = case.intent.fleet.components
    have = unit.components if unit is not None else {}
    other = next((name for name, version in wanted.items() if have.get(name) != version), None)
    if other is not None:
        return f"{other} is {have.get(other, 'not there')}"
    if unit is None or not (unit.healthy and unit.running):
        return (unit.message if unit is not None else "") or "it is not healthy"
    return "" if case.looked else "its target groups are yet to be looked at"


def _progress(case: Case, lacking: str) -> str:
    if not case.work:
        return (refusal(case.host) if case.host is not None else "") or case.outcome.message
    if case.work.get("state") == WorkState.DONE:
        return f"{case.intent.unit} says that it is done, but {lacking}"
    return f"{case.intent.unit} is at it: {case.work.get('stage') or 'begun'}"


def _failed_there(case: Case) -> Outcome:
    """The host's own word, with what it did about it, and the last line of what was run."""
    why, back, last = case.work.get("message") or "it failed", case.work.get("rolled_back_to"), _last_line(case.work)
    said = f"{case.intent.unit}: {why}" + (f"; went back to {back}" if back else "")
    said += f"; said last: {last}" if last and last not in why else ""
    failure, reason = {
        Blame.REFUSED.value: (Failure.REFUSED, Reason.DEPLOY_REFUSED),
        Blame.TRANSIENT.value: (Failure.TRANSIENT, None),
    }.get(str(case.work.get("blame")), (Failure.UNHEALTHY, Reason.HEALTH_CHECK_FAILED))
    return failed(case.outcome, failure, reason, said, case.now)


def _last_line(work: Body) -> str:
    lines = (one_line(line) for line in reversed(str(work.get("log") or "").splitlines()))
    return next(filter(None, lines), "")[:SHOWN]


def _still(case: Case, said: str) -> Outcome:
    """Not done yet: is there still something to wait for?"""
    host, started = case.host, case.outcome.since or case.intent.created_at
    if host is None:
        return case.outcome
    if deaf := unread(host, case.settings, case.now):
        return moved(case.outcome, Phase.RUNNING, case.now, deaf)
    if _refuses(case):
        refused = outstanding_refusal(host) or NOTHING
        why = f"{host.id} refuses the order ({refused.get('reason')}): {refused.get('message')}"
        return failed(case.outcome, Failure.UNHEALTHY, Reason.HEALTH_CHECK_FAILED, why, case.now)
    if is_silent(host, case.settings, _patient_from(host, started)):
        return failed(case.outcome, Failure.UNHEALTHY, Reason.HOST_SILENT, silence(host), case.now)
    if case.now >= started + lasts_at_most(case.settings, STAGING):
        return _too_late(case, host, said)
    return moved(case.outcome, Phase.RUNNING, case.now, said)


def unread(host: Seen, settings: TriggerSettings, now: datetime) -> str:
    """Why nothing can be told from the host's silence, or nothing."""
    if host.reports_read_at is None:
        return f"no reports of {host.id}'s region were read yet"
    outdated = is_outdated(host.reports_read_at, now, settings)
    return f"no reports were read since {_clock(host.reports_read_at)}" if outdated else ""


def _too_late(case: Case, host: Seen, said: str) -> Outcome:
    """While it stages the host was not touched: a slow road is no fault of the version."""
    if host.report is None:
        return failed(case.outcome, Failure.UNHEALTHY, Reason.HOST_SILENT, silence(host), case.now)
    failure = Failure.TRANSIENT if case.work.get("stage") == STAGE_OF_DOWNLOADS else Failure.UNHEALTHY
    why = f"{host.id} took longer than {minutes(lasts_at_most(case.settings, STAGING))}: {said}"
    return failed(case.outcome, failure, Reason.DEADLINE_EXCEEDED, why, case.now)


def _refuses(case: Case) -> bool:
    """It refuses the very order that lies there, and that order is sound: this host is set up wrong, not the fleet."""
    refused = outstanding_refusal(case.host) if case.host is not None else None
    if refused is None or case.order is None or case.order["document"] is None:
        return False
    return refused.get("reason") in _OF_THE_HOST and refused.get("sequence") == case.order["sequence"]


def _patient_from(host: Seen, started: datetime) -> datetime:
    """From when on silence counts: an instance that never reported may still be booting."""
    if host.report is not None or not host.launched:
        return started
    return max(started, datetime.fromisoformat(host.launched).astimezone(UTC) + BOOT)


def silence(host: Seen) -> str:
    """Since when nobody hears from it, for people."""
    last = last_word(host)
    return f"{host.id} is silent since {_clock(last)}" if last is not None else f"{host.id} has never reported"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"


def minutes(span: timedelta) -> str:
    """`12.5 min`."""
    return f"{span.total_seconds() / 60:g} min"


# ── aborting ──


def _aborting(case: Case) -> Outcome:
    """Over when the host follows an order without it and rests; or ended, or cannot be heard of any more."""
    said = _ending(case)
    return moved(case.outcome, Phase.ABORTED, case.now, said) if said else case.outcome


def _ending(case: Case) -> str:
    host, intent = case.host, case.intent
    if host is None:
        return ""
    if has_ended(intent, host.report):
        return f"{host.id} had ended it: {case.work.get('state')}"
    if case.order is None or case.admitted:
        return ""
    if _follows(case) and (case.report.get("work") or NOTHING).get("state") != WorkState.WORKING:
        return f"{host.id} follows an order without it"
    if is_silent(host, case.settings, _patient_from(host, intent.created_at)):
        return silence(host)
    overdue = case.now >= intent.created_at + 2 * lasts_at_most(case.settings, STAGING)
    return f"{host.id} did not say that it ended it" if overdue else ""


def _follows(case: Case) -> bool:
    """Its report is of an order that leaves it out. A ticket of ours says which was the first."""
    ticket, order = case.outcome.ticket or "", case.order or NOTHING
    least = int(ticket.removeprefix(WITHOUT)) if ticket.startswith(WITHOUT) else int(order["sequence"])
    return int(case.report.get("sequence") or 0) >= least
