"""The service in every played jar and archive: GET /health says its version and what it read from its config.

Called as `<archive> --port N [--config FILE]`. Beside it in the zip lies `build.json`: service, version, behaviour and
after. How it behaves is told in `builds.py`. A file `<host>/run/sick-<service>` makes it answer 503 while it is there.
"""
# ruff: noqa: PTH110, PTH118, PTH123
# pathlib alone takes as long to import as the interpreter takes to start.

import hashlib
import json
import os
import signal
import socket
import sys
import time
from typing import Any

STARTED = time.monotonic()


def build() -> dict[str, object]:
    """What this archive says of itself."""
    loader: Any = sys.modules["__main__"].__loader__  # of the zip
    said: dict[str, object] = json.loads(loader.get_data(os.path.join(loader.archive, "build.json")))
    return said


def settings(text: str, path: str) -> dict[str, object]:
    """The top level of a config: JSON, or the YAML of one `key: value` a line."""
    if path.endswith(".json"):
        found = json.loads(text)
        return dict(found)
    lines = [line.partition(":") for line in text.splitlines() if line[:1] not in {"", " ", "-", "#"}]
    return {key.strip().strip('"'): _scalar(value.strip()) for key, _, value in lines}


def _scalar(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


class Service:
    """What is asked of it over HTTP."""

    def __init__(self, said: dict[str, object], config: str | None) -> None:
        self._said = said
        self._behaviour = str(said["behaviour"])
        self._after = float(str(said["after"]))
        self._config = ""
        if config is not None:
            with open(config, encoding="utf-8") as file:
                self._config = file.read()
        self._settings = settings(self._config, config or "")
        self._sick = os.path.join(os.environ.get("SANDBOX_HOST", "/nowhere"), "run", f"sick-{said['service']}")

    def is_well(self) -> bool:
        """As the build was told to behave, and as long as nobody made it sick by hand."""
        age = time.monotonic() - STARTED
        if self._behaviour == "dies" and age >= self._after:
            os._exit(3)
        late = self._behaviour == "slow" and age < self._after
        worn = self._behaviour == "sickens" and age >= self._after
        return not (late or worn or self._behaviour == "unhealthy" or os.path.exists(self._sick))

    def answer(self, path: str) -> bytes:
        """The whole response."""
        if path != "/health":
            return _response("404 Not Found", {"path": path})
        said = {
            "service": self._said["service"],
            "version": self._said["version"],
            "greeting": self._settings.get("greeting"),
            "config_sha256": hashlib.sha256(self._config.encode()).hexdigest() if self._config else None,
            "pid": os.getpid(),
        }
        return _response("200 OK" if self.is_well() else "503 Service Unavailable", said)


def _response(status: str, said: dict[str, object]) -> bytes:
    body = json.dumps(said).encode() + b"\n"
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([*head, "", ""]).encode() + body


def serve(service: Service, port: int) -> None:
    """One request after the other; who says nothing for a second is sent away."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        listening.settimeout(0.5)
        while True:
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                service.is_well()  # who dies after a while does so unasked
                continue
            with connection:
                _answer(service, connection)


def _answer(service: Service, connection: socket.socket) -> None:
    connection.settimeout(1.0)
    try:
        words = connection.recv(8192).decode("latin-1").split(" ", 2)
        connection.sendall(service.answer(words[1] if len(words) > 1 else ""))
    except OSError:
        return


def option(name: str) -> str | None:
    """The value of a command-line option."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def main() -> int:
    """Gives the exit code."""
    said = build()
    print(f"{said['service']} {said['version']} starts", flush=True)
    if said["behaviour"] == "never_starts":
        print("cannot start: this build was told so", flush=True)
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN if said["behaviour"] == "stubborn" else _leave)
    serve(Service(said, option("--config")), int(option("--port") or 8080))
    return 0


def _leave(number: int, frame: object) -> None:
    del number, frame
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
