"""A bulk world and real controller processes on it: started, watched by their logs, their memory and their ledger."""

import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Engine, create_engine, text

from fairlead_sandbox.bulk.process import BulkProcess

AS_SHIPPED = {  # the settings' own defaults: the sandbox's are quicker
    "poll_interval": "30s",
    "request_timeout": "10s",
    "inventory_interval": "1m",
    "executions_interval": "5s",
    "active_interval": "10s",
    "reports_wait": "2s",
}
SECRET, FULL_NAME = "BENCH_WEBHOOK_SECRET", "example/fleets"
SECRETS = {SECRET: "told to the forge and to the controller"}  # for the environment
WITH_WEBHOOK = (  # lines of the repository's settings
    f'forge = {{type = "git_notes", repository = "{FULL_NAME}", webhook_secrets = ["env:{SECRET}"]}}',
)
AS_RUN: dict[str, Any] = {"controller": AS_SHIPPED, "repository": WITH_WEBHOOK}  # for BulkSettings
ENDING = 30.0  # seconds


class Running:
    """One controller process."""

    def __init__(self, world: BulkProcess, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "controller.log"
        self._address = f"127.0.0.1:{_free_port()}"
        self._http = requests.Session()
        self._http.trust_env = False
        own = {"FAIRLEAD_LISTEN": self._address, **SECRETS}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name("fairlead")), "controller", "--config", str(world.config)],
                env={**os.environ, **world.environment, **own, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def hint(self, head: str) -> None:
        """The signed webhook of a push of this head. Raises RuntimeError where it is not taken."""
        self.tell("push", {"ref": "refs/heads/main", "after": head, "repository": {"full_name": FULL_NAME}})

    def tell(self, event: str, said: Mapping[str, Any]) -> None:
        """A signed webhook. Raises RuntimeError where it is not taken."""
        body = json.dumps(said).encode()
        signature = hmac.new(SECRETS[SECRET].encode(), body, "sha256").hexdigest()
        headers = {"X-GitHub-Event": event, "X-Hub-Signature-256": f"sha256={signature}"}
        headers |= {"X-GitHub-Delivery": signature, "Content-Type": "application/json"}
        answer = self._http.post(f"http://{self._address}/hooks/github", data=body, headers=headers, timeout=ENDING)
        if not answer.ok:
            raise RuntimeError(f"the webhook was answered {answer.status_code}: {answer.text}")

    def passes(self, family: str) -> list[Mapping[str, Any]]:
        """The canonical lines of a family's passes, oldest first."""
        lines = self.log().splitlines()
        said = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return [each for each in said if each.get("event") == "pass" and each.get("family") == family]

    def log(self) -> str:
        """All that it wrote."""
        return self._log.read_text(errors="replace")

    def memory(self) -> tuple[float, float]:
        """MiB: resident now, and at most so far. Raises RuntimeError where it ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the controller ended: {self._log.read_text(errors='replace')[-500:]}")
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = {line.partition(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Vm")}
        return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024

    def cpu(self) -> float:
        """Seconds of processor so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def is_idle(self) -> bool:
        """It has begun, and took less than a third of a core for the last second."""
        if '"controller started"' not in self._log.read_text(errors="replace"):
            return False
        before = self.cpu()
        time.sleep(1)
        return self.cpu() - before < 1 / 3

    def stop(self) -> None:
        """Let it end; end it where it does not."""
        self._http.close()
        self._process.terminate()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(world: BulkProcess, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A controller, ended with the block."""
    controller = Running(world, folder, environment or {})
    try:
        yield controller
    finally:
        controller.stop()


class Watch:
    """Questions to a ledger that nobody else asks: as a person would, by SQL."""

    def __init__(self, url: str) -> None:
        self._engine: Engine = create_engine(url)

    def number(self, query: str, **values: object) -> int:
        """The one number that a query gives."""
        with self._engine.connect() as connection:
            return int(connection.execute(text(query), values).scalar_one() or 0)

    def numbers(self, query: str, **values: object) -> list[int]:
        """The first column of what a query gives."""
        with self._engine.connect() as connection:
            return [int(each) for each in connection.execute(text(query), values).scalars()]

    def ready(self, version: str = "") -> int:
        """Fleets that are ready; at a version, where one is given."""
        at = " AND target_version = :version" if version else ""
        return self.number(f"SELECT count(*) FROM fleets WHERE ready{at}", **({"version": version} if version else {}))

    def waiting(self) -> int:
        """Fleets that are due, or under way."""
        now = int(time.time() * 1_000_000)  # noqa: TID251 - the ledger's clock is this machine's
        return self.number("SELECT count(*) FROM queue WHERE family = 'fleet' AND due <= :now", now=now)

    def held(self, family: str) -> int:
        """Names of a family that somebody works on."""
        return self.number("SELECT count(*) FROM queue WHERE family = :family AND owner IS NOT NULL", family=family)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def wait_until(condition: Callable[[], bool], what: str, patience: float, every: float = 0.2) -> float:
    """Seconds until it held. Raises RuntimeError where it did not."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience:
            raise RuntimeError(f"not within {patience:g} s: {what}")
        time.sleep(every)
    return time.monotonic() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def calm(watch: Watch, patience: float) -> None:
    """Return when no fleet was due for two seconds."""
    since: list[float] = []

    def is_calm() -> bool:
        if watch.waiting():
            since.clear()
        else:
            since.append(time.monotonic())
        return bool(since) and since[-1] - since[0] > 2

    wait_until(is_calm, "a calm queue", patience)
