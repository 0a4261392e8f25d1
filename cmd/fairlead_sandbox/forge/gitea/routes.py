"""The paths of the API and what they take (`templates/swagger/v1_json.tmpl`, `routers/api/v1/repo`)."""

from fairlead_sandbox.forge.asked import Asked, Field, calls
from fairlead_sandbox.forge.bare import ABSENT
from fairlead_sandbox.forge.gitea import pulling, views
from fairlead_sandbox.forge.gitea.events import SYNC
from fairlead_sandbox.forge.gitea.pages import page_of, paged
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.statuses import STATES
from fairlead_sandbox.forge.wire import Answer, Wrong

# ── a repository, its commits and what is said on them ───────────────────────────────────────────────────────────


def _repository(asked: Asked) -> Answer:
    return Answer(body=views.repository(asked.hosted, asked.who))


def _say_status(asked: Asked) -> Answer:
    """There is no end to descriptions and to statuses (`models/git/commit_status.go` keeps them as TEXT)."""
    asked.who.check("statuses")
    sha = asked.hosted.bare.commit_of(asked.found["sha"])
    if sha is None:
        raise Wrong("no-commit", sha=asked.found["sha"])
    texts = {name: asked.text(name).strip() for name in ("context", "description", "target_url")}
    said = asked.hosted.statuses.say(sha, {"state": asked.text("state"), **texts}, asked.who.login)
    return Answer(status=201, body=views.status(asked.hosted, said))


def _statuses(asked: Asked) -> Answer:
    state = asked.request.query.get("state")
    found = [said for said in asked.hosted.statuses.all(_sha(asked)) if state in (None, "", said.state)]
    if asked.request.query.get("sort") in ("oldest", "leastupdate", "highestindex"):
        found.reverse()
    return paged(asked, found, lambda said: views.status(asked.hosted, said))


def _combined(asked: Asked) -> Answer:
    sha = _sha(asked)
    newest = asked.hosted.statuses.newest(sha)
    page = page_of(asked, newest)
    body = views.combined_status(asked.hosted, sha, newest, list(page.shown))
    return Answer(body=body, headers={**page.links(), "X-Total-Count": str(len(newest))})


def _commit(asked: Asked) -> Answer:
    return Answer(body=views.commit(asked.hosted, asked.hosted.bare.commits(_sha(asked), most=1)[-1]))


def _commits(asked: Asked) -> Answer:
    sha = asked.hosted.bare.resolve(asked.request.query.get("sha") or asked.hosted.default_branch)
    if sha is None:
        raise Wrong("not-found")
    found = asked.hosted.bare.commits(sha)[::-1]
    return paged(asked, found, lambda commit: views.commit(asked.hosted, commit))


def _sha(asked: Asked) -> str:
    sha = asked.hosted.bare.commit_of(asked.found["ref"])
    if sha is None:
        raise Wrong("not-found")
    return sha


# ── branches, tags and references ────────────────────────────────────────────────────────────────────────────────


def _branches(asked: Asked) -> Answer:
    refs = [ref for ref in asked.hosted.bare.refs() if ref.startswith("refs/heads/")]
    return paged(asked, refs, lambda ref: _branch_of(asked, ref.removeprefix("refs/heads/")))


def _branch(asked: Asked) -> Answer:
    return Answer(body=_branch_of(asked, asked.found["name"]))


def _branch_of(asked: Asked, name: str) -> dict[str, object]:
    sha = asked.hosted.bare.branch(name)
    if sha is None:
        raise Wrong("not-found")
    return views.branch(asked.hosted, name, asked.hosted.bare.commits(sha, most=1)[-1])


def _delete_branch(asked: Asked) -> Answer:
    asked.who.check("contents")
    with moving(asked.hosted, asked.who):
        sha = asked.hosted.bare.branch(asked.found["name"])
        if sha is None:
            raise Wrong("not-found")
        asked.hosted.bare.move(f"refs/heads/{asked.found['name']}", ABSENT, sha)
    return Answer(status=204)


def _tags(asked: Asked) -> Answer:
    return paged(asked, asked.hosted.bare.tags()[::-1], lambda tag: views.tag(asked.hosted, tag))


