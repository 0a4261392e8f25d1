"""A verified body: JSON, and what it says of the repository and the ref. Nothing else of it is read."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from adapters.forges.hooks.dialect import About, Event
from adapters.forges.hooks.places import Refused, address

JSON = "application/json"
_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]{1,500}")
_FULL_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}(/[A-Za-z0-9._-]{1,255}){1,20}")  # GitLab has groups in groups
_NOT_JSON = "the body is no JSON of a webhook"


def kind_of(content_type: str) -> str:
    """The media type alone."""
    return content_type.partition(";")[0].strip().lower()


def parsed(body: bytes) -> Mapping[str, Any]:
    """The payload. Raises `Refused`."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, _NOT_JSON) from None
    if not isinstance(payload, dict):
        raise Refused(400, _NOT_JSON)
    return payload


def as_object(value: Any) -> Mapping[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def push_of(payload: Mapping[str, Any], repository: Any, name: str, urls: Iterable[str]) -> Event:
    """A push to a ref; `name` and `urls` are the keys of the repository. Raises `Refused`."""
    ref = payload.get("ref")
    if not isinstance(ref, str) or not _REF.fullmatch(ref) or not ref.isprintable():
        raise Refused(400, "a push without a ref")
    return _event(About.PUSH, repository, name, urls, ref)


def pulls_of(repository: Any, name: str, urls: Iterable[str]) -> Event:
    """Something with a pull request of the repository. Raises `Refused`."""
    return _event(About.PULLS, repository, name, urls)


def _event(about: About, repository: Any, name: str, urls: Iterable[str], ref: str = "") -> Event:
    said = as_object(repository)
    full_name = said.get(name)
    if not isinstance(full_name, str) or not _FULL_NAME.fullmatch(full_name) or ".." in full_name.split("/"):
        raise Refused(400, "a webhook without a repository")
    given = (said.get(each) for each in urls)
    addresses = frozenset(address(url) for url in given if isinstance(url, str) and len(url) < 1000)
    return Event(about=about, repository=full_name, addresses=addresses, ref=ref)


def plain(text: str) -> str:
    """An id as it may stand in a log; else empty."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) else ""
