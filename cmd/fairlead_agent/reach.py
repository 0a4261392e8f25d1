"""What touches this host for one fleet, put together; in a rehearsal below a folder that plays the host's disk."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from fairlead_agent.balancer import Balancer
from fairlead_agent.cloud import Cloud
from fairlead_agent.commands import Finished, Runner, run
from fairlead_agent.hands import Hands
from fairlead_agent.health import HealthCheck
from fairlead_agent.hooks import Hooks
from fairlead_agent.identity import Identity
from fairlead_agent.installation import Installation, Means
from fairlead_agent.itself import Itself, OwnService
from fairlead_agent.log import Log
from fairlead_agent.masking import Masks, masking
from fairlead_agent.settings import Rehearsal
from fairlead_agent.trouble import Trouble


class Reach:
    """The hands that reach a fleet's root, kept: one that moved goes back to the one before, which it still holds."""

    def __init__(
        self, rehearsal: Rehearsal, cloud: Cloud, identity: Identity, fleet: str, itself: Itself, log: Log
    ) -> None:
        self._fleet = fleet
        self._itself = itself
        self._log = log
        self._rehearsal = rehearsal
        self._cloud = cloud
        self._identity = identity
        self._known: dict[str, Hands] = {}

    def __call__(self, root: str) -> Hands:
        if root not in self._known:
            self._known[root] = self._made(root)
        return self._known[root]

    def _made(self, root: str) -> Hands:
        rehearsal, cloud = self._rehearsal, self._cloud
        place = (rehearsal.prefix / root.lstrip("/")) if rehearsal.prefix is not None else Path(root)
        run_child = masking(runner(rehearsal), Masks(place))
        means = Means(
            s3=lambda: cloud.client("s3"),
            secrets=lambda: cloud.client("secretsmanager"),
            run=run_child,
            dpkg_root=rehearsal.prefix,
            fleet=self._fleet,
            fits=self._itself.check,
        )
        installation = Installation(place, means)
        with suppress(Trouble):  # it says so as soon as something is to be done there
            installation.claim()
        return Hands(
            installation=installation,
            service=OwnService(run_child, self._itself, self._fleet, self._log),
            health=HealthCheck(run_child, rehearsal.ports),
            balancer=Balancer(lambda: cloud.client("elbv2"), self._identity.host, self._identity.region),
            hooks=Hooks(run_child, self._fleet, self._identity.host),
            folder=place / "current",
        )


def runner(rehearsal: Rehearsal) -> Runner:
    """How children are run: in a rehearsal with its own programs first."""
    first = rehearsal.path
    if first is None:
        return run

    def with_path(
        argv: Sequence[str],
        *,
        within: float,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stop: Event | None = None,
        lasting: bool = False,
    ) -> Finished:
        path = f"{first}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        found = str(first / argv[0]) if argv and (first / argv[0]).exists() else argv[0]
        more = {**(environment or {}), "PATH": path}
        return run([found, *argv[1:]], within=within, cwd=cwd, environment=more, stop=stop, lasting=lasting)

    return with_path
