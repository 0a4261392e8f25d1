"""The documented document for any webhook, its signature, and the machines that nothing is posted to."""

import base64
import hashlib
import hmac
import socket
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.notify.addresses import BadAddress, checked, is_allowed
from adapters.notify.exchange import Exchange, Unreached
from adapters.notify.webhook import signature


def test_the_signature_is_that_of_the_published_vector():
    """github.com/standard-webhooks, the vector that its libraries are tested with."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    )
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == made


def test_what_is_posted_is_signed_as_it_is_posted(bench):
    bench.deliver(bench.word(description="größer als <b> & 'alles'"), notifier=bench.notifier(bench.signed()))
    (posted,) = bench.channel.posted
    signed = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
    made = hmac.new(b"CANARY-signing-secret", signed, hashlib.sha256).digest()
    assert f"v1,{base64.b64encode(made).decode()}" == posted.headers["webhook-signature"]
    assert "application/json" == posted.headers["content-type"]
    assert "größer als <b> & 'alles'" == posted.json["data"]["fleets"][0]["message"]


def test_without_a_secret_nothing_is_signed(bench):
    bench.deliver(bench.word(), notifier=bench.notifier(bench.signed("")))
    assert "webhook-signature" not in bench.channel.posted[0].headers


def test_the_same_words_have_the_same_id_when_they_come_again(bench):
    word = bench.word()
    notifier = bench.notifier(bench.signed())
    bench.channel.answer(503)
    bench.deliver(word, notifier=notifier)
    bench.clock.advance(timedelta(hours=1))
    bench.deliver(replace(word, attempts=1), notifier=notifier)
    first, again = (posted.headers["webhook-id"] for posted in bench.channel.posted)
    assert first == again


def test_many_fleets_are_one_document_that_counts_them(bench):
    bench.deliver(*[bench.word(f"prod/s{number:02}") for number in range(30)], notifier=bench.notifier(bench.signed()))
    (posted,) = bench.channel.posted
    data = posted.json["data"]
    assert ("fairlead.failed", 30, 8, 22) == (posted.json["type"], data["count"], len(data["fleets"]), data["more"])


@pytest.mark.parametrize(
    ("status", "again", "people"),
    [
        (204, False, False),
        (401, True, True),
        (404, True, True),
        (405, True, True),
        (410, True, True),
        (415, True, True),
        (308, True, True),
        (500, True, False),
        (422, False, False),
    ],
)
def test_an_answer_is_judged_by_its_status(bench, status, again, people):
    bench.channel.answer(status, b"CANARY http://internal.example", Location="https://elsewhere.example/")
    (result,) = bench.deliver(bench.word(), notifier=bench.notifier(bench.signed()))
    assert again is (result.retry_at is not None)
    assert people is ("correct the url" in result.message)
    assert "CANARY" not in result.message


def test_a_secret_that_is_none_waits_for_people(bench):
    (result,) = bench.deliver(bench.word(), notifier=bench.notifier(bench.signed("whsec_CANARY!!")))
    assert "whsec_" in result.message
    assert "CANARY" not in result.message
    assert [] == bench.channel.posted


# ── which machines ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "host", "allowed"),
    [
        ("3.5.140.2", "hooks.example.com", True),
        ("2600:1f18::1", "hooks.example.com", True),
        ("10.1.2.3", "hooks.example.com", False),
        ("10.1.2.3", "hooks.internal", True),
        ("192.168.1.1", "192.168.1.1", False),
        ("127.0.0.1", "hooks.example.com", False),
        ("127.0.0.1", "localhost", True),
        ("::1", "::1", True),
        ("::ffff:10.0.0.1", "hooks.example.com", False),
        ("169.254.169.254", "hooks.internal", False),
        ("::ffff:169.254.169.254", "hooks.internal", False),
        ("fd00:ec2::254", "hooks.internal", False),
        ("fe80::1%eth0", "hooks.internal", False),
        ("2002:7f00:1::", "hooks.example.com", False),
        ("2002:a9fe:a9fe::1", "hooks.internal", False),
        ("64:ff9b::a9fe:a9fe", "hooks.internal", False),
        ("64:ff9b::10.1.2.3", "hooks.example.com", False),
        ("64:ff9b::3.5.140.2", "hooks.example.com", True),
        ("100.64.0.1", "hooks.example.com", False),
        ("0.0.0.0", "localhost", False),
        ("224.0.0.1", "hooks.internal", False),
        ("no address", "localhost", False),
    ],
)
def test_a_machine_inside_is_asked_only_by_its_name_in_the_settings_and_metadata_never(address, host, allowed):
    assert allowed is is_allowed(address, host, {"hooks.internal"})


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "ftp://hooks.example.com/x",
        "https:///x",
        "https://user@hooks.example.com/",
        "https://user:word@hooks.example.com/",
        "https://hooks.example.com/ x",
        "https://hooks.example.com:port/",
        "https://hooks.example.com/#x",
        "https://[::1/",
        "//hooks.example.com/x",
        "",
    ],
)
def test_an_address_that_will_not_do_is_refused_without_repeating_it(url):
    with pytest.raises(BadAddress) as refused:
        checked(url)
    assert not url or url not in str(refused.value)


def test_a_name_is_judged_by_the_machine_that_it_leads_to(bench, monkeypatch):
    """As after a rebinding: the name looked fine, and leads inside when it is asked."""
    port = int(bench.channel.url.split(":")[2].split("/")[0])
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    exchange = Exchange(timeout=2, monotonic=bench.clock.monotonic)
    for ask in (lambda url: exchange.post(url, b"{}", {}), exchange.reach):
        with pytest.raises(Unreached, match="inside of the network") as refused:
            ask(f"https://hooks.example.com:{port}/CANARY")
        assert refused.value.ours
        assert "CANARY" not in str(refused.value)
    assert [] == bench.channel.posted


def reach(bench, url):
    return Exchange(timeout=2, monotonic=bench.clock.monotonic).reach(url)


def test_whether_a_channel_can_be_reached_is_seen_without_posting(bench):
    assert "" == reach(bench, bench.channel.url)
    assert [] == bench.channel.posted


def test_a_channel_that_cannot_be_reached_says_so(bench):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/CANARY"
        with pytest.raises(Unreached, match="the connection failed"):
            reach(bench, url)


def test_through_a_proxy_nothing_can_be_known_beforehand(bench, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert "proxy" in reach(bench, "https://hooks.example.com/x")


def test_a_netrc_adds_nothing(bench, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login CANARY password CANARY\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    bench.deliver(bench.word())
    assert "authorization" not in bench.channel.posted[0].headers
