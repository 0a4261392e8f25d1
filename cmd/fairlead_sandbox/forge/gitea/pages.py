"""Lists in pages (`services/context/api.go`): 30 of `limit`, 50 at most, the whole number in a header."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fairlead_sandbox.forge.asked import Asked
from fairlead_sandbox.forge.wire import Answer, Page

T = TypeVar("T")


def page_of(asked: Asked, items: Sequence[T]) -> Page:
    """The page that was asked for."""
    url = f"{asked.hosted.addresses.api}{asked.request.raw}"
    return Page(items=items, query=asked.request.query, url=url, key="limit", most=50)


def paged(asked: Asked, items: Sequence[T], view: Callable[[T], dict[str, Any]]) -> Answer:
    """That page, as it is shown."""
    page = page_of(asked, items)
    return Answer(body=[view(each) for each in page.shown], headers={**page.links(), "X-Total-Count": str(len(items))})
