"""Orders: the signed document that says what a fleet's hosts run (DESIGN 10). One a fleet, in S3.

An admitted host runs `target`, any other runs `base`, the last good release. A higher sequence wins; an equal one is
the same order again. An order says what shall be, never what to do: a host compares it with itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from adapters.agent_protocol.canonical import sha256
from adapters.agent_protocol.fields import moment_text

FORMAT = "fairlead/order/v1"
FORMAT_2 = "fairlead/order/v2"  # with hooks or a step before the version; written only where there are any
FORMATS = (FORMAT, FORMAT_2)
LIFETIME = timedelta(days=30)  # an order is signed again at half of it
ALL = "all"
LEAP = 1_000_000  # no honest sequence is this far above the next lower one that was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One package of a release. `source` is `s3://bucket/key`; None: a deb from the host's own apt repositories."""

    name: str
    version: str
    format: str  # deb, archive, file
    source: str | None
    to: str | None  # where it goes below the release's folder; None for a deb
    sha256: str  # 64 hexadecimal characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """Configuration values, written on the host. A secret stands in them as `{"$secret": ..., "version": ...}`."""

    component: str  # config/matchmaker
    to: str
    format: str  # yaml, json
    values: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is restarted: a systemd unit, or a command that (re)starts the service and returns. Times in seconds."""

    unit: str | None = None
    command: str | None = None
    stop_within: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How traffic leaves the host: `groups` None means those that it is attached to. Seconds."""

    groups: tuple[str, ...] | None
    within: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """When the host is healthy: exactly one of the three. Seconds."""

    http: str | None = None
    tcp: str | None = None
    command: str | None = None
    within: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command of the release's own, run in its folder on each host. Seconds."""

    command: str
    within: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """How a release gets onto a host and is seen to work there."""

    root: str  # absolute; everything of ours on the host is below it
    run: Run
    health: Health
    drain: Drain | None = None
    pre: Hook | None = None  # after staging, before draining
    post: Hook | None = None  # when it is healthy, before it is registered


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a host runs: versions, artifacts, config, and how. `digest` is the target digest of DESIGN 1."""

    digest: str
    commit: str  # the setting commit, full
    version: str  # as people say it
    components: Mapping[str, str]
    artifacts: tuple[Artifact, ...]
    lifecycle: Lifecycle
    config: ConfigFile | None = None

    @property
    def id(self) -> str:
        """Names the release's folder on a host: 16 characters over everything that is put into it."""
        config = (self.config.to, self.config.format, self.config.digest) if self.config else None
        return _release_id(self.digest, self.artifacts, config)


