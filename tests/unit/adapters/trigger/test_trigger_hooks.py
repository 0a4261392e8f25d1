"""Hooks and the step before a version: from a fleet's settings to what its hosts are told, and how long it may take."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.agent_protocol.orders import Before, Hook
from adapters.deployers.trigger import Trigger
from adapters.trigger.judging import STAGING
from adapters.trigger.preparing import ENDING, lasts
from adapters.trigger.releases import before_of, lasts_at_most, release_with
from adapters.trigger.rules import problems_of
from adapters.trigger.settings import settings_of
from reconciler import work

HOOKS = {"hooks": {"pre": {"command": "./check", "within": "1m"}, "post": {"command": "./warm-up"}}}
STEP = {"before": {"command": "./migrate"}}


def test_hosts_are_told_the_hooks_of_a_release(made: SimpleNamespace) -> None:
    told = release_with(made.fleet(deploy=HOOKS), "c" * 40, {"mm": "a" * 64}).lifecycle

    assert (Hook(command="./check", within=60.0), Hook(command="./warm-up", within=300.0)) == (told.pre, told.post)


def test_a_fleet_without_any_says_nothing_of_them(made: SimpleNamespace) -> None:
    told, settings = release_with(made.fleet(), "c" * 40, {"mm": "a" * 64}).lifecycle, settings_of(made.fleet())

    assert (None, None, None) == (told.pre, told.post, before_of(settings, "i-1", 1))


def test_the_step_is_asked_of_one_host_for_half_an_hour(made: SimpleNamespace) -> None:
    settings = settings_of(made.fleet(deploy=STEP))

    assert Before(host="i-1", attempt=2, command="./migrate", within=1800.0) == before_of(settings, "i-1", 2)
    assert STAGING + timedelta(minutes=30) + ENDING == lasts(settings)


def test_a_host_may_take_as_long_as_its_hooks_more(made: SimpleNamespace) -> None:
    plain, hooked = (settings_of(made.fleet(deploy=deploy)) for deploy in ({}, HOOKS))

    assert timedelta(minutes=6) == lasts_at_most(hooked, STAGING) - lasts_at_most(plain, STAGING)


@pytest.mark.parametrize(
    ("deploy", "known"),
    [
        ({}, None),
        (STEP, work.Before()),
        ({"before": {"command": "./m", "irreversible": True}}, work.Before(irreversible=True)),
    ],
)
def test_the_core_learns_of_a_step_what_it_decides_by(made: SimpleNamespace, deploy: Any, known: Any) -> None:
    assert known == Trigger.before(None, made.fleet(deploy=deploy))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("deploy", "said"),
    [
        ({"hooks": {"pre": {"within": "1m"}}}, "deploy.hooks.pre.command: Field required"),
        ({"hooks": {"before": {"command": "x"}}}, "deploy.hooks.before: Extra inputs are not permitted"),
        ({"hooks": {"post": {"command": " "}}}, "deploy.hooks.post.command: must hold something"),
        (
            {"before": {"command": "x", "within": "soon"}},
            "deploy.before.within: must be a duration like 90s",
        ),
        ({"before": {"command": "x", "within": "366d"}}, "deploy: hosts would refuse this fleet: order.before.within"),
        ({"before": {"command": "x" * 5000}}, "deploy: hosts would refuse this fleet: order.before.command"),
        ({"before": "./migrate"}, "deploy.before: Input should be"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place(made: SimpleNamespace, deploy: Any, said: str) -> None:
    (problem,) = problems_of(made.fleet(deploy=deploy))

    assert problem.startswith(said)


def test_a_command_may_hold_what_shells_read(made: SimpleNamespace) -> None:
    command = "awk '{print $1}' hosts | while read -r each; do ./migrate \"${each}\"; done"

    assert [] == list(problems_of(made.fleet(deploy={"before": {"command": command}})))
