"""JSON as GitHub gives it, with the fields that clients use."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from fairlead_sandbox.forge.bare import Commit, Tag
from fairlead_sandbox.forge.comments import Comment
from fairlead_sandbox.forge.deployments import Deployment, DeploymentStatus
from fairlead_sandbox.forge.hosted import Addresses, Hosted
from fairlead_sandbox.forge.identities import App, Identity
from fairlead_sandbox.forge.pulls import Pull
from fairlead_sandbox.forge.statuses import Status, combined
from fairlead_sandbox.forge.webhooks import Delivery, Webhook
from fairlead_sandbox.forge.wire import stamp


def root(api: str, docs: str) -> dict[str, Any]:
    """Where to begin."""
    urls = {"current_user_url": f"{api}/user", "rate_limit_url": f"{api}/rate_limit"}
    return {**urls, "repository_url": f"{api}/repos/{{owner}}/{{repo}}", "documentation_url": docs}


def user(login: str, addresses: Addresses) -> dict[str, Any]:
    """A person, or an app's bot."""
    return {
        "login": login,
        "id": Identity(login=login, permissions={}).number,
        "url": f"{addresses.api}/users/{login}",
        "html_url": f"{addresses.web}/{login}",
        "type": "Bot" if login.endswith("[bot]") else "User",
        "site_admin": False,
    }


def repository(hosted: Hosted, who: Identity | None = None) -> dict[str, Any]:
    """With `permissions` where somebody asks."""
    host = hosted.addresses.web.partition("://")[2].partition(":")[0]
    may = {} if who is None else {"permissions": {"pull": True, "push": who.permissions.get("contents") == "write"}}
    return {
        "id": hosted.number,
        "name": hosted.name,
        "full_name": hosted.full_name,
        "private": True,
        "owner": user(hosted.owner, hosted.addresses),
        "html_url": hosted.html_url,
        "url": hosted.url,
        "clone_url": f"{hosted.html_url}.git",
        "ssh_url": f"git@{host}:{hosted.full_name}.git",
        "hooks_url": f"{hosted.url}/hooks",
        "statuses_url": f"{hosted.url}/statuses/{{sha}}",
        "pulls_url": f"{hosted.url}/pulls{{/number}}",
        "default_branch": hosted.default_branch,
        "archived": False,
        "disabled": False,
        "fork": bool(hosted.parent),
        **may,
    }


def commit(hosted: Hosted, found: Commit) -> dict[str, Any]:
    """One commit, without its files."""
    url = f"{hosted.url}/commits/{found.sha}"
    return {
        "sha": found.sha,
        "url": url,
        "html_url": f"{hosted.html_url}/commit/{found.sha}",
        "commit": {
            "author": _signature(found.author),
            "committer": _signature(found.committer),
            "message": found.message,
            "tree": {"sha": found.tree},
        },
        "parents": [{"sha": sha, "url": f"{hosted.url}/commits/{sha}"} for sha in found.parents],
    }


def _signature(who: Sequence[str]) -> dict[str, str]:
    return dict(zip(("name", "email", "date"), who, strict=True))


def status(hosted: Hosted, said: Status) -> dict[str, Any]:
    """One status, with who said it."""
    creator = user(said.login, hosted.addresses)
    return {**_plain_status(hosted, said), "creator": creator}


def _plain_status(hosted: Hosted, said: Status) -> dict[str, Any]:
    return {
        "url": f"{hosted.url}/statuses/{said.sha}",
        "id": said.id,
        "state": said.state,
        "description": said.description or None,
        "target_url": said.target_url or None,
        "context": said.context,
        "created_at": stamp(said.at),
        "updated_at": stamp(said.at),
    }


def combined_status(hosted: Hosted, sha: str, newest: list[Status], shown: Sequence[Status]) -> dict[str, Any]:
    """One state for a commit, with a page of what it is made of."""
    return {
        "state": combined(newest),
        "statuses": [_plain_status(hosted, said) for said in shown],
        "sha": sha,
        "total_count": len(newest),
        "repository": repository(hosted),
        "commit_url": f"{hosted.url}/commits/{sha}",
        "url": f"{hosted.url}/commits/{sha}/status",
    }


def pull(hosted: Hosted, found: Pull, mergeable: bool | None = None) -> dict[str, Any]:
    """One pull request; `mergeable` is told of one alone, not in lists."""
    return {
        "url": f"{hosted.url}/pulls/{found.number}",
        "id": hosted.number * 10_000 + found.number,
        "html_url": f"{hosted.html_url}/pull/{found.number}",
        "number": found.number,
        "state": found.state,
        "title": found.title,
        "body": found.body or None,
        "user": user(found.login, hosted.addresses),
        "draft": found.draft,
        "locked": False,
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
        "closed_at": stamp(found.closed_at) if found.closed_at else None,
        "merged_at": stamp(found.closed_at) if found.closed_at and found.merged_by else None,
        "merged": bool(found.merged_by),
        "merged_by": user(found.merged_by, hosted.addresses) if found.merged_by else None,
        "merge_commit_sha": found.merge_commit or _test_merge(found),
        "mergeable": mergeable,
        "head": _end(hosted.source_of(found), found.head, found.head_sha),
        "base": _end(hosted, found.base, found.base_sha),
    }