@lru_cache(maxsize=256)  # it is asked again and again, and a process knows few releases
def _release_id(digest: str, artifacts: tuple[Artifact, ...], config: tuple[str, str, str] | None) -> str:
    pins = [[one.name, one.version, one.format, one.to, one.sha256] for one in artifacts]
    return sha256({"digest": digest, "artifacts": pins, "config": config})[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The step before the target: a command that one host runs, once, in the target's staged folder. Seconds."""

    host: str
    attempt: int
    command: str
    within: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a fleet's hosts run. Times are aware and in UTC."""

    fleet: str
    sequence: int
    target: Release
    issued: datetime
    expires: datetime
    base: Release | None = None
    admitted: frozenset[str] | None = None  # None: all
    attempts: Mapping[str, int] = field(default_factory=dict)  # by host, from 1; left out: 1
    rejected: tuple[str, ...] = ()  # digests that failed in this fleet: no host goes back to one
    key_id: str = ""
    before: Before | None = None

    @property
    def format(self) -> str:
        """The oldest format that can say it, so that older agents read what they can."""
        releases = (self.target, self.base)
        has_hooks = any(one is not None and (one.lifecycle.pre or one.lifecycle.post) for one in releases)
        return FORMAT_2 if has_hooks or self.before is not None else FORMAT

    def admits(self, host: str) -> bool:
        """Whether the host runs the target."""
        return self.admitted is None or host in self.admitted

    def document(self) -> dict[str, Any]:
        """The order as JSON, not signed yet."""
        return {
            "format": self.format,
            "fleet": self.fleet,
            "sequence": self.sequence,
            "issued": moment_text(self.issued),
            "expires": moment_text(self.expires),
            "target": release_document(self.target),
            "base": release_document(self.base) if self.base else None,
            "admitted": ALL if self.admitted is None else sorted(self.admitted),
            "attempts": dict(sorted(self.attempts.items())),
            "rejected": sorted(self.rejected),
            **_before_document(self.before),
        }

    @property
    def meaning(self) -> str:
        """A digest over what the order says, whatever its sequence and times: equal orders ask for the same."""
        said = {key: value for key, value in self.document().items() if key not in {"sequence", "issued", "expires"}}
        return sha256(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One host's part of an order: a release and the number of the attempt. The same one is never begun twice."""

    release: Release
    attempt: int

    @property
    def key(self) -> str:
        """Its identity: setting commit, target digest, attempt."""
        return f"{self.release.commit[:12]}:{self.release.digest[:12]}:a{self.attempt}"


def assignment_of(order: Order, host: str) -> Assignment | None:
    """What the host is to run; None: it is not admitted and there is no base, so it stays as it is."""
    if order.admits(host):
        return Assignment(release=order.target, attempt=order.attempts.get(host, 1))
    if order.base is None:
        return None
    return Assignment(release=order.base, attempt=1)


def before_key(order: Order, host: str) -> str:
    """The identity of the step that the order asks of that host, for which it is run once; empty: it asks none."""
    step = order.before
    if step is None or step.host != host:
        return ""
    return step_key(order.target.commit, order.target.digest, step.attempt)


def step_key(commit: str, digest: str, attempt: int) -> str:
    """Setting commit, target digest, attempt."""
    return f"{commit[:12]}:{digest[:12]}:before:a{attempt}"


def next_sequence(seen: Iterable[int]) -> int:
    """One above the highest of the sequences that were seen: in S3, and in reports.

    Anyone who writes to the bucket or to the reports queue can claim any number, and hosts never go back: a claim that
    is more than `LEAP` above all others is passed over, or one lie would use up the numbers of a fleet for ever.
    """
    highest = 0
    for claimed in sorted(seen):
        if claimed > highest + LEAP:
            break
        highest = max(highest, claimed)
    return highest + 1


def release_document(release: Release) -> dict[str, Any]:
    """A release as JSON."""
    lifecycle, config = release.lifecycle, release.config
    return {
        "digest": release.digest,
        "commit": release.commit,
        "version": release.version,
        "components": dict(sorted(release.components.items())),
        "artifacts": [
            {
                "name": one.name,
                "version": one.version,
                "format": one.format,
                "from": one.source,
                "to": one.to,
                "sha256": one.sha256,
            }
            for one in release.artifacts
        ],
        "config": {
            "component": config.component,
            "to": config.to,
            "format": config.format,
            "values": config.values,
            "digest": config.digest,
        }
        if config
        else None,
        "root": lifecycle.root,
        "run": {
            "unit": lifecycle.run.unit,
            "command": lifecycle.run.command,
            "stop_within": float(lifecycle.run.stop_within),
        },
        "health": {
            "http": lifecycle.health.http,
            "tcp": lifecycle.health.tcp,
            "command": lifecycle.health.command,
            "within": float(lifecycle.health.within),
        },
        "drain": _drain_document(lifecycle.drain),
        **_hooks_document(lifecycle),
    }


def _before_document(before: Before | None) -> dict[str, Any]:
    if before is None:
        return {}
    said = {"host": before.host, "attempt": before.attempt, "command": before.command, "within": float(before.within)}
    return {"before": said}


def _hooks_document(lifecycle: Lifecycle) -> dict[str, Any]:
    """Nothing where there are none: what older agents read stays what it was."""
    named = {"pre": lifecycle.pre, "post": lifecycle.post}
    hooks = {name: {"command": one.command, "within": float(one.within)} for name, one in named.items() if one}
    return {"hooks": {"pre": None, "post": None, **hooks}} if hooks else {}


def _drain_document(drain: Drain | None) -> dict[str, Any] | None:
    if drain is None:
        return None
    groups: Any = "attached" if drain.groups is None else list(drain.groups)
    return {"target_groups": groups, "within": float(drain.within)}
