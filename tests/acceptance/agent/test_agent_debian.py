"""The agent's package on a clean Debian root: installed, started by its command, deployed with, removed, purged.

The root comes from debootstrap, which apt fetches where it is not installed; `FAIRLEAD_DEBIAN_ROOT` names one that is
there already. It shares this machine's network, so the agent in it meets moto on loopback.
"""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.agent_protocol.orders import Health, Release, Run
from deploy.agent.__main__ import build

MIRROR = "http://deb.debian.org/debian"
SUITE = "bookworm"
WITHIN = 500  # seconds for debootstrap
NOT_OURS = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/lib/dpkg", "/var/log", "/var/cache/ldconfig", "/srv")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change into a root directory"),
    pytest.mark.skipif(shutil.which("dpkg") is None, reason="there is no dpkg here"),
]


class Debian:
    """A root directory with a Debian in it, and what is called in there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *command: str, **environment: str) -> str:
        ended = subprocess.run(
            self.inside(*command), env=self.environment(**environment), capture_output=True, text=True, check=False
        )
        assert 0 == ended.returncode, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def inside(self, *command: str) -> list[str]:
        """The command in the root, with a /proc that goes with it: nothing stays mounted."""
        enter = 'mount --bind /proc "$0/proc" && exec chroot "$0" "$@"'
        return ["unshare", "--mount", "sh", "-c", enter, str(self.root), *command]

    @staticmethod
    def environment(**more: str) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **more,
        }

    def install(self, package: Path) -> None:
        shutil.copy(package, self.root / "tmp" / package.name)
        self.run("dpkg", "--install", f"/tmp/{package.name}")

    def files(self) -> set[str]:
        """Everything there but what the system writes by itself."""
        found = set()
        for folder, inner, names in os.walk(self.root):
            inside = "/" + os.path.relpath(folder, self.root).removeprefix(".")
            inner[:] = [each for each in inner if each != "__pycache__"]
            found |= {os.path.normpath(f"{inside}/{each}") for each in (*inner, *names)}
        return {path for path in found if not path.startswith(NOT_OURS)}


@pytest.fixture(scope="module")
def clean_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minimal Debian with Python. Skips, and says why, where none can be made."""
    given = os.environ.get("FAIRLEAD_DEBIAN_ROOT")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("debian")
    command, home = _debootstrap(folder)
    options = ["--variant=minbase", "--include=python3,ca-certificates", SUITE, str(folder / "root"), MIRROR]
    try:
        ended = subprocess.run(
            [*command, *options],
            env={**os.environ, **home},
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"debootstrap made no root within {WITHIN} s")
    if ended.returncode:
        pytest.skip(f"debootstrap made no root: {ended.stdout[-400:]} {ended.stderr[-400:]}")
    return folder / "root"


def _debootstrap(folder: Path) -> tuple[list[str], dict[str, str]]:
    if found := shutil.which("debootstrap"):
        return [found], {}
    if shutil.which("apt-get") is None:
        pytest.skip("there is neither debootstrap nor apt-get here")
    said = _apt(folder, "download", "debootstrap")
    if not list(folder.glob("debootstrap_*.deb")):  # a fresh machine has no lists yet; these are the test's own
        own = [f"-o=Dir::State::Lists={folder}/lists", f"-o=Dir::Cache={folder}/cache"]
        for inner in ("lists/partial", "cache/archives/partial"):
            (folder / inner).mkdir(parents=True)
        said += _apt(folder, *own, "update") + _apt(folder, *own, "download", "debootstrap")
    packages = list(folder.glob("debootstrap_*.deb"))
    if not packages:
        pytest.skip(f"apt-get cannot fetch debootstrap: {said.strip()[-400:]}")
    subprocess.run(["dpkg", "--extract", packages[0], folder / "x"], check=True)
    home = folder / "x/usr/share/debootstrap"
    return ["sh", str(folder / "x/usr/sbin/debootstrap")], {"DEBOOTSTRAP_DIR": str(home)}


