"""The page of the agent: its example of settings, its table of keys, and the unit that starts it."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from adapters.agent_protocol.reports import LOG_TAIL
from adapters.agent_protocol.signing import public_key
from fairlead_agent.commands import run
from fairlead_agent.settings import Observe, Rehearsal, read_settings
from fairlead_agent.watching import Elsewhere

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agent.md").read_text()
UNIT = ROOT / "deploy" / "systemd" / "fairlead-agent.service"
NAMED = {"keys", "fleets", "rehearsal.ports"}  # maps whose keys are names


def example() -> dict[str, Any]:
    (block,) = re.findall(r"^```text\n# agent.yaml\n(.*?)^```$", PAGE, re.M | re.S)
    found = yaml.safe_load(block)
    assert isinstance(found, dict)
    return found


def rows() -> dict[str, str]:
    """The default by key, as the table of settings says it."""
    body = PAGE[PAGE.index("| key | default | meaning |") :].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body]
    return {row[0].strip("`"): row[1].strip("`") for row in cells}


def keys_of(value: dict[str, Any], before: str = "") -> Iterator[str]:
    """As the table writes them: `a.b`, and `fleets.<name>.b` for a map of names."""
    for name, inner in value.items():
        key = f"{before}{name}"
        if key == "fleets":
            yield key
            yield from {below for one in inner.values() for below in keys_of(one, "fleets.<name>.")}
        elif isinstance(inner, dict) and key not in NAMED:
            yield from keys_of(inner, f"{key}.")
        else:
            yield key


def test_the_table_of_settings_has_every_key_of_the_example() -> None:
    assert sorted(rows()) == sorted(keys_of(example()))


def test_the_defaults_of_the_table_are_those_of_the_settings(tmp_path: Path) -> None:
    least = tmp_path / "agent.yaml"
    least.write_text(yaml.safe_dump({"bucket": "abc", "keys": example()["keys"], "fleets": {"prod/lobby": {}}}))
    found = read_settings(least)
    durations = {key: f"{getattr(found, key):g}s" for key in ("poll", "heartbeat")}
    seen = Elsewhere("prod/lobby", Observe(command="echo 1"), run).look()

    assert rows() == {
        **dict.fromkeys(rows(), ""),
        **durations,
        "state": str(found.state),
        "report_only": str(found.report_only).lower(),
        "fleets.<name>.observe.component": next(iter(seen.components)).replace("lobby", "<service>"),
        "host.id": "asked of the instance" if found.host is None else found.host,
        "host.region": "asked of the instance" if found.region is None else found.region,
    }
    assert (Rehearsal(), Observe()) == (found.rehearsal, found.fleets["prod/lobby"])


def test_the_keys_of_the_example_are_keys() -> None:
    assert [public_key(text) for text in example()["keys"].values()]


def test_the_log_tail_is_as_long_as_the_page_says() -> None:
    assert f"at most {LOG_TAIL:,} characters" in PAGE


def unit() -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(UNIT)
    return found


def test_the_unit_starts_what_the_page_installs() -> None:
    python, _, launcher, *words = unit()["Service"]["ExecStart"].split()
    by_hand = PAGE[PAGE.index("Elsewhere, the same by hand") :].partition("\n## ")[0]

    assert f"`{python}`" in PAGE
    assert f"deploy/agent/{Path(launcher).name} {Path(launcher).parent}/\n" in by_hand
    assert all((ROOT / path).is_file() for path in re.findall(r" (deploy/\S+) ", by_hand))
    assert ["run", "--config", "/etc/fairlead/agent.yaml"] == words
    assert f"/var/lib/{unit()['Service']['StateDirectory']}" == rows()["state"]


def test_the_unit_ends_the_agent_alone_and_begins_it_for_ever() -> None:
    """dpkg is not killed half-way, and what `run.command` started is neither killed nor bound by limits."""
    service = unit()["Service"]

    assert ("process", "always", "0") == (
        service["KillMode"],
        service["Restart"],
        unit()["Unit"]["StartLimitIntervalSec"],
    )
    assert "continue" == service["OOMPolicy"]
    assert {"MemoryMax", "CPUQuota", "User", "NoNewPrivileges", "ProtectSystem"}.isdisjoint(service)


def test_what_the_unit_leaves_open_has_its_reason() -> None:
    told = re.findall(r"^# ((?:[A-Z]\w+=,? )+) +(\S.*)$", UNIT.read_text(), re.M)

    assert len(told) > 5
    assert all(len(reason.split()) > 3 for _, reason in told)
