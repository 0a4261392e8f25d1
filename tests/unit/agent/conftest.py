"""What tests of releases on a disk share: a bucket in a folder, releases made on the spot, and a host."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as also
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from adapters.agent_protocol.canonical import sha256
from adapters.agent_protocol.orders import (
    LIFETIME,
    Artifact,
    Assignment,
    ConfigFile,
    Drain,
    Health,
    Lifecycle,
    Order,
    Release,
    Run,
)
from adapters.agent_protocol.reports import Work, WorkState
from adapters.agent_protocol.signing import SigningKey, new_key
from fairlead_agent.balancer import Balancer
from fairlead_agent.commands import run
from fairlead_agent.hands import Hands
from fairlead_agent.health import HealthCheck
from fairlead_agent.hooks import Hooks
from fairlead_agent.installation import Installation, Means
from fairlead_agent.journal import Journal
from fairlead_agent.lifecycle import Deploy
from fairlead_agent.returning import Refuge
from fairlead_agent.service import Service
from fairlead_sandbox.aws import Aws
from tests.unit.agent.played import DRAIN, GROUP, PlayedGroups, PlayedHost

HOST = f"i-{os.getpid()}"  # tests that run at once must not end each other's hooks


class FolderS3:
    """As much of an S3 client as the agent uses, over a folder; it counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads: list[str] = []

    def put(self, key: str, content: bytes) -> str:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def get_object(self, **asked: str) -> Mapping[str, Any]:
        path = self.folder / asked["Key"]
        if not path.is_file():
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        self.downloads.append(asked["Key"])
        return {"ContentLength": path.stat().st_size, "Body": StreamingBody(path.open("rb"), path.stat().st_size)}


class FewSecrets:
    """As much of a Secrets Manager client as the agent uses."""

    def __init__(self, texts: Mapping[tuple[str, str], str]) -> None:
        self.texts = texts

    def get_secret_value(self, **asked: str) -> Mapping[str, str]:
        text = self.texts.get((asked["SecretId"], asked.get("VersionStage") or asked.get("VersionId", "")))
        if text is None:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
        return {"SecretString": text}


def a_tar(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar file of those."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@dataclass
class Host:
    """One host: a root, a bucket, and what is needed to make releases for it."""

    folder: Path
    s3: FolderS3
    secrets: FewSecrets = also(
        default_factory=lambda: FewSecrets({("prod/mm", "7"): '{"password": "hunter2-hunter2"}'})
    )
    stop: Event = also(default_factory=Event)
    more: dict[str, Any] = also(default_factory=dict)  # other means

    @property
    def root(self) -> Path:
        return self.folder / "srv/matchmaker"

    def installation(self) -> Installation:
        """As a freshly started agent has it."""
        return Installation(self.root, Means(s3=lambda: self.s3, secrets=lambda: self.secrets, **self.more))

    def file(self, version: str, content: bytes | None = None, name: str = "matchmaker") -> Artifact:
        key = f"{name}/{version}/{name}.jar"
        pin = self.s3.put(key, content if content is not None else f"{name} {version}".encode())
        return Artifact(
            name=name, version=version, format="file", source=f"s3://builds/{key}", to=f"{name}.jar", sha256=pin
        )

    def archive(self, version: str, content: bytes, to: str | None = "app", name: str = "assets") -> Artifact:
        key = f"{name}/{version}/{name}.tar.gz"
        pin = self.s3.put(key, content)
        return Artifact(name=name, version=version, format="archive", source=f"s3://builds/{key}", to=to, sha256=pin)

    def config(self, **values: Any) -> ConfigFile:
        return ConfigFile(
            component="config/matchmaker", to="etc/matchmaker.yaml", format="yaml", values=values, digest=sha256(values)
        )

    def release(self, *artifacts: Artifact, config: ConfigFile | None = None, **more: str) -> Release:
        components = {f"package/{one.name}": one.version for one in artifacts} | more
        components |= {f"sha256/{one.name}": one.sha256 for one in artifacts}
        if config is not None:
            components[config.component] = config.digest
        return Release(
            digest=sha256(components),
            commit="c0ffee" + "0" * 34,
            version=artifacts[0].version,
            components=components,
            artifacts=artifacts,
            config=config,
            lifecycle=Lifecycle(
                root="/srv/matchmaker", run=Run(unit="matchmaker.service"), health=Health(tcp="localhost:80")
            ),
        )

    def install(self, release: Release) -> Installation:
        """Staged and activated."""
        installation = self.installation()
        installation.stage(release, self.stop)
        installation.activate(release.id)
        return installation

    def here(self, inner: str) -> Path:
        """A path in the active release."""
        return self.root / "current" / inner

    def everything(self) -> str:
        """All that is on the disk but in the config, for a secret to be found in."""
        paths = [path for path in self.root.rglob("*") if path.is_file() and path.name != "matchmaker.yaml"]
        return "\n".join(f"{path} {path.read_bytes()!r}" for path in paths) + json.dumps(self.s3.downloads)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, FolderS3(tmp_path / "bucket"))