def _apt(folder: Path, *words: str) -> str:
    """What it complained of."""
    try:
        ended = subprocess.run(
            ["apt-get", *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return f"apt-get {words[-1]} took more than 120 s"
    return ended.stderr


@pytest.fixture
def debian(clean_root: Path, tmp_path: Path) -> Debian:
    """A copy of the clean root, of this test's own."""
    subprocess.run(["cp", "--archive", "--reflink=auto", clean_root, tmp_path / "root"], check=True)
    made = Debian(tmp_path / "root")
    if subprocess.run(made.inside("true"), capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here, and the agent needs /proc")
    return made


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The package in two versions; bookworm's Python is 3.11."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    return [
        build(tmp_path_factory.mktemp("dist"), each, architecture, here=sys.version_info[:2] == (3, 11))[1]
        for each in ("1.0.0", "1.0.1")
    ]


class Life:
    """The agent in the root, started by its command as by somebody without systemd."""

    def __init__(self, debian: Debian, bench: Any) -> None:
        self.debian, self.bench, self.log = debian, bench, bench.host.folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None
        needed = ("AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "NO_PROXY")
        self.environment = debian.environment(**{name: bench.host.environment[name] for name in needed})

    def settle(self) -> None:
        settings = yaml.safe_load(self.bench.host.config.read_text())
        del settings["rehearsal"], settings["state"]
        (self.debian.root / "etc/fairlead").mkdir(exist_ok=True)
        (self.debian.root / "etc/fairlead/agent.yaml").write_text(yaml.safe_dump(settings))

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.debian.inside("fairlead-agent", "run"),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        pid = self.debian.root / "srv/mm.pid"
        if pid.is_file():
            os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.fixture
def life(debian: Debian, bench: Any) -> Iterator[Life]:
    bench.host.stop_agent()
    bench.host.kill_service()
    made = Life(debian, bench)
    yield made
    made.end()
    for log in (debian.root / "srv").glob("mm.log"):
        print(log.read_text())


def lifecycle_of(port: int) -> dict[str, Any]:
    """Without systemd: a command that ends the old process and begins the new one, and leaves its number behind."""
    serve = f"python3 matchmaker.jar --port {port} --config matchmaker.yaml"
    command = "[ ! -f /srv/mm.pid ] || kill -9 $(cat /srv/mm.pid) || true\n"
    command += f"{serve} >/srv/mm.log 2>&1 & echo $! >/srv/mm.pid"
    health = Health(http=f"http://127.0.0.1:{port}/health", within=20.0)
    return {"run": Run(command=command), "health": health, "drain": None}


def served(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return str(answer.read())


def test_on_a_clean_debian_it_installs_deploys_upgrades_and_leaves_nothing_but_what_it_deployed(
    debian: Debian, packages: list[Path], life: Life, bench: Any
) -> None:
    before, port = debian.files(), bench.host.port()

    debian.install(packages[0])
    life.settle()
    assert "fairlead-agent 1.0.0\n" == debian.run("fairlead-agent", "--version")
    life.start()
    first: Release = bench.release("2.4.0", **lifecycle_of(port))
    bench.say(first)
    bench.wait_done(first)
    assert "2.4.0" in served(port)

    debian.install(packages[1])  # while it runs
    assert 0 == life.stop()
    life.start()
    second: Release = bench.release("2.4.1", **lifecycle_of(port))
    bench.say(second)
    assert "1.0.1" == bench.wait_done(second)["agent"]
    assert 0 == life.stop()

    debian.run("dpkg", "--remove", "fairlead-agent")
    assert "2.4.1" in served(port)
    kept = debian.files() - before
    assert {"/etc/fairlead/agent.yaml", "/var/lib/fairlead-agent/number"} <= kept
    assert not any(path.startswith(("/usr", "/var/cache/fairlead-agent")) for path in kept)
    debian.run("dpkg", "--purge", "fairlead-agent")

    assert set() == debian.files() - before
    assert "2.4.1" in served(port)
    assert (debian.root / "srv/matchmaker/current/matchmaker.jar").is_file()


def test_with_systemd_the_unit_is_started_begun_anew_and_ended_and_nothing_else_is(
    debian: Debian, packages: list[Path]
) -> None:
    """A played systemctl that writes down what it is asked."""
    (debian.root / "run/systemd/system").mkdir(parents=True)
    said = debian.root / "srv/asked"
    systemctl = debian.root / "usr/bin/systemctl"
    systemctl.write_text('#!/bin/sh\necho "$@" >> /srv/asked\n')
    systemctl.chmod(0o755)

    def asked(*command: str) -> list[str]:
        said.unlink(missing_ok=True)
        debian.run(*command) if command[0] == "dpkg" else debian.install(Path(command[0]))
        return [line.removesuffix(" fairlead-agent.service") for line in said.read_text().splitlines()]

    assert ["daemon-reload", "enable", "start"] == asked(str(packages[0]))
    assert ["daemon-reload", "is-enabled --quiet", "restart"] == asked(str(packages[1]))
    assert ["stop", "daemon-reload"] == asked("dpkg", "--remove", "fairlead-agent")
    assert ["daemon-reload", "is-enabled --quiet", "restart"] == asked(str(packages[1]))
    assert ["stop", "daemon-reload", "daemon-reload"] == asked("dpkg", "--purge", "fairlead-agent")


def test_dpkg_can_be_asked_twice_for_everything(debian: Debian, packages: list[Path]) -> None:
    before = debian.files()
    for each in (packages[0], packages[0], packages[1]):
        debian.install(each)
    assert "fairlead-agent 1.0.1\n" == debian.run("fairlead-agent", "--version")

    for _ in range(2):
        debian.run("dpkg", "--purge", "fairlead-agent")

    assert set() == debian.files() - before
