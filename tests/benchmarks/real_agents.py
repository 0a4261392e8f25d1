"""Agents as real processes on the instances of a bulk world, each with a folder that plays its disk: started, and idle.

What their service does is played: a command that ends at once restarts it, and a port that accepts is its health.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import yaml

from adapters.agent_protocol.signing import signing_key
from fairlead_sandbox.aws import ACCOUNT, REGIONS
from fairlead_sandbox.bulk.process import BulkProcess
from fairlead_sandbox.bulk.world import KEY_ID

ROLE = f"arn:aws:iam::{ACCOUNT}:role/instances"
ENDING = 30.0  # seconds
NOTHING = "{command: ':', stop_within: 5s}"  # how a service is run that is nothing


@contextmanager
def accepting() -> Iterator[int]:
    """A port that accepts whoever comes: the health of every host."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        Thread(target=_accept, args=(server,), daemon=True).start()
        yield int(server.getsockname()[1])
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            server.accept()[0].close()


@contextmanager
def processes(commands: Mapping[str, tuple[list[str], dict[str, str]]], folder: Path) -> Iterator[list[int]]:
    """One process a host: command and environment by its name. All of them end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name, (command, environment) in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
        yield [each.pid for each in started]
    finally:
        for each in started:
            each.send_signal(signal.SIGKILL)
        for each in started:
            each.wait(ENDING)


def agents(world: BulkProcess, fleet: str, bucket: str, folder: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """How to start the agent of each instance of the fleet; their settings are written."""
    key = signing_key(KEY_ID, (world.folder / "signing.key").read_text())
    found = {}
    for host, environment in identities(world, world.ask("launched", fleet=fleet)):
        home = folder / host
        home.mkdir(parents=True)
        said: dict[str, Any] = {
            "bucket": bucket,
            "keys": {key.key_id: key.public},
            "fleets": {fleet: {}},
            "state": str(home / "state"),
            "host": {"id": host, "region": REGIONS[0]},
            "rehearsal": {"prefix": str(home)},
        }
        (home / "agent.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
        command = [sys.executable, "-m", "fairlead_agent", "run", "--config", str(home / "agent.yaml")]
        found[host] = (command, environment)
    return found


def identities(world: BulkProcess, hosts: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each instance with the environment of its processes: credentials of a session of its name."""
    own = {**os.environ, **world.environment}
    client = boto3.client(
        "sts",
        region_name=REGIONS[0],
        endpoint_url=world.endpoint_url,
        aws_access_key_id=world.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=world.environment["AWS_SECRET_ACCESS_KEY"],
    )
    for host in hosts:
        made = client.assume_role(RoleArn=ROLE, RoleSessionName=host)["Credentials"]
        yield (
            host,
            {
                **own,
                "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
                "AWS_SESSION_TOKEN": made["SessionToken"],
            },
        )
    client.close()


def resident(pids: Iterable[int]) -> list[float]:
    """MiB of each."""
    found = []
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        found.append(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")))
    return found


def processor(pids: Iterable[int]) -> float:
    """Seconds that they took together, with the children that they waited for."""
    return sum(_ticks(pid) for pid in pids) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))
