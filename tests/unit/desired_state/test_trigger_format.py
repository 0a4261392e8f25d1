"""The format of a trigger fleet's `deploy`, and that no bytes anywhere in a tree can raise."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.trigger.settings import TriggerSettings
from desired_state.parser import Parser
from desired_state.trees import MemoryTree

SMALLEST: dict[str, Any] = {
    "root": "/srv/mm",
    "select": {"tags": {"service": "mm"}},
    "run": {"command": "/srv/mm/start"},
    "health": {"tcp": "localhost:8080"},
}


def test_the_smallest_settings_are_enough() -> None:
    settings = TriggerSettings.model_validate(SMALLEST)

    assert (None, None) == (settings.waves, settings.drain)


def test_durations_and_shares_are_read() -> None:
    settings = TriggerSettings.model_validate(
        SMALLEST | {"waves": [{"hosts": 1, "soak": "2m"}, {"hosts": "50%"}, {"hosts": "100%"}], "min_healthy": 2}
    )

    assert settings.waves is not None
    assert [(1, timedelta(minutes=2)), ("50%", None), ("100%", None)] == [
        (wave.hosts, wave.soak) for wave in settings.waves
    ]
    assert 2 == settings.min_healthy


@pytest.mark.parametrize(
    "change",
    [
        {"root": "srv/mm"},
        {"root": "/srv/../etc"},
        {"root": "/etc"},
        {"root": "/usr/bin/mm"},
        {"select": {"tags": {}}},
        {"select": {"tags": {"": "x"}}},
        {"run": {}},
        {"run": {"unit": "a", "command": "b"}},
        {"health": {"http": "localhost"}},
        {"health": {"tcp": "localhost"}},
        {"health": {"within": "2m"}},
        {"drain": {"target_groups": "some"}},
        {"max_unavailable": 0},
        {"max_unavailable": "0%"},
        {"max_unavailable": "101%"},
        {"max_unavailable": True},
        {"max_unavailable": 0.5},
        {"failure_threshold": False},
        {"failure_threshold": 0.0},
        {"failure_threshold": "101%"},
        {"waves": [{"hosts": 3}, {"hosts": 2}]},
        {"waves": [{"hosts": "50%"}, {"hosts": "25%"}]},
        {"hooks": {"during": {"command": "true"}}},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TriggerSettings.model_validate(SMALLEST | change)


PATHS = st.sampled_from(
    [
        "fairlead.yaml",
        "services/checkout.yaml",
        "services/matchmaker.yaml",
        "services/matchmaker.config.yaml",
        "environments/prod/environment.yaml",
        "environments/prod/checkout.yaml",
        "environments/prod/checkout.suspend.yaml",
        "environments/prod/matchmaker.config.yaml",
        "environments/prod/suspend.yaml",
        "freezes/2026-12-cup.yaml",
    ]
)
WORDS = st.sampled_from(
    [
        "null",
        "{}",
        "[]",
        "1",
        "true",
        "text",
        '""',
        "{a: 1}",
        "[1]",
        '"{environment}"',
        '"${x}"',
        "spinnaker",
        "{type: trigger}",
        "1.5",
        "{$remove: true}",
        "{prod: {deploy: null}}",
        "{checkout: null}",
    ]
)
KEYS = st.sampled_from(
    [
        "apiVersion",
        "environments",
        "defaults",
        "account",
        "regions",
        "override",
        "deploy",
        "package",
        "packages",
        "in",
        "config",
        "version",
        "versions",
        "sha256",
        "service",
        "services",
        "reason",
        "from",
        "until",
        "owner",
        "role",
        "spinnaker",
        "source",
    ]
)
TEXTS = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(KEYS, WORDS, max_size=5).map(lambda keys: "".join(f"{k}: {v}\n" for k, v in keys.items()).encode()),
)


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(PATHS, st.tuples(st.booleans(), TEXTS), min_size=1, max_size=3))
def test_no_tree_can_raise(
    parser: Parser, design_files: dict[str, str], changes: dict[str, tuple[bool, bytes]]
) -> None:
    files: dict[str, str | bytes] = dict(design_files)
    for path, (append, data) in changes.items():
        files[path] = design_files.get(path, "").encode() + data if append else data
    tree = MemoryTree(files)
    state = parser.parse(tree)

    assert state.declared == state.broken | set(state.fleets)
    assert state.broken <= {name for problem in state.problems for name in problem.fleets}
    for name in state.declared:
        parser.target_digest(tree, name)
        parser.explain(tree, name)
        assert parser.inputs(tree, name)
