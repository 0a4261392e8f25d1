"""From a fleet's spec to the release that an order names: sources filled in, artifacts pinned, times in seconds."""

from collections.abc import Mapping
from datetime import timedelta

from adapters.agent_protocol.orders import Artifact, Before, ConfigFile, Drain, Health, Hook, Lifecycle, Release, Run
from adapters.trigger.settings import (
    DRAIN_WITHIN,
    HEALTHY_WITHIN,
    STOP_WITHIN,
    Hooks,
    TriggerSettings,
    settings_of,
)
from adapters.trigger.settings import Hook as HookSettings
from desired_state.model import Fleet, Package, Sha
from reconciler import work

TOP = frozenset({".", "./"})  # an archive that goes to the top of the release's folder


def release_of(release: work.Release, pins: Mapping[str, str]) -> Release:
    """The release as hosts are told it. `pins` gives a SHA-256 for every package by name."""
    return release_with(release.fleet, release.setting_commit, pins)


def release_with(fleet: Fleet, commit: Sha, pins: Mapping[str, str]) -> Release:
    """The same of a fleet and its setting commit."""
    config = fleet.config
    return Release(
        digest=fleet.target_digest,
        commit=commit,
        version=fleet.version,
        components=fleet.components,
        artifacts=tuple(_artifact(package, pins[package.name]) for package in fleet.packages),
        lifecycle=_lifecycle(settings_of(fleet)),
        config=ConfigFile(
            component=f"config/{fleet.service}",
            to=config.destination,
            format=config.format,
            values=config.values,
            digest=config.digest,
        )
        if config is not None
        else None,
    )


def before_of(settings: TriggerSettings, host: str, attempt: int) -> Before | None:
    """The step before a version, asked of that host; None: the settings have none."""
    step = settings.before
    if step is None:
        return None
    return Before(host=host, attempt=attempt, command=step.command, within=step.within.total_seconds())


def source_of(package: Package) -> str | None:
    """Where the artifact of this version lies; None: it comes from the host's own apt repositories."""
    return None if package.source is None else package.source.replace("{version}", package.version)


def lasts_at_most(settings: TriggerSettings, staging: timedelta) -> timedelta:
    """How long a host may take: to stage, then to drain, stop and get healthy, and all that again to go back."""
    drain = (settings.drain.within or DRAIN_WITHIN) if settings.drain is not None else timedelta(0)
    change = drain + (settings.run.stop_within or STOP_WITHIN) + (settings.health.within or HEALTHY_WITHIN)
    hooks = settings.hooks or Hooks()
    own = sum((hook.within for hook in (hooks.pre, hooks.post) if hook is not None), timedelta(0))
    return staging + own + 2 * change


def _artifact(package: Package, sha256: str) -> Artifact:
    to = None if package.format == "deb" or package.destination in TOP else package.destination
    return Artifact(
        name=package.name,
        version=package.version,
        format=package.format,
        source=source_of(package),
        to=to,
        sha256=sha256,
    )


def _lifecycle(settings: TriggerSettings) -> Lifecycle:
    run, health, drain, hooks = settings.run, settings.health, settings.drain, settings.hooks or Hooks()
    return Lifecycle(
        root=settings.root,
        run=Run(unit=run.unit, command=run.command, stop_within=(run.stop_within or STOP_WITHIN).total_seconds()),
        health=Health(
            http=health.http,
            tcp=health.tcp,
            command=health.command,
            within=(health.within or HEALTHY_WITHIN).total_seconds(),
        ),
        drain=Drain(
            groups=None if drain.target_groups == "attached" else tuple(drain.target_groups),
            within=(drain.within or DRAIN_WITHIN).total_seconds(),
        )
        if drain is not None
        else None,
        pre=_hook(hooks.pre),
        post=_hook(hooks.post),
    )


def _hook(hook: HookSettings | None) -> Hook | None:
    return Hook(command=hook.command, within=hook.within.total_seconds()) if hook is not None else None
