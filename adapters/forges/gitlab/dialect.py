"""GitLab's REST API as `adapters.forges.hosted.Dialect` (docs.gitlab.com/api/rest, version 4).

A status of GitLab is a job in the stage `external` of a pipeline, and moves like one: created, pending, running, ended.
What follows from that is read from gitlab-org/gitlab, `app/services/ci/create_commit_status_service.rb` and
`app/models/commit_status.rb`:

- A state that it has already is refused with a 400, and the newer description with it. Pending words use both states
  that a job waits in. For a third text the job is canceled, and the next one of its name waits in its place.
- One that ended is not changed: a new one of the same name takes its place, whatever its state. So words reopen.
- It goes to the newest pipeline of the commit on that branch, which may be another than that of the last word: CI
  makes its own a moment after a push. What waits in an older pipeline is ended with the final word.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from adapters.forges.gitlab.answers import TITLE, message_in, quicker, stands, verdict_on
from adapters.forges.hosted import (
    APART,
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
    moment,
    record_in,
    records_in,
)
from desired_state.model import Sha
from reconciler.record import CommitStatus, State
from reconciler.reviews import Proposal, Pull

LONGEST_DESCRIPTION = 140  # characters, as everywhere; GitLab takes 255
LONGEST_LINK = 255  # characters ("Must be 255 characters or fewer", docs.gitlab.com/api/commits)
LONGEST_COMMENT = 65_536  # characters; GitLab takes 1,000,000
NOTES_A_PAGE, PULLS_A_PAGE, MOST = 10, 25, 100  # long texts of others must fit what is read
PLAN = "fairlead/plan"  # said on heads of merge requests, which are on no branch that we know
TAG = "refs/tags/"
LEFT = frozenset({400, 403, 404, 422})  # an older pipeline may be gone, full or closed to us
WAITS = frozenset({"pending", "running", "created"})
ENDED = frozenset({"success", "failed", "canceled"})  # a deployment does not leave these for `running`
STATES = {State.PENDING: "pending", State.SUCCESS: "success", State.FAILURE: "failed", State.ERROR: "failed"}
_PART = r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,254}"
_PROJECT = re.compile(rf"{_PART}(?:/{_PART}){{1,20}}")
DONE = Verdict(fate=Fate.DELIVERED)


def checked_repository(name: str) -> str:
    """`group/project`, with any subgroups between them. Raises `BadAddress`."""
    if not _PROJECT.fullmatch(name) or any(part.endswith((".", ".git", ".atom")) for part in name.split("/")):
        raise BadAddress("repository is needed: write group/project, or group/subgroup/project")
    return name


class GitLab:
    """Implements `adapters.forges.hosted.Dialect`. `branch` is the one that the repository's commits are on."""

    title = TITLE
    headers: Mapping[str, str] = {"Accept": "application/json"}
    example = "https://gitlab.com/api/v4 or https://HOST/api/v4"
    offers = Offers()
    room = Room(description=LONGEST_DESCRIPTION, body=LONGEST_COMMENT)
    pull_ref = "refs/merge-requests/{number}/head"

    def __init__(self, branch: str = "main") -> None:
        self._branch = branch

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
        body = self._body(word)
        answer = yield _statuses(project, commit, word.context)
        shown = _jobs(answer)
        if word.state is State.PENDING:
            date = moment(answer.headers.get("date", ""))
            return (yield from _begun(project, commit, body, shown[-1] if shown else {}, date))
        if shown and _says(shown[-1], body):
            pipeline = shown[-1].get("pipeline_id")
        else:
            pipeline = record_in((yield _set(project, commit, body))).get("pipeline_id")
        for left in shown:
            if left.get("status") in WAITS and pipeline and left.get("pipeline_id") not in {None, pipeline}:
                yield _end(project, commit, body, left)  # the word itself is told
        return DONE

    def _body(self, word: CommitStatus) -> dict[str, Any]:
        """A link that GitLab would refuse the whole status for is left out."""
        body = {"state": STATES[word.state], "name": word.context, "description": word.description}
        if word.target_url and len(word.target_url) <= LONGEST_LINK:
            body["target_url"] = word.target_url
        ref = self._ref(word)
        return body | ({"ref": ref} if ref else {})

    def _ref(self, word: CommitStatus) -> str:
        """The branch or tag whose pipeline it goes to; empty: the commit's newest, whatever it is of."""
        if word.commit.startswith(TAG):
            return word.commit.removeprefix(TAG)
        return "" if word.project or word.context == PLAN else self._branch

    def shown(self, project: str, commit: Sha, page: int) -> Call:
        """See `Dialect`. Of the jobs of one name in several pipelines the newest counts, which comes last."""
        path = f"/repository/commits/{commit}/statuses?{urlencode({'per_page': MOST, 'page': page})}"
        return _call("GET", project, path, Need.STATUSES, f"commit {commit[:12]}")

    def shown_in(self, answer: Answer, commit: Sha) -> Sequence[CommitStatus]:
        """See `Dialect`. GitLab has no errors: what we said as one is a failure there."""
        return [_shown(each, commit) for each in _jobs(answer)]

    def commit_of(self, project: str, tag: str) -> Call:
        """See `Dialect`."""
        path = f"/repository/tags/{quote(tag, safe='')}"
        return replace(_call("GET", project, path, Need.CONTENTS, f"tag {tag}"), seen=frozenset({404}))

    def commit_in(self, project: str, answer: Answer) -> Sha | Call:
        """GitLab follows annotated tags by itself: `target` is the tag's own object, `commit` what it is of."""
        commit = record_in(answer).get("commit")
        return _text(commit, "id") if isinstance(commit, Mapping) else ""

    # ── comments ──

    def whoami(self, project: str) -> Call:
        """See `Dialect`. The account of a project's or group's token is a bot of its own."""
        return Call(method="GET", path="/user", need=Need.COMMENTS, project=project)

    def login_in(self, answer: Answer) -> str:
        """See `Dialect`."""
        return _text(record_in(answer), "username")

    def comments(self, project: str, pull: int, page: int) -> Call:
        """See `Dialect`."""
        asked = urlencode({"order_by": "created_at", "sort": "asc", "per_page": NOTES_A_PAGE, "page": page})
        return _call("GET", project, f"/merge_requests/{pull}/notes?{asked}", Need.COMMENTS, f"merge request {pull}")

    def comments_in(self, answer: Answer) -> Sequence[Comment]:
        """See `Dialect`. What GitLab itself notes is no comment."""
        notes = (each for each in records_in(answer) if not each.get("system"))
        return [Comment(id=_number(each, "id"), author=_login(each), body=each.get("body") or "") for each in notes]

    def add_comment(self, project: str, pull: int, body: str) -> Call:
        """See `Dialect`."""
        about, asked = f"merge request {pull}", {"body": body}
        return _call("POST", project, f"/merge_requests/{pull}/notes", Need.COMMENTS, about, asked)

    def change_comment(self, project: str, pull: int, comment: int, body: str) -> Call:
        """See `Dialect`."""
        about, asked = f"comment {comment}", {"body": body}
        return _call("PUT", project, f"/merge_requests/{pull}/notes/{comment}", Need.COMMENTS, about, asked)

    # ── deployments ──

    def deployments(self, project: str, commit: Sha, environment: str, page: int) -> Call:
        """GitLab does not look for a commit: these are those of the environment, newest first."""
        query = {"environment": environment, "order_by": "id", "sort": "desc", "per_page": MOST, "page": page}
        return _call("GET", project, f"/deployments?{urlencode(query)}", Need.DEPLOYMENTS, f"commit {commit[:12]}")

    def deployment_in(self, answer: Answer, commit: Sha, environment: str, word: CommitStatus) -> int | None:
        """The newest. Those of GitLab's own CI are not ours to change, and one that ended does not run again."""
        ours = (each for each in records_in(answer) if each.get("sha") == commit and not each.get("deployable"))
        newest = next((each for each in ours if _environment(each) == environment), None)
        if newest is None or (_stage(word) == "running" and newest.get("status") in ENDED):
            return None
        return _number(newest, "id")

    def add_deployment(self, project: str, commit: Sha, environment: str, word: CommitStatus) -> Call:
        """See `Dialect`."""
        body = {
            "environment": environment,
            "sha": commit,
            "ref": self._ref(word) or commit,
            "tag": word.commit.startswith(TAG),
            "status": _stage(word),
        }
        return _call("POST", project, "/deployments", Need.DEPLOYMENTS, f"commit {commit[:12]}", body)

    def deployment_made(self, answer: Answer) -> int:
        """See `Dialect`."""
        return _number(record_in(answer), "id")

    def tell_deployment(self, project: str, deployment: int, environment: str, word: CommitStatus) -> Call:
        """GitLab itself retires what a newer success follows."""
        path, body = f"/deployments/{deployment}", {"status": _stage(word)}
        return _call("PUT", project, path, Need.DEPLOYMENTS, f"deployment {deployment}", body)

    # ── merge requests ──

    def pulls(self, project: str, base: str, *, is_open: bool, page: int) -> Call:
        """See `Dialect`. Merged and closed are two states of GitLab: the page that changed last shows open ones too."""
        shown = {"state": "opened", "order_by": "created_at"} if is_open else {"state": "all", "order_by": "updated_at"}
        query = {**shown, "target_branch": base, "sort": "desc", "per_page": PULLS_A_PAGE, "page": page}
        return _call("GET", project, f"/merge_requests?{urlencode(query)}", Need.PULLS)

    def pulls_in(self, answer: Answer) -> Sequence[Pull]:
        """See `Dialect`. One whose push GitLab still reads has no head yet: the next look sees it."""
        return [pull_of(each) for each in records_in(answer) if each.get("sha")]

    def details(self, project: str, pull: Pull) -> Call | None:
        """How many commits became one: asked for no more of them than tell one from many."""
        path = f"/merge_requests/{pull.number}/commits?per_page={MOST}"
        return _call("GET", project, path, Need.PULLS, f"merge request {pull.number}")

    def detailed(self, pull: Pull, answer: Answer) -> Pull:
        """See `Dialect`."""
        return replace(pull, commits=len(records_in(answer)))

    def pulls_from(self, project: str, branch: str, base: str) -> Call:
        """See `Dialect`."""
        query = {"state": "opened", "source_branch": branch, "target_branch": base, "per_page": PULLS_A_PAGE}
        return _call("GET", project, f"/merge_requests?{urlencode(query)}", Need.PULLS)

    def open_pull(self, project: str, proposal: Proposal) -> Call:
        """See `Dialect`."""
        body = {
            "source_branch": proposal.branch,
            "target_branch": proposal.base,
            "title": proposal.title,
            "description": proposal.body,
            "remove_source_branch": True,
        }
        return _call("POST", project, "/merge_requests", Need.PROPOSALS, f"branch {proposal.branch}", body)

    def pull_made(self, answer: Answer) -> Pull:
        """See `Dialect`."""
        return pull_of(record_in(answer))

    def one_pull(self, project: str, number: int) -> Call:
        """See `Dialect`."""
        return _call("GET", project, f"/merge_requests/{number}", Need.PULLS, f"merge request {number}")


