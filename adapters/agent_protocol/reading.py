"""From bytes to an order: nothing in it is believed before its signature was verified.

`read_order` is the host's way in and checks everything. `own_order` is the controller's: who may write to the bucket
may have written what lies there. `parse_order` only parses: for people and tests.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from adapters.agent_protocol.fields import Fields, Malformed
from adapters.agent_protocol.orders import (
    ALL,
    FORMATS,
    Artifact,
    Before,
    ConfigFile,
    Drain,
    Health,
    Hook,
    Lifecycle,
    Order,
    Release,
    Run,
)
from adapters.agent_protocol.places import check_places, inner_path, own_root, plain_name
from adapters.agent_protocol.refusals import RefusalReason, Refused
from adapters.agent_protocol.signing import BadKey, SigningKey, is_signed, public_key
from adapters.agent_protocol.strict_json import read_json

LARGEST = 1 << 20  # bytes
SKEW = timedelta(minutes=5)  # how far apart two honest clocks may be
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_FORMATS = frozenset({"deb", "archive", "file"})
_SOURCE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s].*")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,255}")  # systemd.unit(5); a leading - would be an option
_HTTP = re.compile(r"https?://[^\s]+")
_TCP = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")
COMPONENTS = 32 * 1024  # characters of all names and versions together, so that a report has room for them


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
    _check_signature(document, trust.keys, sequence)
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


def own_order(body: bytes, key: SigningKey) -> Order:
    """The order, if this very key signed it; its times are not looked at. Raises `Refused`: hosts run it no more.

    What is refused here is written anew. Its claimed sequence is in `Refused.sequence`, for `orders.next_sequence`.
    """
    document = _document(body)
    sequence = _sequence(document)
    public = {key.key_id: key.public}
    _check_signature(document, public, sequence)
    return _order(document)


def parse_order(body: bytes) -> Order:
    """The order as it stands, not verified. Raises `Refused` where it is none."""
    return _order(_document(body))


def read_release(document: Mapping[str, Any]) -> Release:
    """A release out of its `orders.release_document`, as a host keeps it. Raises `Malformed`."""
    return _release(Fields(document, "release"))


def _document(body: bytes) -> Mapping[str, Any]:
    if len(body) > LARGEST:
        raise Refused(RefusalReason.MALFORMED, f"the order has {len(body)} bytes; the most is {LARGEST}")
    try:
        found = read_json(body.decode("utf-8"), "the order")
    except UnicodeDecodeError:
        raise Refused(RefusalReason.MALFORMED, "the order is not UTF-8") from None
    except Malformed as error:
        raise Refused(RefusalReason.MALFORMED, str(error)) from None
    if not isinstance(found, dict) or found.get("format") not in FORMATS:
        said = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise Refused(
            RefusalReason.MALFORMED,
            f"the order's format is {str(said)[:60]!r}, and this agent reads {' and '.join(FORMATS)}",
        )
    return found


def _sequence(document: Mapping[str, Any]) -> int:
    value = document.get("sequence")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _check_signature(document: Mapping[str, Any], keys: Mapping[str, str], sequence: int) -> None:
    key_id = document.get("key_id")
    if not isinstance(key_id, str) or key_id not in keys:
        said = f"the order is signed with key {str(key_id)[:60]!r}, which this host does not trust"
        raise Refused(RefusalReason.UNKNOWN_KEY, said, sequence)
    try:
        key = public_key(keys[key_id])
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
        order = Order(
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
            before=fields.maybe("before", _before),
        )
        _check_rejected(order)
        _check_format(order, fields.text("format"))
    except Malformed as error:
        raise Refused(RefusalReason.MALFORMED, str(error), _sequence(document)) from None
    return order


def _check_rejected(order: Order) -> None:
    for release in (order.target, order.base):
        if release is not None and release.digest in order.rejected:
            raise Malformed(f"the order asks for {release.version[:60]} and rejects it")


def _check_format(order: Order, said: str) -> None:
    """An older agent would pass over what an order of the older format cannot say."""
    if FORMATS.index(said) < FORMATS.index(order.format):
        raise Malformed(f"an order with hooks or a step before the version is of {order.format}, not of {said}")


def _before(fields: Fields) -> Before:
    return Before(
        host=fields.filled("host"),
        attempt=fields.whole("attempt", 1),
        command=fields.filled("command"),
        within=fields.seconds("within"),
    )


def _release(fields: Fields) -> Release:
    release = Release(
        digest=_matching(fields, "digest", _DIGEST, "64 hexadecimal characters"),
        commit=_matching(fields, "commit", _COMMIT, "a full commit id"),
        version=fields.filled("version", 512),
        components=_components(fields),
        artifacts=fields.each("artifacts", _artifact),
        lifecycle=_lifecycle(fields),
        config=fields.maybe("config", _config),
    )
    check_places(release.artifacts, release.config)
    return release


def _components(fields: Fields) -> Mapping[str, str]:
    found = fields.texts("components")
    if sum(len(name) + len(version) for name, version in found.items()) > COMPONENTS:
        raise Malformed(f"components must have at most {COMPONENTS} characters")
    return found


def _artifact(fields: Fields) -> Artifact:
    if fields.text("format") not in _FORMATS:
        raise Malformed(f"an artifact's format must be one of {', '.join(sorted(_FORMATS))}")
    source = fields.optional("from")
    if source is not None and _SOURCE.fullmatch(source) is None:
        raise Malformed("an artifact's from must be like s3://bucket/key")
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
    hooks = fields.part("hooks", _hooks) if fields.has("hooks") else {}
    return Lifecycle(
        root=own_root(fields.filled("root")),
        run=fields.part("run", _run),
        health=fields.part("health", _health),
        drain=fields.maybe("drain", _drain),
        **hooks,
    )


def _hooks(fields: Fields) -> dict[str, Hook | None]:
    return {"pre": fields.maybe("pre", _hook), "post": fields.maybe("post", _hook)}


def _hook(fields: Fields) -> Hook:
    return Hook(command=fields.filled("command"), within=fields.seconds("within"))


def _run(fields: Fields) -> Run:
    run = Run(
        unit=fields.optional("unit"), command=fields.optional("command"), stop_within=fields.seconds("stop_within")
    )
    if (run.unit is None) == (run.command is None):
        raise Malformed("run must have exactly one of unit and command")
    if run.unit is not None and _UNIT.fullmatch(run.unit) is None:
        raise Malformed("run.unit must be the name of a systemd unit")
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
    if found.http is not None and _HTTP.fullmatch(found.http) is None:
        raise Malformed("health.http must be an address like http://localhost:8080/health")
    if found.tcp is not None and _TCP.fullmatch(found.tcp) is None:
        raise Malformed("health.tcp must be a host and port like localhost:8080")
    return found


def _drain(fields: Fields) -> Drain:
    groups = None if fields.raw("target_groups") == "attached" else fields.names("target_groups")
    return Drain(groups=groups, within=fields.seconds("within"))


def _matching(fields: Fields, name: str, pattern: re.Pattern[str], right: str) -> str:
    value = fields.text(name)
    if pattern.fullmatch(value) is None:
        raise Malformed(f"{name} must be {right}")
    return value
