"""From bytes to an order: nothing in it is believed before its signature was verified.

`read_order` is the host's way in and checks everything. `parse_order` only parses: for the controller reading its own.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from adapters.agent_protocol.fields import Fields, Malformed
from adapters.agent_protocol.orders import (
    ALL,
    FORMAT,
    Artifact,
    ConfigFile,
    Drain,
    Health,
    Lifecycle,
    Order,
    Release,
    Run,
)
from adapters.agent_protocol.refusals import RefusalReason, Refused
from adapters.agent_protocol.signing import BadKey, is_signed, public_key

LARGEST = 1 << 20  # bytes
SKEW = timedelta(minutes=5)  # how far apart two honest clocks may be
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_FORMATS = frozenset({"deb", "archive", "file"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a host believes: public keys by key id, in base64; and which fleet it is asked for."""

    fleet: str
    keys: Mapping[str, str]


def read_order(body: bytes, trust: Trust, now: datetime, *, at_least: int = 0, known_meaning: str = "") -> Order:
    """The order, verified: signature, fleet, sequence, expiry.

    `at_least` is the highest sequence that was accepted before; at that same sequence the meaning must be
    `known_meaning` (where one is given). Raises `Refused`; an expired order is refused last, so that `OrderExpired`
    means that all else is right.
    """
    document = _document(body)
    sequence = _sequence(document)
    _check_signature(document, trust, sequence)
    order = _order(document)
    if order.fleet != trust.fleet:
        said = f"the order is for {order.fleet}, not for {trust.fleet}"
        raise Refused(RefusalReason.MISADDRESSED, said, sequence)
    _check_sequence(order, at_least, known_meaning)
    if order.issued > now + SKEW:
        said = (
            f"the order is of {order.issued:%Y-%m-%d %H:%M} UTC, which this host's clock has not reached; set the clock"
        )
        raise Refused(RefusalReason.NOT_YET, said, sequence)
    if order.expires <= now:
        said = f"the order expired at {order.expires:%Y-%m-%d %H:%M} UTC; the controller signs it again when it runs"
        raise Refused(RefusalReason.EXPIRED, said, sequence)
    return order


def parse_order(body: bytes) -> Order:
    """The order as it stands, not verified. Raises `Refused` where it is none."""
    return _order(_document(body))


def _document(body: bytes) -> Mapping[str, Any]:
    if len(body) > LARGEST:
        raise Refused(RefusalReason.MALFORMED, f"the order has {len(body)} bytes; the most is {LARGEST}")
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refused(RefusalReason.MALFORMED, f"the order is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        said = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise Refused(
            RefusalReason.MALFORMED, f"the order's format is {str(said)[:60]!r}, and this agent reads {FORMAT}"
        )
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _sequence(document: Mapping[str, Any]) -> int:
    value = document.get("sequence")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _check_signature(document: Mapping[str, Any], trust: Trust, sequence: int) -> None:
    key_id = document.get("key_id")
    if not isinstance(key_id, str) or key_id not in trust.keys:
        said = f"the order is signed with key {str(key_id)[:60]!r}, which this host does not trust"
        raise Refused(RefusalReason.UNKNOWN_KEY, said, sequence)
    try:
        key = public_key(trust.keys[key_id])
    except BadKey as error:
        raise Refused(RefusalReason.UNKNOWN_KEY, f"key {key_id}: {error}", sequence) from None
    if not is_signed(document, key):
        raise Refused(RefusalReason.TAMPERED, "the order's signature is not that of its content", sequence)


def _check_sequence(order: Order, at_least: int, known_meaning: str) -> None:
    if order.sequence < at_least:
        said = f"the order has sequence {order.sequence}, and this host has accepted {at_least} before"
        raise Refused(RefusalReason.REPLAYED, said, order.sequence)
    if order.sequence == at_least and known_meaning and order.meaning != known_meaning:
        said = f"another order with the same sequence {order.sequence} was accepted before"
        raise Refused(RefusalReason.REPLAYED, said, order.sequence)


