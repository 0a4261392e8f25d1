"""Merge requests (`lib/api/merge_requests.rb`): list, open, change, accept; from forks too."""

from collections.abc import Sequence

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.bare import ABSENT, Commit
from fairlead_sandbox.forge.gitlab import views
from fairlead_sandbox.forge.gitlab.errors import misfit, not_found, refused
from fairlead_sandbox.forge.gitlab.pages import paged
from fairlead_sandbox.forge.hosted import Change, Hosted
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.pulls import Merge, Opening, Pull, Words
from fairlead_sandbox.forge.wire import Answer, Wrong

CHANGES = ("title", "description", "target_branch", "state_event", "squash", "labels", "remove_source_branch")


def listed(asked: Asked) -> Answer:
    """By state (all, unless one is named), branches, iids and author; newest first."""
    given = asked.given
    iids = [str(each) for each in given.get("iids") or ()]

    def wanted(pull: Pull) -> bool:
        return (
            given.get("state") in (None, "all", views.state(pull))
            and given.get("source_branch") in (None, pull.head)
            and given.get("target_branch") in (None, pull.base)
            and given.get("author_username") in (None, pull.login)
            and (not iids or str(pull.number) in iids)
        )

    return _sorted(asked, asked.hosted.pulls.all(wanted))


def of_commit(asked: Asked) -> Answer:
    """Those that a commit belongs to."""
    sha = asked.hosted.bare.resolve(asked.found["sha"])
    if sha is None:
        raise not_found("Commit")
    return _sorted(asked, asked.hosted.pulls.of_commit(sha))


def _sorted(asked: Asked, pulls: list[Pull]) -> Answer:
    order = asked.text("order_by") or "created_at"
    pulls.sort(key=lambda pull: (getattr(pull, order), pull.number), reverse=asked.text("sort") != "asc")
    return paged(asked, pulls, lambda pull: views.merge_request(asked.hosted, pull, None))


def one(asked: Asked) -> Answer:
    """With whether it can be merged."""
    return _shown(asked, _pull(asked))


def commits(asked: Asked) -> Answer:
    """What it brings, newest first."""
    found = asked.hosted.pulls.commits(_pull(asked))[::-1]
    return paged(asked, found, lambda commit: views.commit(asked.hosted, commit))


def opened(asked: Asked) -> Answer:
    """From the project that is asked, into itself or into the project that it is a fork of."""
    asked.who.check("pull_requests")
    target = _target(asked)
    title = asked.text("title")
    wanted = Opening(
        head=asked.text("source_branch"),
        base=asked.text("target_branch"),
        title=title,
        body=asked.text("description"),
        fork=asked.hosted.full_name,
        squash=asked.given.get("squash") is True,
        draft=title.lower().startswith("draft:"),
    )
    pull = target.pulls.open(wanted, asked.who)
    target.announce(pull, Change(kind="opened"), asked.who)
    body = views.merge_request(target, pull, target.pulls.mergeable(pull))
    return Answer(status=201, body=body)


def _target(asked: Asked) -> Hosted:
    wanted = asked.given.get("target_project_id")
    for hosted in asked.hosted.others.values():
        if hosted.number == (wanted or asked.hosted.number):
            return hosted
    raise not_found("Project")


def changed(asked: Asked) -> Answer:
    """Its title, its description, its state."""
    asked.who.check("pull_requests")
    if not any(name in asked.given for name in CHANGES):
        raise misfit(f"{', '.join(CHANGES)} are missing, at least one parameter must be provided")
    body = {"title": asked.given.get("title")}
    if "description" in asked.given:
        body["body"] = asked.text("description")
    if "squash" in asked.given:
        body["squash"] = asked.given["squash"]
    state = {"close": "closed", "reopen": "open"}.get(asked.text("state_event"))
    old, new = asked.hosted.pulls.change(_pull(asked).number, body | ({"state": state} if state else {}))
    if old.state != new.state:
        asked.hosted.announce(new, Change(kind="closed" if new.state == "closed" else "reopened"), asked.who)
    if (old.title, old.body) != (new.title, new.body):
        asked.hosted.announce(new, Change(kind="edited", title=old.title, body=old.body), asked.who)
    return _shown(asked, new)


def accepted(asked: Asked) -> Answer:
    """Merged as the project does it; squashed where it, or the request, says so."""
    pull, given = _pull(asked), asked.given
    try:
        asked.who.check("contents")
    except Wrong:
        raise refused(401, "401 Unauthorized") from None
    if pull.state != "open":
        raise Wrong("closed")
    squash = given.get("squash") is True or pull.squash
    forward = asked.hosted.merge_method == "ff"
    method = ("squash" if squash else "ff") if forward else ("squash-merge" if squash else "merge")
    squashed = _words(asked.text("squash_commit_message") or f"{pull.title}\n")
    message = squashed if method == "squash" else _words(asked.text("merge_commit_message") or _subject(asked, pull))
    how = Merge(method=method, message=message, squashed=squashed, sha=asked.text("sha"))
    with moving(asked.hosted, asked.who):
        merged = asked.hosted.pulls.merge(pull.number, how, asked.who)
    asked.hosted.announce(merged, Change(kind="merged"), asked.who)
    if given.get("should_remove_source_branch") is True:
        _remove(asked, merged)
    return _shown(asked, merged)


def _remove(asked: Asked, pull: Pull) -> None:
    source = asked.hosted.source_of(pull)
    sha = source.bare.branch(pull.head) if source is not None else None
    if source is not None and sha is not None:
        with moving(source, asked.who):
            source.bare.move(f"refs/heads/{pull.head}", ABSENT, sha)


def _subject(asked: Asked, pull: Pull) -> str:
    """GitLab's own message of a merge commit."""
    see = f"See merge request {asked.hosted.full_name}!{pull.number}"
    return f"Merge branch '{pull.head}' into '{pull.base}'\n\n{pull.title}\n\n{see}\n"


def _words(text: str) -> Words:
    def message(pull: Pull, commits: Sequence[Commit]) -> str:  # noqa: ARG001  the text is settled
        return text

    return message


def _pull(asked: Asked) -> Pull:
    return asked.hosted.pulls.one(int(asked.found["iid"]))


def _shown(asked: Asked, pull: Pull) -> Answer:
    return Answer(body=views.merge_request(asked.hosted, pull, asked.hosted.pulls.mergeable(pull)))
