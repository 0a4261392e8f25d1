"""What an answer of GitHub means for the words that wait, as one of seven fates, and as a sentence."""

import re
from collections.abc import Iterable

from adapters.forges.hosted import (
    Answer,
    Call,
    Fate,
    Need,
    Verdict,
    everywhere,
    is_page,
    message_in,
    redacted,
    so,
)

TITLE = "GitHub"
_SHUT = frozenset({403, 404, 410, 451})
_NO_COMMIT = re.compile(r"sha must be a 40 character", re.IGNORECASE)
_NOT_YET = re.compile(r"no (?:commit|ref) found", re.IGNORECASE)
_FULL = re.compile(r"maximum number of statuses", re.IGNORECASE)
_LONG = re.compile(r"too long|is at most|maximum is", re.IGNORECASE)
_LOCKED = re.compile(r"\blocked\b", re.IGNORECASE)
_ARCHIVED = re.compile(r"\barchived\b", re.IGNORECASE)
# What a person grants; docs.github.com, "Permissions required for fine-grained personal access tokens".
RIGHTS = {
    Need.STATUSES: ("put statuses into", "statuses: write"),
    Need.COMMENTS: ("comment on pull requests of", "pull_requests: write"),
    Need.DEPLOYMENTS: ("make deployments in", "deployments: write"),
    Need.CONTENTS: ("read the tags of", "contents: read"),
    Need.PULLS: ("see pull requests of", "pull_requests: read"),
    Need.PROPOSALS: ("open pull requests in", "pull_requests: write"),
}


def verdict_on(call: Call, answer: Answer, said: str) -> Verdict:
    """What the answer to a call means: GET is answered with 200, PATCH with 200, POST with 201."""
    if answer.status == (201 if call.method == "POST" else 200):
        return Verdict(fate=Fate.DELIVERED)
    if answer.status == 422 and not is_page(answer):
        return _refused(call, said)
    if trouble := everywhere(TITLE, answer, said):
        return trouble
    if answer.status not in _SHUT and answer.status >= 400:
        message = f"GitHub does not take the {_thing(call)} now ({answer.status}{so(said)}); it is tried again"
        return Verdict(fate=Fate.AILING, message=message)
    return _of_one_thing(call, answer, said) or Verdict(fate=Fate.SHUT, message=_shut(call, answer.status, said))


def _of_one_thing(call: Call, answer: Answer, said: str) -> Verdict | None:
    """What keeps a word from its place, and no other word from another."""
    if answer.status == 403 and call.need is Need.COMMENTS and _LOCKED.search(said):
        return Verdict(fate=Fate.REFUSED, message=f"{call.about} of {call.project} is locked (403{so(said)})")
    if answer.status not in {404, 410} or call.need not in {Need.COMMENTS, Need.DEPLOYMENTS}:
        return None
    gone = call.about.startswith(("comment", "deployment"))  # since it was listed; the next look finds none
    if not gone and call.need is Need.DEPLOYMENTS:
        return None
    message = f"GitHub shows us no {call.about} of {call.project} ({answer.status}): nothing can be said there"
    return Verdict(fate=Fate.ABSENT if gone else Fate.REFUSED, message=message)


def _thing(call: Call) -> str:
    things = {Need.STATUSES: "status", Need.COMMENTS: "comment", Need.DEPLOYMENTS: "deployment"}
    return things.get(call.need, "pull request" if call.writes else "question")


def _shut(call: Call, status: int, said: str) -> str:
    repository, (verb, right) = call.project, RIGHTS[call.need]
    if 300 <= status < 400:
        where = f"GitHub says that {repository} has moved ({status})"
        return f"{where}; set forge.repository to its new name, or the service's source"
    if status == 403 and _ARCHIVED.search(said):
        return f"{repository} is archived at GitHub and takes no statuses; unarchive it, or take it out of the settings"
    return {
        403: f"GitHub does not let us {verb} {repository} (403{so(said)}); give the token or the App "
        f"`{right}` there (docs/forges.md)",
        404: f"GitHub shows us no repository {repository} (404); check forge.repository or the service's source, and "
        "that the token or the App may see it",
    }.get(status, f"GitHub takes no {call.need.value} for {repository} ({status}{so(said)}); ask its owner")


def _refused(call: Call, said: str) -> Verdict:
    """422, told apart: no such commit (yet), too many words, too long, or anything else."""
    about = call.about.removeprefix("commit ")
    if _NO_COMMIT.search(said) or _NOT_YET.search(said):
        fate = Fate.ABSENT if _NOT_YET.search(said) else Fate.REFUSED
        return Verdict(fate=fate, message=f"the repository has no commit {about}: no {_thing(call)} can be put on it")
    if _FULL.search(said):
        message = f"GitHub takes no more statuses for commit {about} under this context: 1,000 were said"
    elif _LONG.search(said):
        message = f"the {_thing(call)} is too long for GitHub (422{so(said)})"
    else:
        message = f"GitHub refused the {_thing(call)} (422{so(said)})"
    return Verdict(fate=Fate.REFUSED, message=message)


def verdict_on_sign_in(answer: Answer, *, call: Call, secrets: Iterable[str]) -> Verdict:
    """What an answer other than 201 to `POST /app/installations/{id}/access_tokens` means, asked for that call."""
    said = redacted(message_in(answer.body), secrets)
    fix = "forge.auth.app_id, forge.auth.private_key and this host's clock"
    if trouble := everywhere(TITLE, answer, said, fix):
        return trouble
    if answer.status == 422:  # this right, or this repository, is not the installation's
        verb, right = RIGHTS[call.need]
        message = (
            f"GitHub gives the App no token to {verb} {call.project} with (422{so(said)}); give it `{right}` and "
            "install it on the repository"
        )
        return Verdict(fate=Fate.SHUT, message=message, answer=answer)
    sentence = {
        404: "GitHub knows no such installation of the App (404); check forge.auth.installation_id and "
        "forge.auth.app_id",
    }.get(answer.status, f"GitHub gives the App no token ({answer.status}{so(said)}); check its installation")
    return Verdict(fate=Fate.LOCKED_OUT, message=sentence, answer=answer)
