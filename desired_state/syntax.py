"""What libyaml says is wrong, in sentences that say what would be right."""

import re
from typing import Any, NamedTuple

import yaml

_CHUNK = re.compile(r"[\w./:@+-]*(?:\{\s*[\w-]+\s*\}[\w./:@+-]*)+")
_LIMIT = 60

_SENTENCES = {
    "did not find expected key": "a line is indented wrongly or a quote is missing; indent the keys of a map alike",
    "mapping values are not allowed": 'a second ": " or a wrong indentation; put a value with a colon in quotes',
    "did not find expected ',' or ']'": "a list in [ ] lacks a comma or its end; write [a, b]",
    "did not find expected ',' or '}'": "a map in { } lacks a comma or its end; write {a: 1, b: 2}",
    "could not find expected ':'": 'a key without a ":"; write key: value',
    "found unknown escape character": "an unknown escape in double quotes; use single quotes",
    "did not find expected '-' indicator": "a list item is indented wrongly; begin each item with - in one column",
    "block sequence entries are not allowed": "a list cannot begin here; put it on its own line below its key",
    "did not find expected node content": "a value is missing here; write one, or put the text in quotes",
    "found a tab character": "a tab stands here; indent with spaces",
}


class Fault(NamedTuple):
    """What is wrong at a line and column, both from 1."""

    line: int
    column: int
    message: str


def shown(text: str) -> str:
    """Somebody else's text, fit for one line of a message."""
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return text if len(text) <= _LIMIT else text[: _LIMIT - 3] + "..."


def quoting(text: str, line: int, column: int) -> str:
    """Why the brace there wants quotes, with the text around it in quotes as the example."""
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    found = next((match for match in _CHUNK.finditer(written) if match.start() < column <= match.end()), None)
    if found is None:
        return "a brace stands here without its partner; put text that holds braces in quotes"
    return f'an unquoted brace begins a map in YAML; write the text in quotes: "{shown(found.group())}"'


def fault_of(error: yaml.YAMLError, text: str) -> Fault:
    """The sentence for an error of the YAML reader."""
    mark: Any = getattr(error, "problem_mark", None)
    if mark is None:
        return _control_character(error, text)
    said = str(getattr(error, "problem", "") or "")
    if said == "found unexpected end of stream":
        begin = getattr(error, "context_mark", None) or mark
        return Fault(begin.line + 1, begin.column + 1, "a quote is opened here and never closed; close it")
    line, column = mark.line + 1, mark.column + 1
    return Fault(line, column, _sentence(said, text[mark.index : mark.index + 1], (text, line, column)))


def _sentence(said: str, character: str, place: tuple[str, int, int]) -> str:
    if said == "found character that cannot start any token":
        if character == "\t":
            return "a tab stands here; indent with spaces"
        return f'text cannot begin with "{shown(character)}" in YAML; put it in quotes'
    if character in {"{", "}"}:
        return quoting(*place)
    for words, sentence in _SENTENCES.items():
        if said.startswith(words):
            return sentence
    return f"this is not YAML ({said}); check indentation, quotes and colons"


def _control_character(error: yaml.YAMLError, text: str) -> Fault:
    position = int(getattr(error, "position", 0) or 0)
    before = text[:position]
    character = text[position : position + 1] or "\0"
    message = f"the control character U+{ord(character):04X} is not allowed in YAML; remove it"
    return Fault(before.count("\n") + 1, position - before.rfind("\n"), message)
