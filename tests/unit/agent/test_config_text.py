"""A release's configuration as a file: same values for every reader, private where a secret is in it."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some
from ruamel.yaml import YAML

from adapters.agent_protocol.canonical import sha256
from adapters.agent_protocol.orders import ConfigFile
from adapters.agent_protocol.reports import Blame
from fairlead_agent.config_text import OPEN, PRIVATE, mode_of, rendered
from fairlead_agent.trouble import Trouble

REFERENCE = {"$secret": "aws-sm:prod/mm#password", "version": "7"}


def config(values: dict[str, Any], form: str = "yaml") -> ConfigFile:
    return ConfigFile(component="config/mm", to="mm.yaml", format=form, values=values, digest=sha256({}))


class Holding:
    """A Secrets Manager whose every secret has this text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_secret_value(self, **asked: str) -> dict[str, str]:
        return {"SecretString": json.dumps({"password": self.text})}


@given(some.text(alphabet=some.characters(exclude_categories=["Cs"])))
def test_a_secret_is_a_text_to_readers_of_both_yamls_and_of_json(text: str) -> None:
    values = {"password": REFERENCE, "port": 80}
    wanted = {"password": text, "port": 80}

    written = rendered(config(values), lambda: Holding(text)).decode()

    assert wanted == yaml.safe_load(written) == YAML(typ="safe", pure=True).load(written)
    assert wanted == json.loads(rendered(config(values, "json"), lambda: Holding(text)))


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_secret_that_no_file_can_hold_is_refused_and_not_told(form: str) -> None:
    with pytest.raises(Trouble, match="config/mm holds half of a surrogate pair") as caught:
        rendered(config({"password": REFERENCE}, form), lambda: Holding("hunter2\ud800"))

    assert Blame.REFUSED == caught.value.blame
    assert caught.value.__context__ is None


def test_who_may_read_it() -> None:
    assert OPEN == mode_of(config({"a": [{"b": 1}]}))
    for values in ({"a": REFERENCE}, {"a": [{"b": REFERENCE}]}):
        assert PRIVATE == mode_of(config(values))
