"""Pull requests (REST API, "Pulls"): list, open, change, merge; from forks too."""

from collections.abc import Sequence

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.bare import Commit
from fairlead_sandbox.forge.github import views
from fairlead_sandbox.forge.github.errors import not_found, refused
from fairlead_sandbox.forge.hosted import Change
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.pulls import Merge, Opening, Pull, Words
from fairlead_sandbox.forge.wire import Answer, Page, Wrong

METHODS = ("merge", "squash", "rebase")
SORTS = {"created": "created_at", "updated": "updated_at"}


def listed(asked: Asked) -> Answer:
    """By state, head (`owner:branch`) and base; newest first, or as `sort` and `direction` say."""
    query, hosted = asked.request.query, asked.hosted
    state = query.get("state") or "open"

    def wanted(pull: Pull) -> bool:
        label = f"{_owner(asked, pull)}:{pull.head}"
        return (
            state in ("all", pull.state)
            and query.get("head", "") in ("", label)
            and query.get("base", "") in ("", pull.base)
        )

    pulls = hosted.pulls.all(wanted)
    sort = SORTS.get(query.get("sort") or "created", "created_at")
    ascending = query.get("direction", "asc" if query.get("sort") not in (None, "", "created") else "desc") == "asc"
    pulls.sort(key=lambda pull: (getattr(pull, sort), pull.number), reverse=not ascending)
    page = Page(items=pulls, query=query, url=f"{hosted.url}/pulls")
    return Answer(body=[views.pull(hosted, pull) for pull in page.shown], headers=page.links())


def _owner(asked: Asked, pull: Pull) -> str:
    return (pull.fork or asked.hosted.full_name).partition("/")[0]


def of_commit(asked: Asked) -> Answer:
    """Those that a commit belongs to."""
    if not asked.hosted.bare.has_commit(asked.found["sha"]):
        raise refused(422, f"No commit found for SHA: {asked.found['sha']}")
    pulls = asked.hosted.pulls.of_commit(asked.found["sha"])
    page = Page(items=pulls, query=asked.request.query, url=f"{asked.hosted.url}/commits/{asked.found['sha']}/pulls")
    return Answer(body=[views.pull(asked.hosted, pull) for pull in page.shown], headers=page.links())


def one(asked: Asked) -> Answer:
    """With whether it can be merged, and how many commits it brings."""
    return Answer(body=views.pull_alone(asked.hosted, asked.hosted.pulls.one(int(asked.found["number"]))))


def commits(asked: Asked) -> Answer:
    """What it brings, oldest first."""
    pull = asked.hosted.pulls.one(int(asked.found["number"]))
    url = f"{asked.hosted.url}/pulls/{pull.number}/commits"
    page = Page(items=asked.hosted.pulls.commits(pull), query=asked.request.query, url=url)
    return Answer(body=[views.commit(asked.hosted, each) for each in page.shown], headers=page.links())


def opened(asked: Asked) -> Answer:
    """From a branch here, or from `owner:branch` of a fork."""
    asked.who.check("pull_requests")
    owner, _, branch = asked.text("head").rpartition(":")
    fork = _fork(asked, owner) if owner not in ("", asked.hosted.owner) else ""
    wanted = Opening(
        head=branch,
        base=asked.text("base"),
        title=asked.text("title"),
        body=asked.text("body"),
        fork=fork,
        draft=asked.given.get("draft") is True,
    )
    pull = asked.hosted.pulls.open(wanted, asked.who)
    asked.hosted.announce(pull, Change(kind="opened"), asked.who)
    body = views.pull(asked.hosted, pull)
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _fork(asked: Asked, owner: str) -> str:
    """The full name of the owner's fork of this repository. Raises `Wrong`."""
    for other in asked.hosted.others.values():
        if other.owner == owner and other.parent == asked.hosted.full_name:
            return other.full_name
    raise Wrong("no-head", branch=owner)


def changed(asked: Asked) -> Answer:
    """Its title, its body, its state."""
    asked.who.check("pull_requests")
    old, new = asked.hosted.pulls.change(int(asked.found["number"]), asked.given)
    if old.state != new.state:
        change = Change(kind="closed" if new.state == "closed" else "reopened")
        asked.hosted.announce(new, change, asked.who)
    if (old.title, old.body) != (new.title, new.body):
        title, body = (old.title if old.title != new.title else ""), (old.body if old.body != new.body else None)
        asked.hosted.announce(new, Change(kind="edited", title=title, body=body), asked.who)
    return Answer(body=views.pull(asked.hosted, new))


def is_merged(asked: Asked) -> Answer:
    """204 or 404."""
    if not asked.hosted.pulls.one(int(asked.found["number"])).merged_by:
        raise not_found()
    return Answer(status=204)


def merged(asked: Asked) -> Answer:
    """As a merge commit, squashed, or rebased."""
    asked.who.check("contents")
    method = asked.text("merge_method") or "merge"
    if method not in METHODS:
        raise refused(422, f"Invalid request.\n\n{method} is not a member of {list(METHODS)}.")
    how = Merge(method=method, message=_message(asked, method), sha=asked.text("sha"))
    with moving(asked.hosted, asked.who):
        pull = asked.hosted.pulls.merge(int(asked.found["number"]), how, asked.who)
    asked.hosted.announce(pull, Change(kind="merged"), asked.who)
    return Answer(body={"sha": pull.merge_commit, "merged": True, "message": "Pull Request successfully merged"})


def _message(asked: Asked, method: str) -> Words:
    def message(pull: Pull, commits: Sequence[Commit]) -> str:
        subject, rest = _words(asked, pull, method, commits)
        subject, rest = asked.text("commit_title") or subject, asked.text("commit_message", rest)
        return f"{subject}\n\n{rest}".strip() + "\n"

    return message


def _words(asked: Asked, pull: Pull, method: str, commits: Sequence[Commit]) -> tuple[str, str]:
    """GitHub's own subject and text of the commit."""
    if method == "merge":
        return f"Merge pull request #{pull.number} from {_owner(asked, pull)}/{pull.head}", pull.title
    if len(commits) == 1:
        _, _, rest = commits[0].message.partition("\n")
        return f"{commits[0].subject} (#{pull.number})", rest.strip()
    return f"{pull.title} (#{pull.number})", "\n\n".join(f"* {commit.message}" for commit in commits)
