"""Comments on pull requests (REST API, "Issue comments": every pull request is an issue)."""

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.github import views
from fairlead_sandbox.forge.github.errors import invalid
from fairlead_sandbox.forge.wire import Answer, Page

LONGEST = 65536  # characters
MAY = ("issues", "pull_requests")  # either is enough, for a pull request


def listed(asked: Asked) -> Answer:
    """Oldest first, 30 a page, 100 at most."""
    pull = asked.hosted.pulls.one(int(asked.found["number"]))
    url = f"{asked.hosted.url}/issues/{pull.number}/comments"
    page = Page(items=asked.hosted.comments.of(pull.number), query=asked.request.query, url=url)
    return Answer(body=[views.comment(asked.hosted, each) for each in page.shown], headers=page.links())


def one(asked: Asked) -> Answer:
    """One of them."""
    return Answer(body=views.comment(asked.hosted, asked.hosted.comments.one(int(asked.found["id"]))))


def added(asked: Asked) -> Answer:
    """A new one."""
    asked.who.check(*MAY)
    pull = asked.hosted.pulls.one(int(asked.found["number"]))
    comment = asked.hosted.comments.add(pull.number, _body(asked), asked.who.login)
    asked.hosted.pulls.touch(pull.number)
    body = views.comment(asked.hosted, comment)
    return Answer(status=201, body=body, headers={"Location": body["url"]})


def edited(asked: Asked) -> Answer:
    """Another text."""
    asked.who.check(*MAY)
    comment = asked.hosted.comments.edit(int(asked.found["id"]), _body(asked))
    return Answer(body=views.comment(asked.hosted, comment))


def removed(asked: Asked) -> Answer:
    """It is gone."""
    asked.who.check(*MAY)
    asked.hosted.comments.remove(int(asked.found["id"]))
    return Answer(status=204)


def _body(asked: Asked) -> str:
    body = asked.text("body")
    if not body.strip():
        raise invalid("IssueComment", "unprocessable", field="data", message="Body cannot be blank")
    if len(body) > LONGEST:
        message = f"Body is too long (maximum is {LONGEST} characters)"
        raise invalid("IssueComment", "unprocessable", field="data", message=message)
    return body
