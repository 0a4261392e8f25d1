"""Notes on merge requests (`lib/api/notes.rb`): newest first unless asked otherwise, edited by their author."""

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.comments import Comment
from fairlead_sandbox.forge.gitlab import views
from fairlead_sandbox.forge.gitlab.errors import misfit, not_found, refused
from fairlead_sandbox.forge.gitlab.pages import paged
from fairlead_sandbox.forge.wire import Answer

LONGEST = 1_000_000  # characters


def listed(asked: Asked) -> Answer:
    """By `order_by` (created_at, updated_at) and `sort` (desc, asc)."""
    notes = asked.hosted.comments.of(_number(asked))
    order = asked.text("order_by") or "created_at"
    notes.sort(key=lambda note: (getattr(note, order), note.id), reverse=asked.text("sort") != "asc")
    return paged(asked, notes, lambda note: views.note(asked.hosted, note))


def one(asked: Asked) -> Answer:
    """One of them."""
    return Answer(body=views.note(asked.hosted, _note(asked)))


def added(asked: Asked) -> Answer:
    """A new one."""
    asked.who.check("issues", "pull_requests")
    number, body = _number(asked), _body(asked)
    note = asked.hosted.comments.add(number, body, asked.who.login)
    asked.hosted.pulls.touch(number)
    return Answer(status=201, body=views.note(asked.hosted, note))


def edited(asked: Asked) -> Answer:
    """Another text."""
    note = _own(asked)
    if "body" in asked.given and not asked.text("body").strip():
        raise misfit("body is empty")
    return Answer(body=views.note(asked.hosted, asked.hosted.comments.edit(note.id, _body(asked))))


def removed(asked: Asked) -> Answer:
    """It is gone."""
    asked.hosted.comments.remove(_own(asked).id)
    return Answer(status=204)


def _own(asked: Asked) -> Comment:
    note = _note(asked)
    if note.login != asked.who.login:
        asked.who.check("administration")
    return note


def _note(asked: Asked) -> Comment:
    note = asked.hosted.comments.one(int(asked.found["id"]))
    if note.number != _number(asked):
        raise not_found()
    return note


def _number(asked: Asked) -> int:
    return asked.hosted.pulls.one(int(asked.found["iid"])).number


def _body(asked: Asked) -> str:
    body = asked.text("body")
    if not body.strip():
        raise refused(400, '400 Bad request - Note {:note=>["can\'t be blank"]}')
    if len(body) > LONGEST:
        raise refused(400, f'400 Bad request - Note {{:note=>["is too long (maximum is {LONGEST} characters)"]}}')
    return body
