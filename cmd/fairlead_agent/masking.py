"""What a command said, without the secrets that were written into the fleet's configuration on this host.

A service that prints its own configuration, or the address with the password that it could not reach, must not carry
that into reports, statuses and logs. Which texts are secret is read from the rendered files themselves, so that an
agent which was started after the rendering knows them too.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from adapters.agent_protocol.orders import ConfigFile
from adapters.agent_protocol.reports import LOG_TAIL
from fairlead_agent.commands import Finished, Runner
from fairlead_agent.manifests import NAME, read_manifest
from fairlead_agent.secrets import SECRET
from fairlead_agent.trouble import Trouble

MASK = "***"
SHORTEST = 4  # characters: what is shorter would be found in every second word
SHORTEST_LINE = 12  # of a secret of several lines, each of which may be printed alone


class Masks:
    """The secret texts below a fleet's root. A rendered file is read again when it was written anew."""

    def __init__(self, root: Path) -> None:
        self._releases = root / "releases"
        self._known: dict[tuple[str, int], frozenset[str]] = {}

    def __call__(self) -> frozenset[str]:
        """Those of all releases on the disk; those that cannot be read are none."""
        found: dict[tuple[str, int], frozenset[str]] = {}
        for manifest in self._releases.glob(f"*/{NAME}"):
            try:
                config = read_manifest(manifest.parent).release.config
                place = manifest.parent / config.to if config is not None else None
                key = (str(place), place.stat().st_mtime_ns) if place is not None else ("", 0)
                if config is not None and place is not None:
                    found[key] = self._known.get(key) or frozenset(_texts(config, place.read_text("utf-8")))
            except (Trouble, OSError, ValueError):
                continue
        self._known = found
        return frozenset().union(*found.values())


def _texts(config: ConfigFile, rendered: str) -> Iterator[str]:
    """Every text that stands where a secret is named. Raises ValueError."""
    for value in _resolved(config.values, _values(rendered, config.format)):
        for text in _leaves(value):
            bare = text.strip()  # stores are given line ends that nobody means, and services cut them off
            ways = (text, json.dumps(text)[1:-1], bare, json.dumps(bare)[1:-1])
            yield from (each for each in ways if len(each) >= SHORTEST)
            yield from (line for line in text.splitlines() if len(line) >= SHORTEST_LINE)


def _values(rendered: str, form: str) -> Any:
    if form == "json":
        return json.loads(rendered)
    import yaml  # here: most fleets have no secrets

    try:
        return yaml.safe_load(rendered)
    except yaml.YAMLError as error:
        raise ValueError from error


def _resolved(named: Any, rendered: Any) -> Iterator[Any]:
    """What stands in the file where the order names a secret."""
    if isinstance(named, Mapping):
        if SECRET in named:
            yield rendered
        elif isinstance(rendered, Mapping):
            for key, inner in named.items():
                yield from _resolved(inner, rendered.get(str(key)))
    elif isinstance(named, list | tuple) and isinstance(rendered, list):
        for inner, value in zip(named, rendered, strict=False):
            yield from _resolved(inner, value)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def masked(said: str, secrets: Collection[str]) -> str:
    """The text without them; nor with the end of one where the text was cut in the middle of it."""
    for secret in sorted(secrets, key=len, reverse=True):
        said = said.replace(secret, MASK)
    if len(said) < LOG_TAIL - max(map(len, secrets), default=0):
        return said
    ends = (secret[at:] for secret in secrets for at in range(1, len(secret) - SHORTEST + 1))
    cut = max((end for end in ends if said.startswith(end)), key=len, default="")
    return MASK + said[len(cut) :] if cut else said


def masking(run: Runner, secrets: Callable[[], Collection[str]]) -> Runner:
    """The same way of running commands; what they say is masked before anybody sees it."""

    def masked_run(
        argv: Sequence[str],
        *,
        within: float,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stop: Event | None = None,
        lasting: bool = False,
    ) -> Finished:
        done = run(argv, within=within, cwd=cwd, environment=environment, stop=stop, lasting=lasting)
        return replace(done, output_tail=masked(done.output_tail, secrets())) if done.output_tail else done

    return masked_run
