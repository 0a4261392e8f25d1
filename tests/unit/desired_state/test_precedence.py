"""Precedence: defaults < service < environment override < service in.<env>; where each value came from."""

from collections.abc import Mapping
from typing import Any

import pytest

from desired_state.documents import MapNode, plain, read
from desired_state.layers import configuration, settings
from desired_state.model import OnFailure
from desired_state.parser import Parser
from desired_state.trees import MemoryTree


def node(text: str) -> MapNode | None:
    root = read(text.encode(), "f").root
    assert root is not None
    return root if text else None


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param(["a: 1", "", "", ""], {"a": 1}, id="defaults-alone"),
        pytest.param(["a: 1", "a: 2", "", ""], {"a": 2}, id="service-over-defaults"),
        pytest.param(["a: 1", "a: 2", "a: 3", ""], {"a": 3}, id="override-over-service"),
        pytest.param(["a: 1", "a: 2", "a: 3", "a: 4"], {"a": 4}, id="in-over-override"),
        pytest.param(["", "m: {a: 1, b: 2}", "m: {b: 3, c: 4}", ""], {"m": {"a": 1, "b": 3, "c": 4}}, id="maps-merge"),
        pytest.param(["", "l: [1, 2]", "", "l: [3]"], {"l": [3]}, id="lists-replace"),
        pytest.param(["a: 1", "", "a: null", ""], {}, id="null-removes"),
        pytest.param(["a: 1", "", "a: null", "a: 2"], {"a": 2}, id="removed-and-set-again"),
        pytest.param(["", "m: {a: 1, b: 2}", "", "m: {a: null}"], {"m": {"b": 2}}, id="null-removes-inside"),
        pytest.param(["", "m: {a: null, b: 1}", "", ""], {"m": {"b": 1}}, id="null-below-is-nothing"),
        pytest.param(["", "m: 1", "m: {a: 1}", ""], {"m": {"a": 1}}, id="a-map-replaces-a-scalar"),
        pytest.param(["", "m: {a: 1}", "m: 1", ""], {"m": 1}, id="a-scalar-replaces-a-map"),
        pytest.param(
            ["", "deploy: {type: x, a: 1}", "", "deploy: {b: 2}"],
            {"deploy": {"type": "x", "a": 1, "b": 2}},
            id="deploy-merges-in-one-type",
        ),
        pytest.param(
            ["", "deploy: {type: x, a: 1}", "", "deploy: {type: y, b: 2}"],
            {"deploy": {"type": "y", "b": 2}},
            id="deploy-of-another-type-replaces-whole",
        ),
        pytest.param(
            ["deploy: {a: 1}", "deploy: {type: x}", "", ""],
            {"deploy": {"a": 1, "type": "x"}},
            id="deploy-without-a-type-is-for-all-types",
        ),
        pytest.param(["", "package: a", "", ""], {"packages": {"a": {}}}, id="package-is-short-for-packages"),
        pytest.param(["", "package: a", "", "package: b"], {"packages": {"b": {}}}, id="package-names-the-only-one"),
        pytest.param(
            ["", "package: a", "", "packages: {a: {to: x}}"], {"packages": {"a": {"to": "x"}}}, id="packages-merge"
        ),
    ],
)
def test_layers_merge(layers: list[str], expected: Mapping[str, Any]) -> None:
    assert expected == plain(settings([node(text) for text in layers], MapNode(items={}, keys={}, at=("f", 1, 1))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "environment", "expected"),
    [
        ("a: 1\nb: {c: 2}", "b: {d: 3}", {"a": 1, "b": {"c": 2, "d": 3}}),
        ("a: 1", "a: null", {"a": None}),
        ("a: 1\nb: 2", "a: {$remove: true}", {"b": 2}),
        ("a: {b: 1, c: 2}", "a: {b: {$remove: true}}", {"a": {"c": 2}}),
        ("a: [1, 2]", "a: [3]", {"a": [3]}),
        ("a: {$secret: 'x:y', version: '1'}", "a: {b: 1}", {"a": {"b": 1}}),
        ("a: {b: 1}", "a: {$secret: 'x:y', version: '1'}", {"a": {"$secret": "x:y", "version": "1"}}),
        (
            "a: {$secret: 'x:y', version: '1'}",
            "a: {$secret: 'x:z', version: '2'}",
            {"a": {"$secret": "x:z", "version": "2"}},
        ),
    ],
)
def test_configuration_merges_and_null_is_a_value(service: str, environment: str, expected: Mapping[str, Any]) -> None:
    merged = configuration([node(service), node(environment)])

    assert merged is not None
    assert expected == plain(merged)


def test_without_files_there_is_no_configuration() -> None:
    assert configuration([None, None]) is None


def test_a_policy_goes_through_all_four_layers(declare: Any, design_files: dict[str, str]) -> None:
    state = declare(
        {
            "services/checkout.yaml": design_files["services/checkout.yaml"]
            + "  prod: {on_failure: rollback, retries: 3}\n"
        }
    )

    assert OnFailure.ROLLBACK is state.fleets["prod/checkout"].policy.on_failure
    assert 3 == state.fleets["prod/checkout"].policy.retries
    assert OnFailure.HOLD is state.fleets["prod/matchmaker"].policy.on_failure
    assert OnFailure.ROLLBACK is state.fleets["staging/checkout"].policy.on_failure


def test_every_value_says_where_it_was_written(parser: Parser, design_files: dict[str, str]) -> None:
    found = {
        path: (value, str(at))
        for path, (value, at) in parser.explain(MemoryTree(design_files), "prod/matchmaker").items()
    }

    assert ("hold", "environments/prod/environment.yaml:7:24") == found["on_failure"]
    assert ("repair", "fairlead.yaml:4:40") == found["heal"]
    assert ("prod", "services/matchmaker.yaml:8:53") == found["deploy.select.tags.environment"]
    assert (3, "environments/prod/matchmaker.config.yaml:1:21") == found["config.values.ratings.weights.0"]
    assert ("db.example.com", "services/matchmaker.config.yaml:2:18") == found["config.values.database.host"]
    assert ("2.3.1", "environments/prod/matchmaker.yaml:2:10") == found["version"]
    assert "config.values.debug" not in found


def test_a_fault_is_reported_where_the_value_came_from(declare: Any, design_files: dict[str, str]) -> None:
    text = design_files["services/checkout.yaml"].replace(
        "{waves: [{regions: all}]}", "{waves: [{regions: all, soak: x}]}"
    )
    (problem,) = declare({"services/checkout.yaml": text}).problems

    assert ("services/checkout.yaml", 12, ("staging/checkout",)) == (problem.file, problem.line, problem.fleets)


def test_an_unreadable_fleet_explains_nothing(parser: Parser, design_files: dict[str, str]) -> None:
    tree = MemoryTree({**design_files, "services/checkout.yaml": "{"})

    assert {} == parser.explain(tree, "prod/checkout")
    assert {} == parser.explain(tree, "prod/nobody")
