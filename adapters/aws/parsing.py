"""botocore's parsers of XML answers, quicker where an answer has thousands of the same structure.

botocore looks at every element of a structure with a regular expression and then for every member that its model knows.
Here what a model's structure is read from is worked out once, and elements that nobody reads cost one look into a
mapping. Whatever is special (errors, headers, attributes, unions, lists without an element of their own) is botocore's.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from botocore.parsers import EC2QueryParser, QueryParser, ResponseParserFactory
from botocore.utils import parse_timestamp

SPECIAL = ("location", "eventheader", "xmlAttribute", "flattened")


class _Quick:
    """Mixed into a parser of botocore's."""

    _parse_shape: Any

    def __init__(self) -> None:
        super().__init__(timestamp_parser=timestamp)  # type: ignore[call-arg]
        self._plans: dict[tuple[str, str], Mapping[str, tuple[str, Any]] | None] = {}

    def parse(self, response: Any, shape: Any) -> Any:
        """See `botocore.parsers.ResponseParser`."""
        with _without_collector():
            return super().parse(response, shape)  # type: ignore[misc]

    def _handle_structure(self, shape: Any, node: Any) -> Any:
        """See `botocore.parsers.BaseXMLResponseParser`; should that not be asked any more, answers are read slower."""
        if isinstance(node, list):
            return super()._handle_structure(shape, node)  # type: ignore[misc]
        key = (shape.name, node.tag[: node.tag.rfind("}") + 1])
        if key not in self._plans:
            self._plans[key] = _plan(shape, key[1])
        plan, parsed = self._plans[key], {}
        if plan is None:
            return super()._handle_structure(shape, node)  # type: ignore[misc]
        for element in node:
            if element.tag in plan:
                name, member = plan[element.tag]
                parsed[name] = (element.text or "") if member is None else self._parse_shape(member, element)
        return parsed


class _Ec2(_Quick, EC2QueryParser):  # type: ignore[misc]
    pass


class _Query(_Quick, QueryParser):  # type: ignore[misc]
    pass


class Parsers(ResponseParserFactory):  # type: ignore[misc]
    """The parsers of a session, by protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.set_parser_defaults(timestamp_parser=timestamp)
        self._quick: Mapping[str, Any] = {"ec2": _Ec2(), "query": _Query()}

    def create_parser(self, protocol_name: str) -> Any:
        """See `botocore.parsers.ResponseParserFactory`."""
        return self._quick.get(protocol_name) or super().create_parser(protocol_name)


@contextmanager
def _without_collector() -> Iterator[None]:
    """For the part of a second that a page takes: it makes a hundred thousand objects, of which none is garbage, and
    Python's collector would look at all of them again and again. Who finds it off leaves it off: of several threads
    each turns on again what it turned off.
    """
    collects = gc.isenabled()
    if collects:
        gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _plan(shape: Any, namespace: str) -> Mapping[str, tuple[str, Any]] | None:
    """Members by the elements that they are read from, with their shapes but for text; None: not without more ado."""
    special = any(word in member.serialization for member in shape.members.values() for word in SPECIAL)
    if special or shape.is_tagged_union or shape.metadata.get("exception", False):
        return None
    return {
        namespace + member.serialization.get("name", name): (name, None if member.type_name == "string" else member)
        for name, member in shape.members.items()
    }


def timestamp(said: Any) -> datetime:
    """A time as botocore reads it; the form that EC2 and Auto Scaling write (ISO 8601 in UTC) without its search for a
    form, which takes a hundred times as long.
    """
    if isinstance(said, str) and said[10:11] == "T" and said.endswith("Z"):
        try:
            return datetime.fromisoformat(said)
        except ValueError:
            pass
    return parse_timestamp(said)  # type: ignore[no-any-return]
