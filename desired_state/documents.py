"""YAML with a position for every value: bytes to a document, or findings that name the line, column and fix.

YAML events are read straight from libyaml, so depth, nodes and aliases are capped while reading, before anything is
built. Scalars follow the core schema of YAML 1.2 (yaml.org/spec/1.2.2, section 10.3), except that a number with a
leading zero stays text: `on`, `0123`, `12:30:45` and timestamps are text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeAlias

import yaml

from desired_state.model import Severity
from desired_state.scalars import Unwritable, resolve
from desired_state.syntax import Fault, fault_of, quoting, shown

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 100_000
MAX_ALIASES = 50


class Position(NamedTuple):
    """A place in a file. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Finding(NamedTuple):
    """A problem at a place, before it is known which fleets it harms."""

    at: Position
    message: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarNode:
    """A value and the text it was written as."""

    value: str | int | float | bool | None
    text: str
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode:
    """A list; positions are those of its items."""

    items: "tuple[Node, ...]"
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode:
    """A map; `keys` holds where each key stands."""

    items: "dict[str, Node]"
    keys: dict[str, Position]
    at: Position


Node: TypeAlias = ScalarNode | ListNode | MapNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one file says. `root` is None where it cannot be read at all; with findings it must not be used."""

    root: MapNode | None
    findings: tuple[Finding, ...] = ()


def read(data: bytes, file: str) -> Document:
    """Read one YAML file whose root is a map; an empty file is an empty map. Never raises for what the bytes hold."""
    builder = _Builder(file)
    try:
        root = builder.build(_decode(data))
    except _Stop as stop:
        builder.find(stop.fault)
        root = None
    except yaml.YAMLError as error:
        if not builder.unquoted:  # a placeholder without quotes explains whatever comes after it
            builder.find(fault_of(error, builder.text))
        root = None
    if root is not None and not isinstance(root, MapNode):
        builder.find(Fault(root.at.line, root.at.column, "a file must be a map; write key: value on each line"))
        root = None
    return Document(root=root, findings=tuple(builder.findings))


def plain(node: Node) -> Any:
    """The values alone, as dicts, lists and scalars."""
    if isinstance(node, MapNode):
        return {key: plain(child) for key, child in node.items.items()}
    if isinstance(node, ListNode):
        return [plain(child) for child in node.items]
    return node.value


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every scalar, and every empty map or list, with its path; list items are counted from 0."""
    children: list[tuple[str, Node]] = []
    if isinstance(node, MapNode):
        children = list(node.items.items())
    elif isinstance(node, ListNode):
        children = [(str(number), child) for number, child in enumerate(node.items)]
    if not children:
        yield path, node
    for key, child in children:
        yield from leaves(child, (*path, key))


