"""The way back where somebody changed the last good release, and what mends it is not at hand."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from adapters.agent_protocol.canonical import sha256
from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent import artifacts

SECRET = {"password": {"$secret": "aws-sm:prod/mm#password", "version": "7"}}


def deployed(field: Any) -> Any:
    """A last good release with a config that has a secret."""
    plain = field.release("1.0")
    config = field.host.config(**SECRET)
    components = {**plain.components, config.component: config.digest}
    release = replace(plain, config=config, components=components, digest=sha256(components))
    assert WorkState.DONE == field.begin(release).state
    return release


def goes_back(field: Any) -> Any:
    new = field.release("1.1")
    field.unit.never_start.add(new.id)
    return field.begin(new)


@pytest.mark.parametrize("changed", ["matchmaker.jar", "etc/matchmaker.yaml"])
def test_a_changed_release_is_better_than_none(field: Any, changed: str) -> None:
    good = deployed(field)
    with field.host.here(changed).open("ab") as file:
        file.write(b"\n")
    (field.host.s3.folder / "matchmaker/1.0/matchmaker.jar").unlink()
    field.host.secrets.texts = {}

    work = goes_back(field)

    assert (WorkState.FAILED, Blame.UNHEALTHY, "1.0") == (work.state, work.blame, work.rolled_back_to)
    assert field.runs(good)
    assert field.groups.inside
    assert "not-mended" in field.said.events
    whole = {"package/matchmaker", "sha256/matchmaker", "config/matchmaker"}
    gone = {"package/matchmaker", "sha256/matchmaker"} if changed == "matchmaker.jar" else {"config/matchmaker"}
    assert whole - gone == set(field.hands.installation.observe())  # the truth


def test_also_where_s3_does_not_answer(field: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "PAUSE", 0.0)
    good, new = deployed(field), field.release("1.1")
    field.host.here("matchmaker.jar").write_bytes(b"edited")
    field.unit.never_start.add(new.id)

    def is_away(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    field.at = lambda stage: setattr(field.host.s3, "get_object", is_away) if stage == "activating" else None

    assert "1.0" == field.begin(new).rolled_back_to
    assert field.runs(good)


def test_a_changed_release_is_mended_where_everything_is_at_hand(field: Any) -> None:
    good = deployed(field)
    field.host.here("matchmaker.jar").write_bytes(b"edited")

    assert "1.0" == goes_back(field).rolled_back_to
    assert field.runs(good)
    assert good.components == field.hands.installation.observe()
    assert "not-mended" not in field.said.events
