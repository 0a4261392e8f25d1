"""Deployments (`lib/api/deployments.rb`, and the state machine of `app/models/deployment.rb`)."""

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.deployments import Deployment
from fairlead_sandbox.forge.gitlab import views
from fairlead_sandbox.forge.gitlab.errors import invalid
from fairlead_sandbox.forge.gitlab.pages import paged
from fairlead_sandbox.forge.wire import Answer

STATES = ("running", "success", "failed", "canceled")
EVENTS = {"running": "run", "success": "succeed", "failed": "drop", "canceled": "cancel"}


def listed(asked: Asked) -> Answer:
    """By environment and status; oldest first unless `sort` says otherwise."""
    given = asked.given
    made = [
        each
        for each in asked.hosted.deployments.all()
        if given.get("environment") in (None, each.environment) and given.get("status") in (None, each.state)
    ]
    made.sort(key=lambda each: each.id, reverse=given.get("sort") == "desc")
    return paged(asked, made, lambda each: views.deployment(asked.hosted, each))


def one(asked: Asked) -> Answer:
    """One of them."""
    return _shown(asked, int(asked.found["id"]))


def made(asked: Asked) -> Answer:
    """A new one; where the environment's last success was the very same, that one."""
    asked.who.check("deployments")
    given, bare = asked.given, asked.hosted.bare
    if bare.resolve(asked.text("sha")) is None:
        raise invalid(sha="The commit does not exist")
    if bare.resolve(asked.text("ref")) is None:
        raise invalid(ref="The branch or tag does not exist")
    last = _last(asked)
    if last is not None and (last.ref, last.sha, last.state) == (given["ref"], given["sha"], given["status"]):
        return _shown(asked, last.id, 201)
    facts = {"environment": asked.text("environment"), "task": "tag" if given["tag"] else "deploy"}
    deployment = asked.hosted.deployments.make(asked.text("sha"), asked.text("ref"), asked.who.login, **facts)
    _say(asked, deployment.id, asked.text("status"))
    return _shown(asked, deployment.id, 201)


def _last(asked: Asked) -> Deployment | None:
    """The environment's last success."""
    for each in asked.hosted.deployments.all():
        if (each.environment, each.state) == (asked.text("environment"), "success"):
            return each
    return None


def changed(asked: Asked) -> Answer:
    """To another status: nothing begins again that has run, and nothing is told twice."""
    asked.who.check("deployments")
    old, new = asked.hosted.deployments.one(int(asked.found["id"])), asked.text("status")
    if new in ("running", old.state):
        raise invalid(status=f'cannot transition via "{EVENTS[new]}"')
    _say(asked, old.id, new)
    return _shown(asked, old.id)


def _say(asked: Asked, id_: int, state: str) -> None:
    asked.hosted.deployments.say(id_, asked.who.login, auto_inactive=False, state=state)


def _shown(asked: Asked, id_: int, status: int = 200) -> Answer:
    return Answer(status=status, body=views.deployment(asked.hosted, asked.hosted.deployments.one(id_)))
