"""Gate: it knows us, and the pipelines that the fleets call are there, enabled, take our parameters, and obey us alone.

The shapes are Front50's (`Pipeline`: disabled, parameterConfig, triggers, stages) and Echo's, which starts a pipeline
for a trigger only where its `enabled` is true.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from adapters.doctor.findings import About, Finding
from adapters.doctor.written import check_written
from adapters.gate.client import Gate
from adapters.gate.errors import GateRefused, GateTrouble
from adapters.gate.settings import filled, settings_of, unit_ids
from adapters.pipelines.building import regions_to_bake, wanted_of
from desired_state.model import Fleet
from reconciler.work import BEFORE

Config = Mapping[str, Any]
FOR_US = "Fairlead alone should start it: two masters undo each other's work"


class Called(NamedTuple):
    """A pipeline as a fleet calls it, and the pipeline's own names of what it is told."""

    application: str
    pipeline: str
    parameters: tuple[str, ...]


def called_by(fleet: Fleet) -> Iterator[Called]:
    """Every pipeline that the fleet calls: one, or one a region; those that go back, and the one before a version."""
    settings, rollback = settings_of(fleet), settings_of(fleet).rollback
    for region in unit_ids(fleet, settings):
        application = filled(settings.application, fleet, region)
        told = sorted([*settings.parameters.values(), *settings.constants])
        yield Called(application, filled(settings.pipeline, fleet, region), tuple(told))
        if rollback is not None:
            back = filled(rollback.pipeline, fleet, region)
            yield Called(application, back, tuple(sorted(rollback.parameters.values())))
    if (step := settings.before) is not None:
        names = (filled(settings.application, fleet, BEFORE), filled(step.pipeline, fleet, BEFORE))
        yield Called(*names, tuple(sorted([*step.parameters.values(), *step.constants])))


class GateLook:
    """One Gate, and the fleets that it deploys, out of `every` fleet that is known."""

    def __init__(self, gate: Gate, fleets: Sequence[Fleet], *, signs_in: bool, every: Sequence[Fleet] = ()) -> None:
        self._gate = gate
        self._signs_in = signs_in
        every = every or fleets
        self._wanted = [wanted for fleet in fleets for wanted in wanted_of(fleet, regions_to_bake(fleet, every))]
        self._called: dict[Called, str] = {}
        for fleet in fleets:
            for called in called_by(fleet):
                self._called.setdefault(called, fleet.name)

    def check(self) -> Iterator[Finding]:
        """Who we are to it, then one question an application."""
        about = About(check="gate", name=self._gate.url)
        try:
            yield self._known(about)
            for application in sorted({called.application for called in self._called}):
                yield from self._application(application)
        except GateTrouble as trouble:
            yield about.failed(trouble)

    def _known(self, about: About) -> Finding:
        user = self._gate.user()
        if self._signs_in and user in {"", "anonymous"}:
            return about.trouble("Gate takes us for nobody, though we sign in", "check `auth` of this [[gates]]")
        return about.ok(f"it knows us as {user or 'nobody in particular'}")

    def _application(self, application: str) -> Iterator[Finding]:
        try:
            configs = self._gate.pipelines(application)
        except GateRefused as refused:
            if refused.status != 403:
                raise
            yield About(check="gate", name=application).trouble(
                f"the application {application} is not shown to us",
                "give Fairlead's user READ and EXECUTE on it",
            )
            return
        for called, fleet in sorted(self._called.items()):
            if called.application == application:
                yield from self._pipeline(called, fleet, configs)
        yield from check_written(self._wanted, application, configs)

    def _pipeline(self, called: Called, fleet: str, configs: Sequence[Config]) -> Iterator[Finding]:
        about = About(check="gate", name=f"{called.application}/{called.pipeline}")
        config = _found(configs, called.pipeline)
        if config is None and any(each.name == called.pipeline for each in self._wanted):
            return  # it is ours to write, which `check_written` says
        if config is None:
            names = ", ".join(sorted(str(each.get("name")) for each in configs)) or "none at all"
            yield about.trouble(
                f"{fleet} calls it, and the application has {names}", "correct `pipeline` in the file of the service"
            )
            return
        found = [*_disabled(about, config), *_parameters(about, config, called), *_masters(about, config, configs)]
        yield from found or [about.ok(f"it is enabled, takes what {fleet} tells it, and only we start it")]


def _found(configs: Sequence[Config], name_or_id: str) -> Config | None:
    """By name first, then by id, as Gate does."""
    named = (each for key in ("name", "id") for each in configs if each.get(key) == name_or_id)
    return next(named, None)


def _disabled(about: About, config: Config) -> Iterator[Finding]:
    if config.get("disabled") is True:
        yield about.trouble("it is disabled, and every start is refused", "enable it in Spinnaker")


def _parameters(about: About, config: Config, called: Called) -> Iterator[Finding]:
    if config.get("type") == "templatedPipeline":
        yield about.skipped("it comes from a template, whose parameters are not looked at")
        return
    declared = {str(each.get("name")): each for each in _list(config, "parameterConfig")}
    text = json.dumps(config.get("stages", []))
    unknown = [name for name in called.parameters if name not in declared and name not in text]
    if unknown:
        yield about.trouble(
            f"it takes no parameter {', '.join(unknown)}",
            "add it to the pipeline, or correct `parameters` in the file of the service",
        )
    for name, each in sorted(declared.items()):
        if each.get("required") and not each.get("default") and name not in called.parameters:
            yield about.trouble(
                f"it requires {name}, which it is not told: every start is refused",
                "give that parameter a default, or map it in `parameters`",
            )


def _masters(about: About, config: Config, configs: Sequence[Config]) -> Iterator[Finding]:
    for kind, count in sorted(_enabled(config).items()):
        said = (
            f"{count} enabled triggers of type {kind} start it" if count > 1 else f"an enabled {kind} trigger starts it"
        )
        yield about.trouble(f"{said} too", f"disable that trigger in Spinnaker; {FOR_US}")
    for other in configs:
        called = [stage for stage in _list(other, "stages") if stage.get("type") == "pipeline"]
        if other is not config and any(stage.get("pipeline") == config.get("id") for stage in called):
            yield about.warning(f"the pipeline {other.get('name')} starts it too", f"take that stage out; {FOR_US}")


def _enabled(config: Config) -> dict[str, int]:
    kinds = [str(each.get("type", "unknown")) for each in _list(config, "triggers") if each.get("enabled") is True]
    return {kind: kinds.count(kind) for kind in kinds}


def _list(config: Config, key: str) -> list[Mapping[str, Any]]:
    found = config.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
