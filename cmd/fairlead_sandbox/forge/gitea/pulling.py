"""Pull requests (`routers/api/v1/repo/pull.go`): list, open, change, merge; from forks too."""

from collections.abc import Sequence

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.bare import Commit
from fairlead_sandbox.forge.gitea import views
from fairlead_sandbox.forge.gitea.pages import paged
from fairlead_sandbox.forge.hosted import Change
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.pulls import Merge, Opening, Pull, Words
from fairlead_sandbox.forge.wire import Answer, Wrong

METHODS = {"merge": "merge", "rebase": "rebase", "squash": "squash", "fast-forward-only": "ff"}


def listed(asked: Asked) -> Answer:
    """By state, base and poster; newest first, or as `sort` says."""
    query = asked.request.query

    def wanted(pull: Pull) -> bool:
        return (
            (query.get("state") or "open") in ("all", pull.state)
            and query.get("base_branch", "") in ("", pull.base)
            and query.get("poster", "") in ("", pull.login)
        )

    pulls = asked.hosted.pulls.all(wanted)
    if query.get("sort") in ("recentupdate", "leastupdate"):
        pulls.sort(key=lambda pull: (pull.updated_at, pull.number), reverse=query["sort"] == "recentupdate")
    if query.get("sort") == "oldest":
        pulls.reverse()
    return paged(asked, pulls, lambda pull: views.pull(asked.hosted, pull, asked.hosted.pulls.mergeable(pull)))


def of_commit(asked: Asked) -> Answer:
    """The pull request that a commit was merged by."""
    for pull in asked.hosted.pulls.of_commit(asked.found["sha"]):
        if pull.merged_by:
            return _shown(asked, pull)
    raise Wrong("not-found")


def one(asked: Asked) -> Answer:
    """One of them."""
    return _shown(asked, _pull(asked))


def commits(asked: Asked) -> Answer:
    """What it brings, newest first."""
    found = asked.hosted.pulls.commits(_pull(asked))[::-1]
    return paged(asked, found, lambda commit: views.commit(asked.hosted, commit))


def between(asked: Asked) -> Answer:
    """The open one of a base and a head, which may be `owner:branch`."""
    owner, _, branch = asked.found["head"].rpartition(":")

    def wanted(pull: Pull) -> bool:
        source = (pull.fork or asked.hosted.full_name).partition("/")[0]
        return (pull.base, pull.head) == (asked.found["base"], branch) and owner in ("", source)

    for pull in asked.hosted.pulls.all(wanted):
        return _shown(asked, pull)
    raise Wrong("not-found")


def opened(asked: Asked) -> Answer:
    """From a branch here, or from `owner:branch` of a fork."""
    owner, _, branch = asked.text("head").rpartition(":")
    title = asked.text("title")
    wanted = Opening(
        head=branch,
        base=asked.text("base"),
        title=title,
        body=asked.text("body"),
        fork=_fork(asked, owner) if owner not in ("", asked.hosted.owner) else "",
        draft=title.upper().startswith(("WIP:", "[WIP]")),
    )
    asked.who.check("pull_requests")
    pull = asked.hosted.pulls.open(wanted, asked.who)
    asked.hosted.announce(pull, Change(kind="opened"), asked.who)
    return _shown(asked, pull, 201)


def _fork(asked: Asked, owner: str) -> str:
    for other in asked.hosted.others.values():
        if other.owner == owner.partition("/")[0] and other.parent == asked.hosted.full_name:
            return other.full_name
    raise Wrong("no-head", branch=owner)


def changed(asked: Asked) -> Answer:
    """Its title, its body, its state; answered with 201, as its own code remarks."""
    asked.who.check("pull_requests")
    pull = _pull(asked)
    if asked.given.get("state") is not None and pull.merged_by:
        raise Wrong("bad-state")
    facts = {name: asked.given[name] for name in ("title", "body", "state") if asked.given.get(name) is not None}
    old, new = asked.hosted.pulls.change(pull.number, facts)
    if old.state != new.state:
        asked.hosted.announce(new, Change(kind="closed" if new.state == "closed" else "reopened"), asked.who)
    if (old.title, old.body) != (new.title, new.body):
        title, body = (old.title if old.title != new.title else ""), (old.body if old.body != new.body else None)
        asked.hosted.announce(new, Change(kind="edited", title=title, body=body), asked.who)
    return _shown(asked, new, 201)


def is_merged(asked: Asked) -> Answer:
    """204 or 404."""
    if not _pull(asked).merged_by:
        raise Wrong("not-found")
    return Answer(status=204)


def merged(asked: Asked) -> Answer:
    """As `Do` says; the answer is empty."""
    asked.who.check("contents")
    method = METHODS[asked.text("Do") or "merge"]
    how = Merge(method=method, message=_message(asked, method), sha=asked.text("head_commit_id"))
    with moving(asked.hosted, asked.who):
        pull = asked.hosted.pulls.merge(_pull(asked).number, how, asked.who)
    asked.hosted.announce(pull, Change(kind="merged"), asked.who)
    return Answer(status=200)


def _message(asked: Asked, method: str) -> Words:
    """Gitea's own subject (`services/pull/merge.go`), and what was sent with the request."""

    def message(pull: Pull, commits: Sequence[Commit]) -> str:
        subject = f"Merge pull request '{pull.title}' (#{pull.number}) from {pull.head} into {pull.base}"
        if method == "squash":
            subject = f"{pull.title if len(commits) > 1 else commits[0].subject} (#{pull.number})"
        subject = asked.text("MergeTitleField").strip() or subject
        return f"{subject}\n\n{asked.text('MergeMessageField')}".strip() + "\n"

    return message


def _pull(asked: Asked) -> Pull:
    return asked.hosted.pulls.one(int(asked.found["number"]))


def _shown(asked: Asked, pull: Pull, status: int = 200) -> Answer:
    body = views.pull(asked.hosted, pull, asked.hosted.pulls.mergeable(pull))
    return Answer(status=status, body=body)
