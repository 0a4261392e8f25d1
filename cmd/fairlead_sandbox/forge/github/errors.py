"""Refusals as GitHub writes them (REST API, "Troubleshooting"): a message, a link, and `errors` for fields at fault."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fairlead_sandbox.forge.asked import Fields, missing, mistyped
from fairlead_sandbox.forge.wire import Answer, Misfit, Refused, Wrong

DOCS = "https://docs.github.com/enterprise-server@3.19/rest"
VERSION = "3.19.0"
Error = Mapping[str, Any]
KINDS = {str: "a string", int: "an integer", bool: "a boolean", list: "an array", dict: "an object"}
SECONDARY = (
    "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. "
    "Please retry your request again later."
)


def refused(
    status: int, message: str, errors: Sequence[Error] = (), headers: Mapping[str, str] | None = None
) -> Refused:
    """A refusal in GitHub's shape."""
    return Refused(Answer(status=status, body=_body(status, message, errors), headers=headers or {}))


def _body(status: int, message: str, errors: Sequence[Error] = ()) -> dict[str, Any]:
    body: dict[str, Any] = {"message": message}
    if errors:
        body["errors"] = [dict(error) for error in errors]
    return body | {"documentation_url": DOCS, "status": str(status)}


def not_found() -> Refused:
    """What is not there, and what one may not see."""
    return refused(404, "Not Found")


def invalid(resource: str, code: str, *, field: str = "", message: str = "") -> Refused:
    """A 422 about one field, or about the whole where it says `custom`."""
    error = {"resource": resource, "code": code}
    if field:
        error["field"] = field
    if message:
        error["message"] = message
    return refused(422, "Validation Failed", [error])


def check(fields: Fields, given: Mapping[str, Any]) -> None:
    """Hold a body against the schema of its call, as GitHub does before anything else. Raises `Misfit`."""
    for name in missing(fields, given):
        if name not in given:
            raise _misfit(f'"{name}" wasn\'t supplied.')
    for name in mistyped(fields, given):
        value = "nil" if given[name] is None else json.dumps(given[name])
        kind = fields[name].kind
        kinds = [KINDS[each] for each in (kind if isinstance(kind, tuple) else (kind,))] + ["null"] * fields[name].null
        raise _misfit(f"For 'properties/{name}', {value} is not {' or '.join(kinds)}.")


def _misfit(why: str) -> Misfit:
    return Misfit(Answer(status=422, body=_body(422, f"Invalid request.\n\n{why}")))


def translated(wrong: Wrong) -> Refused:
    """What the forge's state does not allow, in GitHub's words."""
    plain = _PLAIN.get(wrong.code)
    if plain is not None:
        return refused(*plain)
    return _of_pulls(wrong) or _of_statuses(wrong) or not_found()


def _of_pulls(wrong: Wrong) -> Refused | None:
    facts = wrong.facts
    if wrong.code == "nothing-new":
        return invalid("PullRequest", "custom", message=f"No commits between {facts['base']} and {facts['head']}")
    if wrong.code == "pull-exists":
        message = f"A pull request already exists for {facts['owner']}:{facts['head']}."
        return invalid("PullRequest", "custom", message=message)
    fields = {"no-head": ("invalid", "head"), "no-base": ("invalid", "base"), "bad-state": ("invalid", "state")}
    code, field = {**fields, "no-title": ("missing_field", "title")}.get(wrong.code, ("", ""))
    return invalid("PullRequest", code, field=field) if code else None


def _of_statuses(wrong: Wrong) -> Refused | None:
    if wrong.code != "too-many-statuses":
        return None
    message = "This SHA and context has reached the maximum number of statuses."
    return invalid("Status", "custom", message=message)


_PLAIN = {
    "no-token": (401, "Requires authentication"),
    "bad-token": (401, "Bad credentials"),
    "forbidden": (403, "Resource not accessible by personal access token"),
    "forbidden-app": (403, "Resource not accessible by integration"),
    "head-moved": (409, "Head branch was modified. Review and try the merge again."),
    "closed": (405, "Pull Request is not mergeable"),
    "conflict": (405, "Pull Request is not mergeable"),
    "base-moved": (405, "Base branch was modified. Review and try the merge again."),
    "cannot-rebase": (405, "This branch can't be rebased"),
}
