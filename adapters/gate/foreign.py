"""Executions of a fleet's pipelines that Fairlead did not start: a person in Deck, a schedule, a push.

They stand in the snapshot `executions/<gate url>` under `FOREIGN`, a key that no intent has (those begin with
`fairlead:`): a list of `{id, pipeline, who, began, beside}`, the earliest first. A pipeline may serve several fleets:
what Fairlead started for another one is not foreign.

Gate may take a request that was given up after the same one, repeated, was taken too: then one key has two executions,
and the one that is not followed is as foreign as any. It is `beside` the one that is.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any

from adapters.gate.client import Gate
from adapters.gate.errors import redacted
from adapters.gate.executions import moment, of_body
from adapters.gate.settings import filled, pipelines_of, settings_of, unit_ids
from desired_state.model import Fleet, FleetName
from reconciler.ports import Clock
from reconciler.work import Outcome

FOREIGN = "foreign"
OURS = "fairlead:"  # what every key of ours begins with, and so every correlation id
EVERY = timedelta(seconds=30)  # between two looks for twins while an execution of ours runs
KEPT = timedelta(minutes=5)  # the id of a pipeline's configuration
NAMED = 60  # characters of someone else's words
NOBODY = frozenset({"", "anonymous", "[anonymous]"})
Tickets = Mapping[str, str | None]  # by the keys of the work that is followed
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class Looks:
    """Looks for what is foreign to many fleets; beside one whose own work is running, only now and then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._last: dict[FleetName, tuple[float, list[dict[str, Any]]]] = {}
        self._ids: dict[tuple[str, str, str], tuple[float, str]] = {}  # of configurations, by Gate and names

    def look(
        self, gate: Gate, fleet: Fleet, tickets: Tickets, *, running: bool, urgent: bool = False
    ) -> list[dict[str, Any]]:
        """What runs of the fleet's pipelines and is none of `tickets`, the earliest first. Raises `GateTrouble`.

        While our own is `running` nothing is started, so the last answer serves for a while.
        """
        now = self._clock.monotonic()
        with self._lock:
            at, known = self._last.get(fleet.name, (-math.inf, []))
        if running and now - at < EVERY.total_seconds():
            return known
        found = self._read(gate, fleet, tickets, now, urgent)
        with self._lock:
            if running:
                self._last[fleet.name] = (now, found)
            else:
                self._last.pop(fleet.name, None)
        return found

    def _read(self, gate: Gate, fleet: Fleet, tickets: Tickets, now: float, urgent: bool) -> list[dict[str, Any]]:
        pairs = ((application, name) for application, names in _pipelines(fleet).items() for name in sorted(names))
        ids = [found for pair in pairs if (found := self._id(gate, pair, now, urgent))]
        unended = gate.unended(ids, urgent=urgent) if ids else []
        others = {str(raw["id"]): raw for raw in unended if _is_foreign(raw, fleet, tickets)}
        return sorted(
            (_body(raw, tickets) for raw in others.values()), key=lambda body: (body["began"] or 0, body["id"])
        )

    def _id(self, gate: Gate, pair: tuple[str, str], now: float, urgent: bool) -> str | None:
        """The configuration's id, asked again after a while: a pipeline that is made anew has another one."""
        key = (gate.url, *pair)
        with self._lock:
            at, known = self._ids.get(key, (-math.inf, ""))
        if now - at < KEPT.total_seconds():
            return known
        found = gate.config_id(*pair, urgent=urgent)
        if found is not None:
            with self._lock:
                self._ids[key] = (now, found)
        return found


def all_run(work: Sequence[Outcome], bodies: Mapping[str, Any]) -> bool:
    """There is work, and all of it is seen running: nothing will be started in this pass."""
    seen = [bodies.get(outcome.intent.key, {}) for outcome in work if not outcome.phase.ended]
    executions = [of_body(body) for body in seen]
    return bool(executions) and all(one is not None and not one.complete for one in executions)


def may_have_twins(work: Iterable[Outcome]) -> bool:
    """Whether anything was sent to Gate a second time: that is worth a look while all of it runs, and no other is."""
    return any(outcome.intent.starts > 1 for outcome in work)


def twins(foreign: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Executions that were started a second time for a key, each with the one that goes on."""
    yield from ((each["id"], each["beside"]) for each in foreign if each["beside"])


def told(foreign: Sequence[Mapping[str, Any]]) -> str:
    """The sentence about what `Looks` gave; empty: there is nothing."""
    if not foreign:
        return ""
    first = foreign[0]
    began = moment(first["began"])
    at = f" at {began:%Y-%m-%d %H:%M} UTC" if began is not None else ""
    more = f" (+{len(foreign) - 1} more)" if len(foreign) > 1 else ""
    return f"{first['who']} started {first['pipeline']}{at}: execution {first['id']} is not over{more}"


def _pipelines(fleet: Fleet) -> dict[str, set[str]]:
    """The names (or ids) of the pipelines that act on the fleet, by application."""
    settings = settings_of(fleet)
    found: dict[str, set[str]] = {}
    for unit in (unit for unit in unit_ids(fleet, settings) if unit not in fleet.asleep):
        names = found.setdefault(filled(settings.application, fleet, unit), set())
        names.update(filled(name, fleet, unit) for name in pipelines_of(settings))
    return found


def _is_foreign(raw: Mapping[str, Any], fleet: Fleet, tickets: Tickets) -> bool:
    """Of Fairlead's own, only work on this very fleet that is not followed here: another installation's, what was never
    seen to start and did, what started twice, or what ended and was restarted in Deck.

    What is told a suspended region, and so acts on none of the others, stands in nobody's way.
    """
    trigger = _map(raw.get("trigger"))
    region = _map(trigger.get("parameters")).get(settings_of(fleet).parameters.get("region", ""))
    if isinstance(region, str) and region in fleet.asleep:
        return False
    key = _key(raw)
    if not key.startswith(OURS):
        return True
    if key in tickets:
        return tickets[key] not in {None, str(raw["id"])}
    return key.split(":")[2:3] == [fleet.name]


def _body(raw: Mapping[str, Any], tickets: Tickets) -> dict[str, Any]:
    began = raw.get("buildTime")
    shown = _ID.fullmatch(str(raw["id"]))
    return {
        "id": shown.group() if shown else "of an odd id",
        "pipeline": _line(raw.get("name")) or "its pipeline",
        "who": "a repeated request of ours" if (beside := tickets.get(_key(raw))) else _who(raw),
        "beside": beside,
        "began": int(began) if isinstance(began, int | float) else None,
    }


def _key(raw: Mapping[str, Any]) -> str:
    return str(_map(raw.get("trigger")).get("correlationId") or "")


def _who(raw: Mapping[str, Any]) -> str:
    """`a.person@example.com`, `a cron trigger`, `a git trigger (a.person)`."""
    trigger = _map(raw.get("trigger"))
    if _key(raw).startswith(OURS):
        return "another Fairlead or a restart"
    users = (_line(trigger.get("user")), _line(_map(raw.get("authentication")).get("user")))
    user = next((each for each in users if each not in NOBODY), "")
    kind = _line(trigger.get("type")) or "manual"
    if kind == "manual":
        return user or "someone"
    return f"a {kind} trigger" + (f" ({user})" if user else "")


def _line(value: Any) -> str:
    """Someone else's text, fit for a status: printable, short, without addresses."""
    if not isinstance(value, str):
        return ""
    text = redacted("".join(_printable(value)))
    return text if len(text) <= NAMED else f"{text[: NAMED - 3]}..."


def _printable(text: str) -> Iterable[str]:
    return (each if each.isprintable() else " " for each in text)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
