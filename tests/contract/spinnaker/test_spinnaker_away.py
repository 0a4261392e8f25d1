"""A Gate that is away together with what it takes to sign in: nobody knows when either is back, and nobody says so."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.auth import GateAuth
from adapters.gate.breaker import FAILURES, LONGEST_PAUSE
from adapters.gate.client import Gates
from adapters.gate.errors import GateTrouble


def test_no_time_is_given_for_a_look_that_nobody_can_promise(rig: Any, tmp_path: Path) -> None:
    authority, clock, url = tmp_path / "authority.pem", ManualClock(rig.clock.now()), "http://127.0.0.1:1"
    authority.write_text("")
    gates = Gates({url: GateAuth(authority=authority)}, timeout=1, clock=clock)
    for _ in range(FAILURES):
        with pytest.raises(GateTrouble):
            gates.at(url).user()
    authority.unlink()
    clock.advance(timedelta(seconds=LONGEST_PAUSE))
    deployer = Spinnaker(sessions=Sessions(max_attempts=1), gates=gates, clock=clock)
    fleet = rig.fleet()
    fleet.environment.spinnaker["url"] = url

    observed = deployer.observe(fleet, deployer.refresh(fleet, (), {}))

    assert ("certificate file cannot be read" in observed.out_of_reach, None) == (True, observed.retry_in)
