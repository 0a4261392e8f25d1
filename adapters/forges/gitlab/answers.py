"""What an answer of GitLab means for the words that wait, as one of seven fates, and as a sentence.

The shapes of errors are those of gitlab-org/gitlab: `lib/api/helpers.rb` and
`app/services/ci/create_commit_status_service.rb`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.forges.hosted import Answer, Call, Fate, Need, Verdict, everywhere, is_page, so

TITLE = "GitLab"
# "Cannot transition status via :enqueue from :pending (Reason(s): ...)": it waits already.
_WAITS = re.compile(r"cannot transition status via :(?:enqueue|run) from :(?:pending|running)\b", re.IGNORECASE)
_STAYS = re.compile(
    r"cannot transition", re.IGNORECASE
)  # a deployment is there already; a status: somebody was quicker
_NO_COMMIT = re.compile(r"404 commit not found", re.IGNORECASE)
_NO_BRANCH = re.compile(r"404 references for commit", re.IGNORECASE)
_NO_PROJECT = re.compile(r"404 project not found", re.IGNORECASE)
_TAKEN = re.compile(r"\bname\b.*has already been taken", re.IGNORECASE)
_LONG = re.compile(r"too long|exceeded the limit", re.IGNORECASE)
# What a person grants; docs.gitlab.com, "Roles and permissions". Developers may not write to a protected branch.
RIGHTS = {
    Need.STATUSES: ("put statuses into", "role Developer, or Maintainer where the branch is protected"),
    Need.COMMENTS: ("comment on merge requests of", "role Developer"),
    Need.DEPLOYMENTS: ("make deployments in", "role Developer, and the right to deploy to protected environments"),
    Need.CONTENTS: ("read the tags of", "role Reporter"),
    Need.PULLS: ("see merge requests of", "role Reporter"),
    Need.PROPOSALS: ("open merge requests in", "role Developer"),
}


def verdict_on(call: Call, answer: Answer, said: str) -> Verdict:
    """What the answer to a call means. A state that GitLab shows already is a 400, and stands."""
    if answer.status in ({200, 201} if call.writes else {200}) and not is_page(answer):
        return Verdict(fate=Fate.DELIVERED)
    if _has_moved(answer):
        message = f"GitLab says that {call.project} has moved ({answer.status}); set forge.repository to its new name"
        return Verdict(fate=Fate.SHUT, message=message)
    if trouble := everywhere(TITLE, answer, said):
        return trouble
    if refused := _refused(call, answer.status, said) or _missing(call, answer.status, said):
        return refused
    if answer.status in {403, 404, 410, 451}:
        return Verdict(fate=Fate.SHUT, message=_shut(call, answer.status, said))
    message = f"GitLab does not take the {_thing(call)} now ({answer.status}{so(said)}); it is tried again"
    return Verdict(fate=Fate.AILING, message=message)


def stands(answer: Answer) -> bool:
    """A status was not set because the forge shows that state already, and perhaps with older words."""
    return answer.status == 400


def quicker(status: int, said: str = "") -> str:
    """The sentence for a status that changed between our look and our word."""
    return f"GitLab does not take the status now ({status}{so(said)}): somebody else changed it; it is tried again"


def _has_moved(answer: Answer) -> bool:
    """A project of another name is asked with a redirect to its number, and written to with a 405."""
    if answer.status == 405:
        return True
    return answer.status in {301, 302, 307, 308} and "/projects/" in answer.headers.get("location", "")


def _refused(call: Call, status: int, said: str) -> Verdict | None:
    if status == 409 and call.need is Need.PROPOSALS:
        return Verdict(fate=Fate.REFUSED, message=f"GitLab opens no merge request from {call.about} (409{so(said)})")
    if status not in {400, 422}:
        return None
    if call.need is Need.STATUSES and _WAITS.search(said):
        return Verdict(fate=Fate.DELIVERED)
    if call.need is Need.DEPLOYMENTS and _STAYS.search(said):
        return Verdict(fate=Fate.DELIVERED)
    if call.need is Need.STATUSES and _STAYS.search(said):
        return Verdict(fate=Fate.AILING, message=quicker(status, said))
    if call.need is Need.STATUSES and _TAKEN.search(said):
        message = "GitLab has a CI job of the status's name in that pipeline: rename the job"
    elif _LONG.search(said):
        message = f"the {_thing(call)} is too long for GitLab, or one too many ({status}{so(said)})"
    else:
        message = f"GitLab refused the {_thing(call)} ({status}{so(said)})"
    return Verdict(fate=Fate.REFUSED, message=message)


def _missing(call: Call, status: int, said: str) -> Verdict | None:
    """A 404 that is about one thing, and not about the project."""
    if status != 404:
        return None
    about = call.about.removeprefix("commit ")
    if _NO_COMMIT.search(said):
        message = f"the repository has no commit {about}: no {_thing(call)} can be put on it"
        return Verdict(fate=Fate.ABSENT, message=message)
    if _NO_BRANCH.search(said):
        message = (
            f"commit {about} is on no branch of {call.project} and in no pipeline there: GitLab shows no status of it"
        )
        return Verdict(fate=Fate.REFUSED, message=message)
    if call.need is Need.COMMENTS and not _NO_PROJECT.search(said):
        message = f"GitLab shows us no {call.about} of {call.project} (404): nothing can be said on it"
        return Verdict(fate=Fate.REFUSED, message=message)
    return None


def _shut(call: Call, status: int, said: str) -> str:
    verb, right = RIGHTS[call.need]
    return {
        403: f"GitLab does not let us {verb} {call.project} (403{so(said)}); give the token the scope `api` and the "
        f"{right} there, and unarchive the project if it is archived (docs/forges.md)",
        404: f"GitLab shows us no project {call.project} (404{so(said)}); check forge.repository, and that the token "
        "may see it",
    }.get(status, f"GitLab takes no {call.need.value} for {call.project} ({status}{so(said)}); ask its owner")


def _thing(call: Call) -> str:
    things = {Need.STATUSES: "status", Need.COMMENTS: "comment", Need.DEPLOYMENTS: "deployment"}
    return things.get(call.need, "merge request" if call.writes else "question")


def message_in(body: bytes) -> str:
    """GitLab's words: `message` is a text, a list, or lists by field; where the sign-in is at fault, `error`."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, Mapping):
        return ""
    return ": ".join(each for name in ("message", "error", "error_description") for each in _texts(found.get(name)))


def _texts(found: Any, depth: int = 3) -> Iterator[str]:
    if isinstance(found, str) and found:
        yield found
    elif isinstance(found, Mapping) and depth:
        for name, inner in found.items():
            yield f"{name} {', '.join(_texts(inner, depth - 1))}"
    elif isinstance(found, list) and depth:
        for each in found:
            yield from _texts(each, depth - 1)
