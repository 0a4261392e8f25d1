"""Events as Gitea posts them (`modules/structs/hook.go`)."""

from collections.abc import Iterator
from typing import Any

from fairlead_sandbox.forge.bare import ABSENT, Commit
from fairlead_sandbox.forge.gitea import views
from fairlead_sandbox.forge.hosted import Change, Event, Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Moved, Pull

MOST = 5  # commits in one event (`[ui] FEED_MAX_COMMIT_NUM`)
ACTIONS = {"opened": "opened", "pushed": "synchronized", "edited": "edited", "closed": "closed", "merged": "closed"}
SYNC = "pull_request_sync"  # what the event is called where only the head moved


def push_events(hosted: Hosted, moved: Moved, who: Identity) -> Iterator[Event]:
    """A push, newest commit first; before it a `create` of a new branch or tag. One that goes is a `delete` alone."""
    sender = views.user(who.login, hosted.addresses)
    kind = "branch" if moved.branch else "tag"
    payload = {"ref": moved.ref.split("/", 2)[2], "ref_type": kind, "repository": views.repository(hosted)}
    if moved.after == ABSENT:
        yield "delete", {**payload, "pusher_type": "user", "sender": sender}
        return
    if moved.before == ABSENT:
        yield "create", {**payload, "sha": moved.after, "sender": sender}
    old = () if moved.before == ABSENT else ("--not", moved.before)
    new = hosted.bare.commits(moved.after, *old, most=MOST)[::-1] if old or moved.branch else []
    head = hosted.bare.commits(moved.after, most=1)[-1]
    yield (
        "push",
        {
            "ref": moved.ref,
            "before": moved.before,
            "after": moved.after,
            "compare_url": f"{hosted.html_url}/compare/{moved.before}...{moved.after}",
            "commits": [_commit(hosted, each) for each in new],
            "total_commits": len(new),
            "head_commit": _commit(hosted, head),
            "repository": views.repository(hosted),
            "pusher": sender,
            "sender": sender,
        },
    )


def _commit(hosted: Hosted, commit: Commit) -> dict[str, Any]:
    (author, email, _), (committer, address, at) = commit.author, commit.committer
    return {
        "id": commit.sha,
        "message": f"{commit.message}\n",
        "url": f"{hosted.html_url}/commit/{commit.sha}",
        "author": {"name": author, "email": email, "username": ""},
        "committer": {"name": committer, "email": address, "username": ""},
        "verification": None,
        "timestamp": at,
        **hosted.bare.changes(commit.sha),
    }


def pull_events(hosted: Hosted, pull: Pull, change: Change, who: Identity) -> Iterator[Event]:
    """`opened`, `synchronized`, `edited`, `reopened`, and `closed`, which a merge is too."""
    payload: dict[str, Any] = {
        "action": ACTIONS.get(change.kind, change.kind),
        "number": pull.number,
        "pull_request": views.pull(hosted, pull),
        "requested_reviewer": None,
        "repository": views.repository(hosted),
        "sender": views.user(who.login, hosted.addresses),
        "commit_id": "",
        "review": None,
    }
    if change.kind == "edited":
        was = {"title": change.title or None, "body": change.body}
        payload["changes"] = {name: {"from": text} for name, text in was.items() if text is not None}
    yield (SYNC if change.kind == "pushed" else "pull_request"), payload