def _tag(asked: Asked) -> Answer:
    for tag in asked.hosted.bare.tags():
        if tag.name == asked.found["name"]:
            return Answer(body=views.tag(asked.hosted, tag))
    raise Wrong("not-found")


def _tag_object(asked: Asked) -> Answer:
    tag = asked.hosted.bare.tag(asked.found["sha"])
    if tag is None or tag.object != asked.found["sha"]:
        raise Wrong("not-found")
    return Answer(body=views.tag_object(asked.hosted, tag))


def _refs(asked: Asked) -> Answer:
    """All whose name begins so; the one alone where it is its whole name (`git_ref.go`)."""
    wanted = f"refs/{asked.found.get('ref') or ''}"
    annotated = {tag.object for tag in asked.hosted.bare.tags()}
    found = [
        views.ref(asked.hosted, ref, sha, "tag" if sha in annotated else "commit")
        for ref, sha in asked.hosted.bare.refs().items()
        if ref.startswith(wanted)
    ]
    if not found:
        raise Wrong("not-found")
    return Answer(body=found[0] if len(found) == 1 and found[0]["ref"] == wanted else found)


# ── comments: every pull request is an issue ─────────────────────────────────────────────────────────────────────


def _issue(asked: Asked) -> Answer:
    """Here, and only here, what is not there is a 404 (`GetIssue` in `routers/api/v1/repo/issue.go`)."""
    return Answer(body=views.issue(asked.hosted, asked.hosted.pulls.one(int(asked.found["number"]))))


def _commented(asked: Asked) -> int:
    """Where it is not there that is an internal error (`issue_comment.go`: `APIErrorInternal`, in 1.26 and before)."""
    try:
        return asked.hosted.pulls.one(int(asked.found["number"])).number
    except Wrong:
        raise Wrong("no-issue") from None


def _comments(asked: Asked) -> Answer:
    """All of them at once: this list has no pages (`ListIssueComments`)."""
    found = asked.hosted.comments.of(_commented(asked))
    body = [views.comment(asked.hosted, each) for each in found]
    return Answer(body=body, headers={"X-Total-Count": str(len(found))})


def _comment(asked: Asked) -> Answer:
    return Answer(body=views.comment(asked.hosted, asked.hosted.comments.one(int(asked.found["id"]))))


def _add_comment(asked: Asked) -> Answer:
    asked.who.check("issues", "pull_requests")
    number = _commented(asked)
    comment = asked.hosted.comments.add(number, asked.text("body"), asked.who.login)
    asked.hosted.pulls.touch(number)
    return Answer(status=201, body=views.comment(asked.hosted, comment))


def _edit_comment(asked: Asked) -> Answer:
    """By who wrote it, or who may write to the repository; of others the answer is 403, without words."""
    _check_own(asked)
    comment = asked.hosted.comments.edit(int(asked.found["id"]), asked.text("body"))
    return Answer(body=views.comment(asked.hosted, comment))


def _delete_comment(asked: Asked) -> Answer:
    _check_own(asked)
    asked.hosted.comments.remove(int(asked.found["id"]))
    return Answer(status=204)


def _check_own(asked: Asked) -> None:
    if asked.hosted.comments.one(int(asked.found["id"])).login != asked.who.login:
        asked.who.check("issues", "pull_requests")


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _hooks(asked: Asked) -> Answer:
    asked.who.check("administration")
    return paged(asked, asked.hosted.webhooks.all(), views.webhook)


def _add_hook(asked: Asked) -> Answer:
    """`pull_request` stands for everything about them; without `active` it is off."""
    asked.who.check("administration")
    config = asked.given["config"]
    url = str(config.get("url") or "")
    if not url.startswith(("http://", "https://")) or config.get("content_type") not in ("json", "form"):
        raise Wrong("bad-hook", what="url" if config.get("content_type") else "content_type")
    events = [str(each) for each in asked.given.get("events") or ("push",)]
    hook = asked.hosted.webhooks.add(
        url,
        [*events, *([SYNC] if "pull_request" in events and SYNC not in events else ())],
        secret=str(config.get("secret") or ""),
        active=asked.given.get("active") is True,
    )
    return Answer(status=201, body=views.webhook(hook))


