"""GitHub's REST API as `adapters.forges.hosted.Dialect` (docs.github.com/rest, version 2022-11-28)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from adapters.forges.github.answers import TITLE, verdict_on
from adapters.forges.hosted import (
    Answer,
    BadAddress,
    Call,
    Comment,
    Fate,
    Need,
    NoSense,
    Offers,
    Room,
    Steps,
    Verdict,
    message_in,
    record_in,
    records_in,
)
from desired_state.model import Sha
from reconciler.record import CommitStatus, State
from reconciler.reviews import Proposal, Pull

VERSION = "2022-11-28"  # of the REST API; a server that does not know it says so with a 400
LONGEST_DESCRIPTION = 140  # characters, which GitHub counts as code points
MOST_WORDS = 1000  # GitHub takes for one commit and context ("REST API endpoints for commit statuses")
LONGEST_COMMENT = 65_536  # characters
STAGES = frozenset({"queued", "inactive"})  # that a word's body may say where its state says less
TASK = "deploy:fairlead"  # of our deployments, so that others' are never taken for ours
COMMENTS_A_PAGE, PULLS_A_PAGE, CLOSED_SHOWN = 50, 50, 25  # a page of the longest texts fits what is read
# An owner with `_` is a managed user of an enterprise.
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}")


def checked_repository(name: str) -> str:
    """`owner/name`, as it stands in a path. Raises `BadAddress`."""
    if not _REPOSITORY.fullmatch(name) or name.partition("/")[2] in {".", ".."}:
        raise BadAddress("repository is needed: write owner/name")
    return name


class GitHub:
    """Implements `adapters.forges.hosted.Dialect`."""

    title = TITLE
    headers: Mapping[str, str] = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION}
    example = "https://api.github.com or https://HOST/api/v3"
    offers = Offers()
    room = Room(description=LONGEST_DESCRIPTION, body=LONGEST_COMMENT, words=MOST_WORDS)
    pull_ref = "refs/pull/{number}/head"

    def checked(self, repository: str) -> str:
        """See `Dialect`."""
        return checked_repository(repository)

    def said(self, body: bytes) -> str:
        """See `Dialect`."""
        return message_in(body)

    def verdict(self, call: Call, answer: Answer, said: str) -> Verdict:
        """See `Dialect`."""
        return verdict_on(call, answer, said)

    # ── statuses ──

    def status(self, project: str, commit: Sha, word: CommitStatus) -> Steps:
        """See `Dialect`."""
        yield _call("POST", project, f"/statuses/{commit}", Need.STATUSES, f"commit {commit[:12]}", body_of(word))
        return Verdict(fate=Fate.DELIVERED)

    def shown(self, project: str, commit: Sha, page: int) -> Call:
        """See `Dialect`."""
        asked = urlencode({"per_page": 100, "page": page})
        return _call("GET", project, f"/commits/{commit}/status?{asked}", Need.STATUSES, f"commit {commit[:12]}")

    def shown_in(self, answer: Answer, commit: Sha) -> Sequence[CommitStatus]:
        """See `Dialect`."""
        found = record_in(answer).get("statuses")
        if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
            raise NoSense
        return [_shown(each, commit) for each in found]

    def commit_of(self, project: str, tag: str) -> Call:
        """See `Dialect`."""
        call = _call("GET", project, f"/git/ref/tags/{quote(tag)}", Need.CONTENTS, f"tag {tag}")
        return replace(call, seen=frozenset({404}))

    def commit_in(self, project: str, answer: Answer) -> Sha | Call:
        """A reference's object, or an annotated tag's, which may be a tag again."""
        found = record_in(answer).get("object")
        if not isinstance(found, Mapping) or not isinstance(found.get("sha"), str):
            raise NoSense
        if found.get("type") != "tag":
            return found["sha"] if found.get("type") == "commit" else ""
        return _call("GET", project, f"/git/tags/{quote(found['sha'], safe='')}", Need.CONTENTS)

    # ── comments ──

    def whoami(self, project: str) -> Call:
        """See `Dialect`."""
        return Call(method="GET", path="/user", need=Need.COMMENTS, project=project)

    def login_in(self, answer: Answer) -> str:
        """See `Dialect`."""
        return _text(record_in(answer), "login")

    def comments(self, project: str, pull: int, page: int) -> Call:
        """See `Dialect`."""
        asked = urlencode({"per_page": COMMENTS_A_PAGE, "page": page})
        return _call("GET", project, f"/issues/{pull}/comments?{asked}", Need.COMMENTS, f"pull request {pull}")

    def comments_in(self, answer: Answer) -> Sequence[Comment]:
        """See `Dialect`. The account of somebody who left is null."""
        return [
            Comment(id=_number(each, "id"), author=_login(each), body=_text(each, "body") if each.get("body") else "")
            for each in records_in(answer)
        ]

    def add_comment(self, project: str, pull: int, body: str) -> Call:
        """See `Dialect`."""
        about, asked = f"pull request {pull}", {"body": body}
        return _call("POST", project, f"/issues/{pull}/comments", Need.COMMENTS, about, asked)

    def change_comment(self, project: str, pull: int, comment: int, body: str) -> Call:
        """See `Dialect`."""
        about, asked = f"comment {comment}", {"body": body}
        return _call("PATCH", project, f"/issues/comments/{comment}", Need.COMMENTS, about, asked)

    # ── deployments ──

    def deployments(self, project: str, commit: Sha, environment: str, page: int) -> Call:
        """See `Dialect`."""
        asked = urlencode({"sha": commit, "environment": environment, "task": TASK, "per_page": 30, "page": page})
        return _call("GET", project, f"/deployments?{asked}", Need.DEPLOYMENTS, f"commit {commit[:12]}")

    def deployment_in(self, answer: Answer, commit: Sha, environment: str, word: CommitStatus) -> int | None:
        """See `Dialect`."""
        wanted = (commit, environment, TASK)
        found = records_in(answer)
        ours = (each for each in found if tuple(each.get(key) for key in ("sha", "environment", "task")) == wanted)
        return next((_number(each, "id") for each in ours), None)

    def add_deployment(self, project: str, commit: Sha, environment: str, word: CommitStatus) -> Call:
        """What is deployed is not GitHub's to decide: nothing is merged into it, and no check is waited for."""
        body = {
            "ref": commit,
            "task": TASK,
            "environment": environment,
            "auto_merge": False,
            "required_contexts": [],
            "production_environment": False,  # GitHub retires earlier deployments of other environments only
        }
        return _call("POST", project, "/deployments", Need.DEPLOYMENTS, f"commit {commit[:12]}", body)

    def deployment_made(self, answer: Answer) -> int:
        """See `Dialect`."""
        return _number(record_in(answer), "id")

    def tell_deployment(self, project: str, deployment: int, environment: str, word: CommitStatus) -> Call:
        """A success retires the earlier deployments of this environment, and of no other."""
        state = "in_progress" if word.state is State.PENDING else word.state.value
        state = word.body if word.body in STAGES else state
        body = {"state": state, "environment": environment, "description": word.description, "auto_inactive": True}
        if word.target_url:
            body["log_url"] = word.target_url
        path = f"/deployments/{deployment}/statuses"
        return _call("POST", project, path, Need.DEPLOYMENTS, f"deployment {deployment}", body)

    # ── pull requests ──

    def pulls(self, project: str, base: str, *, is_open: bool, page: int) -> Call:
        """See `Dialect`."""
        state, sort = ("open", "created") if is_open else ("closed", "updated")
        many = PULLS_A_PAGE if is_open else CLOSED_SHOWN
        query = {"state": state, "base": base, "sort": sort, "direction": "desc", "per_page": many, "page": page}
        return _call("GET", project, f"/pulls?{urlencode(query)}", Need.PULLS)

    def pulls_in(self, answer: Answer) -> Sequence[Pull]:
        """See `Dialect`."""
        return [pull_of(each) for each in records_in(answer)]

    def details(self, project: str, pull: Pull) -> Call | None:
        """The list does not count commits."""
        return _call("GET", project, f"/pulls/{pull.number}", Need.PULLS, f"pull request {pull.number}")

    def detailed(self, pull: Pull, answer: Answer) -> Pull:
        """See `Dialect`."""
        return replace(pull, commits=_number(record_in(answer), "commits"))

    def pulls_from(self, project: str, branch: str, base: str) -> Call:
        """See `Dialect`."""
        head = f"{project.partition('/')[0]}:{branch}"
        query = urlencode({"state": "open", "head": head, "base": base, "per_page": PULLS_A_PAGE})
        return _call("GET", project, f"/pulls?{query}", Need.PULLS)

    def open_pull(self, project: str, proposal: Proposal) -> Call:
        """See `Dialect`."""
        body = {"title": proposal.title, "head": proposal.branch, "base": proposal.base, "body": proposal.body}
        return _call("POST", project, "/pulls", Need.PROPOSALS, f"branch {proposal.branch}", body)

    def pull_made(self, answer: Answer) -> Pull:
        """See `Dialect`."""
        return pull_of(record_in(answer))

    def one_pull(self, project: str, number: int) -> Call:
        """See `Dialect`."""
        return _call("GET", project, f"/pulls/{number}", Need.PULLS, f"pull request {number}")


