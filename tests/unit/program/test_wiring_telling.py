"""Who hears of fleets, out of settings: what works is made, what never could is one sentence without the address."""

import socket

import pytest

from adapters.clock import SystemClock
from adapters.doctor.channels import ChannelLook
from adapters.doctor.findings import Verdict
from fairlead import wiring
from fairlead.settings import Settings, SettingsError, load
from fairlead.wiring import telling
from reconciler.audience import Audience
from reconciler.notices import Channel

GITHUB = {"type": "github", "repository": "acme/desired", "auth": {"mode": "token", "token": "env:TOKEN"}}


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    values = {
        "TOKEN": "ghp_CANARY",
        "SLACK": "https://hooks.slack.com/services/CANARY",
        "PLAIN": "http://hooks.example.com/CANARY",
        "USER": "https://me:CANARY@hooks.example.com/",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def settings(state, *channels, **forge):
    repository = {"name": "main", "url": "https://github.com/acme/desired.git", "forge": GITHUB | forge}
    return Settings(state=state, repositories=[repository], notify=channels)


def test_nobody_hears_where_the_settings_name_nobody(tmp_path):
    assert Audience() == telling.audience(settings(tmp_path))
    parts = wiring.assemble(settings(tmp_path))
    parts.close()
    assert {} == parts.notifiers


def test_the_settings_say_who_hears(tmp_path):
    channel = {"name": "payments", "url": "env:SLACK", "owners": ["payments"], "environments": ["prod"]}
    found = telling.audience(settings(tmp_path, channel, sources=["acme/*"], deployments=True))
    assert (
        Audience(
            sources={"main": ("acme/*",)},
            deployments=frozenset({"main"}),
            channels=(Channel(name="payments", owners=("payments",), environments=("prod",)),),
        )
        == found
    )

    parts = wiring.assemble(settings(tmp_path, channel))
    parts.close()
    assert {"notify-payments"} == set(parts.notifiers)
    assert parts.world.audience.channels == found.channels


def test_git_notes_have_neither_sources_nor_deployments(tmp_path):
    repository = {"name": "main", "url": "u", "forge": {"sources": ["acme/*"], "deployments": True}}
    assert Audience() == telling.audience(Settings(state=tmp_path, repositories=[repository]))


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ({"name": "a", "url": "env:PLAIN"}, "notify a: the url is not https"),
        ({"name": "a", "url": "env:USER"}, "notify a: the url is no address"),
        ({"name": "a", "url": "env:NOWHERE"}, "notify a: the secret env:NOWHERE is not there"),
    ],
)
def test_an_address_that_could_never_be_used_is_said_at_the_start(tmp_path, channel, said):
    with pytest.raises(SettingsError, match=said) as refused:
        wiring.assemble(settings(tmp_path, channel))
    assert "CANARY" not in str(refused.value)
    assert "hooks.example" not in str(refused.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[[notify]]\nname = "a"\nurl = "https://hooks.slack.com/x"', "a secret is a reference"),
        ('[[notify]]\nname = "a"\nurl = "env:A"\nsecret = "env:B"', "secret goes with kind webhook"),
        ('[[notify]]\nname = "A b"\nurl = "env:A"', "notify.0.name"),
        ('[[notify]]\nname = "a"\nurl = "env:A"\n[[notify]]\nname = "a"\nurl = "env:B"', "two channels are called a"),
        ('[[notify]]\nname = "a"\nkind = "mail"\nurl = "env:A"', "notify.0.kind"),
        ('[[repositories]]\nname = "notify-a"\nurl = "u"', "must not begin with notify-"),
    ],
)
def test_what_is_wrong_with_the_settings_is_one_sentence(tmp_path, lines, said):
    file = tmp_path / "fairlead.toml"
    file.write_text(lines)
    with pytest.raises(SettingsError, match=said):
        load(file)


def look(tmp_path, url, monkeypatch, **more):
    monkeypatch.setenv("CHANNEL", url)
    wanted = settings(tmp_path, {"name": "a", "url": "env:CHANNEL", **more})
    (found,) = ChannelLook(name="a", reach=telling.reach(wanted, wanted.notify[0], SystemClock())).check()
    assert "CANARY" not in f"{found.seen} {found.fix}"
    return found


def test_the_doctor_says_whether_a_channel_can_be_reached_and_posts_nothing(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = look(tmp_path, f"http://127.0.0.1:{port}/CANARY", monkeypatch)
        connection, _ = server.accept()
        with connection:
            assert b"" == connection.recv(10)
    assert (Verdict.OK, "it is reached; whether it takes notices cannot be known without posting one") == (
        found.verdict,
        found.seen,
    )

    found = look(tmp_path, f"http://127.0.0.1:{port}/CANARY", monkeypatch)
    assert (Verdict.TROUBLE, True) == (found.verdict, found.unreachable)

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    found = look(tmp_path, "https://hooks.example.com/CANARY", monkeypatch)
    assert Verdict.SKIPPED is found.verdict
    assert "cannot be known" in found.seen


def test_the_doctor_says_what_is_wrong_with_an_address(tmp_path, monkeypatch):
    assert "the url is not https" in look(tmp_path, "http://hooks.example.com/CANARY", monkeypatch).seen
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = look(tmp_path, f"https://hooks.example.com:{server.getsockname()[1]}/CANARY", monkeypatch)
    assert "private_hosts" in found.fix
