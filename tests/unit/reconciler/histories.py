"""One fleet of hosts through a history of events, pass by pass, and what must hold after every pass.

Everything but the hosts is what runs in production: the pass, its guards and plans, the rules that cut waves, and the
text in which memory is kept.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from adapters.clock import ManualClock
from desired_state.model import Adopt, Freeze, OnFailure, Policy, Suspension
from reconciler.plan import Pace
from reconciler.quarantine import choose_target, quarantined
from reconciler.reasons import Reason
from reconciler.reconcile import reconcile
from reconciler.record import Ask, State
from reconciler.work import Kind, Release
from reconciler.world import World
from tests.unit.reconciler.conftest import NAME, NOW, digest, make_fleet, sha
from tests.unit.reconciler.many_hosts import LIVE, Hosts
from tests.unit.reconciler.mortal import Crash, Mortal
from tests.unit.reconciler.one_fleet import OneFleet

RATES = (0.0, 0.0, 0.08, 0.3, 1.0)  # how likely a host fails at a version
DEPLOY = {
    "root": "/srv/mm",
    "select": {"tags": {"service": "mm"}},
    "run": {"command": "/srv/mm/start"},
    "health": {"tcp": "localhost:8080"},
}
BOUND = timedelta(hours=40)  # of virtual time after the last event; healing that recurs is held for a day of it
STEPS_AT_MOST = 4000  # passes after the last event
HALTS = {Reason.SUSPENDED, Reason.FREEZE_WINDOW, Reason.OBSERVATION_FAILED}
EVENTS = (
    *["bump"] * 6,
    "revert",
    "other_settings",
    "suspend_or_resume",
    "freeze",
    "retry",
    *["silence"] * 2,
    "speak",
    *["terminate"] * 2,
    *["join"] * 2,
    *["breaks"] * 2,
    "mend",
    "fills_up",
    "drift",
    "read_fails_or_not",
    "no_answer_or_again",
    *["crash"] * 3,
    *["wait"] * 2,
)


class Lease:
    """Nobody else is there."""

    key = f"fleet:{NAME}"

    def check(self):
        pass


@dataclass(frozen=True)
class Plot:
    """What a history is made of."""

    hosts: int
    deploy: dict
    retries: int
    on_failure: OnFailure
    events: tuple  # of (name, number, seconds after it)


def components_of(version):
    return {"package/checkout": version, "config/checkout": f"config of {version}"}


class History:
    """A fleet that was deployed, and then this."""

    def __init__(self, plot, ledger=None):
        self.plot, self.clock = plot, ManualClock(NOW)
        self.rates = {"1": 0.0}
        self.ledger = ledger or OneFleet(NAME)
        self.hosts = Hosts(self.clock, components_of("1"), plot.hosts, self.rates.__getitem__)
        self.pace = Pace(active=timedelta(seconds=30), settle=timedelta(seconds=35))
        self.world = World(ledger=self.ledger, deployers={"memory": self.hosts}, clock=self.clock, pace=self.pace)
        self.deploy, self.suspension, self.freezes = plot.deploy, None, ()
        self.story, self.commits, self.passes, self.starts = [], [], 0, 0
        self.again_at = None
        self.watch = Watch(self)
        self.merge("1")
        self.settle()

    def run(self):
        for name, number, seconds in self.plot.events:
            self.tell(f"{name} {number} {seconds}")
            getattr(self, name)(number)
            self.a_pass()
            self.live_until(self.clock.now() + timedelta(seconds=seconds))
        self.come_to_rest()

    def tell(self, line):
        self.story.append(f"{self.clock.now():%d %H:%M:%S} {line}")

    # ── Git and people ──

    def fleet(self, version):
        policy = Policy(retries=self.plot.retries, on_failure=self.plot.on_failure, adopt=Adopt.AUTO)
        components = components_of(version)
        return make_fleet(
            version,
            spec=str(sorted(self.deploy.items())),
            components=components,
            target_digest=digest(str(components)),
            deploy=DEPLOY | self.deploy,
            policy=policy,
            suspension=self.suspension,
            freezes=self.freezes,
        )

    def merge(self, version, **how):
        self.version = version
        commit = sha(f"commit {len(self.commits)}")
        self.commits.append(commit)
        self.ledger.declare(self.fleet(version), commit, **how)
        if not how.get("keeps"):
            self.setting = commit

    def again(self):
        """The same version; something else in its files."""
        self.merge(self.version, keeps=self.setting)

    def bump(self, number):
        version = str(len(self.rates) + 1)
        self.rates[version] = RATES[number % len(RATES)]
        self.merge(version)

    def revert(self, number):
        earlier = [version for version in self.rates if version != self.version]
        if earlier:
            self.merge(earlier[number % len(earlier)], reverts=(self.setting,))

    def other_settings(self, number):
        self.deploy = {**self.deploy, "max_unavailable": 1 + number % 5}
        self.again()

    def suspend_or_resume(self, number):
        self.suspension = None if self.suspension else Suspension(reason="rest")
        self.again()

    def freeze(self, number):
        now = self.clock.now()
        ends = now + timedelta(minutes=5 + number % 60)
        self.freezes = (Freeze(name="cup", reason="cup", begins=now, ends=ends),)
        self.again()

    def retry(self, number):
        self.ledger.request(Ask.RETRY, self.clock.now())

    # ── the world ──

    def some(self, number, most=3):
        names = sorted(self.hosts.places)
        picked = Random(number).sample(names, min(len(names), 1 + number % most))
        if number % 10 == 0:
            picked = names[::2]  # half of them
        return picked

    def silence(self, number):
        for name in self.some(number):
            self.hosts.silence(name)

    def speak(self, number):
        for name in self.hosts.places:
            self.hosts.speak(name)

    def terminate(self, number):
        for name in self.some(number):
            if len(self.hosts.places) > 1:
                self.hosts.lose(name)

    def join(self, number):
        for _ in range(1 + number % 3):
            if len(self.hosts.places) < 40:
                self.hosts.add({}, boots=True)

    def breaks(self, number):
        for name in self.some(number):
            self.hosts.hosts[name].broken = True
            self.hosts.places[name].healthy = False

    def mend(self, number):
        for name, host in self.hosts.hosts.items():
            host.broken = host.full = False
            self.hosts.places[name].healthy = not self.hosts.places[name].unheard and host.ill_at is None

    def fills_up(self, number):
        for name in self.some(number, most=2):
            self.hosts.hosts[name].full = True

    def drift(self, number):
        for name in self.some(number, most=2):
            if not self.hosts.places[name].joining:
                self.hosts.becomes(name, components_of("1"))

    def read_fails_or_not(self, number):
        self.hosts.unreadable = "" if self.hosts.unreadable else "EC2 does not answer"

    def no_answer_or_again(self, number):
        self.hosts.unreachable = "" if self.hosts.unreachable else "S3 does not answer"

    def wait(self, number):
        self.live_until(self.clock.now() + timedelta(minutes=number % 100))

    # ── Fairlead ──

    def crash(self, number):
        whole = self.world
        self.world = replace(whole, ledger=Mortal(self.ledger, 1 + number % 2))
        with suppress(Crash):
            self.a_pass()
        self.world = whole
        self.clock.advance(timedelta(seconds=31))

    def a_pass(self):
        self.hosts.tick()
        self.watch.before()
        try:
            self.again_at = reconcile(NAME, self.world, Lease())
        finally:
            self.passes += 1
            self.watch.after()

    def live_until(self, end):
        """Passes when they are called for, and when anything comes about."""
        while self.clock.now() < end:
            now = self.clock.now()
            calls = [call for call in (self.again_at, self.next_in_the_world()) if call is not None]
            self.clock.advance(max(min([end, *calls]) - now, timedelta(seconds=1)))
            self.a_pass()

    def next_in_the_world(self):
        """A host that boots or falls ill is seen by a feed, which makes the fleet due."""
        now = self.clock.now()
        times = [time for host in self.hosts.hosts.values() for time in (host.boots_until, host.ill_at)]
        return min((time for time in times if time is not None and time > now), default=None)

    def settle(self):
        for _ in range(20):
            self.a_pass()
            if self.again_at is None or self.again_at > self.clock.now():
                return

    # ── the end ──

    def come_to_rest(self):
        self.tell("come to rest")
        self.suspension, self.freezes = None, ()
        self.hosts.unreadable = self.hosts.unreachable = ""
        self.again()
        end, steps = self.clock.now() + BOUND, 0
        self.live_until(self.clock.now() + timedelta(minutes=3))
        while not self.rests():
            assert self.clock.now() < end, f"it does not come to an end: {self.state()}"
            assert steps < STEPS_AT_MOST, f"it goes round and round: {self.state()}"
            steps += 1
            calls = [call for call in (self.again_at, self.next_in_the_world()) if call is not None]
            assert calls, f"nobody will look again: {self.state()}"
            self.clock.advance(max(min(calls) - self.clock.now(), timedelta(seconds=1)))
            self.a_pass()
        self.is_where_it_should_be()

    def state(self):
        record = self.ledger.load(NAME)
        status = record.memory.status
        words = {word.commit[:7]: (word.state.value, word.description) for word in self.ledger.pending()}
        return f"{status.reason}: {status.message}; pending {words}; work {len(record.work)}; {record.memory.rollout}"

    def rests(self):
        record = self.ledger.load(NAME)
        soon = self.again_at is not None and self.again_at < self.clock.now() + timedelta(minutes=1)
        moving = record.memory.rollout is not None and self.watch.units()
        if soon or moving or record.work or record.requests:
            return False
        return [] == self.ledger.pending() or record.memory.status.reason is Reason.DRIFT_RECURS

    def is_where_it_should_be(self):
        """Every unit at the target or at the last good release, as policy says, but those that are named."""
        record = self.ledger.load(NAME)
        memory = record.memory
        desired = Release(fleet=record.desired, setting_commit=record.setting.commit)
        target = choose_target(memory, desired, record.setting)
        named = {rest.unit for rest in memory.rests}
        if target is None:
            failed = quarantined(memory, desired.target_digest)
            assert failed is not None
            assert memory.status.reason in {Reason.QUARANTINED, failed.reason}
            return
        wrong = {
            name
            for name, place in self.watch.units().items()
            if place.components != target.fleet.components and name not in named
        }
        assert not wrong or memory.status.reason is Reason.DRIFT_RECURS, f"{sorted(wrong)}: {self.state()}"
        if quarantined(memory, desired.target_digest):
            assert self.plot.on_failure is OnFailure.ROLLBACK


class Watch:
    """Looks before and after every pass, and knows nothing of how decisions are made."""

    def __init__(self, history):
        self.history, self.hosts = history, history.hosts
        self.taken = {}  # by key of live work: the unit served, or may have, when it was taken
        self.good_since = None
        self.said = None
        self.rollout, self.first, self.lost, self.most = None, set(), set(), 0  # of the rollout in work
        self.judged, self.allowed = None, 0  # the rollout, and how many it might lose when it was largest

    def units(self):
        return {name: place for name, place in self.hosts.places.items() if not place.joining}

    def before(self):
        self.memory = self.history.ledger.load(NAME).memory if self.history.ledger.desired else None
        self.known = len(self.hosts.started)
        self.busy = {run.intent.unit for run in self.live()}

    def live(self):
        return [run for run in self.hosts.executions.values() if run.status in LIVE]

    def after(self):
        memory = self.history.ledger.load(NAME).memory
        new = [self.hosts.executions[key].intent for key in self.hosts.started[self.known :]]
        self.nothing_starts_while_halted(new, memory)
        self.within_the_limits(new)
        self.one_at_a_time()
        self.waves_in_turn(memory)
        self.no_more_than_the_first_wave(new, memory.rollout)
        self.success_is_true(memory)
        self.wholly_one_release()
        self.history.starts += len(new)

    def nothing_starts_while_halted(self, new, memory):
        history = self.history
        frozen = any(freeze.begins <= history.clock.now() < freeze.ends for freeze in history.freezes)
        if history.suspension or frozen or self.hosts.unreadable:
            assert [] == [intent.key for intent in new]

    def within_the_limits(self, new):
        units = self.units()
        ill = {name for name, place in units.items() if not place.healthy}
        taken = {intent.unit for intent in new if units[intent.unit].healthy or units[intent.unit].unheard}
        serving = {intent.unit for intent in new if units[intent.unit].healthy}
        self.taken |= {intent.key: intent.unit in taken for intent in new}
        if not taken:
            return
        most, least = limits(new[0].fleet.deploy, len(units))
        out = ill | (self.busy & units.keys()) | serving
        if serving or out > ill:
            assert len(out) <= most, f"{len(out)} out, {most} may be: {sorted(out)}"
            assert not serving or len(units) - len(out) >= least, f"fewer than {least} healthy"
        by_us = {run.intent.unit for run in self.live() if self.taken.get(run.intent.key)}
        assert len(by_us & units.keys()) <= most, f"took {sorted(by_us)} out, {most} may be"

    def one_at_a_time(self):
        live = [run.intent.unit for run in self.live()]
        assert len(live) == len(set(live)), sorted(live)

    def waves_in_turn(self, memory):
        """A wave is done when its units are at the release, healthy, and stayed so, but for those it may lose."""
        before, now = self.memory.rollout if self.memory else None, memory.rollout
        if before is None or before.kind is not Kind.DEPLOY:
            self.good_since = None
            return
        ended = memory.finished if now is None and memory.finished != self.memory.finished else None
        went_on = now is not None and now.started_at == before.started_at and now.wave > before.wave
        units, clock = self.units(), self.history.clock.now()
        if self.judged != before.started_at:
            self.judged, self.allowed = before.started_at, 0
        self.allowed = max(self.allowed, tolerated(before.release.fleet.deploy, len(units)))
        wanted = before.release.fleet.components
        lost = {entry.unit for entry in (now.left_behind if went_on else memory.rests)}
        members = {name for name in before.members if name in units}
        good = {name for name in members if units[name].healthy and units[name].components == wanted}
        since, self.good_since = self.good_since, clock if went_on else None
        if not (went_on or (ended is not None and ended.target_digest == before.release.target_digest)):
            left = {entry.unit for entry in (now or before).left_behind}
            whole = members and members - left <= good and not self.live()
            self.good_since = (since or clock) if whole else None
            return
        deploy, moved = before.release.fleet.deploy, members & set(before.moved)
        assert members - good <= lost, f"wave {before.wave}: {sorted(members - good - lost)} not there"
        assert len(lost - good) <= self.allowed, f"lost {sorted(lost)}"
        there = any(place.healthy and place.components == wanted for place in units.values())
        assert there or not members, f"wave {before.wave} came to nobody"
        passed = range(before.wave, now.wave if went_on else before.wave + 1)
        soaks = [soak_of(deploy, wave) for wave in passed][:1] if moved else []
        assert not soaks or not soaks[0] or (since and clock - since >= soaks[0]), f"wave {before.wave} did not soak"

    def no_more_than_the_first_wave(self, new, rollout):
        """Units that served and were taken before the first wave was done: its number, one more for each it lost."""
        if rollout is None or rollout.kind is not Kind.DEPLOY or rollout.wave > 1:
            return
        units = self.units()
        if self.rollout != rollout.started_at:
            # what an earlier rollout left under way goes on beside it
            self.rollout, self.first, self.lost, self.most = rollout.started_at, set(), set(self.busy), 0
        self.most = max(self.most, len(units))
        self.first |= {intent.unit for intent in new if units[intent.unit].healthy}
        self.lost |= {entry.unit for entry in rollout.left_behind} | (self.first - units.keys())
        hosts = rollout.release.fleet.deploy.get("waves", [{"hosts": 1}])[0]["hosts"]
        size = hosts if isinstance(hosts, int) else -(-int(hosts[:-1]) * self.most // 100)
        assert len(self.first) <= size + len(self.lost), f"{sorted(self.first)} in a first wave of {size}"

    def success_is_true(self, memory):
        word = self.history.ledger.words.get(self.history.setting)
        said = (word.state, word.description) if word is not None else None
        before, self.said = self.said, said
        if word is None or word.state is not State.SUCCESS or said == before:
            return
        units = self.units()
        wanted = components_of(self.history.version)
        there = {name for name, place in units.items() if place.healthy and place.components == wanted}
        named = {rest.unit for rest in memory.rests if rest.allowed}
        assert there, f"success on nobody: {word.description}"
        assert units.keys() - there <= named, f"{word.description}: {sorted(units.keys() - there)}"

    def wholly_one_release(self):
        whole = [components_of(version) for version in self.history.rates]
        mixed = [name for name, host in self.hosts.hosts.items() if host.components and host.components not in whole]
        assert [] == mixed


def limits(deploy, total):
    """How many hosts may be out at most, and how many must be healthy at least: by their definitions."""
    most = deploy.get("max_unavailable", "25%")
    most = most if isinstance(most, int) else max(1, int(most[:-1]) * total // 100)
    least = deploy.get("min_healthy", 0)
    least = least if isinstance(least, int) else -(-int(least[:-1]) * total // 100)
    return most, least


def soak_of(deploy, wave):
    """How long that wave must stay healthy."""
    waves = deploy.get("waves", [{}, {}])
    return timedelta(minutes=int(waves[min(wave, len(waves)) - 1].get("soak", "0m")[:-1]))


def tolerated(deploy, total):
    """How many hosts a rollout may lose."""
    share = deploy.get("failure_threshold", 0)
    return share if isinstance(share, int) else int(share[:-1]) * total // 100
