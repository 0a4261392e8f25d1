"""One AWS's memory, and whose request is being answered: what the mended parts of moto look at."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Condition, RLock
from typing import Any


@dataclass(slots=True, kw_only=True)
class AwsState:
    """One AWS: moto keeps a single one for the whole process, so two sandboxes in one test would share their fleets."""

    backends: dict[str, dict[str, Any]] = field(default_factory=dict)
    buckets: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> partition, account
    sick_images: set[str] = field(default_factory=set)  # instances of these launch Unhealthy
    sick_targets: set[str] = field(default_factory=set)  # instances that target groups find unhealthy
    boot_seconds: float = 0.0  # how long a new instance is Pending
    registering_seconds: float = 0.2  # how long a target is `initial` once it is registered
    draining_seconds: float = 0.3  # how long a target is `draining` once it is deregistered
    arrivals: Counter[str] = field(default_factory=Counter)  # queue -> how often something came into it
    lock: Any = field(default_factory=RLock)  # one request at a time: no answer shows half of another's change
    arrived: Condition = field(default_factory=Condition)
    closed: bool = False  # nobody waits any more

    def announce(self, queue: str) -> None:
        """Wake who waits for the queue."""
        with self.arrived:
            self.arrivals[queue] += 1
            self.arrived.notify_all()

    def close(self) -> None:
        """Wake everyone who waits."""
        with self.arrived:
            self.closed = True
            self.arrived.notify_all()


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request: who asks which service. `wait` and `queue` are filled in where it asks to wait for messages."""

    service: str = ""
    access_key: str = ""
    wait: float = 0.0  # seconds
    queue: str = ""
    next_visible: float = 0.0  # seconds until a message that is there can be received; 0: there is none


_state: ContextVar[AwsState | None] = ContextVar("fairlead_sandbox_aws", default=None)
_asked: ContextVar[Asked | None] = ContextVar("fairlead_sandbox_aws_request", default=None)
_nobodys = AwsState()  # for moto's own work outside any request


def state_now() -> AwsState:
    """The state of the AWS that is answering."""
    return _state.get() or _nobodys


def asked_now() -> Asked:
    """The request that is being answered."""
    return _asked.get() or Asked()


@contextmanager
def state_in_use(state: AwsState, asked: Asked | None = None) -> Iterator[None]:
    """Let moto work on `state` for the length of one request."""
    states, requests = _state.set(state), _asked.set(asked)
    try:
        with state.lock:
            yield
    finally:
        _asked.reset(requests)
        _state.reset(states)


def replace(owner: Any, name: str, value: Any) -> Any:
    """Put `value` in the place of `owner.name`; gives what was there."""
    before = getattr(owner, name, None)
    setattr(owner, name, value)
    return before
