"""A small desired-state repository behind a real git server, and a clock that a test owns."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead_sandbox.git_server import GitServer

SERVICE = """\
owner: payments
package: {name}
deploy:
  type: spinnaker
  application: {name}
  pipeline: "deploy-{{environment}}"
  parameters: {{version: PKG_VERSION, region: REGION, fairleadKey: FAIRLEAD_KEY}}
  select: {{cluster: "{name}-{{environment}}"}}
  waves: [{{regions: [us-east-1], soak: 5m}}, {{regions: rest}}]
in:
  staging: {{deploy: {{waves: [{{regions: all}}]}}}}
"""
ENVIRONMENT = """\
account: "123456789012"
regions: {regions}
spinnaker: {{url: "https://gate.example.com", account: {name}}}
"""


def example_files() -> dict[str, str]:
    """Two environments, two services, four fleets."""
    files = {
        "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging, prod]\n",
        "environments/staging/environment.yaml": ENVIRONMENT.format(regions="[us-east-1]", name="staging"),
        "environments/prod/environment.yaml": ENVIRONMENT.format(regions="[us-east-1, eu-west-1]", name="prod"),
    }
    for service in ("basket", "checkout"):
        files[f"services/{service}.yaml"] = SERVICE.format(name=service)
        for environment in ("staging", "prod"):
            files[f"environments/{environment}/{service}.yaml"] = "version: 1.4.1\n"
    return files


@dataclass(slots=True)
class TestClock:
    """Time as a test says it is."""

    __test__ = False
    moment: datetime = field(default_factory=lambda: datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def pass_by(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


PERSON = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Sam Doe"), ("EMAIL", "sam@example.com"))
}


class Clone:
    """A person's clone, with plain git; what it commits is pushed to `main`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main", str(folder), where=folder.parent)
        self.git("remote", "add", "origin", url)

    def git(self, *args: str, where: Path | None = None) -> str:
        outside = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        env, cwd = outside | quiet | PERSON, where or self.folder
        done = subprocess.run(["git", *args], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def head(self) -> str:
        """Where the server's `main` stands."""
        return self.git("ls-remote", "origin", "refs/heads/main").partition("\t")[0]

    def commit(self, message: str, files: Mapping[str, str | None]) -> str:
        """On top of what the server has; `None` removes a file. Gives the commit."""
        if self.head():
            self.git("fetch", "--quiet", "origin", "main")
            self.git("reset", "--quiet", "--hard", "FETCH_HEAD")
        for path, text in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text) if text is not None else file.unlink()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The repository from outside: its server and a person's clone."""

    server: GitServer
    url: str
    clone: Clone

    def change(self, files: Mapping[str, str | None], message: str = "change") -> str:
        return self.clone.commit(message, files)

    def force_push(self, onto: str, files: Mapping[str, str | None]) -> str:
        """Throw away what came after `onto`, and put another commit there."""
        self.clone.git("push", "--quiet", "--force", "origin", f"{onto}:refs/heads/main")
        return self.clone.commit("another history", files)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def files() -> dict[str, str]:
    return example_files()


@pytest.fixture
def desired(tmp_path: Path) -> Iterator[Desired]:
    """The example, pushed as one commit."""
    with GitServer(tmp_path / "served") as server:
        url = server.create("desired")
        clone = Clone(tmp_path / "clone", url)
        clone.commit("begin", example_files())
        yield Desired(server=server, url=url, clone=clone)
