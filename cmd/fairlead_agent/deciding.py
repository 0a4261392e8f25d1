"""From the order, the memory and what is observed to one decision. Pure.

| the newest assignment | the order asks for | decision |
|---|---|---|
| any, unfinished | the same | go on |
| any, unfinished | another | begin the other |
| any, unfinished | nothing of this host | withdraw: back to the last good release |
| any, unfinished | (no order is believed) | go on: it was begun under a sound one |
| ended | the same | nothing; it is never begun again |
| done | the base, as the host is not admitted | nothing, until it is admitted |
| none, and others deployed what runs here | it, but not by its name | nothing, until it is admitted by its name |
| the same, and the host serves nobody yet | any | begin it |
| none: the memory is new or lost | the base, and what is there is whole and healthy | nothing, until it is admitted |
| failed or none, or done and admitted | another | begin it |
| failed, as the road was bad | the same, and it is the base | begin it again, at each look: nobody else would |

Begun is also what is there already; `Begin.settled` says that nothing is to be done for it but to write it down.
"""

from dataclasses import dataclass
from enum import StrEnum

from adapters.agent_protocol.orders import Assignment, Order, assignment_of
from adapters.agent_protocol.reports import Blame, Work, WorkState
from fairlead_agent.journal import Memory
from fairlead_agent.stages import BETWEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is really there. `release` is the id of the active release; None: there is none."""

    release: str | None
    whole: bool  # its components are all there, unchanged
    running: bool
    healthy: bool
    stale: bool = False  # the process is of another release than the files
    root: str | None = None  # where that was found; None: nobody asked

    def is_at(self, release: str) -> bool:
        """It runs that release, unchanged and healthy."""
        return self.release == release and self.whole and self.running and self.healthy and not self.stale


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Nothing is to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Converge to an assignment. `settled`: the host is there already, and is not touched."""

    assignment: Assignment
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on with the unfinished assignment, at its stage."""

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """End the unfinished assignment: nobody asks for it any more, and for nothing else."""


Decision = Stay | Begin | Resume | Withdraw


class Readiness(StrEnum):
    """How far a host is with its order, for those who wait for it."""

    THERE = "there"  # it is where its order wants it, healthy
    EMPTY = "empty"  # there is no order at all: nothing is to run yet
    WORKING = "working"
    FAILED = "failed"  # for good: nothing tries again by itself


def decide(order: Order | None, host: str, memory: Memory, seen: Observation, *, serving: bool = True) -> Decision:
    """What the host does now. `order` is one that is believed; None: there is none. `serving`: it may have traffic."""
    if order is None:
        return _resumed(memory) or Stay()
    wanted = assignment_of(order, host)
    if wanted is None:
        return Withdraw() if memory.unfinished else Stay()
    if memory.work is not None and memory.work.key == wanted.key:
        return _known(order, host, wanted, memory, seen)
    if not order.admits(host) and _stands(memory, seen):
        return Stay()
    if serving and _is_of_others(memory, seen) and host not in (order.admitted or ()):
        return Stay()
    return _begun(wanted, memory, seen)


def decide_leaving(memory: Memory) -> Decision:
    """What a host does that is about to go: it begins nothing. What was touched is brought to its end."""
    return (_resumed(memory) if memory.touched else None) or Stay()


def readiness(order: Order, host: str, memory: Memory, seen: Observation) -> Readiness:
    """How far the host is with an order that is believed.

    One that asks nothing of the host may be so because of a word of another host. It is no leave to serve with nothing:
    the host waits, until an order asks it, or the hook's own time-out decides.
    """
    if memory.work is not None and memory.work.state is WorkState.FAILED and memory.work.blame is not Blame.TRANSIENT:
        return Readiness.FAILED
    is_quiet = isinstance(decide(order, host, memory, seen, serving=False), Stay)  # who waits for it keeps traffic away
    if is_quiet and seen.running and seen.healthy and not _has_failed(memory):
        return Readiness.THERE
    return Readiness.WORKING


def _has_failed(memory: Memory) -> bool:
    return memory.work is not None and memory.work.state is WorkState.FAILED


def _known(order: Order, host: str, wanted: Assignment, memory: Memory, seen: Observation) -> Decision:
    if memory.unfinished:
        return Resume(assignment=wanted)
    is_base = not order.admits(host)
    if is_base and memory.work is not None and _failed_on_the_way(memory.work):
        return _begun(wanted, memory, seen)
    return Stay()


def _begun(wanted: Assignment, memory: Memory, seen: Observation) -> Begin:
    is_there = seen.is_at(wanted.release.id) and seen.root in {None, wanted.release.lifecycle.root}
    return Begin(assignment=wanted, settled=is_there and not is_between(memory))


def _stands(memory: Memory, seen: Observation) -> bool:
    """It was brought to where it is, or is found well: others go first."""
    if memory.work is None:
        return seen.release is not None and seen.is_at(seen.release)
    return memory.work.state is WorkState.DONE


def _is_of_others(memory: Memory, seen: Observation) -> bool:
    """Something runs that Fairlead never deployed. It is taken over when its turn comes, not because all may."""
    return memory.work is None and seen.release is None and seen.running


def is_between(memory: Memory) -> bool:
    """The files may be those of one release and the process that of another, however healthy it looks."""
    return memory.touched in BETWEEN


def _failed_on_the_way(work: Work) -> bool:
    return work.state is WorkState.FAILED and work.blame is Blame.TRANSIENT


def _resumed(memory: Memory) -> Resume | None:
    if not memory.unfinished or memory.work is None or memory.release is None:
        return None
    return Resume(assignment=Assignment(release=memory.release, attempt=memory.work.attempt))
