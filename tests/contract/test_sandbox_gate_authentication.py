"""Who gets into the sandbox's Gate, by each way of signing in, and what a stranger is told."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings
from fairlead_sandbox.gate.authentication import Authentication, Basic, Bearer, ClientCertificate


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


def guarded(aws: Aws, authentication: Authentication) -> AbstractContextManager[Gate]:
    return Gate(aws, GateSettings(background=False), authentication)


def who(gate: Gate, **how: object) -> requests.Response:
    return requests.get(f"{gate.url}/auth/user", timeout=10, allow_redirects=False, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [{"X-Spinnaker-Token": "spk_1"}, {"Authorization": "Bearer spk_1"}])
def test_a_token_is_taken_in_either_header(aws: Aws, headers: dict[str, str]) -> None:
    with guarded(aws, Bearer(token="spk_1")) as gate:
        assert who(gate, headers=headers).json()["username"] == "token@example.com"


def test_a_name_and_a_password_are_taken_unasked(aws: Aws) -> None:
    with guarded(aws, Basic(name="fairlead", password="p")) as gate:
        assert who(gate, auth=("fairlead", "p")).json()["username"] == "fairlead"
        assert who(gate, auth=("fairlead", "q")).status_code == 302


def test_a_client_certificate_names_the_caller(aws: Aws, tmp_path: Path) -> None:
    with guarded(aws, ClientCertificate(folder=tmp_path)) as gate:
        ca, pair = str(tmp_path / "ca.pem"), (str(tmp_path / "client.pem"), str(tmp_path / "client.key"))
        assert gate.url.startswith("https://")
        assert who(gate, verify=ca, cert=pair).json()["username"] == "fairlead.example.com"
        assert who(gate, verify=ca).status_code == 302
        with pytest.raises(requests.exceptions.SSLError):
            who(gate)


def test_a_stranger_is_sent_to_the_login_and_starts_nothing(aws: Aws) -> None:
    with guarded(aws, Bearer(token="spk_1")) as gate:
        gate.pipelines.save({"application": "shop", "name": "wait", "stages": []})
        answer = requests.post(f"{gate.url}/pipelines/shop/wait", json={}, timeout=10, allow_redirects=False)

        assert (302, f"{gate.url}/login") == (answer.status_code, answer.headers["Location"])
        assert gate.executions.all() == []


@pytest.mark.parametrize(("refusal", "status", "kind"), [("html", 200, "text/html"), ("401", 401, "application/json")])
def test_a_stranger_may_get_a_page_or_a_401(aws: Aws, refusal: str, status: int, kind: str) -> None:
    with guarded(aws, Bearer(token="spk_1", refusal=refusal)) as gate:
        answer = who(gate)

        assert (status, kind) == (answer.status_code, answer.headers["Content-Type"].partition(";")[0])


def test_the_caller_is_the_triggers_user(aws: Aws) -> None:
    with guarded(aws, Basic(name="fairlead", password="p")) as gate:
        gate.pipelines.save({"application": "shop", "name": "wait", "stages": []})
        requests.post(f"{gate.url}/pipelines/shop/wait", json={}, timeout=10, auth=("fairlead", "p"))

        assert ["fairlead"] == [each.body["trigger"]["user"] for each in gate.executions.all()]
