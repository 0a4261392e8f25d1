"""The repository of a bulk world on the sandbox's forge: a server of it, and what a person and Fairlead do there."""

import json
from pathlib import Path
from typing import Any

import requests

from adapters.clock import SystemClock
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.forge.access_log import WRITES, AccessLog, Entry
from fairlead_sandbox.git_server import GitServer
from tests.benchmarks.running import FULL_NAME, SECRET

ADDRESS, WRITTEN = "forge.json", "writes.jsonl"  # files in the folder of the git server
NO_LIMIT = 100_000  # writes


class ForgeServer:
    """What `BulkSettings.serve` makes: its one repository is on a forge, whose writes stand in a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git = GitServer(folder)
        self._forge = Forge(self._git, SystemClock())
        self._forge.log = _Written(folder / WRITTEN)

    def create(self, name: str) -> str:
        """The repository, whatever the world calls it."""
        self._forge.create(FULL_NAME)
        people = self._forge.identities
        said = {
            "api": self._forge.addresses.api,
            "person": people.add_person("ada"),
            "fairlead": people.add_person("fairlead"),
        }
        (self._folder / ADDRESS).write_text(json.dumps(said))
        return self.url(name)

    def url(self, name: str) -> str:
        """To clone from."""
        return self._git.url(FULL_NAME)

    def path(self, name: str) -> Path:
        """Its bare half."""
        return self._git.path(FULL_NAME)

    def stop(self) -> None:
        """The forge ends before the git server whose port it shares."""
        self._forge.stop()
        self._git.stop()


class _Written(AccessLog):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def arrived(self, entry: Entry) -> Entry:
        if entry.method in WRITES:
            with self._file.open("a") as lines:
                lines.write(json.dumps({"at": entry.at.isoformat(), "method": entry.method, "path": entry.path}) + "\n")
        return super().arrived(entry)


class OnForge:
    """The forge of a world in another process, by the folder of its git server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said: dict[str, str] = json.loads((folder / ADDRESS).read_text())
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {self._said['person']}"
        self.bare = folder / f"{FULL_NAME}.git"

    def settings(self, token: Path) -> str:
        """The line of fairlead.toml that names it. Fairlead's token is written into the file."""
        token.touch(mode=0o600)
        token.write_text(self._said["fairlead"])
        given = {
            "type": '"github"',
            "api": f'"{self._said["api"]}"',
            "repository": f'"{FULL_NAME}"',
            "auth": f'{{mode = "token", token = "file:{token}"}}',
            "webhook_secrets": f'["env:{SECRET}"]',
            "writes_per_minute": str(NO_LIMIT),
            "writes_per_hour": str(NO_LIMIT),
        }
        return f"forge = {{{', '.join(f'{name} = {value}' for name, value in given.items())}}}"

    def open_pull(self, branch: str) -> int:
        """A pull request of a branch that is there; its number. Raises RuntimeError."""
        body = {"head": branch, "base": "main", "title": branch}
        answer = self._session.post(f"{self._said['api']}/repos/{FULL_NAME}/pulls", json=body, timeout=30)
        if not answer.ok:
            raise RuntimeError(f"the forge answers {answer.status_code}: {answer.text[:300]}")
        return int(answer.json()["number"])

    def writes(self, path: str) -> list[dict[str, Any]]:
        """Requests that write and whose path ends so, as they arrived: `at`, `method`, `path`."""
        file = self._folder / WRITTEN
        lines = file.read_text().splitlines() if file.exists() else []
        return [said for said in map(json.loads, lines) if said["path"].endswith(path)]