def pull_of(found: Mapping[str, Any]) -> Pull:
    """A merge request as lists and single answers show it. Raises `NoSense`.

    A merge leaves `merge_commit_sha`, a squash without one `squash_commit_sha`, a fast-forward neither: then its head
    is what the branch got.
    """
    merged, head = found.get("state") == "merged", found.get("sha")
    made = found.get("merge_commit_sha") or found.get("squash_commit_sha") or head
    source, target = found.get("source_project_id"), found.get("target_project_id")
    return Pull(
        number=_number(found, "iid"),
        head=head if isinstance(head, str) else "",  # of one just made
        base=_text(found, "target_branch"),
        branch=_text(found, "source_branch"),
        title=_text(found, "title"),
        author=_login(found),
        url=_text(found, "web_url"),
        outside=source is None or source != target,
        open=found.get("state") in {"opened", "locked"},  # locked: it is being merged
        merged_as=str(made or "") if merged else "",
    )


def _begun(
    project: str, commit: Sha, body: Mapping[str, Any], newest: Mapping[str, Any], date: datetime | None
) -> Steps:
    """A word that waits: in the first of the two states where nothing waits yet, then in the second, and then in the
    place of the job that waited. What is canceled says the new word already: whoever begins again goes on from there.
    """
    waits = newest.get("status") in WAITS
    if waits and _says(newest, {**body, "state": newest["status"]}):
        return DONE
    begin, go_on = _set(project, commit, body), _set(project, commit, {**body, "state": "running"})
    if newest.get("status") == "running":
        if _is_new(newest, date):
            return Verdict(fate=Fate.EARLY, message="GitLab shows another text since a moment ago: this one follows")
        yield replace(_end(project, commit, {**body, "state": "canceled"}, newest), turns=2)
        begin, waits = replace(begin, turns=0), False
    answer = yield go_on if waits else begin
    if stands(answer) and not waits:  # somebody was quicker
        answer = yield go_on
    return Verdict(fate=Fate.AILING, message=quicker(answer.status)) if stands(answer) else DONE


