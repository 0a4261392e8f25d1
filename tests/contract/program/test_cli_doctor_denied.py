"""doctor where AWS says no: single services are answered by a small server, the rest by the sandbox's AWS."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs

import pytest

from adapters.aws.inventory import Place
from adapters.aws.sessions import Sessions
from adapters.doctor.accounts import AccountLook, Act, principal_of
from adapters.doctor.findings import Finding, Verdict
from fairlead_sandbox.aws import ACCOUNT, Aws

EAST = "us-east-1"
ACTS = [
    Act(action="s3:PutObject", resource="arn:aws:s3:::b/orders/games/mm.json", why="where its order lies"),
    Act(action="sns:Publish", resource=f"arn:aws:sns:{EAST}:{ACCOUNT}:fairlead-games_mm", why="which wakes its hosts"),
]


class Answers(ThreadingHTTPServer):
    """Answers the query protocol: what is in `denied` with a 403, the simulator by the same set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.denied: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Answers

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        action = asked["Action"][0]
        if action == "SimulatePrincipalPolicy" and action not in self.server.denied:
            said = "explicitDeny" if asked["ActionNames.member.1"][0] in self.server.denied else "allowed"
            result = f"<member><EvalActionName>x</EvalActionName><EvalDecision>{said}</EvalDecision></member>"
            self._say(200, f"<{action}Result><EvaluationResults>{result}</EvaluationResults></{action}Result>", action)
        elif action == "SimulatePrincipalPolicy":
            self._say(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>", "Error")
        else:
            error = "<Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors>"
            self._say(403 if action in self.server.denied else 200, error if action in self.server.denied else "", "")

    def _say(self, status: int, inner: str, action: str) -> None:
        body = f"<{action or 'x'}Response>{inner}</{action or 'x'}Response>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def look(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AccountLook:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    return AccountLook(Sessions(max_attempts=1), Place(ACCOUNT, EAST, None), ACTS, balanced=True)


def found(look: AccountLook, verdict: Verdict) -> list[Finding]:
    return [finding for finding in look.check() if finding.verdict is verdict]


def test_every_denied_read_is_named_in_one_line(
    look: AccountLook, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", answers.url)
    answers.denied = {"DescribeImages", "DescribeInstances"}

    (trouble,) = found(look, Verdict.TROUBLE)

    assert "not allowed: ec2:DescribeInstances, ec2:DescribeImages" == trouble.seen
    assert "allow ec2:DescribeInstances, ec2:DescribeImages to this identity" == trouble.fix
    assert not trouble.unreachable


def test_what_iam_would_refuse_is_trouble(look: AccountLook, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", answers.url)
    answers.denied = {"sns:Publish"}

    (trouble,) = found(look, Verdict.TROUBLE)

    assert trouble.seen == f"IAM does not allow sns:Publish on {ACTS[1].resource}, which wakes its hosts"


def test_what_iam_allows_is_said_with_its_actions(
    look: AccountLook, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", answers.url)

    assert "IAM's simulator allows s3:PutObject, sns:Publish" in [each.seen for each in found(look, Verdict.OK)]


def test_a_simulator_that_is_denied_leaves_it_not_tried(
    look: AccountLook, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", answers.url)
    answers.denied = {"SimulatePrincipalPolicy"}

    (skipped,) = found(look, Verdict.SKIPPED)

    assert "not tried, because trying has an effect: s3:PutObject, sns:Publish" == skipped.seen


def test_an_account_that_is_away_is_unreachable(look: AccountLook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    (trouble,) = found(look, Verdict.TROUBLE)

    assert trouble.unreachable
    assert "check the network" in trouble.fix


@pytest.mark.parametrize(
    ("arn", "principal"),
    [
        ("arn:aws:sts::123456789012:assumed-role/fairlead/s", "arn:aws:iam::123456789012:role/fairlead"),
        ("arn:aws-cn:sts::123456789012:assumed-role/f/i-1", "arn:aws-cn:iam::123456789012:role/f"),
        ("arn:aws:iam::123456789012:user/sam", "arn:aws:iam::123456789012:user/sam"),
    ],
)
def test_the_simulator_is_asked_about_the_role_behind_a_session(arn: str, principal: str) -> None:
    assert principal == principal_of(arn)


def test_a_finding_is_plain_json(look: AccountLook) -> None:
    from dataclasses import asdict

    assert json.loads(json.dumps([asdict(each) for each in look.check()]))