# ── the table: definitions of the description ────────────────────────────────────────────────────────────────────

_TEXT, _TRUTH = Field(), Field(kind=bool)
_STATUS = {  # CreateStatusOption, with the states of CommitStatusState
    "state": Field(required=True, enum=(*STATES, "warning", "skipped")),
    **dict.fromkeys(("target_url", "description", "context"), _TEXT),
}
_PULL = {  # CreatePullRequestOption
    **dict.fromkeys(("head", "base", "title"), Field(required=True)),
    "body": _TEXT,
    "assignees": Field(kind=list),
    "labels": Field(kind=list),
}
_PULL_CHANGE = {"title": _TEXT, "body": _TEXT, "state": Field(enum=("open", "closed")), "base": _TEXT}
_PULL_MERGE = {  # MergePullRequestOption
    "Do": Field(required=True, enum=tuple(pulling.METHODS)),
    **dict.fromkeys(("MergeTitleField", "MergeMessageField", "head_commit_id"), _TEXT),
    **dict.fromkeys(("delete_branch_after_merge", "force_merge", "merge_when_checks_succeed"), _TRUTH),
}
_COMMENT = {"body": Field(required=True)}  # CreateIssueCommentOption, EditIssueCommentOption
_HOOK = {  # CreateHookOption
    "type": Field(required=True, enum=("gitea", "gogs", "forgejo")),
    "config": Field(kind=dict, required=True),
    "events": Field(kind=list),
    "active": _TRUTH,
    "branch_filter": _TEXT,
    "authorization_header": _TEXT,
}
_NUMBER = "(?P<number>[0-9]+)"

CALLS = calls(
    "/repos/(?P<full_name>[^/]+/[^/]+)",
    ("GET", "", _repository),
    ("POST", "/statuses/(?P<sha>[^/]+)", _say_status, _STATUS),
    ("GET", "/statuses/(?P<ref>[^/]+)", _statuses),
    ("GET", "/commits/(?P<ref>.+)/statuses", _statuses),
    ("GET", "/commits/(?P<ref>.+)/status", _combined),
    ("GET", "/commits/(?P<sha>[^/]+)/pull", pulling.of_commit),
    ("GET", "/commits", _commits),
    ("GET", "/git/commits/(?P<ref>[^/]+)", _commit),
    ("GET", "/git/refs(?:/(?P<ref>.+))?", _refs),
    ("GET", "/git/tags/(?P<sha>[^/]+)", _tag_object),
    ("GET", "/branches", _branches),
    ("GET", "/branches/(?P<name>.+)", _branch),
    ("DELETE", "/branches/(?P<name>.+)", _delete_branch),
    ("GET", "/tags", _tags),
    ("GET", "/tags/(?P<name>.+)", _tag),
    ("GET", "/pulls", pulling.listed),
    ("POST", "/pulls", pulling.opened, _PULL),
    ("GET", f"/pulls/{_NUMBER}", pulling.one),
    ("PATCH", f"/pulls/{_NUMBER}", pulling.changed, _PULL_CHANGE),
    ("GET", f"/pulls/{_NUMBER}/merge", pulling.is_merged),
    ("POST", f"/pulls/{_NUMBER}/merge", pulling.merged, _PULL_MERGE),
    ("GET", f"/pulls/{_NUMBER}/commits", pulling.commits),
    ("GET", "/pulls/(?P<base>[^/]+)/(?P<head>.+)", pulling.between),
    ("GET", f"/issues/{_NUMBER}", _issue),
    ("GET", f"/issues/{_NUMBER}/comments", _comments),
    ("POST", f"/issues/{_NUMBER}/comments", _add_comment, _COMMENT),
    ("GET", "/issues/comments/(?P<id>[0-9]+)", _comment),
    ("PATCH", "/issues/comments/(?P<id>[0-9]+)", _edit_comment, _COMMENT),
    ("DELETE", "/issues/comments/(?P<id>[0-9]+)", _delete_comment),
    ("GET", "/hooks", _hooks),
    ("POST", "/hooks", _add_hook, _HOOK),
)