def _is_new(running: Mapping[str, Any], date: datetime | None) -> bool:
    """By GitLab's own clock; never where it cannot be told."""
    try:
        since = datetime.fromisoformat(str(running.get("started_at")))
        return date is not None and timedelta() <= date - since < APART
    except (ValueError, TypeError):  # of another shape, or without a zone
        return False


def _end(project: str, commit: Sha, body: Mapping[str, Any], left: Mapping[str, Any]) -> Call:
    """End what waits, in the pipeline where it does."""
    place = {"ref": left.get("ref") or body.get("ref"), "pipeline_id": left.get("pipeline_id")}
    known = {name: value for name, value in place.items() if value}
    return replace(_set(project, commit, {**body, **known}), seen=LEFT)


def _set(project: str, commit: Sha, body: Mapping[str, Any]) -> Call:
    return _call("POST", project, f"/statuses/{commit}", Need.STATUSES, f"commit {commit[:12]}", body)


def _statuses(project: str, commit: Sha, name: str) -> Call:
    path = f"/repository/commits/{commit}/statuses?{urlencode({'name': name, 'per_page': MOST})}"
    return _call("GET", project, path, Need.STATUSES, f"commit {commit[:12]}")


def _jobs(answer: Answer) -> Sequence[Mapping[str, Any]]:
    """What is shown of one name in each pipeline of the commit, oldest first."""
    return sorted(records_in(answer), key=lambda each: _number(each, "id"))


