"""JSON as Gitea gives it (`modules/structs`, `services/convert`), with the fields that clients use."""

from typing import Any

from fairlead_sandbox.forge.bare import Commit, Tag
from fairlead_sandbox.forge.comments import Comment
from fairlead_sandbox.forge.hosted import Addresses, Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Pull
from fairlead_sandbox.forge.statuses import Status, combined
from fairlead_sandbox.forge.webhooks import Webhook
from fairlead_sandbox.forge.wire import stamp


def user(login: str, addresses: Addresses) -> dict[str, Any]:
    """A person, or a bot."""
    return {
        "id": Identity(login=login, permissions={}).number,
        "login": login,
        "username": login,
        "full_name": "",
        "email": f"{login}@noreply.localhost",
        "html_url": f"{addresses.web}/{login}",
        "is_admin": False,
    }


def repository(hosted: Hosted, who: Identity | None = None) -> dict[str, Any]:
    """One repository."""
    host = hosted.addresses.web.partition("://")[2].partition(":")[0]
    parent = hosted.others.get(hosted.parent)
    push = who is None or who.permissions.get("contents") == "write"
    return {
        "id": hosted.number,
        "owner": user(hosted.owner, hosted.addresses),
        "name": hosted.name,
        "full_name": hosted.full_name,
        "private": True,
        "fork": parent is not None,
        "parent": repository(parent) if parent is not None else None,
        "html_url": hosted.html_url,
        "url": hosted.url,
        "ssh_url": f"git@{host}:{hosted.full_name}.git",
        "clone_url": f"{hosted.html_url}.git",
        "default_branch": hosted.default_branch,
        "archived": False,
        "empty": False,
        "permissions": {"admin": False, "push": push, "pull": True},
    }


def commit(hosted: Hosted, found: Commit) -> dict[str, Any]:
    """One commit, without its files."""
    url = f"{hosted.url}/git/commits/{found.sha}"
    author, committer = (
        dict(zip(("name", "email", "date"), who, strict=True)) for who in (found.author, found.committer)
    )
    return {
        "url": url,
        "sha": found.sha,
        "created": found.committer[2],
        "html_url": f"{hosted.html_url}/commit/{found.sha}",
        "commit": {
            "url": url,
            "author": author,
            "committer": committer,
            "message": f"{found.message}\n",
            "tree": {"sha": found.tree},
        },
        "parents": [{"sha": sha, "url": f"{hosted.url}/git/commits/{sha}"} for sha in found.parents],
    }


def status(hosted: Hosted, said: Status) -> dict[str, Any]:
    """One status: its state is called `status`."""
    return {
        "id": said.id,
        "status": said.state,
        "target_url": said.target_url,
        "description": said.description,
        "url": f"{hosted.url}/statuses/{said.sha}",
        "context": said.context,
        "creator": user(said.login, hosted.addresses),
        "created_at": stamp(said.at),
        "updated_at": stamp(said.at),
    }


def combined_status(hosted: Hosted, sha: str, newest: list[Status], shown: list[Status]) -> dict[str, Any]:
    """One state for a commit; empty where nothing was said."""
    if not newest:
        return {"state": "", "sha": "", "total_count": 0, "statuses": None, "repository": None, "commit_url": ""}
    return {
        "state": combined(newest),
        "sha": sha,
        "total_count": len(newest),
        "statuses": [status(hosted, said) for said in shown],
        "repository": repository(hosted),
        "commit_url": f"{hosted.url}/commits/{sha}",
        "url": f"{hosted.url}/commits/{sha}/status",
    }


def pull(hosted: Hosted, found: Pull, mergeable: bool | None = None) -> dict[str, Any]:
    """One pull request."""
    source = hosted.source_of(found)
    return {
        "id": hosted.number * 10_000 + found.number,
        "url": f"{hosted.html_url}/pulls/{found.number}",
        "number": found.number,
        "user": user(found.login, hosted.addresses),
        "title": found.title,
        "body": found.body,
        "labels": [],
        "state": found.state,
        "draft": found.draft,
        "is_locked": False,
        "comments": len(hosted.comments.of(found.number)),
        "html_url": f"{hosted.html_url}/pulls/{found.number}",
        "mergeable": mergeable is True,
        "merged": bool(found.merged_by),
        "merged_at": stamp(found.closed_at) if found.closed_at and found.merged_by else None,
        "merge_commit_sha": found.merge_commit or None,
        "merged_by": user(found.merged_by, hosted.addresses) if found.merged_by else None,
        "base": _end(hosted, found.base, found.base, found.base_sha),
        "head": _end(source, found.head, _head_ref(source, found), found.head_sha),
        "merge_base": hosted.bare.merge_base(found.base_sha, found.head_sha) or "",
        "created_at": stamp(found.created_at),
        "updated_at": stamp(found.updated_at),
        "closed_at": stamp(found.closed_at) if found.closed_at else None,
    }


