"""What the program gives its parts: little patience within a pass, a lot where nobody holds a fleet."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fairlead import wiring
from fairlead.settings import Settings


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    settings = Settings(state=tmp_path, lease=timedelta(seconds=20), request_timeout=timedelta(seconds=4))
    made = wiring.assemble(settings)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["trigger", "spinnaker"])
def test_a_pass_waits_for_aws_as_the_settings_say(parts: Any, kind: str) -> None:
    deployer = parts.world.deployers[kind]

    for service in ("s3", "ec2", "elbv2", "sns"):
        config = deployer._sessions.client(service, "us-east-1").meta.config
        assert (config.read_timeout, config.connect_timeout) == (4, 4)
        assert config.retries == {"mode": "standard", "total_max_attempts": 2}
    once = deployer._sessions.client("s3", "us-east-1", once=True).meta.config
    assert once.retries["total_max_attempts"] == 1
    assert deployer._read_within == timedelta(seconds=8)


def test_bulk_reads_are_patient(parts: Any) -> None:
    sessions = parts.inventories._reader._sessions

    config = sessions.client("ec2", "us-east-1").meta.config

    assert config.read_timeout == 30
    assert config.retries == {"mode": "adaptive", "total_max_attempts": 9}


def test_a_start_at_gate_is_repeated_only_when_gate_itself_has_given_it_up(tmp_path: Path, parts: Any) -> None:
    pace, gate_waits = parts.world.pace, timedelta(seconds=120)

    assert (pace.settle, pace.settle_of) == (timedelta(seconds=29), {"spinnaker": timedelta(seconds=149)})
    by_default = Settings(state=tmp_path)
    assert by_default.settle_at_gate > by_default.lease + by_default.request_timeout + gate_waits
