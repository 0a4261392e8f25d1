"""Events as GitLab posts them (`doc/user/project/integrations/webhook_events.md`)."""

from collections.abc import Iterator
from typing import Any

from fairlead_sandbox.forge.bare import ABSENT, Commit
from fairlead_sandbox.forge.gitlab import views
from fairlead_sandbox.forge.hosted import Change, Event, Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Moved, Pull

MOST = 20  # commits in one event
_SHOWN = (
    *("id", "iid", "title", "description", "state", "created_at", "updated_at", "draft", "work_in_progress"),
    *("source_branch", "target_branch", "source_project_id", "target_project_id", "merge_commit_sha"),
)
ACTIONS = {"opened": "open", "pushed": "update", "edited": "update", "closed": "close", "reopened": "reopen"}


def push_events(hosted: Hosted, moved: Moved, who: Identity) -> Iterator[Event]:
    """A `Push Hook` of a branch, a `Tag Push Hook` of a tag; forty zeros stand for none."""
    kind = "push" if moved.branch else "tag_push"
    new = _brought(hosted, moved) if moved.branch else []
    yield (
        "Push Hook" if moved.branch else "Tag Push Hook",
        {
            "object_kind": kind,
            "event_name": kind,
            "before": moved.before,
            "after": moved.after,
            "ref": moved.ref,
            "ref_protected": False,
            "checkout_sha": moved.after if moved.after != ABSENT else None,
            "user_id": who.number,
            "user_name": who.login,
            "user_username": who.login,
            "user_email": who.email,
            "project_id": hosted.number,
            "project": _project(hosted),
            "repository": _repository(hosted),
            "commits": [_commit(hosted, each) for each in new[-MOST:]],
            "total_commits_count": len(new),
        },
    )


def _brought(hosted: Hosted, moved: Moved) -> list[Commit]:
    """Of a new branch what the default branch does not have."""
    if moved.after == ABSENT:
        return []
    default = hosted.bare.branch(hosted.default_branch)
    old = moved.before if moved.before != ABSENT else default if default != moved.after else None
    return hosted.bare.commits(moved.after, *(("--not", old) if old else ()))


def _commit(hosted: Hosted, commit: Commit) -> dict[str, Any]:
    author, address, _ = commit.author
    return {
        "id": commit.sha,
        "message": f"{commit.message}\n",
        "title": commit.subject,
        "timestamp": commit.committer[2],
        "url": f"{hosted.html_url}/-/commit/{commit.sha}",
        "author": {"name": author, "email": address},
        **hosted.bare.changes(commit.sha),
    }


def _project(hosted: Hosted) -> dict[str, Any]:
    shown = views.project(hosted)
    http, ssh = shown["http_url_to_repo"], shown["ssh_url_to_repo"]
    return {
        "id": hosted.number,
        "name": hosted.name,
        "description": "",
        "web_url": hosted.html_url,
        "avatar_url": None,
        "git_ssh_url": ssh,
        "git_http_url": http,
        "namespace": hosted.owner,
        "visibility_level": 0,
        "path_with_namespace": hosted.full_name,
        "default_branch": hosted.default_branch,
        "homepage": hosted.html_url,
        "url": ssh,
        "ssh_url": ssh,
        "http_url": http,
    }


def _repository(hosted: Hosted) -> dict[str, Any]:
    shown = _project(hosted)
    names = ("name", "url", "description", "homepage", "git_http_url", "git_ssh_url", "visibility_level")
    return {name: shown[name] for name in names}


def merge_request_events(hosted: Hosted, pull: Pull, change: Change, who: Identity) -> Iterator[Event]:
    """A `Merge Request Hook`; `oldrev` only where there are new commits."""
    attributes = _attributes(hosted, pull)
    attributes["action"] = "merge" if change.kind == "merged" else ACTIONS[change.kind]
    if change.kind == "pushed":
        attributes["oldrev"] = change.before
    yield (
        "Merge Request Hook",
        {
            "object_kind": "merge_request",
            "event_type": "merge_request",
            "user": {**views.user(who.login, hosted.addresses), "email": "[REDACTED]"},
            "project": _project(hosted),
            "repository": _repository(hosted),
            "object_attributes": attributes,
            "labels": [],
            "changes": _changes(pull, change),
            "assignees": [],
            "reviewers": [],
        },
    )


def _attributes(hosted: Hosted, pull: Pull) -> dict[str, Any]:
    shown, source = views.merge_request(hosted, pull, None), hosted.source_of(pull)
    head = hosted.bare.commits(pull.head_sha, most=1)[-1]
    return {
        **{name: shown[name] for name in _SHOWN},
        "author_id": Identity(login=pull.login, permissions={}).number,
        "merge_status": shown["merge_status"],
        "detailed_merge_status": shown["detailed_merge_status"],
        "url": shown["web_url"],
        "source": _project(source) if source is not None else None,
        "target": _project(hosted),
        "last_commit": _plain(hosted, head),
    }


def _plain(hosted: Hosted, commit: Commit) -> dict[str, Any]:
    shown = _commit(hosted, commit)
    return {name: shown[name] for name in ("id", "message", "title", "timestamp", "url", "author")}


def _changes(pull: Pull, change: Change) -> dict[str, Any]:
    if change.kind != "edited":
        return {}
    was = {"title": (change.title, pull.title), "description": (change.body or "", pull.body)}
    return {name: {"previous": old, "current": new} for name, (old, new) in was.items() if old != new}
