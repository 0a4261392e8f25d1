"""The Gate client against the sandbox's Gate, and against answers that no Gate should give."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from adapters.gate.auth import GateAuth
from adapters.gate.client import Gate, Gates
from adapters.gate.errors import Accepted, GateRefused, GateTrouble, Refused, Unknown
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate as SandboxGate
from fairlead_sandbox.gate import GateSettings, authentication, deploy_pipeline
from reconciler.ports import LeaseLost

SETTINGS = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)
SINCE = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=365)
CANARY = "spk_CANARY-do-not-show"
BODY = {"type": "manual", "eventId": "e-1", "correlationId": "c-1", "parameters": {"PKG_VERSION": "1.4.2"}}


class Lease:
    """Ours, or lost."""

    key = "fleet:prod/checkout"

    def __init__(self, *, lost: bool = False) -> None:
        self.lost = lost

    def check(self) -> None:
        if self.lost:
            raise LeaseLost("another owner")


def add_pipeline(gate: SandboxGate) -> SandboxGate:
    gate.pipelines.save(deploy_pipeline("checkout", "deploy", "checkout-prod", "checkout", regions=["us-east-1"]))
    return gate


@pytest.fixture
def sandbox() -> Iterator[SandboxGate]:
    with SandboxGate(Aws(), SETTINGS) as gate:
        yield add_pipeline(gate)


@pytest.fixture
def gate(sandbox: SandboxGate) -> Gate:
    return Gate(sandbox.url)


def start(gate: Gate) -> str:
    result = gate.trigger("checkout", "deploy", BODY, Lease())
    assert isinstance(result, Accepted)
    return result.ref


# -- the calls -------------------------------------------------------------------------------------------------------


def test_what_is_triggered_is_read_searched_and_polled(gate: Gate) -> None:
    ref = start(gate)

    one = gate.execution(ref)

    assert one is not None
    assert (one.id, one.status, one.complete) == (ref, "NOT_STARTED", False)
    assert [ref] == [found.id for found in gate.search("checkout", "deploy", "e-1", SINCE)]
    assert [] == gate.search("checkout", "deploy", "e-2", SINCE)
    assert [ref] == [found.id for found in gate.search("checkout", None, "e-1", SINCE)]
    assert [ref] == list(gate.executions([ref, "01NOTHING"]))


def test_nothing_is_asked_about_no_ids(gate: Gate, sandbox: SandboxGate) -> None:
    assert gate.executions([]) == {}
    assert len(sandbox.access_log) == 0


def test_many_ids_are_asked_in_batches(gate: Gate, sandbox: SandboxGate) -> None:
    ref = start(gate)

    found = gate.executions([*(f"01X{number}" for number in range(120)), ref])

    asked = sandbox.access_log.entries(path_prefix="/executions")
    assert [100, 21] == [len(entry["query"]["executionIds"].split(",")) for entry in asked]
    assert list(found) == [ref]


def test_an_unknown_execution_is_none(gate: Gate) -> None:
    assert gate.execution("01NOTHING") is None


def test_a_pipeline_that_does_not_exist_is_refused_with_a_fix(gate: Gate) -> None:
    result = gate.trigger("checkout", "deploy nothing", BODY, Lease())

    assert isinstance(result, Refused)
    assert result.status == 404
    assert result.sentence.startswith("Gate refused to start pipeline deploy nothing of checkout (404: ")
    assert result.sentence.endswith("; check `application` and `pipeline`")


def test_a_missing_parameter_is_refused_with_gates_own_words(gate: Gate) -> None:
    result = gate.trigger("checkout", "deploy", {"parameters": {}}, Lease())

    assert (
        Refused(
            status=400,
            sentence="Gate refused to start pipeline deploy of checkout (400: Required parameter PKG_VERSION is "
            "missing)",
        )
        == result
    )


def test_a_cancel_is_accepted_whether_or_not_it_does_anything(gate: Gate) -> None:
    ref = start(gate)

    assert Accepted(ref=ref) == gate.cancel(ref, "fairlead: enough", Lease())
    assert Accepted(ref=ref) == gate.cancel(ref, "fairlead: enough", Lease())
    assert Accepted(ref="01NOTHING") == gate.cancel("01NOTHING", "fairlead: enough", Lease())


def test_nothing_is_sent_without_the_lease(gate: Gate, sandbox: SandboxGate) -> None:
    for change in (
        lambda: gate.trigger("checkout", "deploy", BODY, Lease(lost=True)),
        lambda: gate.cancel("01ABC", "fairlead: enough", Lease(lost=True)),
    ):
        with pytest.raises(LeaseLost):
            change()

    assert len(sandbox.access_log) == 0


# -- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        (
            "unavailable",
            {},
            r"Gate failed when asked to start pipeline deploy of checkout \(503\); it is tried again",
        ),
        ("login_redirect", {}, r"did not accept our sign-in .*\(it sent us to a login\); check the credentials"),
        ("html", {}, r"did not accept our sign-in .*\(it answered with a web page\); check the credentials"),
        ("too_many_requests", {}, r"limits our pace and did not start pipeline .* \(429"),
        ("too_many_requests", {"reset": 5}, r"limits our pace and did not start pipeline .* \(429, until .+\)"),
        ("drop_before_accepting", {}, r"could not be asked to start pipeline .*: the connection failed; check its URL"),
        ("drop_after_accepting", {}, r"could not be asked to start pipeline .*: the connection failed; check its URL"),
        ("error_after_accepting", {}, r"Gate failed when asked to start pipeline .* \(500\)"),
        ("slow", {"seconds": 0.6}, r"could not be asked to start pipeline .*: it did not answer in time"),
    ],
)
def test_trouble_on_the_road_leaves_the_answer_unknown(
    sandbox: SandboxGate, fault: str, options: dict[str, float], words: str
) -> None:
    sandbox.faults.on(fault, **options)

    result = Gate(sandbox.url, timeout=0.3).trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Unknown)
    assert re.search(words, result.sentence)


def test_a_gate_that_is_not_there_is_a_sentence(sandbox: SandboxGate) -> None:
    result = Gate("http://127.0.0.1:1").trigger("checkout", "deploy", BODY, Lease())

    assert (
        Unknown(
            sentence="Gate could not be asked to start pipeline deploy of checkout: the connection failed; "
            "check its URL, the network and the proxy"
        )
        == result
    )


def test_an_empty_200_is_a_failure_and_not_an_absence(gate: Gate, sandbox: SandboxGate) -> None:
    ref = start(gate)
    sandbox.faults.on("empty_body")

    with pytest.raises(GateTrouble, match="200 with an empty body, which stands for trouble behind it"):
        gate.execution(ref)


def test_a_fresh_execution_may_be_unknown_for_a_while(gate: Gate, sandbox: SandboxGate) -> None:
    sandbox.faults.on("late_reads", reads=1, times=1)
    ref = start(gate)

    first, second = gate.execution(ref), gate.execution(ref)

    assert first is None
    assert second is not None


def test_an_unknown_status_word_is_not_complete(gate: Gate, sandbox: SandboxGate) -> None:
    ref = start(gate)
    sandbox.faults.on("unknown_status", status="REFLECTING")

    seen = gate.execution(ref)

    assert seen is not None
    assert (seen.status, seen.complete) == ("REFLECTING", False)


def test_a_refused_read_says_so(gate: Gate) -> None:
    with pytest.raises(GateRefused, match="Gate refused to search the executions of checkout"):
        gate.search("checkout", "deploy", "e", datetime(1960, 1, 1, tzinfo=UTC))


# -- signing in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["redirect", "html", "401"])
@pytest.mark.parametrize("header", ["X-Spinnaker-Token", "Authorization"])
def test_bearer_tokens_sign_in_and_wrong_ones_do_not(header: str, refusal: str) -> None:
    with SandboxGate(Aws(), SETTINGS, authentication.Bearer(token=CANARY, refusal=refusal)) as running:
        add_pipeline(running)
        right = Gates({f"{running.url}/": GateAuth(mode="bearer", header=header, secret=CANARY)}).at(running.url)
        wrong = Gate(running.url, GateAuth(mode="bearer", header=header, secret="spk_wrong"))

        assert isinstance(right.trigger("checkout", "deploy", BODY, Lease()), Accepted)
        refused = wrong.trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(refused, Unknown)
    assert "did not accept our sign-in" in refused.sentence
    assert "spk_wrong" not in refused.sentence


def test_basic_credentials_are_sent_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with SandboxGate(Aws(), SETTINGS, authentication.Basic(name="fairlead", password=CANARY)) as running:
        add_pipeline(running)
        gate = Gate(running.url, GateAuth(mode="basic", user="fairlead", secret=CANARY))

        assert isinstance(gate.trigger("checkout", "deploy", BODY, Lease()), Accepted)
        assert len(running.access_log) == 1


def test_no_credentials_are_taken_from_a_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login fairlead password {CANARY}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with SandboxGate(Aws(), SETTINGS, authentication.Basic(name="fairlead", password=CANARY)) as running:
        add_pipeline(running)

        assert isinstance(Gate(running.url).trigger("checkout", "deploy", BODY, Lease()), Unknown)


def test_a_client_certificate_signs_in(tmp_path: Path) -> None:
    with SandboxGate(Aws(), SETTINGS, authentication.ClientCertificate(folder=tmp_path)) as running:
        add_pipeline(running)
        auth = GateAuth(
            mode="certificate",
            certificate=tmp_path / "client.pem",
            key=tmp_path / "client.key",
            authority=tmp_path / "ca.pem",
        )
        shown = Gate(running.url, auth).trigger("checkout", "deploy", BODY, Lease())
        stranger = Gate(running.url, GateAuth(authority=tmp_path / "ca.pem")).trigger(
            "checkout", "deploy", BODY, Lease()
        )
        distrustful = Gate(running.url).trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(shown, Accepted)
    assert isinstance(stranger, Unknown)
    assert isinstance(distrustful, Unknown)
    assert "the TLS handshake failed" in distrustful.sentence


def test_a_certificate_file_that_is_missing_is_a_sentence(sandbox: SandboxGate, tmp_path: Path) -> None:
    auth = GateAuth(mode="certificate", certificate=tmp_path / "no.pem", key=tmp_path / "no.key")

    result = Gate("https://127.0.0.1:1", auth).trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Unknown)
    assert "a certificate file cannot be read" in result.sentence


def test_a_secret_is_in_no_repr() -> None:
    auth = GateAuth(mode="basic", user="fairlead", secret=CANARY)

    assert CANARY not in repr(auth)
    assert CANARY not in repr(Gates({"https://gate.example.com": auth}).__dict__)


# -- answers that no Gate should give --------------------------------------------------------------------------------

Answering = Callable[..., Gate]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A server that gives the same raw answer to everything."""
    servers: list[HTTPServer] = []

    def serve(status: int, body: bytes, secret: str = "", **headers: str) -> Gate:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return  # the client has heard enough

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                """Quiet."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return Gate(f"http://127.0.0.1:{server.server_port}", GateAuth(mode="bearer", secret=secret))

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_internal_addresses_and_secrets_stay_out_of_messages(answering: Answering) -> None:
    said = f"Status: 400, Method: POST, URL: http://orca.internal:8083/x?t={CANARY}, orca.svc:8083 {CANARY}"
    gate = answering(400, f'{{"message": "{said}"}}'.encode(), CANARY)

    result = gate.trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Refused)
    assert CANARY not in result.sentence
    assert "orca" not in result.sentence
    assert "Status: 400, Method: POST, URL: [url]" in result.sentence


def test_a_5xx_repeats_nothing_of_gates_inside(answering: Answering) -> None:
    gate = answering(502, b'{"message": "http://orca.internal:8083 refused"}')

    result = gate.trigger("checkout", "deploy", BODY, Lease())

    assert (
        Unknown(sentence="Gate failed when asked to start pipeline deploy of checkout (502); it is tried again later")
        == result
    )


@pytest.mark.parametrize("status", [502, 503, 504])
def test_orcas_trouble_with_one_application_closes_no_gate(answering: Answering, status: int) -> None:
    said = b'{"timestamp": "2026-11-26T13:51:45.094+00:00", "status": 503, "exception": "x.SpinnakerHttpException"}'
    gate = answering(status, said, Content_Type="application/json")

    for _ in range(5):
        with pytest.raises(GateTrouble, match=rf"failed when asked to say who we are \({status}\)"):
            gate.user()

    assert gate.absence() is None


@pytest.mark.parametrize("status", [401, 302, 307])
def test_a_login_is_never_a_refusal_of_the_fleet(answering: Answering, status: int) -> None:
    gate = answering(status, b"", Location="https://sso.example.com/login?secret=1")

    result = gate.trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Unknown)
    assert "sso.example.com" not in result.sentence


def test_a_403_names_the_permission(answering: Answering) -> None:
    result = answering(403, b'{"message": "Access is denied"}').trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Refused)
    assert result.sentence.endswith("(403: Access is denied); give Fairlead's user EXECUTE on the application")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"ref": 3}', b'{"ref": "/"}', b'"x"', b"[" * 100_000])
def test_an_acceptance_that_names_nothing_is_unknown(answering: Answering, body: bytes) -> None:
    assert isinstance(answering(202, body).trigger("checkout", "deploy", BODY, Lease()), Unknown)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'[{"id": ""}]', b"[3]", b'{"id": "x"}'])
def test_a_list_that_is_none_is_trouble_and_not_an_empty_list(answering: Answering, body: bytes) -> None:
    with pytest.raises(GateTrouble):
        answering(200, body).executions(["01ABC"])


PAGE = b"<!doctype html><title>No</title>"


def test_a_page_of_gates_own_server_that_says_400_is_a_refusal(answering: Answering) -> None:
    result = answering(400, PAGE, Content_Type="text/html").trigger("checkout", "bad/slash", BODY, Lease())

    assert isinstance(result, Refused)
    assert result.sentence.startswith("Gate refused to start pipeline bad/slash of checkout (400)")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "Gate failed when asked to start pipeline deploy of checkout (404 with a web page: no Gate is behind"),
        (403, "Gate did not accept our sign-in when asked to start pipeline deploy of checkout (403 with a web page)"),
        (413, "Gate failed when asked to start pipeline deploy of checkout (413 with a web page); it is tried again"),
    ],
)
def test_a_page_of_what_stands_before_gate_is_no_refusal(answering: Answering, status: int, said: str) -> None:
    result = answering(status, PAGE, Content_Type="text/html").trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Unknown)
    assert result.sentence.startswith(said)


def test_an_endless_answer_is_cut_off(answering: Answering) -> None:
    with pytest.raises(GateTrouble, match="its answer is over 16 MiB"):
        answering(200, b"[" + b" " * (17 * 1024 * 1024) + b"]").executions(["01ABC"])


def test_odd_fields_of_an_execution_are_unknown_and_not_fatal(answering: Answering) -> None:
    odd = b'{"id": "01A", "buildTime": "soon", "status": null, "stages": [3, {"status": "TERMINAL", "context": []}]}'

    seen = answering(200, odd).execution("01A")

    assert seen is not None
    assert (seen.build_time, seen.status, seen.error) == (None, "NOT_STARTED", "")


@pytest.mark.parametrize(
    ("context", "error"),
    [
        ('{"exception": {"details": {"error": "Unexpected", "errors": ["No AMI", "No AMI", "Sad"]}}}', "No AMI; Sad"),
        ('{"exception": {"details": {"error": "Unexpected Task Failure", "errors": []}}}', "Unexpected Task Failure"),
        ('{"kato.tasks": [{"exception": {"message": "AMI not found"}}]}', "AMI not found"),
        ('{"exception": {"details": {"errors": ["GET http://oort:7002/x failed"]}}}', "GET [url] failed"),
        ("{}", ""),
    ],
)
def test_a_failed_stages_own_words_are_found(answering: Answering, context: str, error: str) -> None:
    stages = f'[{{"status": "SUCCEEDED", "context": {{}}}}, {{"status": "TERMINAL", "context": {context}}}]'

    seen = answering(200, f'{{"id": "01A", "status": "TERMINAL", "stages": {stages}}}'.encode()).execution("01A")

    assert seen is not None
    assert seen.error == error
