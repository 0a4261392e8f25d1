"""The REST API of Gitea and Forgejo as `adapters.forges.hosted.Dialect` (their `/api/swagger`, version 1).

Read from Gitea 1.27 and Forgejo 9: a status on a commit that is not there is answered with a 500 without a word
(`routers/api/v1/repo/status.go`), newer Forgejo with a 404. So after either the commit is looked for. Comments of a
pull request that is not there are a 500 too (`issue_comment.go`), and the issue itself a 404: so that is looked for.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from adapters.forges.gitea.answers import TITLE, no_commit, verdict_on
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
    unreachable,
)
from desired_state.model import Sha
from reconciler.record import CommitStatus, State
from reconciler.reviews import Proposal, Pull

LONGEST_DESCRIPTION = 140  # characters, as everywhere; Gitea has no limit
LONGEST_COMMENT = 65_536  # characters; Gitea has no limit
A_PAGE = 50  # the most that Gitea gives (its `MAX_RESPONSE_ITEMS`)
PULLS_A_PAGE = 25  # long texts of others must fit what is read
UNSURE = frozenset({404, 500})
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
_OWN_REF = re.compile(r"refs/pull/[0-9]+/head")


def checked_repository(name: str) -> str:
    """`owner/name`, as it stands in a path. Raises `BadAddress`."""
    parts = name.split("/")
    if not _REPOSITORY.fullmatch(name) or any(part in {".", ".."} for part in parts) or name.endswith(".git"):
        raise BadAddress("repository is needed: write owner/name")
    return name


class _WithoutDeployments:
    """Gitea has none: they are refused before anything of this is asked for."""

    def deployments(self, project: str, commit: Sha, environment: str, page: int) -> Call:
        raise NoSense

    def deployment_in(self, answer: Answer, commit: Sha, environment: str, word: CommitStatus) -> int | None:
        raise NoSense

    def add_deployment(self, project: str, commit: Sha, environment: str, word: CommitStatus) -> Call:
        raise NoSense

    def deployment_made(self, answer: Answer) -> int:
        raise NoSense

    def tell_deployment(self, project: str, deployment: int, environment: str, word: CommitStatus) -> Call:
        raise NoSense


class Gitea(_WithoutDeployments):
    """Implements `adapters.forges.hosted.Dialect`."""

    title = TITLE
    headers: Mapping[str, str] = {"Accept": "application/json"}
    example = "https://HOST/api/v1"
    offers = Offers(deployments=False)
    room = Room(description=LONGEST_DESCRIPTION, body=LONGEST_COMMENT)
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
        about = f"commit {commit[:12]}"
        set_it = _call("POST", project, f"/statuses/{commit}", Need.STATUSES, about, body_of(word))
        answer = yield replace(set_it, seen=UNSURE)
        if answer.status not in UNSURE:
            return Verdict(fate=Fate.DELIVERED)
        brief = urlencode({"stat": "false", "verification": "false", "files": "false"})
        look = _call("GET", project, f"/git/commits/{commit}?{brief}", Need.STATUSES, about)
        if (yield replace(look, seen=frozenset({404}))).status == 404:
            yield _call("GET", project, "", Need.STATUSES, about)  # a repository that is not shown ends it here
            return no_commit(set_it)
        message = unreachable(TITLE, f"it answered {answer.status}")
        return Verdict(fate=Fate.AILING, message=message, answer=answer, in_doubt=True)

    def shown(self, project: str, commit: Sha, page: int) -> Call:
        """See `Dialect`."""
        asked = urlencode({"limit": 50, "page": page})
        return _call("GET", project, f"/commits/{commit}/status?{asked}", Need.STATUSES, f"commit {commit[:12]}")

    def shown_in(self, answer: Answer, commit: Sha) -> Sequence[CommitStatus]:
        """See `Dialect`. Null where nothing was said."""
        found = record_in(answer).get("statuses") or []
        if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
            raise NoSense
        return [_shown(each, commit) for each in found]

    def commit_of(self, project: str, tag: str) -> Call:
        """See `Dialect`."""
        call = _call("GET", project, f"/tags/{quote(tag)}", Need.CONTENTS, f"tag {tag}")
        return replace(call, seen=frozenset({404}))

    def commit_in(self, project: str, answer: Answer) -> Sha | Call:
        """Gitea follows annotated tags by itself: `id` is the tag's own object, `commit` what it is of."""
        commit = record_in(answer).get("commit")
        return _text(commit, "sha") if isinstance(commit, Mapping) else ""

    # ── comments ──

    def whoami(self, project: str) -> Call:
        """See `Dialect`."""
        return Call(method="GET", path="/user", need=Need.COMMENTS, project=project)

    def login_in(self, answer: Answer) -> str:
        """See `Dialect`."""
        return _text(record_in(answer), "login")

    def comments(self, project: str, pull: int, page: int) -> Call:
        """See `Dialect`. Gitea gives them all at once, and says of no further page."""
        asked, about = urlencode({"page": page, "limit": A_PAGE}), f"pull request {pull}"
        call = _call("GET", project, f"/issues/{pull}/comments?{asked}", Need.COMMENTS, about)
        return replace(call, seen=UNSURE, look=_call("GET", project, f"/issues/{pull}", Need.COMMENTS, about))

    def comments_in(self, answer: Answer) -> Sequence[Comment]:
        """See `Dialect`. The account of somebody who left is null."""
        return [
            Comment(id=_number(each, "id"), author=_login(each), body=each.get("body") or "")
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

    # ── pull requests ──

    def pulls(self, project: str, base: str, *, is_open: bool, page: int) -> Call:
        """See `Dialect`. `base_branch` is known since Gitea 1.25; older ones and Forgejo give those of any branch."""
        shown = {"state": "open"} if is_open else {"state": "closed", "sort": "recentupdate"}
        query = urlencode({**shown, "base_branch": base, "limit": PULLS_A_PAGE, "page": page})
        return _call("GET", project, f"/pulls?{query}", Need.PULLS)

    def pulls_in(self, answer: Answer) -> Sequence[Pull]:
        """See `Dialect`."""
        return [pull_of(each) for each in records_in(answer)]

    def details(self, project: str, pull: Pull) -> Call | None:
        """The list does not count commits."""
        brief = urlencode({"limit": 1, "verification": "false", "files": "false"})
        return _call("GET", project, f"/pulls/{pull.number}/commits?{brief}", Need.PULLS, f"pull request {pull.number}")

    def detailed(self, pull: Pull, answer: Answer) -> Pull:
        """See `Dialect`."""
        total = answer.headers.get("x-total-count", "")
        known = total.isascii() and total.isdigit() and len(total) < 9
        return replace(pull, commits=int(total) if known else len(records_in(answer)))

    def pulls_from(self, project: str, branch: str, base: str) -> Call:
        """Gitea does not look for a branch: these are the newest open ones."""
        query = urlencode({"state": "open", "base_branch": base, "limit": A_PAGE})
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
    """A pull request as lists and single answers show it. Raises `NoSense`.

    `label` is the branch, `ref` too while there is one, and else the pull request's own. Who may only read can open one
    out of nothing (AGit, by a push to `refs/for/`): it has no label, and counts as from outside.
    """
    head, base = found.get("head"), found.get("base")
    if not isinstance(head, Mapping) or not isinstance(base, Mapping):
        raise NoSense
    label, ref = head.get("label") or "", head.get("ref") or ""
    return Pull(
        number=_number(found, "number"),
        head=_text(head, "sha"),
        base=_text(base, "ref"),
        branch=label or ref,
        title=_text(found, "title"),
        author=_login(found),
        url=_text(found, "html_url"),
        outside=not _is_home(head, base) or (not label and _OWN_REF.fullmatch(ref) is not None),
        open=found.get("state") == "open",
        merged_as=str(found.get("merge_commit_sha") or "") if found.get("merged") is True else "",
    )


def _is_home(head: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """The branch is of the repository itself; the number of one that is gone is -1."""
    ours, home = head.get("repo_id"), base.get("repo_id")
    return isinstance(ours, int) and ours > 0 and ours == home


def _call(
    method: str, project: str, rest: str, need: Need, about: str = "", body: Mapping[str, Any] | None = None
) -> Call:
    path = f"/repos/{project}{rest}"
    return Call(method=method, path=path, need=need, project=project, about=about, body=body)


def _shown(found: Mapping[str, Any], commit: Sha) -> CommitStatus:
    """A warning, or what was skipped, is none of ours."""
    ends = {"success": State.SUCCESS, "failure": State.FAILURE, "pending": State.PENDING}
    said, link = (found.get(name) or "" for name in ("description", "target_url"))
    return CommitStatus(
        repository="",
        commit=commit,
        context=_text(found, "context"),
        state=ends.get(_text(found, "status"), State.ERROR),
        description=str(said),
        target_url=str(link),
    )


def _login(found: Mapping[str, Any]) -> str:
    user = found.get("user")
    return _text(user, "login") if isinstance(user, Mapping) else ""


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise NoSense
    return value


def _number(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise NoSense
    return value
