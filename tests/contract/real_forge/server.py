"""A running Gitea or Forgejo: configured whole, offline, on a free port of loopback, ended with its block."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.contract.real_forge.building import Built

OWNER = "acme"
STARTING, ENDING = 120.0, 20.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RealForge:
    """Where it is, and the token of the one account, `OWNER`, who is no administrator: they are told more of errors."""

    url: str
    token: str = field(repr=False)

    @property
    def api(self) -> str:
        """The root of its API."""
        return f"{self.url}/api/v1"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer. Raises RuntimeError where it is not 2xx."""
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"token {self.token}"}
            answer = session.request(method, f"{self.api}/{path}", json=body, headers=headers, timeout=60)
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def create(self, name: str) -> str:
        """A new repository with one commit on `main`; its `owner/name`."""
        said = self.ask("POST", "user/repos", {"name": name, "auto_init": True, "default_branch": "main"})
        return str(said["full_name"])

    def commit(self, repository: str, file: str, branch: str = "main", new_branch: str = "") -> str:
        """A commit that adds a file; its sha."""
        body = {"content": "aGkK", "message": f"Add {file}", "branch": branch}
        if new_branch:
            body["new_branch"] = new_branch
        said = self.ask("POST", f"repos/{repository}/contents/{file}", body)
        return str(said["commit"]["sha"])

    def clone_url(self, repository: str) -> str:
        """With the sign-in of `OWNER`."""
        return f"{self.url.replace('://', f'://{OWNER}:{self.token}@')}/{repository}.git"


@contextmanager
def running(built: Built, folder: Path) -> Iterator[RealForge]:
    """A server with an empty store in a folder of its own. Raises RuntimeError where it does not start."""
    port = _free_port()
    config = folder / "app.ini"
    folder.mkdir(parents=True, exist_ok=True)
    config.write_text(_ini(built, folder, port))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GITEA_WORK_DIR": str(folder)}
    environment["FORGEJO_WORK_DIR"] = str(folder)
    command = [str(built.program), "--config", str(config)]
    _run([*command, "migrate"], environment)
    account = ["--username", OWNER, "--random-password", "--email", f"{OWNER}@example.com"]
    token = ["--must-change-password=false", "--access-token", "--access-token-scopes", "all"]
    said = _run([*command, "admin", "user", "create", *account, *token], environment)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "web"], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        forge = RealForge(url=f"http://127.0.0.1:{port}", token=_token(said))
        _wait(forge, process, log)
        yield forge
    finally:
        _end(process)


def _ini(built: Built, folder: Path, port: int) -> str:
    server: dict[str, object] = {
        "HTTP_ADDR": "127.0.0.1",
        "HTTP_PORT": port,
        "ROOT_URL": f"http://127.0.0.1:{port}/",
        "DISABLE_SSH": True,
        "OFFLINE_MODE": True,
    }
    if built.static is not None:
        server["STATIC_ROOT_PATH"] = built.static
    sections: Mapping[str, Mapping[str, object]] = {
        "": {"RUN_MODE": "prod", "I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": os.geteuid() == 0},
        "server": server,
        "database": {"DB_TYPE": "sqlite3", "PATH": folder / "gitea.db"},
        "repository": {"ROOT": folder / "repositories", "DEFAULT_BRANCH": "main"},
        "security": {"INSTALL_LOCK": True, "SECRET_KEY": secrets.token_hex(32)},
        "webhook": {"ALLOWED_HOST_LIST": "loopback"},
        "service": {"DISABLE_REGISTRATION": True},
        "session": {"PROVIDER": "memory"},
        "indexer": {"ISSUE_INDEXER_TYPE": "db"},
        "log": {"MODE": "console", "LEVEL": "Warn", "ROOT_PATH": folder / "log"},
        "cron.update_checker": {"ENABLED": False},
        "actions": {"ENABLED": False},
        "packages": {"ENABLED": False},
    }
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {str(value).lower() if value in {True, False} else value}" for key, value in values.items()]
    return "\n".join([*lines, ""])


def _token(said: str) -> str:
    """It is the last word of what the creation of the account says."""
    return said.split("ccess token was successfully created")[1].rsplit(maxsplit=1)[-1]


def _run(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=STARTING, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[3]}: {done.stdout[-300:]} {done.stderr[-300:]}")
    return done.stdout


def _wait(forge: RealForge, process: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + STARTING
    while True:
        try:
            forge.ask("GET", "version")
        except (RuntimeError, requests.RequestException):
            if process.poll() is not None or time.monotonic() > patience:
                raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-500:]}") from None
            time.sleep(0.1)
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
