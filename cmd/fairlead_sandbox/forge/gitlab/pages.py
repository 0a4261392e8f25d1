"""Lists in pages, with the headers that tell of the others (`lib/gitlab/pagination/offset_pagination.rb`)."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.wire import Answer, Page

T = TypeVar("T")


def paged(asked: Asked, items: Sequence[T], view: Callable[[T], dict[str, Any]]) -> Answer:
    """20 a page, 100 at most."""
    url = f"{asked.hosted.addresses.api}{asked.request.raw}"
    page = Page(items=items, query=asked.request.query, url=url, size=20)
    following = page.current + 1 if page.current < page.last else ""
    headers = {
        "X-Page": page.current,
        "X-Per-Page": page.length,
        "X-Next-Page": following,
        "X-Prev-Page": page.current - 1 if page.current > 1 else "",
        "X-Total": len(items),
        "X-Total-Pages": page.last,
    }
    told = {name: str(value) for name, value in headers.items()}
    return Answer(body=[view(each) for each in page.shown], headers={**told, **page.links("first", "last")})
