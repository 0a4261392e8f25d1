"""Where `{environment}`, `{service}`, `{region}` and `{version}` may stand, and how they are filled in.

| field | placeholders |
|---|---|
| every text value below `deploy` | `{environment}` `{service}` `{region}` |
| `packages.<name>.from` | `{environment}` `{service}` `{region}` `{version}` |
| `packages.<name>.to`, `config.to` | `{environment}` `{service}` |
| `source.tag` | `{version}`, left as it is |

`{environment}` and `{service}` (the fleet's own short name, so that two fleets of one
service file select different machines) are filled in the effective fleet. `{region}` and `{version}`
stay: the deployer fills them in for each unit. Configuration values are free text and are never filled in.
"""

import re
from collections.abc import Iterator, Mapping

from desired_state.documents import Finding, ListNode, MapNode, Node, ScalarNode, leaves
from desired_state.syntax import shown

IN_DEPLOY = frozenset({"environment", "service", "region"})
IN_SOURCE = IN_DEPLOY | {"version"}
IN_DESTINATION = frozenset({"environment", "service"})
IN_TAG = frozenset({"version"})
KNOWN = IN_SOURCE

_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][A-Za-z0-9_-]*)\}")


def allowed(path: tuple[str, ...]) -> frozenset[str]:
    """The placeholders that a field of a settings file may hold, by its path without `in.<env>` and `override`."""
    match path:
        case ("deploy", *_):
            return IN_DEPLOY
        case ("packages", _, "from"):
            return IN_SOURCE
        case ("packages", _, "to") | ("config", "to"):
            return IN_DESTINATION
        case ("source", "tag"):
            return IN_TAG
    return frozenset()


def misplaced(root: MapNode) -> Iterator[Finding]:
    """Placeholders that are unknown where they may stand, and known ones where none is filled in."""
    for path, node in leaves(root):
        if not isinstance(node, ScalarNode) or not isinstance(node.value, str) or "{" not in node.value:
            continue
        permitted = allowed(_bare(path))
        for name in _PLACEHOLDER.findall(node.value):
            if permitted and name not in permitted:
                known = ", ".join(f"{{{each}}}" for each in sorted(permitted))
                yield Finding(node.at, f"the placeholder {{{shown(name)}}} is not known here; use {known}")
            elif not permitted and name in KNOWN:
                yield Finding(node.at, f"{{{name}}} is not filled in here; write the text itself")


def fill(node: Node, values: Mapping[str, str]) -> Node:
    """The node with placeholders replaced in its text values; the others, and those not in `values`, stay."""
    if isinstance(node, MapNode):
        items = {key: fill(child, values) for key, child in node.items.items()}
        return MapNode(items=items, keys=node.keys, at=node.at)
    if isinstance(node, ListNode):
        return ListNode(items=tuple(fill(child, values) for child in node.items), at=node.at)
    if not isinstance(node.value, str) or "{" not in node.value:
        return node
    filled = _PLACEHOLDER.sub(lambda match: values.get(match.group(1), match.group()), node.value)
    return ScalarNode(value=filled, text=node.text, at=node.at)


def _bare(path: tuple[str, ...]) -> tuple[str, ...]:
    if path[:1] == ("in",):
        return path[2:]
    if path[:1] in {("override",), ("defaults",)}:
        return path[1:]
    return path
