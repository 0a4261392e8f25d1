"""The paths of the API (`doc/api`, `lib/api`), with the parameters that each declares there."""

import base64
import binascii
from typing import cast

from fairlead_sandbox.forge.asked import Asked, Field, calls
from fairlead_sandbox.forge.bare import ABSENT, GitFailed
from fairlead_sandbox.forge.gitlab import deploying, merging, noting, views
from fairlead_sandbox.forge.gitlab.errors import misfit, not_found, refused
from fairlead_sandbox.forge.gitlab.pages import paged
from fairlead_sandbox.forge.gitlab.pipelines import STATES, Pipelines
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.webhooks import Webhook
from fairlead_sandbox.forge.wire import Answer

SIGNING_KEY = 32  # bytes (`lib/api/project_hooks.rb`)
HOOKS = {"push_events": "Push Hook", "tag_push_events": "Tag Push Hook", "merge_requests_events": "Merge Request Hook"}

# ── a project, its commits, branches and tags ────────────────────────────────────────────────────────────────────


def _project(asked: Asked) -> Answer:
    return Answer(body=views.project(asked.hosted))


def _commit(asked: Asked) -> Answer:
    return Answer(body=views.commit(asked.hosted, asked.hosted.bare.commits(_sha(asked), most=1)[-1]))


def _commits(asked: Asked) -> Answer:
    ref = asked.text("ref_name") or asked.hosted.default_branch
    sha = asked.hosted.bare.resolve(ref)
    found = asked.hosted.bare.commits(sha)[::-1] if sha is not None else []
    return paged(asked, found, lambda commit: views.commit(asked.hosted, commit))


def _sha(asked: Asked) -> str:
    sha = asked.hosted.bare.commit_of(asked.found["sha"])
    if sha is None:
        raise not_found("Commit")
    return sha


def _tags(asked: Asked) -> Answer:
    return paged(asked, asked.hosted.bare.tags(), lambda tag: views.tag(asked.hosted, tag))


def _tag(asked: Asked) -> Answer:
    for tag in asked.hosted.bare.tags():
        if tag.name == asked.found["name"]:
            return Answer(body=views.tag(asked.hosted, tag))
    raise not_found("Tag")


def _branches(asked: Asked) -> Answer:
    heads = [(ref, sha) for ref, sha in asked.hosted.bare.refs().items() if ref.startswith("refs/heads/")]
    return paged(asked, heads, lambda each: views.branch(asked.hosted, each[0].removeprefix("refs/heads/"), each[1]))


def _branch(asked: Asked) -> Answer:
    sha = asked.hosted.bare.branch(asked.found["name"])
    if sha is None:
        raise not_found("Branch")
    return Answer(body=views.branch(asked.hosted, asked.found["name"], sha))


def _make_branch(asked: Asked) -> Answer:
    asked.who.check("contents")
    name, sha = asked.text("branch"), asked.hosted.bare.resolve(asked.text("ref"))
    if sha is None:
        raise refused(400, "Invalid reference name")
    with moving(asked.hosted, asked.who):
        try:
            asked.hosted.bare.move(f"refs/heads/{name}", sha, ABSENT)
        except GitFailed:
            raise refused(400, "Branch already exists") from None
    return Answer(status=201, body=views.branch(asked.hosted, name, sha))


def _delete_branch(asked: Asked) -> Answer:
    asked.who.check("contents")
    with moving(asked.hosted, asked.who):
        sha = asked.hosted.bare.branch(asked.found["name"])
        if sha is None:
            raise not_found("Branch")
        asked.hosted.bare.move(f"refs/heads/{asked.found['name']}", ABSENT, sha)
    return Answer(status=204)


# ── commit statuses and their pipelines ──────────────────────────────────────────────────────────────────────────


def _pipelines_of(asked: Asked) -> Pipelines:
    return cast(Pipelines, asked.hosted.extra)


def _say_status(asked: Asked) -> Answer:
    asked.who.check("statuses")
    said = _pipelines_of(asked).say(asked.found["sha"], asked.given, asked.who.login)
    neutral = {"state": said.status, "context": said.name, "description": said.description}
    asked.hosted.statuses.say(said.sha, {**neutral, "target_url": said.target_url}, asked.who.login)
    return Answer(status=201, body=views.status(asked.hosted, said))


