"""Thousands of hosts with agents, in one thread: they read real orders, believe only signed ones, and report.

What a host decides follows the table of the agent's `deciding`. Its disk, processes and health are played: a release
runs after a while, and it is healthy unless its version is sick. Orders are read from S3's memory and reports put into
SQS's, without HTTP: what they cost is not what is measured.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from adapters.agent_protocol.addresses import agent_queue_name, order_key, reports_queue_name
from adapters.agent_protocol.hints import read_hint
from adapters.agent_protocol.orders import Assignment, Order, Release, assignment_of
from adapters.agent_protocol.reading import Trust, read_order
from adapters.agent_protocol.refusals import Refused
from adapters.agent_protocol.reports import Blame, Refusal, Report, Work, WorkState
from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.bulk.aws import BulkAws
from fairlead_sandbox.bulk.identities import role_id
from fairlead_sandbox.bulk.objects import Version
from fairlead_sandbox.bulk.queues import Queue
from fairlead_sandbox.bulk.timeline import Timeline
from fairlead_sandbox.bulk.wire import Fault

AGENT = "played"  # the version that reports name
EVERY = "*"  # any fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPace:
    """How long things take, in seconds."""

    hint: float = 0.02  # from a hint to the look at the order
    deploy: float = 0.3  # from the order to the start of the version
    check: float = 0.1  # from its start to its health
    poll: float = 60.0
    heartbeat: float = 60.0


class Started(NamedTuple):
    """A host started a version. `back`: it went back to its last good one by itself."""

    host: str
    fleet: str
    version: str
    key: str  # of the assignment
    back: bool
    at: datetime


@dataclass(slots=True, kw_only=True)
class Member:
    """One fleet on one host: what the agent remembers and what is there."""

    host: "PlayedHost"
    fleet: str
    bucket: str
    sequence: int = 0
    meaning: str = ""
    expires: datetime | None = None
    rejected: tuple[str, ...] = ()
    release: Release | None = None  # that runs
    aim: Release | None = None  # that is to run, while it is at work
    good: Release | None = None  # the last that was healthy
    healthy: bool = False
    between: bool = False  # nobody can say what runs
    work: Work | None = None
    refused: Refusal | None = None
    turn: int = 0  # counts what was begun: an act of an earlier turn does nothing


@dataclass(slots=True, kw_only=True)
class PlayedHost:
    """One instance."""

    id: str
    region: str
    account: str
    sender: str
    queue: Queue
    members: dict[str, Member] = field(default_factory=dict)
    number: int = 0  # of its last report
    awake: bool = False  # it is about to read its queue
    silent: bool = False
    gone: bool = False


class PlayedHosts:
    """All hosts of a world. `started` is the log of every start; `keys` what they trust: public keys by id."""

    def __init__(self, aws: BulkAws, keys: Mapping[str, str], pace: HostPace | None = None) -> None:
        self.hosts: dict[str, PlayedHost] = {}
        self.started: list[Started] = []
        self.sick: set[tuple[str, str]] = set()  # fleet (or EVERY) and version: unhealthy wherever it runs
        self.timeline = Timeline()
        self._aws = aws
        self._keys = keys
        self._pace = pace or HostPace()
        self._read: dict[str, tuple[str, Order, str]] = {}  # by fleet: ETag, the order that it is, its meaning

    def start(self) -> None:
        """All hosts begin to live."""
        self.timeline.start()

    def stop(self) -> None:
        """All of them stand still."""
        self.timeline.stop()

    def add(self, host: str, region: str, buckets: Mapping[str, str], *, account: str = ACCOUNT) -> PlayedHost:
        """A host of these fleets, each with the bucket of its orders. Nothing runs on it; its queue must be there."""
        queue = self._aws.queues.make(account, region, agent_queue_name(host))
        sender = f"{role_id(f'arn:aws:iam::{account}:role/instances')}:{host}"
        made = PlayedHost(id=host, region=region, account=account, sender=sender, queue=queue)
        made.members = {fleet: Member(host=made, fleet=fleet, bucket=bucket) for fleet, bucket in buckets.items()}
        self.hosts[host] = made
        queue.listener = partial(self._wake, made)
        for member in made.members.values():
            self.timeline.after(0, partial(self._look, member))
            self.timeline.after(self._pace.poll * random.random(), partial(self._poll, member))
            self.timeline.after(self._pace.heartbeat * random.random(), partial(self._beat, member))
        return made

    def install(self, host: str, fleet: str, release: Release) -> None:
        """The release runs there, healthy, as if it had been deployed long ago. Before the host begins to live."""
        member = self.hosts[host].members[fleet]
        member.release = member.good = release
        member.healthy = True

    def silence(self, hosts: Iterable[str], *, silent: bool = True) -> None:
        """They neither read nor say anything; not silent, they look again at once."""
        for host in map(self.hosts.__getitem__, hosts):
            host.silent = silent
            for member in () if silent else host.members.values():
                self.timeline.after(0, partial(self._return, member))

    def sicken(self, hosts: Iterable[str], *, healthy: bool = False) -> None:
        """What runs there fails its health from now on, or is well again."""
        for host in map(self.hosts.__getitem__, hosts):
            for member in host.members.values():
                self.timeline.after(0, partial(self._set_health, member, healthy))

    def beat(self) -> None:
        """Everybody reports at once, as after an outage."""
        for host in list(self.hosts.values()):
            for member in host.members.values():
                self.timeline.after(0, partial(self._report, member))

    def terminate(self, host: str) -> None:
        """The instance is gone. Its queue stays, as after a crash."""
        gone = self.hosts.pop(host)
        gone.gone, gone.queue.listener = True, None
        estate = self._aws.estate(gone.region, gone.account)
        estate.remove_instance(estate.instances[host])

    def versions(self, fleet: str) -> dict[str, str]:
        """What each host of a fleet runs, healthy or not; empty where nothing runs."""
        found = ((one.id, one.members.get(fleet)) for one in list(self.hosts.values()))
        return {host: member.release.version if member.release else "" for host, member in found if member}

    # -- hearing: by the timeline's thread from here on ---------------------------------------------------------------

    def _wake(self, host: PlayedHost) -> None:
        """Something came into its queue (any thread)."""
        if not host.awake and not host.silent:
            host.awake = True
            self.timeline.after(self._pace.hint, partial(self._listen, host))

    def _listen(self, host: PlayedHost) -> None:
        host.awake = False
        fleets = set()
        while not host.gone and (found := host.queue.take(10)):
            for receipt, message in found:
                host.queue.delete(receipt)
                hint = read_hint(message.body)
                fleets.add(hint.fleet if hint is not None else "")
        for fleet in fleets & set(host.members):
            self._look(host.members[fleet])

    def _poll(self, member: Member) -> None:
        if not member.host.gone:
            self._look(member)
            self.timeline.after(_about(self._pace.poll), partial(self._poll, member))

    def _beat(self, member: Member) -> None:
        if not member.host.gone:
            self._report(member)
            self.timeline.after(_about(self._pace.heartbeat), partial(self._beat, member))

    def _return(self, member: Member) -> None:
        """The agent is back: it goes on where it was."""
        if member.work is not None and member.work.state is WorkState.WORKING:
            member.turn += 1  # an act that waits still must not do it as well
            act = self._finish if member.between else self._restart
            self.timeline.after(self._pace.check, partial(act, member, member.turn))
        self._listen(member.host)
        self._look(member)
        self._report(member)

    def _set_health(self, member: Member, healthy: bool) -> None:
        member.healthy = healthy
        self._report(member)

    # -- deciding -----------------------------------------------------------------------------------------------------

    def _look(self, member: Member) -> None:
        if member.host.silent or member.host.gone:
            return
        try:
            found = self._aws.objects.get(member.bucket, order_key(member.fleet))
        except Fault:
            found = None
        if found is None:
            return
        try:
            order, meaning = self._believed(member, found)
        except Refused as refused:
            self._refuse(member, refused)
            return
        member.sequence, member.meaning, member.expires = order.sequence, meaning, order.expires
        member.rejected, member.refused = order.rejected, None
        self._decide(member, order)

    def _believed(self, member: Member, found: Version) -> tuple[Order, str]:
        """The order in these bytes. Hosts of one fleet share the work of verifying the same bytes, not what it says.

        Raises `Refused`.
        """
        trust, now = Trust(fleet=member.fleet, keys=self._keys), self._aws.clock.now()
        etag, order, meaning = self._read.get(member.fleet, ("", None, ""))
        if etag != found.etag or order is None:
            order = read_order(found.body, trust, now)
            meaning = order.meaning
            self._read[member.fleet] = (found.etag, order, meaning)
        is_known = order.sequence == member.sequence and member.meaning not in {"", meaning}
        if order.sequence < member.sequence or is_known or order.expires <= now:
            known = member.meaning
            order = read_order(found.body, trust, now, at_least=member.sequence, known_meaning=known)
        return order, meaning

    def _refuse(self, member: Member, refused: Refused) -> None:
        said = Refusal(reason=refused.reason, message=refused.message, sequence=refused.sequence)
        if said != member.refused:
            member.refused = said
            self._report(member)

    def _decide(self, member: Member, order: Order) -> None:
        wanted, work = assignment_of(order, member.host.id), member.work
        is_under_way = work is not None and work.state is WorkState.WORKING
        if wanted is None:
            if is_under_way:
                self._fail(member, "the order no longer asks for it", Blame.TRANSIENT)
        elif work is not None and work.key == wanted.key:
            if not order.admits(member.host.id) and (work.state, work.blame) == (WorkState.FAILED, Blame.TRANSIENT):
                self._begin(member, wanted)
        elif order.admits(member.host.id) or not _stands(member):
            self._begin(member, wanted)

    def _begin(self, member: Member, wanted: Assignment) -> None:
        """Nothing is touched where it runs already."""
        member.turn += 1
        release = wanted.release
        work = Work(key=wanted.key, version=release.version, attempt=wanted.attempt, state=WorkState.WORKING)
        if member.release is not None and member.release.id == release.id and member.healthy and not member.between:
            member.work, member.release, member.good = replace(work, state=WorkState.DONE), release, release
            self._report(member)
            return
        member.work, member.aim = replace(work, stage="staging"), release
        self._report(member)
        self.timeline.after(self._pace.deploy, partial(self._restart, member, member.turn))

    def _restart(self, member: Member, turn: int) -> None:
        if self._is_over(member, turn):
            return
        assert member.work is not None
        assert member.aim is not None
        self._write_down(member, member.aim, back=False)
        member.release, member.healthy, member.between = member.aim, False, True
        member.work = replace(member.work, stage="checking")
        self._report(member)
        self.timeline.after(self._pace.check, partial(self._finish, member, turn))

    def _finish(self, member: Member, turn: int) -> None:
        if self._is_over(member, turn):
            return
        assert member.work is not None
        assert member.release is not None
        member.between = False
        if {(member.fleet, member.release.version), (EVERY, member.release.version)} & self.sick:
            self._fail(member, "its health check fails", Blame.UNHEALTHY)
            return
        member.healthy, member.good = True, member.release
        member.work = replace(member.work, state=WorkState.DONE, stage="")
        self._report(member)

    def _fail(self, member: Member, message: str, blame: Blame) -> None:
        """It goes back to the last good release by itself, unless that one is rejected."""
        assert member.work is not None
        member.turn += 1
        good, back = member.good, ""
        is_elsewhere = good is not None and (member.release is None or member.release.id != good.id)
        if good is not None and is_elsewhere and good.digest not in member.rejected:
            self._write_down(member, good, back=True)
            member.release, member.healthy, back = good, True, good.version
        member.between = False
        member.work = replace(
            member.work, state=WorkState.FAILED, stage="", message=message, blame=blame, rolled_back_to=back
        )
        self._report(member)

    def _is_over(self, member: Member, turn: int) -> bool:
        """Something newer was begun, or nobody is there to go on."""
        return member.turn != turn or member.host.gone or member.host.silent

    def _write_down(self, member: Member, release: Release, *, back: bool) -> None:
        key = member.work.key if member.work is not None else ""
        at = self._aws.clock.now()
        self.started.append(Started(member.host.id, member.fleet, release.version, key, back, at))

    # -- saying -------------------------------------------------------------------------------------------------------

    def _report(self, member: Member) -> None:
        host, release = member.host, member.release
        if host.silent or host.gone:
            return
        name = reports_queue_name(member.fleet.partition("/")[0])
        queue = self._aws.queues.find(host.account, host.region, name)
        if queue is None:
            return
        host.number += 1
        ailment = "" if member.healthy else "its health check fails" if release else "nothing is installed"
        report = Report(
            host=host.id,
            fleet=member.fleet,
            agent=AGENT,
            number=host.number,
            at=self._aws.clock.now(),
            sequence=member.sequence,
            expires=member.expires,
            components=release.components if release is not None and not member.between else {},
            running=release is not None,
            healthy=member.healthy,
            message=ailment,
            last_good=member.good.version if member.good else "",
            work=member.work,
            refused=member.refused,
        )
        self._aws.queues.put(queue, report.text(), host.sender)


def _stands(member: Member) -> bool:
    """It was brought to where it is, or is found well: others go first."""
    if member.work is None:
        return member.release is not None and member.healthy
    return member.work.state is WorkState.DONE


def _about(seconds: float) -> float:
    return seconds * (0.8 + 0.4 * random.random())
