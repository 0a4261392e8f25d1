"""What can be looked at: each check asks the system whose word counts, and says what it saw."""

from collections.abc import Callable
from dataclasses import dataclass

from fairlead_sandbox.demo.scene import Scene
from fairlead_sandbox.demo.stage import SPINNAKER, InService, Run, Stage
from reconciler.record import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Whether it is so, and what was seen instead or as proof, in words."""

    so: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a check looks at: the scene of this moment, and the stage to ask more of."""

    stage: Stage
    scene: Scene


Check = Callable[[Sight], Seen]


def all_ready(count: int, by: str) -> Check:
    """So many fleets are known that this one deploys, and each is ready."""

    def check(sight: Sight) -> Seen:
        names = sight.stage.fleets(by)
        known = [fleet for fleet in sight.scene.fleets if fleet.name in names]
        ready = [fleet for fleet in known if fleet.ready]
        rest = ", ".join(f"{each.name} {each.stands} ({each.reason})" for each in known if not each.ready)
        words = f"{len(ready)} of {len(names)} fleets ready" + (f"; not: {rest}" * bool(rest))
        return Seen(so=len(known) == count == len(ready), words=words)

    return check


def said(commit: str, fleet: str, state: State, *words: str) -> Check:
    """The commit has that state on the forge for the fleet, with these words in it."""

    def check(sight: Sight) -> Seen:
        view = sight.scene.commit(sight.stage.commits[commit])
        line = view.status(f"fairlead/{fleet}") if view else None
        if line is None:
            return Seen(so=False, words=f"no status on {sight.stage.commits[commit][:7]}")
        filled = [word.format(**{name: sha[:7] for name, sha in sight.stage.commits.items()}) for word in words]
        so = line.state is state and all(word in line.description for word in filled)
        return Seen(so=so, words=f"{line.state}: {line.description}")

    return check


def ran(fleet: str, region: str, version: str, status: str, times: int = 1) -> Check:
    """Gate ran the fleet's pipeline so often for a region and version, each time with that end."""

    def check(sight: Sight) -> Seen:
        runs = [run for run in sight.stage.runs(fleet) if (run.version, run.region) == (version, region)]
        ended = [run for run in runs if run.status == status]
        return Seen(so=len(ended) >= times, words=_runs(runs))

    return check


def waved(fleet: str, version: str, first: str, second: str, soak: float) -> Check:
    """The second region's pipeline began so many seconds, or more, after the first one's end, and both succeeded."""

    def check(sight: Sight) -> Seen:
        runs = {
            run.region: run for run in sight.stage.runs(fleet) if run.version == version and run.status == "SUCCEEDED"
        }
        if not {first, second} <= runs.keys():
            return Seen(so=False, words=_runs([run for run in sight.stage.runs(fleet) if run.version == version]))
        pause = (runs[second].began - (runs[first].ended or runs[second].began)) / 1000
        return Seen(so=pause >= soak, words=f"{second} began {pause:.1f} s after {first} had ended")

    return check


def baked(fleet: str, version: str) -> Check:
    """The fleet's pipeline baked the version: the AMIs, by region."""

    def check(sight: Sight) -> Seen:
        runs = [run for run in sight.stage.runs(fleet) if run.version == version and run.baked]
        images = ", ".join(f"{image} in {region}" for run in runs for region, image in sorted(run.baked.items()))
        return Seen(so=bool(runs), words=images or "nothing was baked yet")

    return check


def promoted(fleet: str, version: str, baker: str) -> Check:
    """Every region of the fleet was deployed with the AMI that the other fleet's pipeline baked, and baked none."""

    def check(sight: Sight) -> Seen:
        made = {
            region: image
            for run in sight.stage.runs(baker)
            if run.version == version
            for region, image in run.baked.items()
        }
        runs = [run for run in sight.stage.runs(fleet) if run.version == version]
        told = {run.region: run.image for run in runs if run.status == "SUCCEEDED"}
        bakes = sum(len(run.baked) for run in runs)
        regions = sight.stage.world.fleets[fleet].regions
        so = bool(made) and not bakes and all(told.get(region) == made.get(region, "none") for region in regions)
        images = ", ".join(f"{image} in {region}" for region, image in sorted(told.items()))
        return Seen(so=so, words=f"{images or 'no AMI yet'}; {bakes} bakes in {fleet.partition('/')[0]}")

    return check


def restored(fleet: str, version: str) -> Check:
    """In every region the newest execution that went back enabled a group of this version, in so many seconds."""

    def check(sight: Sight) -> Seen:
        newest = {run.region: run for run in sight.stage.runs_back(fleet) if run.status == "SUCCEEDED"}
        regions = sight.stage.world.fleets[fleet].regions
        serving = {region: sight.stage.in_service(fleet, region).versions for region in newest}
        words = ", ".join(
            f"{run.restored} in {region} in {run.seconds:.1f} s" for region, run in sorted(newest.items())
        )
        so = set(newest) == set(regions) and all(versions == {version} for versions in serving.values())
        return Seen(so=so, words=f"enabled {words}" if words else "no group was enabled yet")

    return check


def nothing_ran(sight: Sight) -> Seen:
    """Gate was asked for no pipeline at all."""
    runs = [run for fleet in sight.stage.fleets(SPINNAKER) for run in sight.stage.runs(fleet)]
    return Seen(so=not runs, words=_runs(runs))


def tried_in(fleet: str, version: str, *regions: str) -> Check:
    """Pipelines of this version were started for these regions and no other."""

    def check(sight: Sight) -> Seen:
        tried = {run.region for run in sight.stage.runs(fleet) if run.version == version}
        spared = [region for region in sight.stage.world.fleets[fleet].regions if region not in tried]
        words = f"tried in {', '.join(sorted(tried)) or 'no region'}, never in {', '.join(spared) or 'none'}"
        return Seen(so=tried == set(regions), words=words)

    return check


def serves(fleet: str, version: str) -> Check:
    """AWS says that this version, and no other, is in service in every region, on healthy instances."""

    def check(sight: Sight) -> Seen:
        found = {region: sight.stage.in_service(fleet, region) for region in sight.stage.world.fleets[fleet].regions}
        words = ", ".join(f"{region} {_service(each)}" for region, each in found.items())
        return Seen(so=all(each.versions == {version} and each.healthy for each in found.values()), words=words)

    return check


def noted(fleet: str, kind: str, *words: str) -> Check:
    """The fleet's history has a line of that kind with these words."""

    def check(sight: Sight) -> Seen:
        events = sight.stage.history(fleet)
        found = next((e for e in events if e.kind == kind and all(word in e.message for word in words)), None)
        if found is not None:
            return Seen(so=True, words=found.message)
        newest = f"{events[0].kind}: {events[0].message}" if events else "nothing"
        return Seen(so=False, words=f"newest in its history: {newest}")

    return check


def nothing_pending(sight: Sight) -> Seen:
    """No commit has a status that still waits."""
    waiting = [
        f"{line.context} on {commit.short}"
        for commit in sight.scene.commits
        for line in commit.lines
        if line.state is State.PENDING
    ]
    statuses = sum(len(commit.lines) for commit in sight.scene.commits)
    return Seen(
        so=not waiting, words=f"pending: {', '.join(waiting)}" if waiting else f"{statuses} statuses, all final"
    )


def _service(found: InService) -> str:
    return f"{'+'.join(sorted(found.versions)) or 'nothing'}{'' if found.healthy else ' (not healthy)'}"


def _runs(runs: list[Run]) -> str:
    return ", ".join(f"{run.version} in {run.region}: {run.status}" for run in runs) or "no pipeline was started"
