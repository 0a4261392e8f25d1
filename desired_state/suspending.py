"""The text of a suspend file: a new one, or one that is there and shall say something else. Comments in it stay."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from desired_state.git_errors import GitRefused
from desired_state.model import Suspension
from desired_state.words import parse_moment


def suspended(text: str, wished: Suspension, path: str, slack: int = 0) -> str:
    """`text` of the file `path`, empty where there is none, saying what is wished; the same text if it does already.

    `slack`: seconds that its end may be earlier and still be the same. Raises `GitRefused`: it cannot be edited.
    """
    if not text:
        return _fresh(wished)
    written = _yaml(text)
    try:
        data = written.load(text.replace("\r\n", "\n"))
    except (YAMLError, ValueError):
        raise GitRefused(f"{path}: this is no YAML that can be edited: repair it first") from None
    if not isinstance(data, CommentedMap):
        return _fresh(wished)
    if _says(data, wished, slack):
        return text
    _put(data, "reason", DoubleQuotedScalarString(wished.reason))
    _put(data, "until", DoubleQuotedScalarString(_moment(wished.until)) if wished.until else None)
    _put(data, "regions", _regions(wished) if wished.regions else None)
    out = io.StringIO()
    written.dump(data, out)
    return out.getvalue().replace("\n", "\r\n") if "\r\n" in text else out.getvalue()


def _yaml(text: str) -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 1 << 16
    yaml.explicit_start = text.lstrip("\ufeff").startswith("---") or None
    return yaml


def _fresh(wished: Suspension) -> str:
    lines = [f"reason: {json.dumps(wished.reason, ensure_ascii=False)}"]
    if wished.until:
        lines.append(f'until: "{_moment(wished.until)}"')  # YAML 1.1 reads a bare one as a timestamp
    if wished.regions:
        lines.append(f"regions: [{', '.join(wished.regions)}]")
    return "\n".join(lines) + "\n"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _regions(wished: Suspension) -> CommentedSeq:
    regions = CommentedSeq(wished.regions)
    regions.fa.set_flow_style()
    return regions


def _put(data: CommentedMap, key: str, value: Any) -> None:
    if value is None:
        data.pop(key, None)
    elif data.get(key) != value:
        data[key] = value


def _says(data: CommentedMap, wished: Suspension, slack: int) -> bool:
    same = data.get("reason") == wished.reason and tuple(data.get("regions") or ()) == wished.regions
    return same and _ends_so(_end(data), wished.until, slack)


def _end(data: CommentedMap) -> datetime | str | None:
    said = data.get("until")
    if said is None:
        return None
    if isinstance(said, datetime):
        return said if said.tzinfo else said.replace(tzinfo=UTC)
    try:
        return parse_moment(str(said))
    except ValueError:
        return str(said)


def _ends_so(end: datetime | str | None, wished: datetime | None, slack: int) -> bool:
    if not isinstance(end, datetime) or wished is None:
        return end == wished
    return timedelta(0) <= wished - end <= timedelta(seconds=slack)
