"""The webhook of pushes: a signed hint that a branch moved, and nothing more.

The signature is checked over the bytes as they came, in constant time and before anything reads them (docs.github.com,
"Validating webhook deliveries"). What a push says is never used but to look at the repository sooner: a forged, lost,
late or repeated one changes nothing. The cache of what was seen spares the queue from repeats. It is this process's
own: at another replica a repeat is one more look at a repository that has not moved.
"""

import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

from reconciler.ports import Clock

LARGEST = 1024 * 1024  # bytes; GitHub sends up to 25 MB, but of a push that large the next poll tells too
REMEMBERED = 1000  # deliveries
FORGOTTEN_AFTER = 300.0  # seconds: who presses "Redeliver" later wants to be heard
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]{1,500}")
_FULL_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")
_URLS = ("clone_url", "ssh_url", "git_url", "html_url", "url")


class Refused(Exception):
    """It is not acted on. `status` is what to answer; the message is a sentence that holds nothing of what came."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository that pushes may speak of: its name in the settings, where it lies, and who may sign for it."""

    name: str
    url: str
    branch: str
    repository: str = ""  # owner/name at the forge; left out: known by its URL
    secrets: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Look at these repositories now: `names` are those of the settings. `delivery` is GitHub's id, for the log."""

    names: tuple[str, ...]
    repository: str
    ref: str
    delivery: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Well signed, and nothing to do; answer 200 with `why`."""

    why: str
    delivery: str = ""


class Webhook:
    """What answers at `/hooks/github`. Safe to share between threads. Raises ValueError where a place has no secret."""

    def __init__(self, places: Sequence[Place], clock: Clock) -> None:
        for place in places:
            if not place.secrets or not all(place.secrets):
                raise ValueError(f"repository {place.name}: a webhook needs a secret that is not empty")
        self._places = tuple(places)
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def glance(self, headers: Mapping[str, str]) -> None:
        """Refuse what says of itself that it is not signed, before its body is read. Raises `Refused` with 401."""
        _signature({name.lower(): value for name, value in headers.items()})

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Hint | Ignored:
        """What a request asks for. `body` is as it came; the caller stops reading at `LARGEST` + 1 bytes.

        Raises `Refused`, and nothing else whatever comes: 413 too large, 401 not signed, 415 and 400 not understood.
        """
        known = {name.lower(): value for name, value in headers.items()}
        delivery = _plain(known.get("x-github-delivery", ""))
        signed = verify(body, known, self._places)
        event = _plain(known.get("x-github-event", ""))
        if event == "ping":
            return Ignored(why="ping: the secret is right", delivery=delivery)
        if event != "push":
            return Ignored(why=f"nothing to do on {event or 'an event without a name'}", delivery=delivery)
        if self._is_repeated(known["x-hub-signature-256"]):
            return Ignored(why="seen a moment ago", delivery=delivery)
        return _hint(parse(body, known.get("content-type", "")), signed, delivery)

    def forget(self, headers: Mapping[str, str]) -> None:
        """What it asked for could not be noted: when it comes again, it is heard again."""
        with self._lock:
            self._seen.pop(headers.get("x-hub-signature-256", ""), None)

    def _is_repeated(self, signature: str) -> bool:
        """By what the secret vouches for: the delivery's id is not signed."""
        now = self._clock.monotonic()
        with self._lock:
            seen = self._seen.pop(signature, None)
            repeated = seen is not None and now - seen < FORGOTTEN_AFTER
            self._seen[signature] = seen if repeated and seen is not None else now
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return repeated


def verify(body: bytes, headers: Mapping[str, str], places: Sequence[Place]) -> tuple[Place, ...]:
    """Those of the places one of whose secrets signed the body. `headers` by lower-case name. Raises `Refused`."""
    if len(body) > LARGEST:
        raise Refused(413, f"over {LARGEST // 1024 // 1024} MiB: the next poll sees this push")
    said = _signature(headers)
    signed = tuple(place for place in places if _signs(place.secrets, body, said))
    if not signed:
        raise Refused(401, "the signature is not of a secret that is known here")
    return signed


def _signature(headers: Mapping[str, str]) -> str:
    said = headers.get("x-hub-signature-256", "")
    if not _SIGNATURE.fullmatch(said):
        raise Refused(401, "not signed: set a secret at the webhook, so that it sends X-Hub-Signature-256")
    return said


def _signs(secrets: Iterable[str], body: bytes, said: str) -> bool:
    mine = [hmac.new(secret.encode(), body, sha256).hexdigest() for secret in secrets]
    return any([hmac.compare_digest(f"sha256={each}", said) for each in mine])  # noqa: C419 - all are compared


def parse(body: bytes, content_type: str) -> Mapping[str, Any]:
    """The payload of a verified body: JSON, or a form whose `payload` is JSON. Raises `Refused`."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {JSON, FORM}:
        raise Refused(415, f"write application/json as the webhook's content type, or {FORM}")
    try:
        if kind == FORM:
            (body,) = (each.encode() for each in parse_qs(body.decode(), max_num_fields=4)["payload"])
        payload = json.loads(body)
    except (ValueError, KeyError, RecursionError):
        raise Refused(400, "the body is no JSON of a webhook") from None
    if not isinstance(payload, dict):
        raise Refused(400, "the body is no JSON of a webhook")
    return payload


def _hint(payload: Mapping[str, Any], signed: Sequence[Place], delivery: str) -> Hint | Ignored:
    ref, repository = payload.get("ref"), payload.get("repository")
    full_name = repository.get("full_name") if isinstance(repository, dict) else None
    if not isinstance(ref, str) or not _REF.fullmatch(ref) or not ref.isprintable():
        raise Refused(400, "a push without a ref")
    if not isinstance(repository, dict) or not isinstance(full_name, str) or not _FULL_NAME.fullmatch(full_name):
        raise Refused(400, "a push without a repository")
    addresses = set(_addresses(repository))
    here = [place for place in signed if _is_at(place, full_name, addresses)]
    if not here:
        return Ignored(why="a repository that is not in the settings with this secret", delivery=delivery)
    names = tuple(place.name for place in here if ref == f"refs/heads/{place.branch}")
    if not names:
        return Ignored(why="another branch than the one that is watched", delivery=delivery)
    return Hint(names=names, repository=full_name, ref=ref, delivery=delivery)


def _is_at(place: Place, full_name: str, addresses: set[str]) -> bool:
    if place.repository:
        return place.repository.lower() == full_name.lower()
    return address(place.url) in addresses


def _addresses(repository: Mapping[str, Any]) -> Iterator[str]:
    for name in _URLS:
        url = repository.get(name)
        if isinstance(url, str) and len(url) < 1000:
            yield address(url)


def address(url: str) -> str:
    """`host/path` of a clone URL in any of its spellings, to compare; the URL itself where it is none."""
    plain = url.strip().lower().rstrip("/").removesuffix(".git")
    _, scheme, after = plain.partition("://")
    place, slash, path = (after or plain).partition("/")
    host, _, port = place.rpartition("@")[2].partition(":")
    inner = "" if scheme or not port else f"{port}/"  # git@host:owner/name has no port
    return f"{host}/{inner}{path}" if slash else plain


def _plain(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) else ""
