"""JSON as GitLab gives it (`lib/api/entities`), with the fields that clients use."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fairlead_sandbox.forge.bare import Commit, Tag
from fairlead_sandbox.forge.comments import Comment
from fairlead_sandbox.forge.deployments import Deployment
from fairlead_sandbox.forge.gitlab.pipelines import CommitStatus, Pipeline, whole
from fairlead_sandbox.forge.hosted import Addresses, Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Pull
from fairlead_sandbox.forge.webhooks import Webhook


def time(at: datetime | None) -> str | None:
    """With milliseconds."""
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def user(login: str, addresses: Addresses) -> dict[str, Any]:
    """A person, or a bot."""
    return {
        "id": Identity(login=login, permissions={}).number,
        "username": login,
        "name": login,
        "state": "active",
        "locked": False,
        "avatar_url": None,
        "web_url": f"{addresses.web}/{login}",
    }


def project(hosted: Hosted) -> dict[str, Any]:
    """One project."""
    host = hosted.addresses.web.partition("://")[2].partition(":")[0]
    return {
        "id": hosted.number,
        "name": hosted.name,
        "path": hosted.name,
        "path_with_namespace": hosted.full_name,
        "namespace": {"path": hosted.owner, "full_path": hosted.owner},
        "default_branch": hosted.default_branch,
        "web_url": hosted.html_url,
        "http_url_to_repo": f"{hosted.html_url}.git",
        "ssh_url_to_repo": f"git@{host}:{hosted.full_name}.git",
        "visibility": "private",
        "archived": False,
        "merge_method": hosted.merge_method,
        **_parent(hosted),
    }


def _parent(hosted: Hosted) -> dict[str, Any]:
    parent = hosted.others.get(hosted.parent)
    if parent is None:
        return {}
    return {"forked_from_project": {"id": parent.number, "path_with_namespace": parent.full_name}}


def commit(hosted: Hosted, found: Commit) -> dict[str, Any]:
    """One commit."""
    (author, email, at), (committer, address, committed) = found.author, found.committer
    return {
        "id": found.sha,
        "short_id": found.sha[:8],
        "title": found.subject,
        "message": f"{found.message}\n",
        "parent_ids": list(found.parents),
        "author_name": author,
        "author_email": email,
        "authored_date": at,
        "committer_name": committer,
        "committer_email": address,
        "committed_date": committed,
        "created_at": committed,
        "web_url": f"{hosted.html_url}/-/commit/{found.sha}",
    }


def tag(hosted: Hosted, found: Tag) -> dict[str, Any]:
    """One tag; `target` is the tag object of an annotated one."""
    return {
        "name": found.name,
        "message": found.message,
        "target": found.object or found.target,
        "commit": commit(hosted, hosted.bare.commits(found.target, most=1)[-1]),
        "release": None,
        "protected": False,
    }


def branch(hosted: Hosted, name: str, sha: str) -> dict[str, Any]:
    """One branch."""
    return {
        "name": name,
        "commit": commit(hosted, hosted.bare.commits(sha, most=1)[-1]),
        "merged": False,
        "protected": False,
        "default": name == hosted.default_branch,
        "web_url": f"{hosted.html_url}/-/tree/{name}",
    }


def status(hosted: Hosted, said: CommitStatus) -> dict[str, Any]:
    """`lib/api/entities/commit_status.rb`."""
    return {
        "id": said.id,
        "sha": said.sha,
        "ref": said.ref,
        "status": said.status,
        "name": said.name,
        "target_url": said.target_url,
        "description": said.description,
        "created_at": time(said.created_at),
        "started_at": time(said.started_at),
        "finished_at": time(said.finished_at),
        "allow_failure": False,
        "coverage": said.coverage,
        "pipeline_id": said.pipeline,
        "author": user(said.login, hosted.addresses),
    }


def pipeline(hosted: Hosted, found: Pipeline, statuses: Sequence[CommitStatus]) -> dict[str, Any]:
    """An external pipeline."""
    return {
        "id": found.id,
        "iid": found.id,
        "project_id": hosted.number,
        "sha": found.sha,
        "ref": found.ref,
        "status": whole(list(statuses)),
        "source": "external",
        "created_at": time(found.at),
        "updated_at": time(found.at),
        "web_url": f"{hosted.html_url}/-/pipelines/{found.id}",
    }


def state(pull: Pull) -> str:
    """`opened`, `closed` or `merged`."""
    return "merged" if pull.merged_by else "opened" if pull.state == "open" else "closed"


def merge_request(hosted: Hosted, pull: Pull, mergeable: bool | None) -> dict[str, Any]:
    """One merge request. A fast-forward has no merge commit; a squashed one has both, or only its own."""
    source, merged = hosted.source_of(pull), pull.merged_by
    made = pull.merge_commit not in ("", pull.squash_commit, pull.head_sha)
    who = user(merged, hosted.addresses) if merged else None
    return {
        "id": hosted.number * 10_000 + pull.number,
        "iid": pull.number,
        "project_id": hosted.number,
        "title": pull.title,
        "description": pull.body or None,
        "state": state(pull),
        "created_at": time(pull.created_at),
        "updated_at": time(pull.updated_at),
        "merged_by": who,
        "merge_user": who,
        "merged_at": time(pull.closed_at) if merged else None,
        "closed_at": time(pull.closed_at) if not merged else None,
        "target_branch": pull.base,
        "source_branch": pull.head,
        "author": user(pull.login, hosted.addresses),
        "source_project_id": source.number if source is not None else None,
        "target_project_id": hosted.number,
        "draft": pull.draft,
        "work_in_progress": pull.draft,
        "merge_status": {None: "unchecked", True: "can_be_merged", False: "cannot_be_merged"}[mergeable],
        "detailed_merge_status": {None: "not_open", True: "mergeable", False: "conflict"}[mergeable],
        "has_conflicts": mergeable is False,
        "sha": pull.head_sha,
        "merge_commit_sha": pull.merge_commit if made else None,
        "squash_commit_sha": pull.squash_commit or None,
        "squash": pull.squash,
        "web_url": f"{hosted.html_url}/-/merge_requests/{pull.number}",
        "references": {"short": f"!{pull.number}", "full": f"{hosted.full_name}!{pull.number}"},
        "diff_refs": {"base_sha": pull.base_sha, "head_sha": pull.head_sha, "start_sha": pull.base_sha},
    }


def note(hosted: Hosted, said: Comment) -> dict[str, Any]:
    """One note on a merge request."""
    return {
        "id": said.id,
        "type": None,
        "body": said.body,
        "attachment": None,
        "author": user(said.login, hosted.addresses),
        "created_at": time(said.created_at),
        "updated_at": time(said.updated_at),
        "system": False,
        "noteable_id": hosted.number * 10_000 + said.number,
        "noteable_type": "MergeRequest",
        "noteable_iid": said.number,
        "project_id": hosted.number,
        "resolvable": False,
        "confidential": False,
        "internal": False,
    }


def deployment(hosted: Hosted, made: Deployment) -> dict[str, Any]:
    """`lib/api/entities/deployment.rb`; what no job of GitLab's own made has no `deployable`."""
    names = sorted({each.environment for each in hosted.deployments.all()})
    environment = {"id": names.index(made.environment) + 1, "name": made.environment, "external_url": None}
    return {
        "id": made.id,
        "iid": made.id,
        "ref": made.ref,
        "sha": made.sha,
        "created_at": time(made.at),
        "updated_at": time(made.statuses[-1].at if made.statuses else made.at),
        "user": user(made.login, hosted.addresses),
        "environment": {**environment, "slug": made.environment.replace("/", "-")},
        "deployable": None,
        "status": made.state or "created",
    }


def webhook(hosted: Hosted, hook: Webhook) -> dict[str, Any]:
    """One webhook; neither of its tokens is ever shown."""
    return {
        "id": hook.id,
        "url": hook.url,
        "project_id": hosted.number,
        "push_events": "Push Hook" in hook.events,
        "tag_push_events": "Tag Push Hook" in hook.events,
        "merge_requests_events": "Merge Request Hook" in hook.events,
        "enable_ssl_verification": True,
        "created_at": time(hook.created_at),
    }
