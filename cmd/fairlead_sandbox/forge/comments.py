"""What people and bots say under a pull request: added, edited in place, in the order of their arrival."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

from fairlead_sandbox.forge.wire import Wrong
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """One comment on a pull request, as it reads now."""

    id: int
    number: int  # of the pull request
    body: str
    login: str
    created_at: datetime
    updated_at: datetime
    edits: int = 0


class Comments:
    """Those of one repository."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._said: dict[int, Comment] = {}
        self._numbers = 100  # ids are not a pull request's numbers

    def add(self, number: int, body: str, login: str) -> Comment:
        """A new one."""
        now = self._clock.now()
        with self._lock:
            self._numbers += 1
            comment = Comment(id=self._numbers, number=number, body=body, login=login, created_at=now, updated_at=now)
            self._said[comment.id] = comment
        return comment

    def one(self, id_: int) -> Comment:
        """Raises `Wrong` where there is none."""
        with self._found(id_) as comment:
            return comment

    def edit(self, id_: int, body: str) -> Comment:
        """Let it say something else. Raises `Wrong` where there is none."""
        with self._found(id_) as comment:
            edited = replace(comment, body=body, updated_at=self._clock.now(), edits=comment.edits + 1)
            self._said[id_] = edited
        return edited

    def remove(self, id_: int) -> None:
        """Raises `Wrong` where there is none."""
        with self._found(id_):
            del self._said[id_]

    def of(self, number: int) -> list[Comment]:
        """Those of one pull request, oldest first."""
        with self._lock:
            return [comment for comment in self._said.values() if comment.number == number]

    @contextmanager
    def _found(self, id_: int) -> Iterator[Comment]:
        with self._lock:
            if id_ not in self._said:
                raise Wrong("not-found")
            yield self._said[id_]