def _statuses(asked: Asked) -> Answer:
    sha, given = asked.found["sha"], asked.given
    _sha(asked)
    found = [
        each
        for each in _pipelines_of(asked).of_commit(sha, every=given.get("all") is True)
        if given.get("ref") in (None, "", each.ref)
        and given.get("name") in (None, "", each.name)
        and given.get("pipeline_id") in (None, each.pipeline)
        and given.get("stage") in (None, "", "external")
    ]
    by = "pipeline" if given.get("order_by") == "pipeline_id" else "id"
    found.sort(key=lambda each: (getattr(each, by), each.id), reverse=given.get("sort") == "desc")
    return paged(asked, found, lambda each: views.status(asked.hosted, each))


def _pipelines(asked: Asked) -> Answer:
    given, kept = asked.given, _pipelines_of(asked)
    found = [
        each for each in kept.all() if given.get("sha") in (None, each.sha) and given.get("ref") in (None, each.ref)
    ]
    return paged(asked, found, lambda each: views.pipeline(asked.hosted, each, kept.of_pipeline(each.id)))


def _pipeline(asked: Asked) -> Answer:
    kept = _pipelines_of(asked)
    for each in kept.all():
        if each.id == int(asked.found["id"]):
            return Answer(body=views.pipeline(asked.hosted, each, kept.of_pipeline(each.id)))
    raise not_found()


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _hooks(asked: Asked) -> Answer:
    asked.who.check("administration")
    return paged(asked, asked.hosted.webhooks.all(), lambda hook: views.webhook(asked.hosted, hook))


def _add_hook(asked: Asked) -> Answer:
    asked.who.check("administration")
    hook = asked.hosted.webhooks.add(_url(asked), _events(asked), secret=asked.text("token"), signing=_signing(asked))
    return Answer(status=201, body=views.webhook(asked.hosted, hook))


def _change_hook(asked: Asked) -> Answer:
    asked.who.check("administration")
    facts = {"url": _url(asked)} if "url" in asked.given else {}
    facts |= {"secret": asked.text("token")} if "token" in asked.given else {}
    facts |= {"signing": _signing(asked)} if "signing_token" in asked.given else {}
    hook: Webhook = asked.hosted.webhooks.change(int(asked.found["id"]), **facts)
    return Answer(body=views.webhook(asked.hosted, hook))


def _url(asked: Asked) -> str:
    url = asked.text("url")
    if not url.startswith(("http://", "https://")):
        raise misfit("Invalid url given", 422)
    return url


