"""Keys come and go while a real agent runs: two at once, one replaced, one taken away."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.agent_protocol.signing import SigningKey, new_key


class Keys:
    """The file of all keys, which the running agent reads."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def are(self, *keys: SigningKey) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({key.key_id: key.public for key in keys}))
        fresh.replace(self._file)


@pytest.fixture
def keys(bench: Any, tmp_path: Path) -> Keys:
    """The host's agent, begun again with its keys in a file."""
    made = Keys(tmp_path / "keys.yaml")
    made.are(bench.world.trigger.key)
    said = yaml.safe_load(bench.host.config.read_text())
    bench.host.config.write_text(yaml.safe_dump({**said, "keys": f"file:{tmp_path / 'keys.yaml'}"}))
    bench.host.stop_agent()
    bench.host.start_agent()
    return made


def test_a_key_is_replaced_and_taken_away_without_a_restart(bench: Any, keys: Keys) -> None:
    old, new = bench.world.trigger.key, new_key("2027-05")[0]
    by_old, by_new, late = (bench.release(version) for version in ("2.4.0", "2.5.0", "2.6.0"))
    bench.say(by_old)
    bench.wait_done(by_old)
    agent = bench.host.agent_pid

    keys.are(old, new)
    bench.put(bench.signed(bench.order(by_new), new))
    bench.hint(bench.sequence)
    bench.wait_done(by_new)
    pid = bench.host.service_pid()

    keys.are(new)
    bench.put(bench.signed(bench.order(late), old))
    bench.hint(bench.sequence)
    bench.wait_reported("the refusal", refused="OrderKeyUnknown")
    assert (pid, "2.5.0") == (bench.host.service_pid(), bench.host.version())

    bench.put(bench.signed(bench.order(late), new))
    bench.hint(bench.sequence)
    bench.wait_done(late)
    assert agent == bench.host.agent_pid


def test_the_order_that_stands_is_refused_once_its_key_is_gone_and_the_host_stays(bench: Any, keys: Keys) -> None:
    pid = bench.host.service_pid()

    keys.are(new_key("2027-05")[0])

    refused = bench.wait_reported("the refusal", refused="OrderKeyUnknown")
    assert (True, True) == (refused["running"], refused["healthy"])
    assert (pid, "2.3.1") == (bench.host.service_pid(), bench.host.version())
