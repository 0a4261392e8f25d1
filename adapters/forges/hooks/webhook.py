"""One forge's webhook: a signed hint that something moved, and nothing more.

The signature is checked over the bytes as they came, in constant time and before anything reads them. What a webhook
says is never used but to look sooner: a forged, lost, late or repeated one changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapters.forges.hooks.dialect import About, Dialect, Event, Headers
from adapters.forges.hooks.places import Place, Refused
from adapters.forges.hooks.replays import Replays
from reconciler.ports import Clock

LARGEST = 1024 * 1024  # bytes; forges send up to 25 MB, but of a push that large the next poll tells too


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Look at these names of the queue now. `delivery` is the forge's id, for the log; `mark` is for `forget`."""

    keys: tuple[str, ...]
    repository: str
    ref: str = ""
    delivery: str = ""
    mark: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Well signed, and nothing to do; answer 200 with `why`."""

    why: str
    delivery: str = ""


class Webhook:
    """What answers at `/hooks/<forge>`. Safe to share between threads."""

    def __init__(self, dialect: Dialect, places: Sequence[Place], clock: Clock) -> None:
        self._dialect, self._places, self._clock = dialect, tuple(places), clock
        self._replays = Replays(clock)

    def glance(self, headers: Mapping[str, str]) -> None:
        """Refuse what says of itself that it is not signed, before its body is read. Raises `Refused`."""
        self._dialect.glance(_lower(headers))

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Hint | Ignored:
        """What a request asks for. `body` is as it came; the caller stops reading at `LARGEST` + 1 bytes.

        Raises `Refused`, and nothing else whatever comes: 413 too large, 401 not signed, 415 and 400 not understood,
        503 where no secret can be read.
        """
        known = _lower(headers)
        if len(body) > LARGEST:
            raise Refused(413, f"over {LARGEST // 1024 // 1024} MiB: the next poll sees what it tells of")
        self._dialect.glance(known)
        signed, mark = self._verified(body, known)
        delivery = self._dialect.delivery(known)
        if idle := self._dialect.idle(known):
            return Ignored(why=idle, delivery=delivery)
        if self._replays.is_repeated(mark):
            return Ignored(why="seen a moment ago", delivery=delivery)
        said = self._dialect.event(body, known)
        if isinstance(said, str):
            return Ignored(why=said, delivery=delivery)
        keys, why = _meant(said, signed)
        if why:
            return Ignored(why=why, delivery=delivery)
        return Hint(keys=keys, repository=said.repository, ref=said.ref, delivery=delivery, mark=mark)

    def forget(self, mark: str) -> None:
        """What the hint with this mark asked for could not be noted: when it comes again, it is heard again."""
        self._replays.forget(mark)

    def _verified(self, body: bytes, headers: Headers) -> tuple[tuple[Place, ...], str]:
        """The places one of whose secrets vouches for it, and what tells it from others. Raises `Refused`."""
        now = self._clock.now()
        secrets = [(place, [each for each in place.secrets() if each]) for place in self._places]
        if not any(own for _, own in secrets):
            raise Refused(503, "no webhook secret can be read now: see forge.webhook_secrets")
        marks = [(place, self._dialect.vouched(body, headers, own, now)) for place, own in secrets]
        signed = tuple(place for place, mark in marks if mark)
        if not signed:
            raise Refused(401, "the signature is not of a secret that is known here")
        return signed, next(mark for _, mark in marks if mark)


def _lower(headers: Mapping[str, str]) -> Headers:
    return {name.lower(): value for name, value in headers.items()}


def _meant(event: Event, signed: Sequence[Place]) -> tuple[tuple[str, ...], str]:
    """The names to look at, or why there are none."""
    here = [place for place in signed if place.is_meant(event)]
    keys = tuple(key for place in here for key in place.keys(event))
    if keys:
        return keys, ""
    if not here:
        return (), "a repository that is not in the settings with this secret"
    if event.about is About.PULLS:
        return (), "pull requests get no plans here"
    return (), "another branch than the one that is watched"