def _order(document: Mapping[str, Any]) -> Order:
    fields = Fields(document, "order")
    try:
        admitted = None if document.get("admitted") == ALL else frozenset(fields.names("admitted"))
        return Order(
            fleet=fields.filled("fleet"),
            sequence=fields.whole("sequence", 1),
            issued=fields.moment("issued"),
            expires=fields.moment("expires"),
            target=fields.part("target", _release),
            base=fields.maybe("base", _release),
            admitted=admitted,
            attempts=fields.wholes("attempts"),
            rejected=fields.names("rejected"),
            key_id=fields.text("key_id") if fields.has("key_id") else "",
        )
    except Malformed as error:
        raise Refused(RefusalReason.MALFORMED, str(error), _sequence(document)) from None


def _release(fields: Fields) -> Release:
    return Release(
        digest=_matching(fields, "digest", _DIGEST, "64 hexadecimal characters"),
        commit=_matching(fields, "commit", _COMMIT, "a full commit id"),
        version=fields.filled("version"),
        components=fields.texts("components"),
        artifacts=fields.each("artifacts", _artifact),
        lifecycle=_lifecycle(fields),
        config=fields.maybe("config", _config),
    )


def _artifact(fields: Fields) -> Artifact:
    if fields.text("format") not in _FORMATS:
        raise Malformed(f"an artifact's format must be one of {', '.join(sorted(_FORMATS))}")
    source = fields.optional("from")
    if source is not None and not source.startswith("s3://"):
        raise Malformed("an artifact's from must begin with s3://")
    to = fields.optional("to")
    return Artifact(
        name=plain_name(fields.filled("name")),
        version=fields.filled("version"),
        format=fields.text("format"),
        source=source,
        to=None if to is None else inner_path(to),
        sha256=_matching(fields, "sha256", _DIGEST, "64 hexadecimal characters"),
    )


def _config(fields: Fields) -> ConfigFile:
    if fields.text("format") not in {"yaml", "json"}:
        raise Malformed("config.format must be yaml or json")
    return ConfigFile(
        component=fields.filled("component"),
        to=inner_path(fields.filled("to")),
        format=fields.text("format"),
        values=fields.mapping("values"),
        digest=_matching(fields, "digest", _DIGEST, "64 hexadecimal characters"),
    )


def _lifecycle(fields: Fields) -> Lifecycle:
    root = fields.filled("root")
    if not root.startswith("/") or ".." in root.split("/") or "\0" in root:
        raise Malformed("root must be an absolute path without ..")
    return Lifecycle(
        root=root,
        run=fields.part("run", _run),
        health=fields.part("health", _health),
        drain=fields.maybe("drain", _drain),
    )


def _run(fields: Fields) -> Run:
    run = Run(
        unit=fields.optional("unit"), command=fields.optional("command"), stop_within=fields.seconds("stop_within")
    )
    if (run.unit is None) == (run.command is None):
        raise Malformed("run must have exactly one of unit and command")
    return run


def _health(fields: Fields) -> Health:
    found = Health(
        http=fields.optional("http"),
        tcp=fields.optional("tcp"),
        command=fields.optional("command"),
        within=fields.seconds("within"),
    )
    if sum(way is not None for way in (found.http, found.tcp, found.command)) != 1:
        raise Malformed("health must have exactly one of http, tcp and command")
    return found


def _drain(fields: Fields) -> Drain:
    groups = None if fields.raw("target_groups") == "attached" else fields.names("target_groups")
    return Drain(groups=groups, within=fields.seconds("within"))


def _matching(fields: Fields, name: str, pattern: re.Pattern[str], right: str) -> str:
    value = fields.text(name)
    if pattern.fullmatch(value) is None:
        raise Malformed(f"{name} must be {right}")
    return value


def plain_name(name: str) -> str:
    """A package's name, safe as a part of a path. Raises `Malformed`."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}", name) is None:
        raise Malformed("a package's name must be letters, digits and . + - _")
    return name


def inner_path(path: str) -> str:
    """A path that stays below the folder that it is put into. Raises `Malformed`."""
    parts = path.split("/")
    if path.startswith("/") or "\0" in path or any(part in {"", ".", ".."} for part in parts):
        raise Malformed("a path on the host must be relative, without empty parts, . and ..")
    return path