def _says(shown: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    wanted = (body["state"], body["description"], body.get("target_url"))
    return wanted == (shown.get("status"), shown.get("description"), shown.get("target_url") or None)


def _stage(word: CommitStatus) -> str:
    if word.body == "inactive" and word.state is not State.SUCCESS:
        return "canceled"
    return "running" if word.state is State.PENDING else STATES[word.state]


def _environment(found: Mapping[str, Any]) -> Any:
    environment = found.get("environment")
    return environment.get("name") if isinstance(environment, Mapping) else None


def _call(
    method: str, project: str, rest: str, need: Need, about: str = "", body: Mapping[str, Any] | None = None
) -> Call:
    path = f"/projects/{quote(project, safe='')}{rest}"
    return Call(method=method, path=path, need=need, project=project, about=about, body=body)


def _shown(found: Mapping[str, Any], commit: Sha) -> CommitStatus:
    ends = {"success": State.SUCCESS, "failed": State.FAILURE, "canceled": State.ERROR, "skipped": State.ERROR}
    said, link = (found.get(name) or "" for name in ("description", "target_url"))
    return CommitStatus(
        repository="",
        commit=commit,
        context=_text(found, "name"),
        state=ends.get(_text(found, "status"), State.PENDING),
        description=str(said),
        target_url=str(link),
    )


def _login(found: Mapping[str, Any]) -> str:
    author = found.get("author")
    return _text(author, "username") if isinstance(author, Mapping) else ""


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