def _head_ref(source: Hosted | None, found: Pull) -> str:
    """The branch; where that is gone, the pull request's own reference."""
    there = source is not None and source.bare.branch(found.head) is not None
    return found.head if there else f"refs/pull/{found.number}/head"


def _end(hosted: Hosted | None, label: str, ref_: str, sha: str) -> dict[str, Any]:
    shown = repository(hosted) if hosted is not None else None
    number = hosted.number if hosted is not None else -1
    return {"label": label, "ref": ref_, "sha": sha, "repo_id": number, "repo": shown}


def issue(hosted: Hosted, found: Pull) -> dict[str, Any]:
    """A pull request as the issue that it also is."""
    return {
        "number": found.number,
        "title": found.title,
        "state": found.state,
        "html_url": f"{hosted.html_url}/pulls/{found.number}",
        "pull_request": {"merged": bool(found.merged_by)},
    }


def comment(hosted: Hosted, said: Comment) -> dict[str, Any]:
    """One comment on a pull request."""
    return {
        "id": said.id,
        "html_url": f"{hosted.html_url}/pulls/{said.number}#issuecomment-{said.id}",
        "pull_request_url": f"{hosted.html_url}/pulls/{said.number}",
        "issue_url": "",
        "user": user(said.login, hosted.addresses),
        "original_author": "",
        "original_author_id": 0,
        "body": said.body,
        "assets": [],
        "created_at": stamp(said.created_at),
        "updated_at": stamp(said.updated_at),
    }


def tag(hosted: Hosted, found: Tag) -> dict[str, Any]:
    """One tag with its commit; `id` is the tag object of an annotated one."""
    url = f"{hosted.url}/git/commits/{found.target}"
    return {
        "name": found.name,
        "message": found.message,
        "id": found.object or found.target,
        "commit": {"sha": found.target, "url": url, "created": None},
        "zipball_url": f"{hosted.html_url}/archive/{found.name}.zip",
        "tarball_url": f"{hosted.html_url}/archive/{found.name}.tar.gz",
    }


def tag_object(hosted: Hosted, found: Tag) -> dict[str, Any]:
    """The object of an annotated tag."""
    return {
        "tag": found.name,
        "sha": found.object,
        "url": f"{hosted.url}/git/tags/{found.object}",
        "message": f"{found.message}\n",
        "tagger": dict(zip(("name", "email", "date"), found.tagger, strict=True)),
        "object": _object(hosted, "commit", found.target),
    }


def ref(hosted: Hosted, name: str, sha: str, kind: str) -> dict[str, Any]:
    """A reference, with what it names."""
    return {"ref": name, "url": f"{hosted.url}/git/{name}", "object": _object(hosted, kind, sha)}


def _object(hosted: Hosted, kind: str, sha: str) -> dict[str, Any]:
    return {"type": kind, "sha": sha, "url": f"{hosted.url}/git/{kind}s/{sha}"}


def branch(hosted: Hosted, name: str, found: Commit) -> dict[str, Any]:
    """One branch."""
    told = {"id": found.sha, "message": f"{found.message}\n", "url": f"{hosted.html_url}/commit/{found.sha}"}
    return {"name": name, "commit": told, "protected": False}


def webhook(hook: Webhook) -> dict[str, Any]:
    """One webhook; its secret is never shown."""
    return {
        "id": hook.id,
        "type": "gitea",
        "config": {"content_type": "json", "url": hook.url},
        "events": list(hook.events),
        "active": hook.active,
        "created_at": stamp(hook.created_at),
        "updated_at": stamp(hook.created_at),
    }
