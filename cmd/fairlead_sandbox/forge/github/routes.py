"""The paths of the API (GitHub's own OpenAPI description of Enterprise Server 3.19 names them and what they take)."""

from fairlead_sandbox.forge.asked import Asked, Field, calls
from fairlead_sandbox.forge.github import deploying, pulling, reffing, talking, views
from fairlead_sandbox.forge.github.errors import invalid, refused
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.statuses import STATES
from fairlead_sandbox.forge.wire import Answer, Page

LONGEST = 140  # characters of a status' description

# ── a repository, its commits and what is said on them ───────────────────────────────────────────────────────────


def _repository(asked: Asked) -> Answer:
    return Answer(body=views.repository(asked.hosted, asked.who))


def _say_status(asked: Asked) -> Answer:
    asked.who.check("statuses")
    _check_status(asked)
    sha = asked.found["sha"]
    if not asked.hosted.bare.has_commit(sha):
        raise refused(422, f"No commit found for SHA: {sha}")
    body = views.status(asked.hosted, asked.hosted.statuses.say(sha, asked.given, asked.who.login))
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _check_status(asked: Asked) -> None:
    """What GitHub says of a status that its schema lets pass."""
    if asked.given.get("state") not in STATES:
        raise invalid("Status", "custom", field="state", message="state is not included in the list")
    if len(asked.text("description")) > LONGEST:
        message = f"description is too long (maximum is {LONGEST} characters)"
        raise invalid("Status", "custom", field="description", message=message)
    url = asked.text("target_url")
    if url and not url.startswith(("http://", "https://")):
        raise invalid("Status", "custom", field="target_url", message="target_url must use http(s) scheme")


def _statuses(asked: Asked) -> Answer:
    sha = _sha(asked.hosted, asked.found["ref"])
    url = f"{asked.hosted.url}/commits/{asked.found['ref']}/statuses"
    page = Page(items=asked.hosted.statuses.all(sha), query=asked.request.query, url=url)
    return Answer(body=[views.status(asked.hosted, said) for said in page.shown], headers=page.links())


def _combined(asked: Asked) -> Answer:
    sha = _sha(asked.hosted, asked.found["ref"])
    newest = asked.hosted.statuses.newest(sha)
    url = f"{asked.hosted.url}/commits/{asked.found['ref']}/status"
    page = Page(items=newest, query=asked.request.query, url=url)
    return Answer(body=views.combined_status(asked.hosted, sha, newest, page.shown), headers=page.links())


def _commit(asked: Asked) -> Answer:
    commit = asked.hosted.bare.commits(_sha(asked.hosted, asked.found["ref"]), most=1)[-1]
    return Answer(body=views.commit(asked.hosted, commit))


def _commits(asked: Asked) -> Answer:
    start = _sha(asked.hosted, asked.request.query.get("sha") or asked.hosted.default_branch)
    page = Page(
        items=asked.hosted.bare.commits(start)[::-1], query=asked.request.query, url=f"{asked.hosted.url}/commits"
    )
    return Answer(body=[views.commit(asked.hosted, commit) for commit in page.shown], headers=page.links())


def _sha(hosted: Hosted, ref: str) -> str:
    """The commit of a branch, a tag or an id. Raises `Refused`."""
    sha = hosted.bare.commit_of(ref)
    if sha is None:
        raise refused(422, f"No commit found for SHA: {ref}")
    return sha


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _webhooks(asked: Asked) -> Answer:
    asked.who.check("administration")
    page = Page(items=asked.hosted.webhooks.all(), query=asked.request.query, url=f"{asked.hosted.url}/hooks")
    return Answer(body=[views.webhook(asked.hosted, hook) for hook in page.shown], headers=page.links())


def _add_webhook(asked: Asked) -> Answer:
    asked.who.check("administration")
    if asked.given.get("name", "web") != "web":
        raise invalid("Hook", "custom", field="name", message="name must be web")
    config = asked.given.get("config") or {}
    url = config.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise invalid("Hook", "custom", message="Config must contain URL for webhooks")
    if any(hook.url == url for hook in asked.hosted.webhooks.all()):
        raise invalid("Hook", "custom", message="Hook already exists on this repository")
    hook = asked.hosted.webhooks.add(
        url,
        asked.given.get("events") or ("push",),
        secret=str(config.get("secret") or ""),
        active=asked.given.get("active", True) is not False,
    )
    asked.hosted.webhooks.ping(hook, {"zen": "Keep it logically awesome.", "hook_id": hook.id})
    body = views.webhook(asked.hosted, hook)
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _deliveries(asked: Asked) -> Answer:
    asked.who.check("administration")
    made = [each for each in asked.hosted.webhooks.deliveries()[::-1] if each.hook.id == int(asked.found["id"])]
    url = f"{asked.hosted.url}/hooks/{asked.found['id']}/deliveries"
    page = Page(items=made, query=asked.request.query, url=url)
    return Answer(body=[views.delivery(each) for each in page.shown], headers=page.links())