class _Stop(Exception):
    """Nothing after this place can be read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Stop(Fault(1, 1, f"the file is larger than {MAX_BYTES // 1024} KiB; split it or move data elsewhere"))
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise _Stop(Fault(before.count(b"\n") + 1, column, "the file is not UTF-8; save it as UTF-8")) from None


class _Frame:
    """A map or list that is still open."""

    def __init__(self, at: Position, event: Any, counted: int) -> None:
        self.at = at
        self.anchor: str | None = event.anchor
        self.is_map = isinstance(event, yaml.MappingStartEvent)
        self.braced = self.is_map and bool(event.flow_style)  # written as {...}
        self.counted = counted  # nodes counted before it
        self.items: dict[str, Node] = {}
        self.keys: dict[str, Position] = {}
        self.children: list[Node] = []
        self.key: str | None = None
        self.key_end = 0
        self.height = 1

    def node(self) -> Node:
        if self.is_map:
            return MapNode(items=self.items, keys=self.keys, at=self.at)
        return ListNode(items=tuple(self.children), at=self.at)


class _Anchored(NamedTuple):
    node: Node
    size: int
    height: int


class _Builder:
    """Takes YAML events one by one and builds nodes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.text = ""
        self.findings: list[Finding] = []
        self._found: set[Position] = set()
        self.unquoted = False
        self._root: Node | None = None
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None: still open
        self._nodes = 0
        self._aliases = 0
        self._documents = 0
        self._take = {
            yaml.DocumentStartEvent: self._document,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
        }

    def build(self, text: str) -> Node | None:
        """Read all events. Raises `_Stop` and `yaml.YAMLError`."""
        self.text = text
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            take = self._take.get(type(event))
            if take is not None:
                take(event)
        if self._root is None or (isinstance(self._root, ScalarNode) and not self._root.text):
            return MapNode(items={}, keys={}, at=Position(self.file, 1, 1))
        return self._root

    def find(self, fault: Fault) -> None:
        """Keep one finding a place: the first says what to repair."""
        at = Position(self.file, fault.line, fault.column)
        if at not in self._found:
            self._found.add(at)
            self.findings.append(Finding(at, fault.message))

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(event, "a second YAML document begins here; keep one document a file")

    def _open(self, event: Any) -> None:
        self._refuse_tag(event)
        self._count(event, 1)
        if len(self._frames) >= MAX_DEPTH:
            self._stop(event, f"maps and lists are nested deeper than {MAX_DEPTH}; make the file flatter")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._frames.append(_Frame(self._at(event), event, self._nodes - 1))

    def _close(self, event: Any) -> None:
        frame = self._frames.pop()
        node = frame.node()
        if frame.anchor:
            self._anchors[frame.anchor] = _Anchored(node, self._nodes - frame.counted, frame.height)
        self._put(node, event, frame.height)

    def _scalar(self, event: Any) -> None:
        self._refuse_tag(event)
        self._count(event, 1)
        value: str | int | float | bool | None = event.value
        if event.implicit[0]:
            try:
                value = resolve(event.value)
            except Unwritable as error:
                self.find(self._fault(event, str(error)))
        node = ScalarNode(value=value, text=event.value, at=self._at(event))
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(node, 1, 0)
        self._put(node, event, 0)

    def _alias(self, event: Any) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self._stop(event, f"the file holds more than {MAX_ALIASES} aliases; write the values out")
        known = self._anchors.get(event.anchor)
        if known is None:
            self._stop(event, f"the alias *{shown(event.anchor)} names no finished anchor; write the value out")
        self._count(event, known.size)
        if len(self._frames) + known.height > MAX_DEPTH:
            self._stop(event, f"maps and lists are nested deeper than {MAX_DEPTH}; make the file flatter")
        self._put(known.node, event, known.height)

    def _put(self, node: Node, event: Any, height: int) -> None:
        if not self._frames:
            self._root = node
            return
        frame = self._frames[-1]
        frame.height = max(frame.height, height + 1)
        if not frame.is_map:
            frame.children.append(node)
        elif frame.key is None:
            self._key(frame, node, event)
        else:
            self._value(frame, frame.key, node, event)

    def _key(self, frame: _Frame, node: Node, event: Any) -> None:
        key = node.text if isinstance(node, ScalarNode) else "?"
        if not isinstance(node, ScalarNode):
            self.find(Fault(node.at.line, node.at.column, "a key must be text; put text with braces in quotes"))
        elif not isinstance(node.value, str):
            told = f'a key must be text and YAML reads {shown(key)} as something else; write "{shown(key)}":'
            self.find(self._fault(event, told))
        elif key == "<<" and event.implicit[0]:
            self.find(self._fault(event, "YAML 1.2 has no merge key <<; write the values out"))
        if key in frame.items:
            first = frame.keys[key].line
            told = f'the key "{shown(key)}" stands here twice (first on line {first}); remove one of them'
            self.find(self._fault(event, told))
        frame.key, frame.key_end = key, event.end_mark.index
        frame.keys.setdefault(key, self._at(event))

    def _value(self, frame: _Frame, key: str, node: Node, event: Any) -> None:
        """Put a value, and find out whether `{key}` was a placeholder that wants quotes."""
        frame.items[key] = node
        frame.key = None
        empty = isinstance(node, ScalarNode) and node.text == "" and node.value is None
        if empty and frame.braced and not self.unquoted:
            between = self.text[frame.key_end : event.start_mark.index]
            if ":" not in between:
                self.unquoted = True
                self.find(Fault(frame.at.line, frame.at.column, quoting(self.text, frame.at.line, frame.at.column)))

    def _count(self, event: Any, size: int) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            self._stop(event, f"the file holds more than {MAX_NODES} values, aliases counted; make it smaller")

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            tag = shown(event.tag.replace("tag:yaml.org,2002:", "!!"))
            told = f"the tag {tag} is not read; write the plain value, in quotes if it is text"
            self._stop(event, told)

    def _at(self, event: Any) -> Position:
        return Position(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _fault(self, event: Any, message: str) -> Fault:
        return Fault(event.start_mark.line + 1, event.start_mark.column + 1, message)

    def _stop(self, event: Any, message: str) -> NoReturn:
        raise _Stop(self._fault(event, message))
