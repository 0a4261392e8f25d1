"""Deployments and their statuses (REST API, "Deployments")."""

from typing import Any

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.deployments import Deployment
from fairlead_sandbox.forge.github import views
from fairlead_sandbox.forge.github.errors import invalid, refused
from fairlead_sandbox.forge.moving import moving
from fairlead_sandbox.forge.wire import Answer, Page

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")
LONGEST = 140  # characters of a description, of a deployment's status too


def listed(asked: Asked) -> Answer:
    """By sha, ref, environment and task; newest first."""
    query = asked.request.query

    def wanted(each: Deployment) -> bool:
        facts = {"sha": each.sha, "ref": each.ref, "environment": each.environment, "task": each.task}
        return all(query.get(name) in (None, "", "none", fact) for name, fact in facts.items())

    made = [each for each in asked.hosted.deployments.all() if wanted(each)]
    page = Page(items=made, query=query, url=f"{asked.hosted.url}/deployments")
    return Answer(body=[views.deployment(asked.hosted, each) for each in page.shown], headers=page.links())


def one(asked: Asked) -> Answer:
    """One of them."""
    return Answer(body=views.deployment(asked.hosted, asked.hosted.deployments.one(int(asked.found["id"]))))


def made(asked: Asked) -> Answer:
    """A new one: only where the ref has all of the default branch, and all contexts that count have succeeded.

    202 where the default branch was merged into the ref instead, 409 where it could not be, or a context is not green.
    """
    asked.who.check("deployments")
    ref, given = asked.text("ref"), asked.given
    sha = asked.hosted.bare.resolve(ref)
    if sha is None:
        raise refused(422, f"No ref found for: {ref}")
    if len(asked.text("description")) > LONGEST:
        raise _too_long("Deployment")
    if given.get("auto_merge", True) and (merged := _auto_merged(asked, ref, sha)):
        return Answer(status=202, body={"message": merged})
    _check_contexts(asked, ref, sha)
    facts: dict[str, Any] = {
        "task": asked.text("task") or "deploy",
        "environment": asked.text("environment") or "production",
        "description": asked.text("description"),
        "payload": given.get("payload", {}),
        "transient": given.get("transient_environment") is True,
    }
    production = given.get("production_environment", facts["environment"] == "production")
    deployment = asked.hosted.deployments.make(sha, ref, asked.who.login, production=production is True, **facts)
    body = views.deployment(asked.hosted, deployment)
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _auto_merged(asked: Asked, ref: str, sha: str) -> str:
    """What was merged; nothing where nothing had to be. Raises `Refused`."""
    bare, default = asked.hosted.bare, asked.hosted.default_branch
    head = bare.branch(default)
    if head is None or bare.branch(ref) != sha or bare.is_ancestor(head, sha):
        return ""
    parted = bare.merge_base(sha, head)
    tree = None if parted is None else bare.merged_tree(parted, sha, head)
    if tree is None:
        raise refused(409, f"Conflict merging {default} into {ref}.")
    with moving(asked.hosted, asked.who):
        author = (asked.who.login, asked.who.email)
        commit = bare.write_commit(tree, (sha, head), f"Merge {default} into {ref}\n", author)
        bare.move(f"refs/heads/{ref}", commit, sha)
    return f"Auto-merged {default} into {ref} on deployment."


def _check_contexts(asked: Asked, ref: str, sha: str) -> None:
    """All that were said on the commit, or those that are named; none at all where the list is empty."""
    newest = {each.context: each.state for each in asked.hosted.statuses.newest(sha)}
    named = asked.given.get("required_contexts")
    required = list(newest) if named is None else [str(each) for each in named]
    if all(newest.get(context) == "success" for context in required):
        return
    contexts = [{"context": each, "state": newest.get(each, "pending")} for each in required]
    error = {"resource": "Deployment", "field": "required_contexts", "code": "invalid", "contexts": contexts}
    raise refused(409, f"Conflict: Commit status checks failed for {ref}.", [error])


def statuses(asked: Asked) -> Answer:
    """Newest first."""
    deployment = asked.hosted.deployments.one(int(asked.found["id"]))
    url = f"{asked.hosted.url}/deployments/{deployment.id}/statuses"
    page = Page(items=deployment.statuses[::-1], query=asked.request.query, url=url)
    shown = [views.deployment_status(asked.hosted, deployment, each) for each in page.shown]
    return Answer(body=shown, headers=page.links())


def said(asked: Asked) -> Answer:
    """A word on it."""
    asked.who.check("deployments")
    if asked.given["state"] not in STATES:
        message = "state is not included in the list"
        raise invalid("DeploymentStatus", "custom", field="state", message=message)
    if len(asked.text("description")) > LONGEST:
        raise _too_long("DeploymentStatus")
    id_ = int(asked.found["id"])
    words = {name: asked.text(name) for name in ("state", "description", "environment", "environment_url")}
    words["log_url"] = asked.text("log_url") or asked.text("target_url")
    auto = asked.given.get("auto_inactive", True) is not False
    status = asked.hosted.deployments.say(id_, asked.who.login, auto_inactive=auto, **words)
    body = views.deployment_status(asked.hosted, asked.hosted.deployments.one(id_), status)
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def _too_long(resource: str) -> Exception:
    message = f"description is too long (maximum is {LONGEST} characters)"
    return invalid(resource, "custom", field="description", message=message)
