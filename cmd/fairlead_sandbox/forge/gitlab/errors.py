"""Refusals as GitLab writes them (`lib/api/helpers.rb`): `message` of its own, `error` of what checks parameters."""

from collections.abc import Mapping
from typing import Any

from fairlead_sandbox.forge.asked import Field, Fields, missing, unlisted
from fairlead_sandbox.forge.wire import Answer, Misfit, Refused, Wrong

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def refused(status: int, message: Any, headers: Mapping[str, str] | None = None) -> Refused:
    """`message` is text, or lists of texts by field."""
    return Refused(Answer(status=status, body={"message": message}, headers=headers or {}))


def not_found(what: str = "") -> Refused:
    """`404 Commit Not Found`, or plainly `404 Not found`."""
    return refused(404, f"404 {what} Not Found" if what else "404 Not found")


def invalid(**fields: str) -> Refused:
    """What a model says of its fields."""
    return refused(400, {name: [why] for name, why in fields.items()})


def misfit(why: str, status: int = 400) -> Misfit:
    """What Grape, which reads the parameters, says of them."""
    return Misfit(Answer(status=status, body={"error": why}))


def checked(fields: Fields, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the call takes them; texts that mean numbers and truths are made so. Raises `Misfit`."""
    absent = [f"{name} is missing" for name in missing(fields, given)]
    taken = {name: _coerced(fields[name], value) for name, value in given.items() if name in fields}
    wrong = [f"{name} is invalid" for name, value in taken.items() if value is _INVALID]
    other = [f"{name} does not have a valid value" for name in unlisted(fields, taken) if taken[name] is not _INVALID]
    if absent or wrong or other:
        raise misfit(", ".join([*absent, *wrong, *other]))
    return taken


_INVALID = object()


def _coerced(field: Field, value: Any) -> Any:
    if value is None or isinstance(value, list) != (field.kind is list):
        return None if value is None else _INVALID
    if field.kind is int:
        return int(value) if isinstance(value, int | str) and str(value).isdecimal() else _INVALID
    if field.kind is bool:
        return BOOLEANS.get(str(value).lower(), _INVALID)
    if field.kind is list:
        return [str(each) for each in value]
    return _INVALID if isinstance(value, dict) else str(value)


def translated(wrong: Wrong) -> Refused:
    """What the forge's state does not allow, in GitLab's words (`lib/api/merge_requests.rb` and its services)."""
    facts = wrong.facts
    if wrong.code == "pull-exists":
        return refused(409, [f"Another open merge request already exists for this source branch: !{facts['number']}"])
    if wrong.code == "head-moved":
        return refused(409, f"SHA does not match HEAD of source branch: {facts['sha']}")
    plain = _PLAIN.get(wrong.code)
    return not_found() if plain is None else refused(*plain)


_PLAIN: dict[str, tuple[int, Any]] = {
    "no-token": (401, "401 Unauthorized"),
    "bad-token": (401, "401 Unauthorized"),
    "forbidden": (403, "403 Forbidden"),
    "forbidden-app": (403, "403 Forbidden"),
    "no-head": (400, {"source_branch": ["does not exist"]}),
    "no-base": (400, {"target_branch": ["does not exist"]}),
    "no-title": (400, {"title": ["can't be blank"]}),
    "nothing-new": (422, "Branch cannot be merged"),
    "bad-state": (405, "405 Method Not Allowed"),
    "closed": (405, "405 Method Not Allowed"),
    "conflict": (422, "Branch cannot be merged"),
    "base-moved": (422, "Branch cannot be merged"),
    "cannot-rebase": (422, "Branch cannot be merged"),
}
