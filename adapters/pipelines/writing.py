"""Writes pipelines to Spinnaker, one by one, and believes only what it reads afterwards.

Nothing is remembered on this side: whatever ends it, the next run sees what is written and does the rest. Two who write
at once make one pipeline, because its id follows from its name.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from adapters.gate.configs import Configs, is_final
from adapters.gate.errors import GateTrouble
from adapters.pipelines.building import Wanted
from adapters.pipelines.comparing import Change, State, Wishes, change_of
from adapters.pipelines.contents import Config, digest_of
from reconciler.ports import Clock

CONFIRMED_WITHIN = 60.0  # seconds that Spinnaker's caches may take to show a save
EVERY = 1.0  # seconds between two looks
AT_ONCE = 8  # reads
Found = Mapping[tuple[str, str], Sequence[Config]]


class End(StrEnum):
    """How writing one pipeline ended."""

    WRITTEN = "written"
    SAME = "same"  # somebody wrote the same meanwhile
    CHANGED = "changed"  # somebody wrote something else since it was shown: nothing is written
    REFUSED = "refused"  # Gate will not
    UNCONFIRMED = "unconfirmed"  # nobody can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one change."""

    change: Change
    end: End
    message: str

    @property
    def good(self) -> bool:
        """The pipeline is as the service file says."""
        return self.end in {End.WRITTEN, End.SAME}


class Writer:
    """Reads and writes the pipelines of any Gate. `gate` gives the configurations of a Gate by its URL."""

    def __init__(
        self,
        gate: Callable[[str], Configs],
        clock: Clock,
        *,
        within: float = CONFIRMED_WITHIN,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._gate = gate
        self._clock = clock
        self._within = within
        self._pause = pause

    def found(self, wanted: Iterable[Wanted]) -> Found:
        """What Spinnaker has in the applications of the wanted pipelines, one read each. Raises `GateTrouble`."""
        places = list(dict.fromkeys((each.gate, each.application) for each in wanted))
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            read = pool.map(lambda place: self._gate(place[0]).of(place[1]), places)
            return dict(zip(places, read, strict=True))

    def write(self, change: Change, wishes: Wishes) -> Written:
        """Save one pipeline as it was shown, unless it changed since. Never raises for what Gate does."""
        wanted = change.wanted
        try:
            now = change_of(wanted, self._gate(wanted.gate).of(wanted.application), wishes)
        except GateTrouble as trouble:
            return Written(change=change, end=End.UNCONFIRMED, message=f"{trouble}; nothing was written")
        if now.state is State.UNCHANGED:
            return Written(change=change, end=End.SAME, message="somebody wrote the same meanwhile")
        if not now.written or _stamp(now.found) != _stamp(change.found):
            return Written(change=change, end=End.CHANGED, message="it changed since it was shown; run it again")
        return self._saved(change, now.found)

    def _saved(self, change: Change, found: Config | None) -> Written:
        wanted, trouble = change.wanted, None
        config_id = wanted.id if found is None else str(found["id"])
        updated = None if found is None else str(found.get("updateTs") or "")
        try:
            self._gate(wanted.gate).save(wanted.config(config_id, updated))
        except GateTrouble as error:
            trouble = error
        within = 0.0 if trouble is not None and is_final(trouble) else self._within
        if self._is_there(wanted, within):
            return Written(change=change, end=End.WRITTEN, message="written")
        if trouble is not None and within == 0.0:
            return Written(change=change, end=End.REFUSED, message=str(trouble))
        said = f"{trouble}; " if trouble else ""
        return Written(
            change=change,
            end=End.UNCONFIRMED,
            message=f"{said}Spinnaker does not show it as it was written after {within:g} s; run plan to see",
        )

    def _is_there(self, wanted: Wanted, within: float) -> bool:
        until = self._clock.monotonic() + within
        while True:
            try:
                configs = self._gate(wanted.gate).of(wanted.application)
            except GateTrouble:
                configs = []
            if any(wanted.is_in(each) for each in configs):
                return True
            if self._clock.monotonic() >= until:
                return False
            self._pause(EVERY)


def _stamp(config: Config | None) -> tuple[object, ...]:
    """What changes with every save that matters."""
    return () if config is None else (config.get("id"), config.get("updateTs"), digest_of(config))
