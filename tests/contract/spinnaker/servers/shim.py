"""Gate's paths before Orca's engine: as little as lets one suite speak to both.

What is answered here (pipelines by name, required parameters, the search by event id, statuses of answers) proves
nothing about Spinnaker; the cases that rest on it are marked. Everything else is handed to the engine as it came.
"""

import json
import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import requests

_PASSED_ON = (
    r"/pipelines/[^/]+",
    r"/pipelines/[^/]+/(cancel|pause|resume)",
    r"/pipelines/[^/]+/stages/[^/]+",
    r"/pipelines/[^/]+/stages/[^/]+/restart",
)


class Shim:
    """Serves on a free loopback port until `stop`."""

    def __init__(self, engine_url: str) -> None:
        self.engine = engine_url
        self.configs: dict[str, dict[str, Any]] = {}
        shim = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content = shim.answer(self.command, self.path, json.loads(body) if body else None)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """No more answers."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def save(self, config: dict[str, Any]) -> str:
        """Keep a pipeline, as Front50 does."""
        kept = {"id": str(uuid4()), **config}
        self.configs[kept["id"]] = kept
        return str(kept["id"])

    def forget(self, config_id: str) -> None:
        """Keep it no more."""
        self.configs.pop(config_id, None)

    def answer(self, method: str, target: str, body: Any) -> tuple[int, bytes]:
        """Status and body."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if method == "POST":
            return self._start(parts.path, body)
        if found := re.fullmatch(r"/applications/([^/]+)/executions/search", parts.path):
            return self._search(found[1], query)
        if found := re.fullmatch(r"/pipelines/([^/]+)/stages/[^/]+/restart", parts.path):
            body = self._configured(found[1])
        if any(re.fullmatch(path, parts.path) for path in _PASSED_ON):
            answer = self._ask(method, target, body)
            return (200 if answer.status_code == 202 else answer.status_code), answer.content
        return 404, b"{}"

    def _ask(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        who = {"X-SPINNAKER-USER": "anonymous"}
        return requests.request(method, self.engine + path, json=body, params=query, headers=who, timeout=30)

    def _configured(self, execution: str) -> dict[str, Any]:
        """Gate sends the present configuration along with a restart."""
        seen = self._ask("GET", f"/pipelines/{execution}").json()
        return self.configs.get(seen.get("pipelineConfigId"), {})

    def _start(self, path: str, body: Any) -> tuple[int, bytes]:
        if path == "/pipelines/start":
            answer = self._ask("POST", "/orchestrate", body)
            return answer.status_code, answer.content
        application, _, name = path.removeprefix("/pipelines/").partition("/")
        config = next((each for each in self.configs.values() if _is(each, application, name)), None)
        if config is None:
            return 404, b"{}"
        trigger = {"notifications": [], "user": "anonymous", **(body or {})}
        answer = self._ask("POST", "/orchestrate", {**config, "trigger": trigger})
        return (202 if answer.status_code == 200 else answer.status_code), answer.content

    def _search(self, application: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        name = query.get("pipelineName")
        configs = [
            each["id"]
            for each in self.configs.values()
            if each["application"] == application and name in {None, each["name"]}
        ]
        if not configs:
            return 200, b"[]"
        since = query.get("triggerTimeStartBoundary", "0")
        until = query.get("triggerTimeEndBoundary", str(2**63 - 1))
        answer = self._ask("GET", "/pipelines", configs=",".join(configs), since=since, until=until)
        event, words = query.get("eventId"), set(filter(None, query.get("statuses", "").split(",")))
        found = [
            each
            for each in answer.json()
            if event in {None, each["trigger"].get("eventId")} and (not words or each["status"] in words)
        ]
        found.sort(key=lambda each: each["buildTime"], reverse=True)
        return 200, json.dumps(found[: int(query.get("size", "10"))]).encode()


def _is(config: Mapping[str, Any], application: str, name: str) -> bool:
    return name == config["id"] or (application, name) == (config["application"], config["name"])
