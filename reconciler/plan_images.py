"""Which AMIs a change would deploy, and which are missing. AWS is asked by a function that is passed in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from desired_state.changes import Change, Effect
from desired_state.model import Fleet

Finding = Mapping[str, Any]
Look = Callable[[Fleet], Iterable[Mapping[str, str]]]  # by region: `{region, account, state, ami, message}`


def image_findings(changes: Iterable[Change], all_changes: Iterable[Change], look: Look) -> list[Finding]:
    """For each fleet that would be deployed with an AMI of another environment, and each of its regions:
    `{fleet, environment, region, account, state, ami, message}`.

    `state` is `found`, `missing`, `coming` (the same change lets the first environment bake it), `baked here` (where
    that is allowed) or `unknown` (AWS could not be asked).
    """
    moving = moving_fleets(all_changes)
    return [
        {"fleet": fleet.name, "environment": fleet.environment.name, **_coming(fleet, said, moving)}
        for fleet in moving_fleets(changes)
        for said in look(fleet)
    ]


def moving_fleets(changes: Iterable[Change]) -> list[Fleet]:
    """As the merge would have them: those that are then deployed."""
    return [one.after for one in changes if one.after is not None and one.effect in {Effect.DEPLOY, Effect.ADDED}]


def is_wrong(finding: Finding) -> bool:
    """Whether the merge would be held for it."""
    return finding["state"] in {"missing", "unknown"}


def image_lines(findings: Iterable[Finding], fleet: str) -> Iterator[str]:
    """What is to be said of one fleet's images."""
    for one in findings:
        if one["fleet"] == fleet:
            what = one.get("what", "image")
            yield f"{what} in {one['region']} (account {one['account']}): {one['message']}"


def _coming(fleet: Fleet, said: Finding, moving: Iterable[Fleet]) -> dict[str, Any]:
    """What is missing now is no fault where the same change makes it."""
    baker = fleet.bakes.name if fleet.bakes is not None else ""
    bakes = [one for one in moving if (one.environment.name, one.service) == (baker, fleet.service)]
    if said["state"] != "missing" or not any(one.version == fleet.version for one in bakes):
        return dict(said)
    return {**said, "state": "coming", "message": f"{baker} bakes it with this change, and {fleet.name} waits for it"}