# ── the table: components of `repos/create-commit-status` and the like in the description ────────────────────────

_TEXT, _MAYBE = Field(), Field(null=True)
_STATUS = {"state": Field(), "target_url": _MAYBE, "description": _MAYBE, "context": Field()}
_HOOK = {
    "name": _TEXT,
    "config": Field(kind=dict),
    "events": Field(kind=list),
    "active": Field(kind=bool),
}
_PULL = {
    "title": _TEXT,
    "head": Field(required=True),
    "head_repo": _TEXT,
    "base": Field(required=True),
    "body": _MAYBE,
    "maintainer_can_modify": Field(kind=bool),
    "draft": Field(kind=bool),
}
_PULL_CHANGE = {"title": _TEXT, "body": _MAYBE, "state": _TEXT, "base": _TEXT}
_PULL_MERGE = {"commit_title": _TEXT, "commit_message": _TEXT, "sha": _TEXT, "merge_method": _TEXT}
_COMMENT = {"body": Field(required=True)}
_DEPLOYMENT = {
    "ref": Field(required=True),
    "task": _TEXT,
    "auto_merge": Field(kind=bool),
    "required_contexts": Field(kind=list),
    "payload": Field(kind=(dict, str)),
    "environment": _TEXT,
    "description": _MAYBE,
    "transient_environment": Field(kind=bool),
    "production_environment": Field(kind=bool),
}
_DEPLOYMENT_STATUS = {
    "state": Field(required=True),
    "target_url": _TEXT,
    "log_url": _TEXT,
    "description": _TEXT,
    "environment": _TEXT,
    "environment_url": _TEXT,
    "auto_inactive": Field(kind=bool),
}
_TAG = {
    "tag": Field(required=True),
    "message": Field(required=True),
    "object": Field(required=True),
    "type": Field(required=True),
    "tagger": Field(kind=dict),
}
_REF = {"ref": Field(required=True), "sha": Field(required=True)}
_NUMBER = "(?P<number>[0-9]+)"

CALLS = calls(
    "/repos/(?P<full_name>[^/]+/[^/]+)",
    ("GET", "", _repository),
    ("POST", "/statuses/(?P<sha>[^/]+)", _say_status, _STATUS),
    ("GET", "/commits/(?P<ref>.+)/statuses", _statuses),
    ("GET", "/commits/(?P<ref>.+)/status", _combined),
    ("GET", "/commits/(?P<sha>[^/]+)/pulls", pulling.of_commit),
    ("GET", "/commits/(?P<ref>.+)", _commit),
    ("GET", "/commits", _commits),
    ("GET", "/pulls", pulling.listed),
    ("POST", "/pulls", pulling.opened, _PULL),
    ("GET", f"/pulls/{_NUMBER}", pulling.one),
    ("PATCH", f"/pulls/{_NUMBER}", pulling.changed, _PULL_CHANGE),
    ("GET", f"/pulls/{_NUMBER}/commits", pulling.commits),
    ("GET", f"/pulls/{_NUMBER}/merge", pulling.is_merged),
    ("PUT", f"/pulls/{_NUMBER}/merge", pulling.merged, _PULL_MERGE),
    ("GET", f"/issues/{_NUMBER}/comments", talking.listed),
    ("POST", f"/issues/{_NUMBER}/comments", talking.added, _COMMENT),
    ("GET", "/issues/comments/(?P<id>[0-9]+)", talking.one),
    ("PATCH", "/issues/comments/(?P<id>[0-9]+)", talking.edited, _COMMENT),
    ("DELETE", "/issues/comments/(?P<id>[0-9]+)", talking.removed),
    ("GET", "/deployments", deploying.listed),
    ("POST", "/deployments", deploying.made, _DEPLOYMENT),
    ("GET", "/deployments/(?P<id>[0-9]+)", deploying.one),
    ("GET", "/deployments/(?P<id>[0-9]+)/statuses", deploying.statuses),
    ("POST", "/deployments/(?P<id>[0-9]+)/statuses", deploying.said, _DEPLOYMENT_STATUS),
    ("GET", "/git/ref/(?P<ref>.+)", reffing.one),
    ("GET", "/git/matching-refs/(?P<ref>.+)", reffing.matching),
    ("GET", "/git/tags/(?P<sha>[^/]+)", reffing.tag),
    ("POST", "/git/tags", reffing.make_tag, _TAG),
    ("GET", "/tags", reffing.tags),
    ("POST", "/git/refs", reffing.make, _REF),
    ("DELETE", "/git/refs/(?P<ref>.+)", reffing.delete),
    ("GET", "/hooks", _webhooks),
    ("POST", "/hooks", _add_webhook, _HOOK),
    ("GET", "/hooks/(?P<id>[0-9]+)/deliveries", _deliveries),
)
