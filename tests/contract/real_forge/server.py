"""A running Gitea or Forgejo: configured whole, offline, on a free port of loopback, ended with its block."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
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
    """Where it is, and the token of the account `OWNER`, who is no administrator: they are told more of errors.

    `admin` runs its program with `admin user` and these arguments, and gives what that says.
    """

    url: str
    token: str = field(repr=False)
    admin: Callable[..., str] = field(repr=False)
    folder: Path
    accounts: dict[str, str] = field(default_factory=dict, repr=False)  # tokens of those that were made, by login

    @property
    def api(self) -> str:
        """The root of its API."""
        return f"{self.url}/api/v1"

    def ask(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """The JSON of an answer, to `OWNER` if to nobody else. Raises RuntimeError where it is not 2xx."""
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"token {token or self.token}"}
            answer = session.request(method, f"{self.api}/{path}", json=body, headers=headers, timeout=60)
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def create(self, name: str) -> str:
        """A new repository with the commits of `seed` on `main`; its `owner/name`."""
        said = self.ask("POST", "user/repos", {"name": name, "default_branch": "main"})
        repository = str(said["full_name"])
        self.seed()
        git(self._seed, "push", "--quiet", self.clone_url(repository), "main")
        # Only later does Gitea see that it is no longer empty; until then it has no pull requests (404).
        wait_until(lambda: not self.ask("GET", f"repos/{repository}")["empty"])
        return repository

    @property
    def _seed(self) -> Path:
        return self.folder / "seed.git"

    def seed(self) -> tuple[str, ...]:
        """Three commits, oldest first: those of every new repository."""
        if not self._seed.exists():
            git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self._seed))
            stream = "".join(
                f"commit refs/heads/main\ncommitter a <a@example.com> {1_700_000_000 + number} +0000\ndata 1\nx\n\n"
                for number in range(3)
            )
            git(self._seed, "fast-import", "--quiet", said=stream)
        return tuple(git(self._seed, "rev-list", "--reverse", "main").split())

    def limited(self, *scopes: str) -> str:
        """A token of `OWNER` that may do so much."""
        named = ["--username", OWNER, "--token-name", secrets.token_hex(8), "--scopes", ",".join(scopes)]
        return self.admin("generate-access-token", *named, "--raw").split()[-1]

    def account(self, login: str) -> str:
        """The token of another account, which is made where there is none yet."""
        if login not in self.accounts:
            self.accounts[login] = _token(self.admin("create", *_account(login)))
        return self.accounts[login]

    def merge(self, repository: str, number: int, how: str) -> str:
        """What `main` is then. Gitea looks first whether it can be merged."""
        wait_until(lambda: self.ask("GET", f"repos/{repository}/pulls/{number}")["mergeable"])
        self.ask("POST", f"repos/{repository}/pulls/{number}/merge", {"Do": how})
        return str(self.ask("GET", f"repos/{repository}/branches/main")["commit"]["id"])

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

    def admin(*arguments: str) -> str:
        return _run([*command, "admin", "user", *arguments], environment)

    said = admin("create", *_account(OWNER))
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "web"], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        forge = RealForge(url=f"http://127.0.0.1:{port}", token=_token(said), admin=admin, folder=folder)
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


def _account(login: str) -> list[str]:
    who = ["--username", login, "--random-password", "--email", f"{login}@example.com"]
    return [*who, "--must-change-password=false", "--access-token", "--access-token-scopes", "all"]


def wait_until(is_so: Callable[[], Any]) -> Any:
    """What it gives, when that is true. Raises RuntimeError where it does not become so."""
    patience = time.monotonic() + STARTING
    while not (found := is_so()):
        if time.monotonic() > patience:
            raise RuntimeError("the server does not come so far")
        time.sleep(0.02)
    return found


def git(folder: Path, *arguments: str, said: str = "") -> str:
    """What a git command says. Raises RuntimeError with git's words."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=kept | alone, input=said, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr[-300:]}")
    return done.stdout


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
