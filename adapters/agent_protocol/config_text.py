"""Configuration values as the text that instances read: JSON, or YAML that is the same to readers of 1.1 and 1.2."""

import json
import re
from collections.abc import Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][A-Za-z_./-]*(?: [A-Za-z_./-]+)*")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"])


def render(values: Mapping[str, Any], form: str) -> str:
    """The values as `json` or `yaml` text, keys sorted, the same text for the same values."""
    if form == "json":
        return json.dumps(_plain(values), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return _yaml(_plain(values))


def _yaml(values: Any) -> str:
    """YAML in which every text is quoted that some reader could take for a number, a truth, a date or nothing."""
    import yaml  # here: who only reads orders needs none of it

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            """Repeat what occurs twice: an alias is a riddle to a person."""
            del data
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        plain = _PLAIN.fullmatch(value) and value.casefold() not in _WORDS
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')

    Dumper.add_representer(str, text)
    return str(yaml.dump(values, Dumper=Dumper, sort_keys=True, allow_unicode=True, default_flow_style=False))


def _plain(value: Any) -> Any:
    """Mappings and sequences of any kind as dict and list, which is all that a safe dumper takes."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
