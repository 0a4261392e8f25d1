"""Who a host is: what the settings say, else its metadata service, else nobody."""

from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from fairlead_agent.identity import Identity, Unknown, identify
from fairlead_agent.settings import Settings
from fairlead_sandbox.imds import MetadataService

HOST = "i-0123456789abcdef0"
NOTHING = Settings(bucket="example", keys={}, fleets={})
NAME = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


@pytest.fixture
def endpoint(aws: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with MetadataService(aws, clock) as service:
        service.add(HOST, "eu-west-1", "eu-west-1a")
        monkeypatch.setenv(NAME, service.endpoint(HOST))
        yield service.endpoint(HOST)


def test_the_metadata_service_says_it(endpoint: str) -> None:
    assert Identity(host=HOST, region="eu-west-1") == identify(NOTHING)


def test_an_endpoint_with_a_slash_at_its_end(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, f"{endpoint}/")

    assert HOST == identify(NOTHING).host


def test_a_proxy_is_for_others(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert HOST == identify(NOTHING).host


def test_what_the_settings_say_is_not_asked_for(endpoint: str) -> None:
    assert Identity(host="vm-7", region="eu-west-1") == identify(replace(NOTHING, host="vm-7"))
    assert Identity(host=HOST, region="us-east-1") == identify(replace(NOTHING, region="us-east-1"))


def test_a_host_that_the_settings_name_needs_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "http://127.0.0.1:9")

    assert Identity(host="vm-7", region="r") == identify(replace(NOTHING, host="vm-7", region="r"))


def test_where_nobody_answers_the_sentence_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "http://127.0.0.1:9")

    with pytest.raises(Unknown, match=r"did not say who this host is \(latest/api/token: .*; set host: \{id: "):
        identify(NOTHING)


def test_an_instance_that_the_service_does_not_know(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, endpoint.replace(HOST, "i-other"))

    with pytest.raises(Unknown, match="latest/api/token: HTTP Error 404"):
        identify(NOTHING)


@pytest.mark.parametrize(("host", "region"), [("i 1", "r"), ("i-1", ""), ("", "r"), ("x" * 81, "r"), ("i/1", "r")])
def test_what_no_queue_can_be_called_is_no_instance(host: str, region: str) -> None:
    with pytest.raises(Unknown, match=r"is no instance; set host: \{id: "):
        identify(replace(NOTHING, host=host, region=region))


@pytest.mark.parametrize("body", [b"", b"<html>captive portal</html>", b"\xff\xfe", b"x" * 5000])
def test_a_service_that_answers_something_else(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"token")

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        monkeypatch.setenv(NAME, f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(Unknown, match="set host:"):
                identify(NOTHING)
        finally:
            server.shutdown()
