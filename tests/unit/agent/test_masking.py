"""A secret that a command prints reaches nobody."""

import json
from typing import Any

import pytest

from adapters.agent_protocol.reports import LOG_TAIL
from fairlead_agent.commands import run
from fairlead_agent.masking import MASK, Masks, masked, masking

PASSWORD = 'pa"ss-wörd'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END KEY-----"
NAMED = {"db": {"password": {"$secret": "aws-sm:prod/mm#password", "version": "7"}}, "open": "to everybody"}


@pytest.fixture
def masks(host: Any) -> Masks:
    """Over a release whose configuration holds a secret."""
    host.secrets.texts = {("prod/mm", "7"): json.dumps({"password": PASSWORD})}
    host.install(host.release(host.file("1.0"), config=host.config(**NAMED)))
    return Masks(host.root)


def test_what_stands_where_a_secret_is_named_is_known_and_nothing_else(masks: Masks) -> None:
    assert PASSWORD in masks()
    assert "to everybody" not in masks()


def test_a_command_that_prints_it_is_heard_without_it(masks: Masks) -> None:
    done = masking(run, masks)(["printf", "no route to db:%s@host", PASSWORD], within=10)

    assert (0, f"no route to db:{MASK}@host") == (done.code, done.output_tail)


def test_an_agent_that_was_started_later_and_one_beside_a_newer_release_know_it_too(host: Any, masks: Masks) -> None:
    host.install(host.release(host.file("1.1")))

    assert PASSWORD in masks()
    assert PASSWORD in Masks(host.root)()


def test_it_is_masked_as_json_writes_it_and_line_by_line(host: Any) -> None:
    host.secrets.texts = {("prod/mm", "7"): json.dumps({"password": KEY})}
    host.install(host.release(host.file("1.0"), config=host.config(**NAMED)))
    known = Masks(host.root)()

    assert f'{{"key": "{MASK}"}}' == masked(json.dumps({"key": KEY}), known)
    assert f"line {MASK} of it" == masked("line MIIEvQIBADANBgkqhkiG9w0 of it", known)


@pytest.mark.parametrize("secret", ["hunter2xyz\n", "\nhunter2xyz\r\n", "\n\n  hunter2xyz"])
def test_a_line_end_that_came_along_with_a_secret_does_not_show_it(host: Any, secret: str) -> None:
    host.secrets.texts = {("prod/mm", "7"): json.dumps({"password": secret})}
    host.install(host.release(host.file("1.0"), config=host.config(**NAMED)))

    assert f"postgres://app:{MASK}@db" == masked("postgres://app:hunter2xyz@db", Masks(host.root)())


def test_a_line_of_a_secret_of_several_is_masked_from_twelve_characters_on(host: Any) -> None:
    host.secrets.texts = {("prod/mm", "7"): json.dumps({"password": "user=app\npassword=xyz\n"})}
    host.install(host.release(host.file("1.0"), config=host.config(**NAMED)))
    known = Masks(host.root)()

    assert f"user=app and {MASK}" == masked("user=app and password=xyz", known)
    assert f"all: {MASK}!" == masked("all: user=app\npassword=xyz!", known)


def test_the_end_of_one_that_was_cut_is_masked_as_well() -> None:
    log = f"{PASSWORD[3:]} and {'x' * LOG_TAIL}"[:LOG_TAIL]

    assert f"{MASK} and x" == masked(log, {PASSWORD})[: len(MASK) + 6]


@pytest.mark.parametrize("text", ["", "ok", "7"])
def test_without_secrets_nothing_is_changed(text: str) -> None:
    assert text == masked(text, ())


def test_a_broken_release_hides_nobody_elses_secret(host: Any, masks: Masks) -> None:
    broken = host.root / "releases" / ("0" * 16)
    broken.mkdir()
    (broken / ".fairlead.json").write_text("{")

    assert PASSWORD in masks()
