"""Files as people would write them: block maps, short values in one line, questions as comments over what they ask of.

Whatever others named (tags, pipelines, images) may hold anything: as a value it is quoted, as a comment it stays one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapters.importing.facts import Path
from desired_state.edits import quoted

ASKED = "# QUESTION: "
WIDE = 100  # characters of a value in one line, and of a comment's
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])

Asked = Mapping[Path, Sequence[str]]


def text_of(tree: Mapping[str, Any], asked: Asked, head: Sequence[str] = ()) -> str:
    """The file. `head` are its first comments; a question whose path is not there stands at the nearest place above."""
    placed: dict[Path, list[str]] = {}
    for path, texts in asked.items():
        placed.setdefault(_nearest(tree, path), []).extend(texts)
    lines = [line for said in head for line in commented(said)]
    lines += [line for text in placed.get((), ()) for line in question(text)]
    return "\n".join([*lines, *_block(tree, (), placed)]) + "\n"


def question(text: str) -> list[str]:
    """A question as lines of comment."""
    return [f"{ASKED if place == 0 else '# '}{line}" for place, line in enumerate(_wrapped(text))]


def commented(text: str) -> list[str]:
    """A remark as lines of comment."""
    return [f"# {line}" for line in _wrapped(text)]


def shown(text: str) -> str:
    """Text of anybody's on one line, with nothing in it that an editor or a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in shown(text).split():
        if lines[-1] and len(lines[-1]) + len(word) >= WIDE:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _nearest(tree: Any, path: Path) -> Path:
    for length in range(len(path)):
        if not isinstance(tree, Mapping) or path[length] not in tree:
            return path[:length]
        tree = tree[path[length]]
    return path


def _block(tree: Mapping[str, Any], at: Path, asked: Asked) -> Iterator[str]:
    indent = "  " * len(at)
    for key, value in tree.items():
        here = (*at, key)
        yield from (f"{indent}{line}" for text in asked.get(here, ()) for line in question(text))
        flow = _flow(value)
        if isinstance(value, Mapping) and value and (len(flow) + len(indent) > WIDE or _is_asked_within(here, asked)):
            yield f"{indent}{scalar(key)}:"
            yield from _block(value, here, asked)
        else:
            yield f"{indent}{scalar(key)}: {flow}"


def _is_asked_within(at: Path, asked: Asked) -> bool:
    return at == ("deploy",) or any(len(path) > len(at) and path[: len(at)] == at for path in asked)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A text as YAML that every reader takes for that text; null for None."""
    if value is None:
        return "null"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return quoted(text) if re.fullmatch(r"[0-9][0-9A-Za-z.+_-]*", text) else _in_quotes(text)


def _in_quotes(text: str) -> str:
    """With everything escaped that is not to be seen: YAML folds at line ends that JSON does not know."""
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
