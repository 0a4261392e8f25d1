"""Configuration files: free maps, in which only keys that begin with `$` mean something to Fairlead.

`{$remove: true}` takes a value away; `{$secret: "aws-sm:prod/mm/db#password", version: "7"}` is resolved on the host.
"""

import re
from collections.abc import Iterator

from desired_state.documents import Finding, ListNode, MapNode, Node, ScalarNode
from desired_state.layers import REMOVE, SECRET
from desired_state.syntax import shown

_REFERENCE = re.compile(r"[a-z][a-z0-9-]*:[^\s]{1,400}")


def faults(node: Node) -> Iterator[Finding]:
    """What is wrong with the `$` keys below this node."""
    if isinstance(node, MapNode):
        special = [key for key in node.items if key.startswith("$")]
        if special:
            yield from _special(node, special[0])
            return
        for child in node.items.values():
            yield from faults(child)
    elif isinstance(node, ListNode):
        for child in node.items:
            if isinstance(child, MapNode) and REMOVE in child.items:
                yield Finding(child.at, "a list replaces as a whole; leave the item out instead of removing it")
            else:
                yield from faults(child)


def _special(node: MapNode, key: str) -> Iterator[Finding]:
    if key == REMOVE:
        yield from _removal(node)
    elif key == SECRET:
        yield from _secret(node)
    else:
        yield Finding(node.keys[key], f'unknown key "{shown(key)}"; only $secret and $remove begin with $')


def _removal(node: MapNode) -> Iterator[Finding]:
    value = node.items[REMOVE]
    if len(node.items) > 1 or not isinstance(value, ScalarNode) or value.value is not True:
        yield Finding(value.at, "$remove stands alone and is true; write {$remove: true}")


def _secret(node: MapNode) -> Iterator[Finding]:
    for key, position in node.keys.items():
        if key not in {SECRET, "version"}:
            yield Finding(position, f'unknown key "{shown(key)}"; a secret has $secret and version')
    reference, version = node.items[SECRET], node.items.get("version")
    if not isinstance(reference, ScalarNode) or not _REFERENCE.fullmatch(str(reference.value)):
        yield Finding(reference.at, '"$secret" must say store and name, like "aws-sm:prod/db#password"')
    if version is None:
        yield Finding(
            node.at, 'a secret\'s "version" is missing; add version: "1", so that a new one has a line in Git'
        )
    elif not isinstance(version, ScalarNode) or not isinstance(version.value, str) or not version.value:
        text = shown(version.text) if isinstance(version, ScalarNode) else "1"
        yield Finding(version.at, f'"version" must be text; write version: "{text or 1}"')
