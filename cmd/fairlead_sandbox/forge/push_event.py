"""Refs move, and webhooks hear of it: the event `push`, shaped as GitHub's (webhook payloads, "push")."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fairlead_sandbox.forge.bare import ABSENT, Commit
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.views import repository, user

MOST = 2048  # commits in one event


@contextmanager
def moving(hosted: Hosted, who: Identity) -> Iterator[None]:
    """Whoever moves refs in here is alone; webhooks hear of each branch and tag that moved."""
    with hosted.bare.lock:
        before = hosted.bare.refs()
        yield
        after = hosted.bare.refs()
        for ref in sorted(before.keys() | after.keys()):
            old, new = before.get(ref, ABSENT), after.get(ref, ABSENT)
            if old != new:
                hosted.webhooks.send("push", push_event(hosted, ref, old, new, who))


def push_event(hosted: Hosted, ref: str, before: str, after: str, who: Identity) -> dict[str, Any]:
    """A branch or a tag went from one commit to another; forty zeros stand for none."""
    bare = hosted.bare
    created, deleted = before == ABSENT, after == ABSENT
    span = () if deleted else (after, "--not", before) if not created else (after,)
    new = bare.commits(*span, most=1 if created else MOST) if span else []
    head = bare.commits(after, most=1)[-1] if not deleted else None
    forced = not created and not deleted and not bare.is_ancestor(before, after)
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": created,
        "deleted": deleted,
        "forced": forced,
        "base_ref": None,
        "compare": f"{hosted.html_url}/compare/{before[:12]}...{after[:12]}",
        "commits": [_commit(hosted, each) for each in new],
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
