"""Precedence: maps merge, lists replace, and a removal takes away what lower layers said.

`defaults` < service < environment `override` < service `in.<env>`; for configuration, the service's file < the
environment's. Every node keeps the place it was written at, so the merged result can say where each value came from.
"""

from collections.abc import Callable, Iterable

from desired_state.documents import MapNode, Node, ScalarNode

Removes = Callable[[Node], bool]
REMOVE = "$remove"
SECRET = "$secret"  # noqa: S105 the name of a key


def is_null(node: Node) -> bool:
    """In settings, null removes."""
    return isinstance(node, ScalarNode) and node.value is None


def is_removal(node: Node) -> bool:
    """In configuration null is a value, so `{$remove: true}` removes."""
    return isinstance(node, MapNode) and REMOVE in node.items


def overlay(below: MapNode | None, above: MapNode, removes: Removes) -> MapNode:
    """`above` laid over `below`. The place of the result is the lowest map's."""
    items = dict(below.items) if below else {}
    keys = dict(below.keys) if below else {}
    for key, node in above.items.items():
        if removes(node):
            items.pop(key, None)
            continue
        items[key] = _over(items.get(key), node, removes)
        keys[key] = above.keys[key]
    return MapNode(items=items, keys=keys, at=below.at if below else above.at)


def settings(layers: Iterable[MapNode | None], at: MapNode) -> MapNode:
    """All settings layers merged, lowest first; the result stands where `at` does."""
    merged: MapNode | None = None
    for layer in layers:
        if layer is not None:
            upper = _expanded(layer)
            merged = overlay(_without_other_type(_without_packages(merged, layer), upper), upper, is_null)
    return at if merged is None else MapNode(items=merged.items, keys=merged.keys, at=at.at)


def configuration(layers: Iterable[MapNode | None]) -> MapNode | None:
    """The configuration values merged, lowest first; None where no file has any."""
    merged: MapNode | None = None
    for layer in layers:
        if layer is not None:
            merged = overlay(merged, layer, is_removal)
    return merged


def _over(below: Node | None, node: Node, removes: Removes) -> Node:
    if not isinstance(node, MapNode) or SECRET in node.items:
        return node
    if isinstance(below, MapNode) and SECRET not in below.items:
        return overlay(below, node, removes)
    return overlay(None, node, removes)


def _expanded(layer: MapNode) -> MapNode:
    """`package: x` as `packages: {x: {}}`."""
    package = layer.items.get("package")
    if not isinstance(package, ScalarNode) or package.value is None:
        return layer
    name, at = str(package.value), package.at
    inner = MapNode(items={name: MapNode(items={}, keys={}, at=at)}, keys={name: at}, at=at)
    items = {key: node for key, node in layer.items.items() if key != "package"} | {"packages": inner}
    return MapNode(items=items, keys={**layer.keys, "packages": layer.keys["package"]}, at=layer.at)


def _without_packages(below: MapNode | None, layer: MapNode) -> MapNode | None:
    """`package:` names the one package there is, so it replaces those of lower layers."""
    return _without(below, "packages") if below and "package" in layer.items else below


def _without_other_type(below: MapNode | None, layer: MapNode) -> MapNode | None:
    """`deploy` is replaced whole when its type differs."""
    if below is None:
        return None
    lower, upper = _type(below), _type(layer)
    return _without(below, "deploy") if upper is not None and lower is not None and upper != lower else below


def _type(layer: MapNode) -> object:
    deploy = layer.items.get("deploy")
    kind = deploy.items.get("type") if isinstance(deploy, MapNode) else None
    return kind.value if isinstance(kind, ScalarNode) else None


def _without(node: MapNode, key: str) -> MapNode:
    items = {name: child for name, child in node.items.items() if name != key}
    return MapNode(items=items, keys=node.keys, at=node.at)