def _signing(asked: Asked) -> str:
    """`whsec_` and 32 bytes in base64. The words of the refusal are not GitLab's own."""
    token = asked.text("signing_token")
    try:
        key = base64.b64decode(token.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if token and (not token.startswith("whsec_") or len(key) != SIGNING_KEY):
        raise misfit("Invalid signing token given", 422)
    return token


def _events(asked: Asked) -> list[str]:
    wanted = {"push_events": True, **asked.given}
    return [event for name, event in HOOKS.items() if wanted.get(name) is True]


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────

_TEXT, _NUMBER, _TRUTH = Field(), Field(kind=int), Field(kind=bool)
_ORDER = Field(enum=("created_at", "updated_at"))
_SORT = Field(enum=("asc", "desc"))
_PAGE = {"page": _NUMBER, "per_page": _NUMBER}
_STATUS = {
    "state": Field(required=True, enum=STATES),
    **dict.fromkeys(("ref", "target_url", "description", "name", "context"), _TEXT),
    "coverage": _TEXT,
    "pipeline_id": _NUMBER,
}
_OF_STATUSES = {
    **dict.fromkeys(("ref", "stage", "name"), _TEXT),
    "pipeline_id": _NUMBER,
    "all": _TRUTH,
    "order_by": Field(enum=("id", "pipeline_id")),
    "sort": _SORT,
    **_PAGE,
}
_OF_MERGE_REQUESTS = {
    "state": Field(enum=("opened", "closed", "locked", "merged", "all")),
    **dict.fromkeys(("source_branch", "target_branch", "author_username", "scope", "search", "view"), _TEXT),
    "iids": Field(kind=list),
    "order_by": Field(enum=("created_at", "updated_at")),
    "sort": _SORT,
    **_PAGE,
}
_MERGE_REQUEST_FACTS = {
    "description": _TEXT,
    "labels": _TEXT,
    "squash": _TRUTH,
    "remove_source_branch": _TRUTH,
    "assignee_id": _NUMBER,
}
_MERGE_REQUEST = {
    **dict.fromkeys(("title", "source_branch", "target_branch"), Field(required=True)),
    "target_project_id": _NUMBER,
    **_MERGE_REQUEST_FACTS,
}
_MERGE_REQUEST_CHANGE = {
    "title": _TEXT,
    "target_branch": _TEXT,
    "state_event": Field(enum=("close", "reopen")),
    **_MERGE_REQUEST_FACTS,
}
_ACCEPTANCE = {
    **dict.fromkeys(("merge_commit_message", "squash_commit_message", "sha"), _TEXT),
    **dict.fromkeys(("should_remove_source_branch", "merge_when_pipeline_succeeds", "auto_merge", "squash"), _TRUTH),
}
_NOTE = {"body": Field(required=True), "internal": _TRUTH, "confidential": _TRUTH, "created_at": _TEXT}
_OF_NOTES = {"order_by": _ORDER, "sort": _SORT, "activity_filter": _TEXT, **_PAGE}
_HOOK_FACTS = {
    **dict.fromkeys(("token", "signing_token", "name", "description", "push_events_branch_filter"), _TEXT),
    **dict.fromkeys((*HOOKS, "note_events", "pipeline_events", "enable_ssl_verification"), _TRUTH),
}
_DEPLOYMENT = {
    **dict.fromkeys(("environment", "sha", "ref"), Field(required=True)),
    "tag": Field(kind=bool, required=True),
    "status": Field(required=True, enum=deploying.STATES),
}
_OF_DEPLOYMENTS = {
    "environment": _TEXT,
    "status": Field(enum=("created", *deploying.STATES, "skipped", "blocked")),
    "order_by": Field(enum=("id", "iid", "created_at", "updated_at", "finished_at", "ref")),
    "sort": _SORT,
    **dict.fromkeys(("updated_after", "updated_before"), _TEXT),
    **_PAGE,
}
_COMMIT = "/repository/commits/(?P<sha>[^/]+)"
_REQUEST = "/merge_requests/(?P<iid>[0-9]+)"

CALLS = calls(
    "/projects/(?P<project>[^/]+)",
    ("GET", "", _project),
    ("POST", "/statuses/(?P<sha>[^/]+)", _say_status, _STATUS),
    ("GET", f"{_COMMIT}/statuses", _statuses, _OF_STATUSES),
    ("GET", f"{_COMMIT}/merge_requests", merging.of_commit, _PAGE),
    ("GET", _COMMIT, _commit),
    ("GET", "/repository/commits", _commits, {"ref_name": _TEXT, **_PAGE}),
    ("GET", "/repository/tags", _tags, _PAGE),
    ("GET", "/repository/tags/(?P<name>[^/]+)", _tag),
    ("GET", "/repository/branches", _branches, _PAGE),
    ("POST", "/repository/branches", _make_branch, dict.fromkeys(("branch", "ref"), Field(required=True))),
    ("GET", "/repository/branches/(?P<name>[^/]+)", _branch),
    ("DELETE", "/repository/branches/(?P<name>[^/]+)", _delete_branch),
    ("GET", "/pipelines", _pipelines, {"sha": _TEXT, "ref": _TEXT, **_PAGE}),
    ("GET", "/pipelines/(?P<id>[0-9]+)", _pipeline),
    ("GET", "/merge_requests", merging.listed, _OF_MERGE_REQUESTS),
    ("POST", "/merge_requests", merging.opened, _MERGE_REQUEST),
    ("GET", _REQUEST, merging.one),
    ("PUT", _REQUEST, merging.changed, _MERGE_REQUEST_CHANGE),
    ("PUT", f"{_REQUEST}/merge", merging.accepted, _ACCEPTANCE),
    ("GET", f"{_REQUEST}/commits", merging.commits, _PAGE),
    ("GET", f"{_REQUEST}/notes", noting.listed, _OF_NOTES),
    ("POST", f"{_REQUEST}/notes", noting.added, _NOTE),
    ("GET", f"{_REQUEST}/notes/(?P<id>[0-9]+)", noting.one),
    ("PUT", f"{_REQUEST}/notes/(?P<id>[0-9]+)", noting.edited, {"body": _TEXT}),
    ("DELETE", f"{_REQUEST}/notes/(?P<id>[0-9]+)", noting.removed),
    ("GET", "/deployments", deploying.listed, _OF_DEPLOYMENTS),
    ("POST", "/deployments", deploying.made, _DEPLOYMENT),
    ("GET", "/deployments/(?P<id>[0-9]+)", deploying.one),
    ("PUT", "/deployments/(?P<id>[0-9]+)", deploying.changed, {"status": _DEPLOYMENT["status"]}),
    ("GET", "/hooks", _hooks, _PAGE),
    ("POST", "/hooks", _add_hook, {"url": Field(required=True), **_HOOK_FACTS}),
    ("PUT", "/hooks/(?P<id>[0-9]+)", _change_hook, {"url": _TEXT, **_HOOK_FACTS}),
)