def body_of(status: CommitStatus) -> dict[str, str]:
    """What is posted of a status that fits."""
    body = {"state": status.state.value, "context": status.context, "description": status.description}
    return body | ({"target_url": status.target_url} if status.target_url else {})


def pull_of(found: Mapping[str, Any]) -> Pull:
    """A pull request as lists and single answers show it. Raises `NoSense`."""
    head, base = found.get("head"), found.get("base")
    if not isinstance(head, Mapping) or not isinstance(base, Mapping):
        raise NoSense
    merged = found.get("merged_at") is not None
    return Pull(
        number=_number(found, "number"),
        head=_text(head, "sha"),
        base=_text(base, "ref"),
        branch=_text(head, "ref"),
        title=_text(found, "title"),
        author=_login(found),
        url=_text(found, "html_url"),
        outside=_home(head) is None or _home(head) != _home(base),
        open=found.get("state") == "open",
        merged_as=str(found.get("merge_commit_sha") or "") if merged else "",
    )


def _home(end: Mapping[str, Any]) -> Any:
    """The id of a branch's repository; None where that is gone."""
    repository = end.get("repo")
    return repository.get("id") if isinstance(repository, Mapping) else None


def _call(
    method: str, project: str, rest: str, need: Need, about: str = "", body: Mapping[str, Any] | None = None
) -> Call:
    path = f"/repos/{project}{rest}"
    return Call(method=method, path=path, need=need, project=project, about=about, body=body)


def _login(found: Mapping[str, Any]) -> str:
    user = found.get("user")
    return _text(user, "login") if isinstance(user, Mapping) else ""


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise NoSense
    return value


def _shown(found: Mapping[str, Any], commit: Sha) -> CommitStatus:
    """`state` is one of the four; description and link may be null."""
    try:
        state = State(_text(found, "state"))
    except ValueError:
        raise NoSense from None
    said, link = (found.get(name) or "" for name in ("description", "target_url"))
    return CommitStatus(
        repository="",
        commit=commit,
        context=_text(found, "context"),
        state=state,
        description=str(said),
        target_url=str(link),
    )


def _number(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise NoSense
    return value
