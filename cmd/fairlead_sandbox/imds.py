"""The instance metadata service (IMDSv2) of every host, on one port of 127.0.0.1: each host has a path of its own.

`AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:<port>/<instance id>` leads botocore there (1.44.5 adds its paths to
the endpoint's). Credentials are of a role session that is named by the instance's id, as EC2's are.
"""

import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

from fairlead_sandbox.aws import ACCOUNT, Aws
from reconciler.ports import Clock

ROLE = "fairlead-host"
_TOKEN = "x-aws-ec2-metadata-token"
_LIFETIME = f"{_TOKEN}-ttl-seconds"
_STALE = timedelta(minutes=5)  # so long before their end credentials are made anew


@dataclass(slots=True, kw_only=True)
class _Instance:
    """What one instance is told about itself."""

    id: str
    region: str
    zone: str
    tokens: dict[str, datetime] = field(default_factory=dict)  # token: its end
    notices: dict[str, str] = field(default_factory=dict)  # what a switch put at a path below `latest/meta-data`
    credentials: dict[str, Any] | None = None


class MetadataService:
    """Use it as a context manager. `add` an instance, then lead its processes to `endpoint(instance)`."""

    def __init__(self, aws: Aws, clock: Clock, *, lifetime: timedelta = timedelta(hours=6)) -> None:
        self._aws = aws
        self._clock = clock
        self._lifetime = lifetime
        self._lock = Lock()
        self._instances: dict[str, _Instance] = {}
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def add(self, instance: str, region: str, zone: str) -> None:
        """Serve an instance."""
        self._instances[instance] = _Instance(id=instance, region=region, zone=zone)

    def remove(self, instance: str) -> None:
        """Serve it no more: it was terminated."""
        self._instances.pop(instance, None)

    def put_notice(self, instance: str, path: str, body: str | None) -> None:
        """Say something at a path below `latest/meta-data`, such as `spot/instance-action`; None: no more."""
        if body is None:
            self._instances[instance].notices.pop(path, None)
        else:
            self._instances[instance].notices[path] = body

    def endpoint(self, instance: str) -> str:
        """Where the instance's own metadata is."""
        if self._server is None:
            raise RuntimeError("this metadata service is not running; use it as a context manager")
        return f"http://127.0.0.1:{self._server.server_port}/{instance}"

    # -- answering ---------------------------------------------------------------------------------------------

    def put(self, path: str, lifetime: str | None) -> tuple[int, str]:
        """PUT: a session token for `lifetime` seconds. Gives status and body."""
        instance, rest = self._addressed(path)
        if instance is None or rest != "latest/api/token":
            return 404, ""
        if lifetime is None or not lifetime.isdigit() or not 1 <= int(lifetime) <= 21_600:
            return 400, ""
        token = secrets.token_urlsafe(32)
        with self._lock:
            instance.tokens[token] = self._clock.now() + timedelta(seconds=int(lifetime))
        return 200, token

    def get(self, path: str, token: str | None) -> tuple[int, str]:
        """GET with a session token: there is no version 1 here. Gives status and body."""
        instance, rest = self._addressed(path)
        if instance is None:
            return 404, ""
        if instance.tokens.get(token or "", self._clock.now()) <= self._clock.now():
            return 401, ""
        answer = self._known(instance).get(rest.rstrip("/"))
        found = self._noticed(instance, rest) if answer is None else answer()
        return (404, "") if found is None else (200, found)

    def _noticed(self, instance: _Instance, rest: str) -> str | None:
        """What a switch put there, what Auto Scaling is to do with it, and its tags, as where they are allowed."""
        path = rest.removeprefix("latest/meta-data/")
        if path in instance.notices:
            return instance.notices[path]
        if path == "autoscaling/target-lifecycle-state":
            return self._aws.target_lifecycle_state(instance.region, instance.id)
        if path.startswith("tags/instance/"):
            found = self._aws.client("ec2", instance.region).describe_instances(InstanceIds=[instance.id])
            tags = found["Reservations"][0]["Instances"][0].get("Tags", [])
            return {tag["Key"]: str(tag["Value"]) for tag in tags}.get(path.removeprefix("tags/instance/"))
        return None

    def _addressed(self, path: str) -> tuple[_Instance | None, str]:
        name, _, rest = path.lstrip("/").partition("/")
        return self._instances.get(name), rest.lstrip("/")

    def _known(self, instance: _Instance) -> dict[str, Callable[[], str]]:
        data = "latest/meta-data"
        return {
            f"{data}/instance-id": lambda: instance.id,
            f"{data}/placement/region": lambda: instance.region,
            f"{data}/placement/availability-zone": lambda: instance.zone,
            f"{data}/iam/security-credentials": lambda: ROLE,
            f"{data}/iam/security-credentials/{ROLE}": lambda: json.dumps(self._credentials(instance)),
            "latest/dynamic/instance-identity/document": lambda: json.dumps(_identity(instance)),
        }

    def _credentials(self, instance: _Instance) -> dict[str, Any]:
        with self._lock:
            now = self._clock.now()
            held = instance.credentials
            if held is None or datetime.fromisoformat(held["Expiration"]) - _STALE <= now:
                held = instance.credentials = self._fresh(instance.id, now)
            return held

    def _fresh(self, instance: str, now: datetime) -> dict[str, Any]:
        made = self._aws.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", RoleSessionName=instance
        )["Credentials"]
        return {
            "Code": "Success",
            "LastUpdated": _stamp(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": made["AccessKeyId"],
            "SecretAccessKey": made["SecretAccessKey"],
            "Token": made["SessionToken"],
            "Expiration": _stamp(now + self._lifetime),
        }


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _identity(instance: _Instance) -> dict[str, str]:
    return {
        "accountId": ACCOUNT,
        "availabilityZone": instance.zone,
        "instanceId": instance.id,
        "instanceType": "t3.micro",
        "region": instance.region,
        "version": "2017-09-30",
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(service: MetadataService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_PUT(self) -> None:
            self._send(*service.put(self.path, self.headers.get(_LIFETIME)))

        def do_GET(self) -> None:
            self._send(*service.get(self.path, self.headers.get(_TOKEN)))

        def _send(self, status: int, body: str) -> None:
            said = body.encode()
            with suppress(BrokenPipeError, ConnectionResetError):  # an agent that was killed reads no answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

        def log_message(self, *args: Any) -> None:
            """Nothing: nobody asked for a log."""

    return Handler
