"""Orca's engine as processes: Redis and a Java program around Orca's published libraries, both on loopback.

Everything that is fetched lands in `build/spinnaker`: libraries by Maven, by whatever registry this machine's Maven
knows, and Debian's redis-server where none is installed. Nothing is fetched twice.
"""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).parents[4]
SOURCE = Path(__file__).parents[1] / "orca"
BUILD = ROOT / "build" / "spinnaker"
FETCHING = 500.0  # seconds
STARTING = 180.0
_LIBRARIES = re.compile(r"^\s*Depends:\s*((?:lib|lua)\S+)$", re.MULTILINE)
_SYSTEM = re.compile(r"^(libc6|libssl|libsystemd|libgcc|libstdc|libatomic)")  # there wherever Debian is


class Missing(Exception):
    """This machine cannot run the engine; the message says what it lacks."""


def version() -> str:
    """Of Orca, as the POM names it."""
    found = re.search(r"<orca\.version>([^<]+)<", (SOURCE / "pom.xml").read_text())
    assert found is not None
    return found[1]


def prepare() -> None:
    """Fetch and compile what is not there yet. Raises `Missing`."""
    lacking = [name for name in ("java", "javac", "mvn") if shutil.which(name) is None]
    if lacking:
        raise Missing(f"{', '.join(lacking)} is not on PATH (a JDK 17 and Maven)")
    _compiled()
    _redis()


def redis_version() -> str:
    """Of the Redis that it stands on. Raises `Missing`."""
    command, environment = _redis()
    said = subprocess.run(
        [command, "--version"], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"v=(\S+)", said)
    return f"Redis {found[1]}" if found else "Redis"


@contextmanager
def running() -> Iterator[str]:
    """The URL of a running engine with an empty store. Raises `Missing`."""
    prepare()
    BUILD.mkdir(parents=True, exist_ok=True)
    redis_port, port = _free_port(), _free_port()
    command, environment = _redis()
    redis = [command, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _process("redis", [*redis, "--dir", str(BUILD)], environment):
        _wait(lambda: _answers(redis_port), "Redis")
        with _process("engine", _java(port, redis_port), {}):
            url = f"http://127.0.0.1:{port}"
            _wait(lambda: _is_up(url), "the engine")
            yield url


def _java(port: int, redis_port: int) -> list[str]:
    settings = {
        "server.address": "127.0.0.1",
        "server.port": port,
        "redis.connection": f"redis://127.0.0.1:{redis_port}",
        "keiko.queue.redis.queue-name": "orca.queue",
        "keiko.queue.redis.dead-letter-queue-name": "orca.dead",
        "queue.retry.delay.ms": 100,  # 15 s and more by default, which only makes a suite slow
        "spinnaker.extensibility.enable-default-repositories": "false",  # no plugins are looked for on the internet
        "server.error.include-message": "always",  # as kork sets it for every service
    }
    heap = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [
        *("java", *heap, "-cp", _compiled(), "fairlead.Engine"),
        *(f"--{name}={value}" for name, value in settings.items()),
    ]


def _compiled() -> str:
    """The class path, fetched and compiled again only where the sources changed."""
    sources = sorted(path for path in SOURCE.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    folder = BUILD / f"engine-{digest[:12]}"
    path = folder / "classpath"
    if not path.exists():
        said = _run(
            [
                *("mvn", "-q", "-B", "-f", str(SOURCE / "pom.xml"), f"-Dfairlead.build={folder}"),
                *(f"-Dmaven.repo.local={BUILD / 'maven'}", f"-Dmdep.outputFile={folder / 'fetched'}"),
                *("compile", "dependency:build-classpath"),
            ]
        )
        if "COMPILATION" in said:
            raise RuntimeError(f"the engine's own sources do not compile: mvn -f {SOURCE / 'pom.xml'} compile")
        if said:
            raise Missing(f"Maven could not fetch Orca's libraries: {said}")
        (folder / "fetched").rename(path)
    return f"{folder / 'classes'}:{path.read_text().strip()}"


def _redis() -> tuple[str, Mapping[str, str]]:
    """redis-server and the environment that it needs."""
    installed = shutil.which("redis-server")
    if installed:
        return installed, {}
    folder = BUILD / "redis"
    command = folder / "usr" / "bin" / "redis-server"
    if not command.exists():
        _unpack_redis(folder)
    libraries = {str(path.parent) for path in folder.glob("usr/lib/**/*.so*")}
    return str(command), {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def _unpack_redis(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Missing("redis-server is not on PATH, and there is no apt-get to fetch Debian's")
    debs = BUILD / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    wanted = ["redis-server", "redis-tools"]
    if _run(["apt-cache", "show", "redis-server"]) and (said := _run(["apt-get", "-q", "update"])):
        raise Missing(f"apt-get knows no redis-server: {said}")
    depends = subprocess.run(["apt-cache", "depends", *wanted], capture_output=True, text=True, check=False).stdout
    wanted += sorted({name for name in _LIBRARIES.findall(depends) if not _SYSTEM.match(name)})
    said = _run(["apt-get", "-q", "download", *wanted], cwd=debs)
    if said:
        raise Missing(f"redis-server could not be fetched: {said}")
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg", "-x", str(deb), str(folder)])


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    """Nothing when it went well, else the first line that it complained with."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=FETCHING, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} took over {FETCHING:g} s"
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line or line.startswith("E:")]
    return "" if done.returncode == 0 else (lines or [f"{command[0]} ended with {done.returncode}"])[0]


@contextmanager
def _process(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    with (BUILD / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(is_so: object, what: str) -> None:
    assert callable(is_so)
    until = time.monotonic() + STARTING
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not start within {STARTING:g} s; see {BUILD}/*.log")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
