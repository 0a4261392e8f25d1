"""A large estate as a desired-state repository: so many fleets, half of either type, and what a person merges into it.

The same number gives the same estate. It lies in a bare repository behind the sandbox's git server, so that what is
measured speaks real git over HTTP.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "123456789012"
REGION = "us-east-1"
ENVIRONMENTS = ("dev", "staging", "prod-a", "prod-b")
FIRST, NEXT = "1.0.0", "1.0.1"
_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}

SPINNAKER = """owner: team-{team}
package: {service}
deploy:
  type: spinnaker
  application: {service}
  pipeline: deploy
  parameters: {{version: PKG_VERSION, region: REGION, fairleadKey: FAIRLEAD_KEY}}
  select: {{cluster: "{service}-{{environment}}"}}
"""
TRIGGER = """owner: team-{team}
packages:
  {service}: {{format: file, from: "s3://example-builds/{service}/{{version}}/{service}.jar", to: {service}.jar}}
deploy:
  type: trigger
  root: /srv/{service}
  select: {{tags: {{service: {service}, environment: "{{environment}}"}}}}
  run: {{unit: {service}.service, stop_within: 30s}}
  health: {{http: "http://localhost:8080/health", within: 1m}}
  waves: [{{hosts: 1}}, {{hosts: 100%}}]
"""
ENVIRONMENT = """account: "{account}"
regions: [{region}]
spinnaker: {{url: "{gate}", account: {name}}}
trigger: {{bucket: example-fairlead}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """`fleets` fleets: services in four environments, every other service of type trigger."""

    fleets: int
    gate: str = "http://127.0.0.1:9"

    @property
    def services(self) -> int:
        """Services, as many as it takes."""
        return -(-self.fleets // len(ENVIRONMENTS))

    @property
    def names(self) -> Sequence[str]:
        """The fleets, in the order they are declared."""
        places = ((number, name) for number in range(self.services) for name in ENVIRONMENTS)
        return [f"{name}/s{number:05d}" for (number, name), _ in zip(places, range(self.fleets), strict=False)]

    def files(self) -> Iterator[tuple[str, str]]:
        """Path and text of every file."""
        environments = ", ".join(ENVIRONMENTS)
        yield "fairlead.yaml", f"apiVersion: fairlead/v1\nenvironments: [{environments}]\ndefaults: {{adopt: auto}}\n"
        for name in ENVIRONMENTS:
            text = ENVIRONMENT.format(account=ACCOUNT, region=REGION, gate=self.gate, name=name)
            yield f"environments/{name}/environment.yaml", text
        for number in range(self.services):
            text = TRIGGER if number % 2 else SPINNAKER
            yield f"services/s{number:05d}.yaml", text.format(service=f"s{number:05d}", team=number % 50)
        for name in self.names:
            yield path_of(name), f"version: {FIRST}\n"


def path_of(fleet: str) -> str:
    """The file that a bump of a fleet edits."""
    return f"environments/{fleet}.yaml"


def is_trigger(fleet: str) -> bool:
    """Which of the two types a fleet is of."""
    return int(fleet[-5:]) % 2 == 1


class Pusher:
    """Commits into a bare repository by `git fast-import`: a push without the client's part."""

    def __init__(self, bare: Path) -> None:
        self._bare = bare
        self._clock = 1_700_000_000

    def push(self, files: Mapping[str, str], subject: str) -> str:
        """One commit on `main` that writes these files; gives its id."""
        self._clock += 60
        blobs = list(files.items())
        said = subject.encode()
        stream = [b"feature done\n"]
        for mark, (_, text) in enumerate(blobs, start=1):
            data = text.encode()
            stream.append(b"blob\nmark :%d\ndata %d\n%b\n" % (mark, len(data), data))
        who = b"Ada <ada@example.com> %d +0000" % self._clock
        stream.append(b"commit refs/heads/main\nauthor %b\ncommitter %b\ndata %d\n%b\n" % (who, who, len(said), said))
        if self.head:
            stream.append(b"from refs/heads/main^0\n")
        stream += [b"M 100644 :%d %b\n" % (mark, path.encode()) for mark, (path, _) in enumerate(blobs, start=1)]
        stream.append(b"\ndone\n")
        self._git("fast-import", "--quiet", data=b"".join(stream))
        return self.head

    def bump(self, fleets: Sequence[str], version: str) -> str:
        """One commit that gives these fleets a version."""
        return self.push({path_of(name): f"version: {version}\n" for name in fleets}, f"Bump to {version}")

    @property
    def head(self) -> str:
        """The head of `main`, or an empty text."""
        return self._git("for-each-ref", "--format=%(objectname)", "refs/heads/main").decode().strip()

    def _git(self, *args: str, data: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", "-C", str(self._bare), *args],
            input=data,
            env={**os.environ, **_QUIET},
            check=True,
            capture_output=True,
        ).stdout
