"""Waves over hosts, and how many of them may be out of service at once. Pure.

Slices are cut in the order given: the reconciler has put moved and broken hosts first, and silent ones last.
Numbers are cumulative over present hosts; a share is rounded up, at least one. The last wave is everything: who joined
or moved between slices while the rollout ran is in it too, so that none is left out. An empty slice passes by itself,
and stays, so that a rollout's number of waves does not change with its hosts.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from adapters.trigger.settings import TriggerSettings
from adapters.trigger.settings import Wave as WaveSettings
from reconciler.hosts import Room
from reconciler.observed import UnitId, Wave

DEFAULT = (WaveSettings(hosts=1, soak=None), WaveSettings(hosts="100%", soak=None))
MAX_UNAVAILABLE = "25%"


def waves_of(settings: TriggerSettings, units: Sequence[UnitId]) -> tuple[Wave, ...]:
    """The waves over these units, in their order."""
    waves, limit = settings.waves or DEFAULT, at_once(settings, len(units))
    soaks = [wave.soak or timedelta(0) for wave in waves]
    slices = [*_slices(waves[:-1], units), tuple(units)]
    tolerated = share_of(settings.failure_threshold, len(units), up=False)
    return tuple(
        Wave(units=members, soak=soak, at_once=limit, tolerated=tolerated, deadline=settings.progress_deadline)
        for members, soak in zip(slices, soaks, strict=True)
    )


def at_once(settings: TriggerSettings, total: int) -> int:
    """The stricter of `max_unavailable` (a share rounds down, at least one) and what `min_healthy` leaves over."""
    return room_of(settings, total).at_once


def room_of(settings: TriggerSettings, total: int) -> Room:
    """The same, with the setting that decides."""
    unavailable = max(1, share_of(settings.max_unavailable or MAX_UNAVAILABLE, total, up=False))
    healthy = share_of(settings.min_healthy, total, up=True) if settings.min_healthy is not None else 0
    return Room(
        at_once=max(0, min(unavailable, total - healthy)),
        hosts=total,
        max_unavailable=str(settings.max_unavailable or MAX_UNAVAILABLE),
        min_healthy=str(settings.min_healthy or ""),
        stricter="min_healthy" if total - healthy < unavailable else "max_unavailable",
    )


def share_of(share: int | str, total: int, *, up: bool) -> int:
    """A number of hosts, or a share like `25%` of them."""
    if isinstance(share, int):
        return share
    hundredths = int(share.removesuffix("%")) * total
    return -(-hundredths // 100) if up else hundredths // 100


def _slices(waves: Sequence[WaveSettings], units: Sequence[UnitId]) -> Iterator[tuple[UnitId, ...]]:
    done = 0
    for wave in waves:
        upto = max(done, 1, share_of(wave.hosts, len(units), up=True))
        yield tuple(units[done:upto])
        done = min(upto, len(units))
