"""What is known of one machine of a fleet, for people. A deployer whose units are machines fills it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from desired_state.model import Component, Version
from reconciler.observed import UnitId


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """One host: where it is, what it said last, and when. Texts are a host's own words, cleaned and cut."""

    id: UnitId
    region: str
    zone: str
    components: Mapping[Component, Version] = field(default_factory=dict)
    running: bool = False
    healthy: bool = False
    heard_at: datetime | None = None  # when its last report came; None: it never reported
    silent: bool = False  # for longer than it may be
    joining: bool = False  # it boots, or was launched lately and serves nobody yet
    leaving: str = ""  # why it is about to go; empty: it stays
    message: str = ""  # its last words
    agent: str = ""  # the agent's version
    sequence: int = 0  # of the order that it follows; 0: none
    refused: str = ""  # the order that it does not believe, and why; empty: none
    stage: str = ""  # of the work that it is at; empty: it is at none
    failed: str = ""  # the version that its newest work failed to bring; empty: that did not fail
    log: str = ""  # the last words of what that work ran, in lines
    report_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many hosts of a fleet may be out of service at once, and by which setting."""

    at_once: int
    hosts: int
    max_unavailable: str  # as it is written, or the default
    min_healthy: str  # as it is written; empty: not at all
    stricter: str  # the name of the setting that decides
