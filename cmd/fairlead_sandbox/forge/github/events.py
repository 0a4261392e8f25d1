"""Events as GitHub posts them (webhook payloads, "push" and "pull_request")."""

from collections.abc import Iterator
from typing import Any

from fairlead_sandbox.forge.bare import ABSENT, Commit
from fairlead_sandbox.forge.github.views import pull as pull_view
from fairlead_sandbox.forge.github.views import repository, user
from fairlead_sandbox.forge.hosted import Change, Event, Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Moved, Pull

MOST = 2048  # commits in one event
ACTIONS = {"opened": "opened", "pushed": "synchronize", "edited": "edited", "closed": "closed", "merged": "closed"}


def brought(hosted: Hosted, moved: Moved, most: int = MOST) -> list[Commit]:
    """The commits that a move brought, oldest first; of a new branch the last one alone."""
    if moved.after == ABSENT:
        return []
    if moved.before == ABSENT:
        return hosted.bare.commits(moved.after, most=1)
    return hosted.bare.commits(moved.after, "--not", moved.before, most=most)


def push_event(hosted: Hosted, moved: Moved, who: Identity) -> dict[str, Any]:
    """A branch or a tag went from one commit to another; forty zeros stand for none."""
    before, after = moved.before, moved.after
    created, deleted = before == ABSENT, after == ABSENT
    head = hosted.bare.commits(after, most=1)[-1] if not deleted else None
    return {
        "ref": moved.ref,
        "before": before,
        "after": after,
        "created": created,
        "deleted": deleted,
        "forced": not created and not deleted and not hosted.bare.is_ancestor(before, after),
        "base_ref": None,
        "compare": f"{hosted.html_url}/compare/{before[:12]}...{after[:12]}",
        "commits": [_commit(hosted, each) for each in brought(hosted, moved)],
        "head_commit": _commit(hosted, head) if head is not None else None,
        "repository": repository(hosted),
        "pusher": {"name": who.login, "email": who.email},
        "sender": user(who.login, hosted.addresses),
    }


def _commit(hosted: Hosted, commit: Commit) -> dict[str, Any]:
    (author, email, _), (committer, address, at) = commit.author, commit.committer
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": True,
        "message": commit.message,
        "timestamp": at,
        "url": f"{hosted.html_url}/commit/{commit.sha}",
        "author": {"name": author, "email": email},
        "committer": {"name": committer, "email": address},
        **hosted.bare.changes(commit.sha),
    }


def pull_events(hosted: Hosted, pull: Pull, change: Change, who: Identity) -> Iterator[Event]:
    """`opened`, `synchronize`, `edited`, `reopened`, and `closed`, which a merge is too."""
    payload: dict[str, Any] = {
        "action": ACTIONS.get(change.kind, change.kind),
        "number": pull.number,
        "pull_request": pull_view(hosted, pull),
        "repository": repository(hosted),
        "sender": user(who.login, hosted.addresses),
    }
    if change.kind == "pushed":
        payload |= {"before": change.before, "after": pull.head_sha}
    if change.kind == "edited":
        was = {"title": change.title or None, "body": change.body}
        payload["changes"] = {name: {"from": text} for name, text in was.items() if text is not None}
    yield "pull_request", payload
