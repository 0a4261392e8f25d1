"""What an answer of Gitea or Forgejo means for the words that wait, as one of seven fates, and as a sentence.

The shapes of errors are those of Gitea 1.27 and Forgejo 9 (`services/context/api.go`): `message` and `url`, and the
message of a 500 is empty for everyone but an administrator.
"""

from adapters.forges.hosted import Answer, Call, Fate, Need, Verdict, everywhere, is_page, so

TITLE = "Gitea"
# What a person grants: the scopes of the token, and the access of its user to the repository.
RIGHTS = {
    Need.STATUSES: ("put statuses into", "`write:repository`"),
    Need.COMMENTS: ("comment on pull requests of", "`write:issue` and `read:user`"),
    Need.DEPLOYMENTS: ("make deployments in", "`write:repository`"),
    Need.CONTENTS: ("read the tags of", "`read:repository`"),
    Need.PULLS: ("see pull requests of", "`read:repository`"),
    Need.PROPOSALS: ("open pull requests in", "`write:repository`"),
}


def verdict_on(call: Call, answer: Answer, said: str) -> Verdict:
    """What the answer to a call means: GET and PATCH are answered with 200 (or 201), POST with 201."""
    if answer.status in {200, 201} and not is_page(answer):
        return Verdict(fate=Fate.DELIVERED)
    if trouble := everywhere(TITLE, answer, said):
        return trouble
    if answer.status in {400, 422} or (answer.status == 409 and call.need is Need.PROPOSALS):
        return Verdict(fate=Fate.REFUSED, message=f"Gitea refused the {_thing(call)} ({answer.status}{so(said)})")
    if answer.status == 404 and (missing := _missing(call)):
        return Verdict(fate=Fate.REFUSED, message=missing)
    if 300 <= answer.status < 400 or answer.status in {403, 404, 410, 423, 451}:
        return Verdict(fate=Fate.SHUT, message=_shut(call, answer.status, said))
    message = f"Gitea does not take the {_thing(call)} now ({answer.status}{so(said)}); it is tried again"
    return Verdict(fate=Fate.AILING, message=message)


def no_commit(call: Call) -> Verdict:
    """What follows where it was looked for, and is not there."""
    about = call.about.removeprefix("commit ")
    return Verdict(
        fate=Fate.ABSENT, message=f"the repository has no commit {about}: no {_thing(call)} can be put on it"
    )


def _missing(call: Call) -> str:
    """What a 404 is about, where it is not about the repository; empty where it is."""
    if call.need is Need.PROPOSALS:  # the open ones were shown just before
        return f"Gitea finds no {call.about} in {call.project} (404): push it first"
    if call.need is Need.COMMENTS and call.about:
        return f"Gitea shows us no {call.about} of {call.project} (404): nothing can be said on it"
    return ""


def _shut(call: Call, status: int, said: str) -> str:
    repository, (verb, right) = call.project, RIGHTS[call.need]
    if 300 <= status < 400:
        return f"Gitea says that {repository} has moved ({status}); set forge.repository to its new name"
    return {
        403: f"Gitea does not let us {verb} {repository} (403{so(said)}); give the token the scope {right}, and its "
        "user write access there (docs/forges.md)",
        404: f"Gitea shows us no repository {repository} (404); check forge.repository, and that the token may see it",
        423: f"{repository} is archived at Gitea and takes no {call.need.value}; unarchive it, or take it out of the "
        "settings",
    }.get(status, f"Gitea takes no {call.need.value} for {repository} ({status}{so(said)}); ask its owner")


def _thing(call: Call) -> str:
    things = {Need.STATUSES: "status", Need.COMMENTS: "comment"}
    return things.get(call.need, "pull request" if call.writes else "question")
