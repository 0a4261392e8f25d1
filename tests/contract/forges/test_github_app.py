"""Signing in as a GitHub App: the JWT, the installation's tokens, and what is said when it fails."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.forges.hosted import Need, Trouble
from reconciler.ports import Unreadable

REST = json.loads((Path(__file__).parents[2] / "data" / "github" / "rest.json").read_text())


def header(app: Any, project: str = "acme/desired", need: Need = Need.STATUSES) -> str:
    return app.headers(project, need)["Authorization"]


@pytest.fixture
def app(bench: Any, app_key: tuple[str, Any]) -> Any:
    pem, bench.github.public_key = app_key
    return bench.app(lambda: pem)


def asked(bench: Any) -> list[Any]:
    return [each for each in bench.github.requests if each.path.endswith("access_tokens")]


def test_a_status_is_put_with_an_installation_token(bench: Any, say: Any, app: Any) -> None:
    (delivery,) = bench.forge(app).deliver(say.lease(), say.waiting(say.status()), bench.clock.now())

    assert delivery.delivered
    (request,) = asked(bench)
    assert "/app/installations/678/access_tokens" == request.path
    assert {"repositories": ["desired"], "permissions": {"statuses": "write"}} == request.body
    assert "Bearer ghs_CANARY" in bench.github.writes[0].headers["Authorization"]


def test_what_is_asked_for_is_what_github_publishes(bench: Any, app: Any) -> None:
    header(app)

    schema = REST["create-installation-access-token"]["request"]["properties"]
    body = asked(bench)[0].body
    assert set(body) <= set(schema)
    assert body["permissions"]["statuses"] in schema["permissions"]["properties"]["statuses"]["enum"]


def test_the_published_example_of_an_answer_is_understood(bench: Any, say: Any, app: Any) -> None:
    example = REST["create-installation-access-token"]["response_example"]
    bench.github.next.append(say.canned(status=201, body=json.dumps(example).encode()))

    assert f"Bearer {example['token']}" == header(app)


def test_a_token_is_kept_and_renewed_before_its_hour_ends(bench: Any, app: Any) -> None:
    first = header(app)
    bench.clock.advance(timedelta(minutes=54, seconds=59))
    assert first == header(app)

    bench.clock.advance(timedelta(seconds=1))

    assert first != header(app)
    assert 2 == len(asked(bench))


def test_a_token_is_renewed_within_the_hour_whatever_the_answer_says(bench: Any, say: Any, app: Any) -> None:
    body = {"token": "ghs_x", "expires_at": "2999-01-01T00:00:00Z"}
    bench.github.next.append(say.canned(status=201, body=json.dumps(body).encode()))
    header(app)

    bench.clock.advance(timedelta(minutes=55))

    assert "Bearer ghs_x" != header(app)


def test_a_revoked_token_is_replaced_after_the_refusal(bench: Any, say: Any, app: Any) -> None:
    forge = bench.forge(app)
    forge.deliver(say.lease(), say.waiting(say.status()), bench.clock.now())
    bench.github.tokens.clear()

    (refused,) = forge.deliver(say.lease(), say.waiting(say.status()), bench.clock.now())
    bench.clock.advance(refused.retry_at - bench.clock.now())
    (again,) = forge.deliver(say.lease(), say.waiting(say.status()), bench.clock.now())

    assert (False, True) == (refused.delivered, again.delivered)


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (
            401,
            b'{"message": "A JSON web token could not be decoded"}',
            "check forge.auth.app_id, forge.auth.private_key and",
        ),
        (
            403,
            b'{"message": "This installation has been suspended"}',
            "no token (403: This installation has been suspended)",
        ),
        (
            404,
            b'{"message": "Not Found"}',
            "GitHub knows no such installation of the App (404); check forge.auth.installation",
        ),
        (
            422,
            b'{"message": "The permissions requested are not granted"}',
            "give it `statuses: write` and install it on",
        ),
        (429, b"", "GitHub limits our pace (429)"),
        (503, b"<html>", "GitHub cannot be reached: it answered 503"),
        (0, b"", "GitHub cannot be reached: the connection failed"),
        (200, b"<html>", "GitHub cannot be reached: it answered 200"),
        (201, b"<html>", "GitHub cannot be reached: its token for the App makes no sense"),
        (201, b"[]", "its token for the App makes no sense"),
        (201, b'{"token": 5, "expires_at": "2026-11-23T21:15:03Z"}', "its token for the App makes no sense"),
        (201, b'{"token": "a\\nb", "expires_at": "2026-11-23T21:15:03Z"}', "its token for the App makes no sense"),
        (201, b'{"token": "x", "expires_at": "2026-11-23T21:15:03"}', "its token for the App makes no sense"),
        (201, b"[" * 100_000, "its token for the App makes no sense"),
    ],
)
def test_what_keeps_us_from_a_token_is_said_and_no_status_is_lost(
    bench: Any, say: Any, app: Any, status: int, body: bytes, sentence: str
) -> None:
    bench.github.down = say.canned(status=status, body=body)

    (delivery,) = bench.forge(app).deliver(say.lease(), say.waiting(say.status()), bench.clock.now())

    assert sentence in delivery.message
    assert (False, True) == (delivery.delivered, delivery.retry_at is not None)
    assert [] == bench.github.writes


def test_no_secret_of_the_app_is_repeated(bench: Any, say: Any, app: Any, app_key: Any) -> None:
    header(app)
    token = next(each for each in bench.github.tokens if each.startswith("ghs_"))
    sent = asked(bench)[0].headers["Authorization"].removeprefix("Bearer ")
    bench.github.down = say.canned(status=401, body=json.dumps({"message": f"{token} {sent}"}).encode())
    forge, told = bench.forge(app), say.waiting(say.status())

    with_token = forge.deliver(say.lease(), told, bench.clock.now())  # the token echoed
    bench.clock.advance(timedelta(minutes=5))
    with pytest.raises(Trouble) as signing:  # the assertion echoed, where the clock stands still
        header(app)

    again = asked(bench)[-1].headers["Authorization"].removeprefix("Bearer ")
    everything = f"{with_token} {bench.log.said} {signing.value} {signing.value.verdict.message}"
    assert token not in everything
    assert again not in everything
    assert app_key[0].splitlines()[1] not in f"{everything} {app!r} {app.account}"


def ed25519() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    "pem", ["", "CANARY", "-----BEGIN RSA PRIVATE KEY-----\nCANARY\n-----END RSA PRIVATE KEY-----", ed25519()]
)
def test_a_key_that_cannot_sign_is_refused_at_the_start(bench: Any, pem: str) -> None:
    with pytest.raises(
        Unreadable, match=r"^the App's private key is no RSA key in PEM: use the file that GitHub gave$"
    ):
        bench.app(lambda: pem)
