"""agent.yaml: every key as docs/agent.md says it, and every mistake as a sentence with file and line."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead_agent.settings import BadSettings, Observe, Rehearsal, Settings, read_settings

PAGE = (Path(__file__).parents[3] / "docs" / "agent.md").read_text()
KEY = "sy6xcoBso9FRRi0DmgCSIq7QfIUHw22+oZ1I7+X+yxo="
LEAST = f'bucket: example\nkeys: {{"2026-11": "{KEY}"}}\nfleets: {{prod/lobby: {{}}}}\n'
PLAIN = Settings(bucket="example", keys={"2026-11": KEY}, fleets={"prod/lobby": Observe()})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


def read(path: Path, text: str | bytes) -> Settings:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_settings(path)


def refused(path: Path, text: str | bytes) -> str:
    """What is said of it, without the folder."""
    with pytest.raises(BadSettings) as told:
        read(path, text)
    said = str(told.value)
    assert said.startswith(f"{path}:")
    assert "\n" not in said
    return said.removeprefix(f"{path.parent}/")


def test_the_least_that_may_be_said_has_the_documented_defaults(path: Path) -> None:
    assert PLAIN == read(path, LEAST)
    for default in (f"`{PLAIN.state}`", f"`{PLAIN.poll:g}s`", f"`{PLAIN.heartbeat:g}s`"):
        assert default in PAGE


def test_the_example_of_the_page_is_read_as_it_says(path: Path) -> None:
    (block,) = re.findall(r"^```text\n# agent.yaml\n(.*?)^```$", PAGE, re.M | re.S)

    assert read(path, block) == Settings(
        bucket="example-fairlead-prod",
        keys={"2026-11": KEY},
        fleets={
            "prod/matchmaker": Observe(),
            "prod/lobby": Observe(command="cat /opt/lobby/VERSION", component="package/lobby-server"),
        },
        state=Path("/var/lib/fairlead-agent"),
        poll=60.0,
        heartbeat=60.0,
        host="i-0123456789abcdef0",
        region="us-east-1",
        rehearsal=Rehearsal(prefix=Path("/srv/rehearsal"), ports={8080: 41873}, path=Path("/srv/rehearsal/bin")),
        launch_hook="fairlead-launch",
        terminating_hook="fairlead-terminating",
        group="matchmaker-prod",
    )


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("state: /srv/agent", {"state": Path("/srv/agent")}),
        ("poll: 5m", {"poll": 300.0}),
        ("heartbeat: 1h", {"heartbeat": 3600.0}),
        ("report_only: true", {"report_only": True}),
        ("report_only: false", {"report_only": False}),
        ("heartbeat: 24h", {"heartbeat": 86400.0}),
        ("host: {id: i-1}", {"host": "i-1"}),
        ("host: {region: eu-west-1}", {"region": "eu-west-1"}),
        ("host:", {}),
        ("launch_hook: fairlead/launch-1", {"launch_hook": "fairlead/launch-1"}),
        ("terminating_hook: end", {"terminating_hook": "end"}),
        ("group: my group", {"group": "my group"}),
        ("rehearsal: {ports: {80: 8080}}", {"rehearsal": Rehearsal(ports={80: 8080})}),
        ("rehearsal: {prefix: /a, path: /b}", {"rehearsal": Rehearsal(prefix=Path("/a"), path=Path("/b"))}),
    ],
)
def test_each_key_is_read(path: Path, line: str, changes: dict[str, Any]) -> None:
    assert replace(PLAIN, **changes) == read(path, f"{LEAST}{line}\n")


def test_several_keys_and_fleets(path: Path) -> None:
    text = f'bucket: b-1\nkeys:\n  old: "{KEY}"\n  new: "{KEY}"\nfleets:\n  prod/a:\n  staging/b: {{observe: {{}}}}\n'

    found = read(path, text)

    assert ({"old": KEY, "new": KEY}, {"prod/a": Observe(), "staging/b": Observe()}) == (found.keys, found.fleets)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pol: 60s", "agent.yaml:4: pol is no setting; there is: bucket, keys, fleets, state, poll, "),
        ("bucket: other", "agent.yaml:4: bucket stands twice"),
        ("poll: 60", "agent.yaml:4: poll: must be a whole number and a unit, like 30s, 5m or 1h, up to 24h"),
        ("poll: 0s", "agent.yaml:4: poll: must be a whole number and a unit"),
        ("poll: -5s", "agent.yaml:4: poll: must be a whole number and a unit"),
        ("poll: 1.5m", "agent.yaml:4: poll: must be a whole number and a unit"),
        (
            "heartbeat: 9999999h",
            "agent.yaml:4: heartbeat: must be a whole number and a unit, like 30s, 5m or 1h, up to",
        ),
        ("heartbeat: [60s]", "agent.yaml:4: heartbeat: must be one value"),
        ("report_only: yes", "agent.yaml:4: report_only: must be true or false"),
        ("state: var/lib", "agent.yaml:4: state: must be a whole path, like /var/lib/fairlead-agent"),
        ('state: "/a\\0b"', "agent.yaml:4: state: must be a whole path"),
        ('state: ""', "agent.yaml:4: state: must be one value"),
        ("host: i-1", "agent.yaml:4: host must be a map of keys and values"),
        ("host: {name: i-1}", "agent.yaml:4: host.name is no setting; there is: id, region"),
        ("host:\n  id: a\n  id: b", "agent.yaml:6: host.id stands twice"),
        ("host: {id: [a]}", "agent.yaml:4: host.id: must be one value"),
        ("rehearsal: {prefix: here}", "agent.yaml:4: rehearsal.prefix: must be a whole path"),
        ("rehearsal: {ports: {web: 80}}", "agent.yaml:4: rehearsal.ports.web: a port is a number from 1 to 65535"),
        ("rehearsal: {ports: {80: 0}}", "agent.yaml:4: rehearsal.ports.80: a port is a number from 1 to 65535"),
        ("rehearsal: {ports: {80: 65536}}", "agent.yaml:4: rehearsal.ports.80: a port is a number from 1 to 65535"),
        ("? [a, b]\n: c", "agent.yaml:4: a key of the file must be one word"),
        ("host: {? {a: b} : c}", "agent.yaml:4: a key of host must be one word"),
        (
            "launch_hook: my hook",
            "agent.yaml:4: launch_hook: must be the name of a lifecycle hook, like fairlead-launch",
        ),
        ("terminating_hook: {a: b}", "agent.yaml:4: terminating_hook: must be one value"),
        ("<<: {poll: 5s}", "agent.yaml:4: << is no setting"),
    ],
)
def test_a_mistake_beside_what_is_right(path: Path, line: str, said: str) -> None:
    assert refused(path, f"{LEAST}{line}\n").startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "agent.yaml:1: bucket: must be the name of the environment's bucket"),
        ("- a\n", "agent.yaml:1: the file must be a map of keys and values"),
        ("just words\n", "agent.yaml:1: the file must be a map of keys and values"),
        ("bucket: UPPER\n", "agent.yaml:1: bucket: must be the name of the environment's bucket"),
        ("bucket: abc\n", "agent.yaml:1: keys: name at least one public key, by its key id"),
        ("bucket: abc\nkeys: {}\n", "agent.yaml:2: keys: name at least one public key"),
        ("bucket: abc\nkeys: [x]\n", "agent.yaml:2: keys must be a map of keys and values"),
        ("bucket: abc\nkeys:\n  k: short\n", "agent.yaml:3: keys.k: a public key is base64 of 32 bytes"),
        ("bucket: abc\nkeys:\n  k: {}\n", "agent.yaml:3: keys.k: must be one value"),
        (f"bucket: abc\nkeys: {{k: {KEY}}}\n", "agent.yaml:1: fleets: name at least one fleet"),
        (
            f"bucket: abc\nkeys: {{k: {KEY}}}\nfleets:\n  lobby: {{}}\n",
            "agent.yaml:4: fleets.lobby: a fleet is written",
        ),
        (f"bucket: abc\nkeys: {{k: {KEY}}}\nfleets: {{a/b: x}}\n", "agent.yaml:3: fleets.a/b must be a map of keys"),
        (
            f"bucket: abc\nkeys: {{k: {KEY}}}\nfleets: {{a/b: {{look: x}}}}\n",
            "agent.yaml:3: fleets.a/b.look is no setting; there is: observe",
        ),
        (
            f"bucket: abc\nkeys: {{k: {KEY}}}\nfleets: {{a/b: {{observe: {{component: catalog}}}}}}\n",
            "agent.yaml:3: fleets.a/b.observe.component: must be a package as desired state names it",
        ),
        (
            f"bucket: abc\nkeys: {{k: {KEY}}}\nfleets: {{a/b: {{observe: {{command: [ls]}}}}}}\n",
            "agent.yaml:3: fleets.a/b.observe.command: must be one value",
        ),
    ],
)
def test_a_mistake_in_what_has_to_be_there(path: Path, text: str, said: str) -> None:
    assert refused(path, text).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bucket: a\n\tkeys: b\n", "agent.yaml:2: this is no YAML: "),
        ("bucket: [a\n", "agent.yaml:2: this is no YAML: "),
        ("bucket: a\nkeys: *nobody\n", "agent.yaml:2: this is no YAML: found undefined alias"),
        ("bucket: a\n---\nbucket: b\n", "agent.yaml:2: this is no YAML: but found another document"),
        (b"bucket: \xff\xfe\n", "agent.yaml:1: this is no YAML: it is not UTF-8 text"),
        (b"bucket: a\x00\n", "agent.yaml:1: this is no YAML: special characters are not allowed"),
        ("[" * 50_000, "agent.yaml:1: this is no YAML: it is nested too deeply"),
        ("#" * ((1 << 20) + 1), "agent.yaml:1: it has more than 1 MiB; settings are a few lines"),
    ],
)
def test_what_is_no_yaml_at_all(path: Path, text: str | bytes, said: str) -> None:
    assert refused(path, text).startswith(said)


def test_aliases_are_not_multiplied_and_nothing_is_constructed(path: Path) -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{this}: &{this} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, this in zip("abcdefghijk", "bcdefghijkl", strict=True)
    )

    assert refused(path, laughs).startswith("agent.yaml:1: a is no setting")
    assert refused(path, f"{LEAST}host: &host {{id: *host}}\n").startswith("agent.yaml:4: host.id: must be one value")
    assert (
        "!!python/object/apply:os.abort"
        not in read(path, f"{LEAST}state: !!python/object/apply:os.abort /srv\n").state.as_posix()
    )


def test_a_file_that_is_not_there_or_never_ends(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"none\.yaml: cannot be read: No such file or directory"):
        read_settings(tmp_path / "none.yaml")
    with pytest.raises(BadSettings, match="cannot be read: Is a directory"):
        read_settings(tmp_path)
    with pytest.raises(BadSettings, match="/dev/zero:1: it has more than 1 MiB"):
        read_settings(Path("/dev/zero"))


def test_what_yaml_writes_is_read(path: Path) -> None:
    said = {"bucket": "abc", "keys": {"2026-11": KEY}, "fleets": {"a/b": {}}, "rehearsal": {"ports": {8080: 9090}}}

    assert {8080: 9090} == read(path, yaml.safe_dump(said)).rehearsal.ports


def test_keys_may_be_named_by_where_they_are(path: Path) -> None:
    path.write_text("bucket: abc\nkeys: file:/etc/fairlead/keys.yaml\nfleets: {a/b: {}}\n")
    assert "file:/etc/fairlead/keys.yaml" == read_settings(path).keys

    path.write_text("bucket: abc\nkeys: {k: 'aws-sm:prod/keys#k', l: 'env:KEY'}\nfleets: {a/b: {}}\n")
    assert {"k": "aws-sm:prod/keys#k", "l": "env:KEY"} == read_settings(path).keys


@pytest.mark.parametrize("keys", ["file:keys.yaml", "env:", "vault:x", "words", "aws-sm:"])
def test_keys_that_are_nowhere_are_refused(path: Path, keys: str) -> None:
    path.write_text(f"bucket: abc\nkeys: '{keys}'\nfleets: {{a/b: {{}}}}\n")

    with pytest.raises(BadSettings, match=r"agent\.yaml:2: keys: must be a map of public keys by key id, or file:"):
        read_settings(path)
