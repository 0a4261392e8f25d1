"""An AWS on this machine: a moto server in a thread, with a count of the calls that it received.

Every `Aws` has its own state, so two of them in one process know nothing of each other. One request is answered at a
time; who asks SQS to wait for messages waits outside of that, and is woken when one comes.
"""

import io
import os
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import boto3
from botocore.config import Config
from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from fairlead_sandbox import aws_extensions, aws_lifecycle, aws_messages
from fairlead_sandbox.aws_state import Asked, AwsState, state_in_use

ACCOUNT = "123456789012"
REGIONS = ("us-east-1", "eu-west-1")
_CREDENTIALS = {"aws_access_key_id": "AKIASANDBOXSANDBOX00", "aws_secret_access_key": "sandbox"}
_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_sessions = Lock()  # a boto3 session makes clients in one thread at a time
_dispatch: list[Application] = []


def _moto() -> Application:
    """Moto's WSGI application, once a process: building its routes takes longer than a test."""
    with _sessions:
        if not _dispatch:
            aws_extensions.install()
            _dispatch.append(DomainDispatcherApplication(create_backend_app))
        return _dispatch[0]


class _QuietHandler(MotoRequestHandler):
    """Werkzeug prints every request otherwise."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del code, size

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """Also where it was this side that cut it: nothing more is read from it."""
        del error, environ
        self.close_connection = True


class Aws:
    """A moto server on 127.0.0.1 and a free port. Use it as a context manager, or call `start` and `stop`."""

    def __init__(self, *, boot_seconds: float = 0.0) -> None:
        self.state = AwsState(boot_seconds=boot_seconds)
        self.calls: Counter[str] = Counter()  # "autoscaling:DescribeAutoScalingGroups" -> how often
        self.fetched: Counter[tuple[str, str]] = Counter()  # access key, "s3://bucket/key" -> how often it was read
        self._away = False
        self._server: BaseWSGIServer | None = None
        self._thread: Thread | None = None
        self._clients: dict[tuple[str, str], Any] = {}

    def start(self) -> Self:
        """Begin to answer. Gives itself."""
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_QuietHandler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the server and close the clients. May be called twice."""
        self.state.close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """Where it answers, as `AWS_ENDPOINT_URL` wants it."""
        if self._server is None:
            raise RuntimeError("this AWS is not running; call start() first")
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """What a child process needs to use this AWS and no other: its own files and metadata service are shut out."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": _CREDENTIALS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": _CREDENTIALS["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": REGIONS[0],
            "AWS_REGION": REGIONS[0],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str, region: str = REGIONS[0]) -> Any:
        """A boto3 client of `service` ("ec2", "autoscaling", ...) in `region`; kept, and closed by `stop`."""
        with _sessions:
            key = (service, region)
            if key not in self._clients:
                self._clients[key] = boto3.client(  # the default session keeps the loaded service models
                    service,
                    region_name=region,
                    endpoint_url=self.endpoint_url,
                    config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20),
                    **_CREDENTIALS,
                )
            return self._clients[key]

    def make_sick(self, image_id: str) -> None:
        """Instances launched from this image from now on are Unhealthy."""
        self.state.sick_images.add(image_id)

    def make_well(self, image_id: str) -> None:
        """Undo `make_sick` for instances that launch from now on."""
        self.state.sick_images.discard(image_id)

    def make_target_sick(self, instance_id: str) -> None:
        """Target groups find this instance unhealthy from now on."""
        self.state.sick_targets.add(instance_id)

    def make_target_well(self, instance_id: str) -> None:
        """Undo `make_target_sick`."""
        self.state.sick_targets.discard(instance_id)

    def target_lifecycle_state(self, region: str, instance_id: str) -> str | None:
        """The state that the instance's Auto Scaling group wants it in; None: it is in no group."""
        with state_in_use(self.state):
            return aws_lifecycle.target_state(region, ACCOUNT, instance_id)

    def session_of(self, access_key: str) -> str:
        """The name of the role session that has this key: of a host its instance id, of anybody else empty."""
        with state_in_use(self.state):
            return aws_messages.session_of(ACCOUNT, access_key)

    def reset_calls(self) -> None:
        """Count from nothing again."""
        self.calls.clear()

    def go_away(self) -> None:
        """Every connection is cut, also of those who wait for messages, until `come_back`."""
        self._away = True
        with self.state.arrived:
            self.state.arrived.notify_all()

    def come_back(self, *, lost: Iterable[str] = ()) -> None:
        """It answers again. What these services held ("s3", "sqs") is lost."""
        with state_in_use(self.state):
            for service in lost:
                self.state.backends.pop(get_backend(service)._id, None)  # type: ignore[call-overload]
                if service == "s3":
                    self.state.buckets.clear()
        self._away = False

    def _cut_if_away(self) -> None:
        if self._away:
            raise ConnectionResetError("this AWS is away")

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._cut_if_away()
        body = _body(environ)
        action = _action(environ, body)
        self.calls[action] += 1
        if action == "s3:GET" and not environ.get("QUERY_STRING"):
            self.fetched[_asked(environ).access_key, f"s3:/{environ['PATH_INFO']}"] += 1
        if action == "sqs:ReceiveMessage":
            return self._wait_for_messages(environ, body, start_response)
        return self._once(environ, body, _asked(environ), start_response)

    def _once(self, environ: dict[str, Any], body: bytes, asked: Asked, start_response: Any) -> list[bytes]:
        with state_in_use(self.state, asked):
            return list(_moto()({**environ, "wsgi.input": io.BytesIO(body)}, start_response))

    def _wait_for_messages(self, environ: dict[str, Any], body: bytes, start_response: Any) -> list[bytes]:
        """Look, and where nothing was there look again when something comes, until the time that was asked for is over.

        Who went away in the meantime is not given messages: they would be hidden from whoever comes after.
        """
        began = time.monotonic()
        while True:
            asked, said = _asked(environ), _Said()
            before = self.state.arrivals.copy()
            parts = self._once(environ, body, asked, said)
            left = began + asked.wait - time.monotonic()
            if said.status != "200 OK" or b'"Messages"' in b"".join(parts) or left <= 0 or self.state.closed:
                start_response(said.status, said.headers)
                return parts
            self._wait(asked, before[asked.queue], min(left, asked.next_visible or left))
            self._cut_if_away()
            if _is_gone(environ):
                start_response("200 OK", [])
                return []

    def _wait(self, asked: Asked, seen: int, seconds: float) -> None:
        with self.state.arrived:
            self.state.arrived.wait_for(
                lambda: self.state.closed or self._away or self.state.arrivals[asked.queue] != seen, seconds
            )


class _Said:
    """What moto says about an answer, before it is known whether it is given."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], trouble: Any = None) -> Callable[[bytes], None]:
        self.status, self.headers = status, headers
        return lambda _: None


def _is_gone(environ: Mapping[str, Any]) -> bool:
    """The client closed its end."""
    connection: socket.socket = environ["werkzeug.socket"]
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _asked(environ: Mapping[str, Any]) -> Asked:
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    return Asked(service=scope["service"], access_key=scope["key"]) if scope else Asked()


def _body(environ: Mapping[str, Any]) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    return body


def _action(environ: Mapping[str, Any], body: bytes) -> str:
    """`service:Action` of a signed request; `service:METHOD` where the protocol names no action."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = scope["service"] if scope else "unsigned"
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return f"{service}:{target.rpartition('.')[2]}"
    if "form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        return f"{service}:{parse_qs(body.decode()).get('Action', ['?'])[0]}"
    return f"{service}:{environ['REQUEST_METHOD']}"