def _test_merge(found: Pull) -> str:
    """Of one that is not merged: the commit that GitHub tried the merge with. It is on no branch."""
    return hashlib.sha1(f"{found.base_sha}{found.head_sha}".encode()).hexdigest()


def pull_alone(hosted: Hosted, found: Pull) -> dict[str, Any]:
    """What is counted where one alone is asked for."""
    commits = hosted.pulls.commits(found)
    said = {"comments": len(hosted.comments.of(found.number)), "review_comments": 0, "commits": len(commits)}
    return {**pull(hosted, found, hosted.pulls.mergeable(found)), **said}


def _end(hosted: Hosted | None, branch: str, sha: str) -> dict[str, Any]:
    """One end; of a fork that is gone nothing is told but the branch and the commit."""
    if hosted is None:
        return {"label": f"unknown:{branch}", "ref": branch, "sha": sha, "user": None, "repo": None}
    return {
        "label": f"{hosted.owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": user(hosted.owner, hosted.addresses),
        "repo": repository(hosted),
    }


def comment(hosted: Hosted, said: Comment) -> dict[str, Any]:
    """One comment on a pull request."""
    return {
        "id": said.id,
        "url": f"{hosted.url}/issues/comments/{said.id}",
        "html_url": f"{hosted.html_url}/pull/{said.number}#issuecomment-{said.id}",
        "issue_url": f"{hosted.url}/issues/{said.number}",
        "body": said.body,
        "user": user(said.login, hosted.addresses),
        "created_at": stamp(said.created_at),
        "updated_at": stamp(said.updated_at),
        "author_association": "MEMBER",
    }


def deployment(hosted: Hosted, made: Deployment) -> dict[str, Any]:
    """One deployment."""
    url = f"{hosted.url}/deployments/{made.id}"
    return {
        "id": made.id,
        "url": url,
        "sha": made.sha,
        "ref": made.ref,
        "task": made.task,
        "payload": made.payload,
        "original_environment": made.environment,
        "environment": made.environment,
        "description": made.description or None,
        "creator": user(made.login, hosted.addresses),
        "created_at": stamp(made.at),
        "updated_at": stamp(made.statuses[-1].at if made.statuses else made.at),
        "statuses_url": f"{url}/statuses",
        "repository_url": hosted.url,
        "transient_environment": made.transient,
        "production_environment": made.production,
    }


def deployment_status(hosted: Hosted, made: Deployment, said: DeploymentStatus) -> dict[str, Any]:
    """One word on a deployment."""
    url = f"{hosted.url}/deployments/{made.id}"
    return {
        "id": said.id,
        "url": f"{url}/statuses/{said.id}",
        "state": said.state,
        "creator": user(said.login, hosted.addresses),
        "description": said.description,
        "environment": said.environment,
        "target_url": said.log_url,
        "log_url": said.log_url,
        "environment_url": said.environment_url,
        "created_at": stamp(said.at),
        "updated_at": stamp(said.at),
        "deployment_url": url,
        "repository_url": hosted.url,
    }


def tag(hosted: Hosted, found: Tag) -> dict[str, Any]:
    """A tag in the list of them: its commit, annotated or not."""
    target = {"sha": found.target, "url": f"{hosted.url}/commits/{found.target}"}
    return {"name": found.name, "commit": target}


def tag_object(hosted: Hosted, found: Tag) -> dict[str, Any]:
    """The object of an annotated tag."""
    target = {"type": "commit", "sha": found.target, "url": f"{hosted.url}/git/commits/{found.target}"}
    return {
        "tag": found.name,
        "sha": found.object,
        "url": f"{hosted.url}/git/tags/{found.object}",
        "message": found.message,
        "tagger": _signature(found.tagger),
        "object": target,
    }


def webhook(hosted: Hosted, hook: Webhook) -> dict[str, Any]:
    """One webhook; its secret is never shown."""
    url = f"{hosted.url}/hooks/{hook.id}"
    config = {"url": hook.url, "content_type": "json", "insecure_ssl": "0"}
    if hook.secret:
        config["secret"] = "********"
    return {
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": config,
        "created_at": stamp(hook.created_at),
        "updated_at": stamp(hook.created_at),
        "url": url,
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
    }


def delivery(found: Delivery) -> dict[str, Any]:
    """One delivery of a webhook, as its list shows it."""
    return {
        "id": found.number,
        "guid": found.guid,
        "delivered_at": stamp(found.at),
        "redelivery": False,
        "event": found.event,
        "status": "OK" if 200 <= found.status < 300 else "failed",
        "status_code": found.status,
    }


def app(found: App, addresses: Addresses) -> dict[str, Any]:
    """One GitHub App."""
    return {
        "id": found.app_id,
        "slug": found.slug,
        "client_id": found.client_id,
        "name": found.slug,
        "html_url": f"{addresses.web}/github-apps/{found.slug}",
        "permissions": dict(found.permissions),
        "events": [],
    }


def rate(limit: int, used: int, reset: int) -> dict[str, Any]:
    """The one primary limit that is played."""
    core: Mapping[str, int] = {"limit": limit, "used": used, "remaining": max(limit - used, 0), "reset": reset}
    return {"resources": {"core": core}, "rate": core}