@pytest.fixture
def make_tar() -> Callable[..., bytes]:
    return a_tar


class ControlledClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.moment += timedelta(seconds=seconds)


class Said(list[tuple[str, dict[str, Any]]]):
    """A log that remembers."""

    def __call__(self, event: str, **facts: Any) -> None:
        self.append((event, facts))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self]


@pytest.fixture
def clock() -> ControlledClock:
    return ControlledClock()


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def key() -> SigningKey:
    return new_key("2026-11")[0]


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def make_order(clock: ControlledClock) -> Callable[..., Order]:
    """An order of an hour ago, over the release that is given; `changes` are its other fields."""

    def make(target: Release, sequence: int = 1, **changes: Any) -> Order:
        issued = clock.now() - timedelta(hours=1)
        known = {"fleet": "prod/matchmaker", "issued": issued, "expires": issued + LIFETIME}
        return Order(target=target, sequence=sequence, **{**known, **changes})

    return make


class Field:
    """One fleet on a played host, carried out by the shipped hands. `at` is called with each stage that is begun."""

    fleet = "prod/matchmaker"

    def __init__(self, host: Host, said: Said) -> None:
        self.host, self.said = host, said
        self.unit = PlayedHost(self._current)
        self.groups = PlayedGroups(GROUP)
        self.stop = host.stop
        self.at: Callable[[str], None] = lambda stage: None
        self.restart_agent()

    def restart_agent(self) -> None:
        """As after a crash: nothing is left but the disk, and what runs."""
        folder = self.host.folder / "state"
        folder.mkdir(exist_ok=True)
        self.journal = Journal(folder, self.fleet)
        self.journal.load()
        self.stop.clear()
        self.hands = Hands(
            installation=self.host.installation(),
            service=Service(self.unit),
            health=HealthCheck(self.unit, {}),
            balancer=Balancer(lambda: self.groups, "i-1", "us-east-1", pause=0.0),
            hooks=Hooks(run, self.fleet, HOST),
            folder=self.host.root / "current",
        )
        self.deploy = Deploy(self.fleet, self.journal, self.said, self._moved)

    def _current(self) -> str | None:
        return self.hands.installation.current()

    def _moved(self) -> None:
        self.at(self.work.stage)

    @property
    def work(self) -> Work:
        assert self.journal.memory.work is not None
        return self.journal.memory.work

    def release(self, version: str, drain: Drain | None = DRAIN) -> Release:
        made = self.host.release(self.host.file(version))
        health = Health(command="is it well", within=0.0)
        return replace(made, lifecycle=replace(made.lifecycle, health=health, drain=drain))

    def begin(self, release: Release, attempt: int = 1, refuge: Refuge | None = None) -> Work:
        assignment = Assignment(release=release, attempt=attempt)
        self.deploy.begin(assignment, self.hands, self.stop, refuge or Refuge())
        return self.work

    def resume(self, release: Release) -> Work:
        self.deploy.resume(release, self.hands, self.stop, Refuge())
        return self.work

    def deployed(self, version: str) -> Release:
        """A release that runs, healthy; and nothing was asked of anybody yet."""
        release = self.release(version)
        assert WorkState.DONE == self.begin(release).state
        self.unit.asked.clear()
        self.groups.asked.clear()
        self.said.clear()
        return release

    def runs(self, release: Release) -> bool:
        """Files, process, and traffic."""
        return (release.id, release.id) == (self.hands.installation.current(), self.unit.runs)


@pytest.fixture
def field(host: Host, said: Said) -> Field:
    return Field(host, said)
