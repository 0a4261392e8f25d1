"""Refusals as Gitea writes them (`services/context/api.go`): a message, and where the API is described."""

from collections.abc import Mapping
from typing import Any

from fairlead_sandbox.forge.asked import Fields, missing, mistyped, unlisted
from fairlead_sandbox.forge.wire import Answer, Misfit, Refused, Wrong

KINDS = {str: "string", int: "int64", bool: "bool", list: "[]string", dict: "map[string]string"}


class Errors:
    """They name the address of the API's description. `web` is the forge's own."""

    def __init__(self, web: str) -> None:
        self._url = f"{web}/api/swagger"

    def refused(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Refused:
        """A refusal."""
        return Refused(self._answer(status, message, headers))

    def _answer(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        return Answer(status=status, body={"message": message, "url": self._url}, headers=headers or {})

    def misfit(self, why: str) -> Misfit:
        """What the binding of a body says (`bind` in `routers/api/v1/api.go`)."""
        return Misfit(self._answer(422, why))

    def check(self, fields: Fields, given: Mapping[str, Any]) -> None:
        """Hold a body against its definition in `v1_json.tmpl`. Raises `Misfit`.

        Values outside an enumeration are refused though a server may take them: they would not mean anything.
        """
        for name in mistyped(fields, given):
            if given[name] is not None:
                kind = fields[name].kind
                wanted = KINDS[kind if isinstance(kind, type) else kind[0]]
                raise self.misfit(f"[]: json: cannot unmarshal value into Go struct field .{name} of type {wanted}")
        for name in missing(fields, given) + [each for each in fields if _blank(fields, given, each)]:
            raise self.misfit(f"[{_go(name)}]: Required")
        for name in unlisted(fields, given):
            raise self.misfit(f"[{_go(name)}]: In({','.join(fields[name].enum)})")

    def translated(self, wrong: Wrong) -> Refused:
        """What the forge's state does not allow, in Gitea's words (`routers/api/v1/repo/pull.go`)."""
        if wrong.code == "pull-exists":
            facts = (
                f"id: {wrong.facts['number']}, issue_id: {wrong.facts['number']}, head_branch: {wrong.facts['head']}"
            )
            return self.refused(409, f"pull request already exists for these targets [{facts}]")
        if wrong.facts.get("permission") == "issues":
            return self.refused(403, "token does not have at least one of required scope(s), required=[write:issue]")
        return self.refused(*_PLAIN.get(wrong.code, (404, "not found")))


def _blank(fields: Fields, given: Mapping[str, Any], name: str) -> bool:
    """To the binding an empty text is as good as none."""
    return fields[name].required and given.get(name) == ""


def _go(name: str) -> str:
    """A field as the server's own code calls it."""
    return "".join(part.upper() if part in ("url", "id", "sha") else part.title() for part in name.split("_"))


_PLAIN = {
    "no-token": (401, "token is required"),
    "bad-token": (401, "invalid username, password or token"),
    "forbidden": (403, "user should have a permission to write to a repo"),
    "forbidden-app": (403, "user should have a permission to write to a repo"),
    "no-issue": (500, ""),  # who is no administrator is told nothing of it
    "no-head": (404, "head branch does not exist"),
    "no-base": (404, "base branch does not exist"),
    "no-title": (422, "[Title]: Required"),
    "nothing-new": (409, "no commits between branches"),
    "bad-state": (412, "cannot change state of this pull request, it was already merged"),
    "head-moved": (409, "head out of date"),
    "closed": (405, ""),
    "conflict": (405, "Please try again later"),
    "base-moved": (409, "push out of date"),
    "cannot-rebase": (409, "rebase conflict"),
}
