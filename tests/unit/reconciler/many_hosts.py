"""A fleet of hosts on a virtual clock: they take time, fail, fall silent, boot, go, and run what they were told."""

from dataclasses import dataclass
from datetime import timedelta
from random import Random

from adapters.deployers.memory import InMemory, Place
from adapters.trigger.settings import settings_of
from adapters.trigger.waves import waves_of
from reconciler.reasons import Reason
from reconciler.work import Failure

LIVE = {"RUNNING", "CANCELING", "STUCK"}
SILENT_AFTER = timedelta(minutes=3)
BOOTS = timedelta(minutes=2)
ILL_AFTER = timedelta(seconds=45)


@dataclass(slots=True)
class Host:
    """What is really so, whatever is reported."""

    components: dict
    broken: bool = False  # nothing gets healthy on it
    full: bool = False  # its disk: every deploy fails before anything was touched
    boots_until: object = None
    ill_at: object = None


class Hosts(InMemory):
    """The shipped world in memory under hosts that act by themselves, cut into waves by the real rules."""

    def __init__(self, clock, first, count, rate_of):
        super().__init__(clock)
        self.first, self.rate_of, self.number = first, rate_of, 0
        self.hosts, self.begun, self.served = {}, {}, {}
        for _ in range(count):
            self.add(first)

    def waves(self, fleet, observed):
        return waves_of(settings_of(fleet), [unit.id for unit in observed.units])

    # ── what happens to hosts ──

    def add(self, components, *, boots=False):
        self.number += 1
        name = f"i-{self.number:03}"
        self.hosts[name] = Host(components=dict(components))
        self.places[name] = Place(components=dict(components), joining=boots, healthy=not boots, running=not boots)
        if boots:
            self.hosts[name].boots_until = self._clock.now() + BOOTS
        return name

    def lose(self, name):
        super().lose(name)
        del self.hosts[name]

    def silence(self, name):
        self.places[name].unheard, self.places[name].healthy = True, False

    def speak(self, name):
        host, place = self.hosts[name], self.places[name]
        if place.unheard:
            place.unheard = False
            place.components, place.healthy = dict(host.components), not host.broken and host.ill_at is None

    def becomes(self, name, components, *, healthy=True):
        host, place = self.hosts[name], self.places[name]
        host.components = dict(components)
        if not place.unheard:
            place.components, place.running = dict(components), True
            place.healthy = healthy and not host.broken

    # ── time ──

    def tick(self):
        """Everything that has come about by now."""
        now = self._clock.now()
        for name, host in self.hosts.items():
            if host.boots_until is not None and now >= host.boots_until:
                self._booted(name, host)
            if host.ill_at is not None and now >= host.ill_at and not self.places[name].unheard:
                self.places[name].healthy = False
        for key, execution in list(self.executions.items()):
            if execution.status in LIVE:
                self._goes_on(key, execution, now)

    def _booted(self, name, host):
        host.boots_until = None
        standing = self.standing
        base = None if standing is None else standing.target if standing.admitted is None else standing.base
        components = base.fleet.components if base is not None else self.first
        self.places[name].joining = False
        self.becomes(name, components)

    def _goes_on(self, key, execution, now):
        name = execution.intent.unit
        begun = self.begun.setdefault(key, now)
        if self.places[name].unheard:
            if now - begun >= SILENT_AFTER:
                self._silent(name, execution)
        elif execution.status == "CANCELING":
            execution.status = "CANCELED"
        elif now - begun >= timedelta(seconds=20 + Random(key).randrange(60)):
            self._ends(name, execution, now)

    def _silent(self, name, execution):
        if execution.status == "RUNNING":
            execution.status, execution.message, execution.reason = "FAILED", f"{name} is silent", Reason.HOST_SILENT
            if Random(f"{name}/{execution.intent.fleet.version}").random() < 0.5:
                self.hosts[name].components = dict(execution.intent.fleet.components)  # and nobody hears of it
        else:
            execution.status = "CANCELED"

    def _ends(self, name, execution, now):
        host, components = self.hosts[name], execution.intent.fleet.components
        luck = Random(f"{name}/{execution.intent.fleet.version}").random()
        rate = self.rate_of(execution.intent.fleet.version)
        if host.full:
            execution.failure, execution.reason = Failure.TRANSIENT, Reason.PIPELINE_FAILED
            execution.status, execution.message = "FAILED", f"{name}: the disk is full"
        elif host.broken or luck < rate:
            execution.status, execution.message = "FAILED", f"{name} answers 503"  # and it is back where it was
        else:
            execution.status = "SUCCEEDED"
            host.ill_at = now + ILL_AFTER if luck < rate * 1.5 else None
            self.becomes(name, components)
