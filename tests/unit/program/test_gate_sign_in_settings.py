"""What `[[gates]]` needs for each way of signing in, and what becomes of it."""

from pathlib import Path

import pytest

from fairlead.settings import SettingsError, load
from fairlead.wiring import sign_in

GATE = '[[gates]]\nurl = "https://gate.example.com"\nauth = {%s}\n'


def loaded(folder: Path, auth: str) -> Path:
    file = folder / "fairlead.toml"
    file.write_text(GATE % auth)
    return file


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ('mode = "bearer"', "mode bearer needs secret"),
        ('mode = "basic", user = "fairlead"', "mode basic needs secret"),
        ('mode = "form"', "mode form needs user and secret"),
        ('mode = "oauth2", secret = "env:X"', "mode oauth2 needs token_url and user"),
        ('mode = "certificate"', "mode certificate needs certificate"),
        ('mode = "header"', "mode header needs user"),
        ('mode = "header", user = "x", header = "A B"', "String should match pattern"),
    ],
)
def test_what_a_mode_needs_and_lacks_is_named(tmp_path: Path, auth: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(loaded(tmp_path, auth))


def test_a_secret_in_a_file_is_read_from_there_later_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("spk_one\n")
    settings = load(loaded(tmp_path, f'mode = "bearer", secret = "file:{tmp_path}/token"'))

    auth = sign_in(settings.gates[0].auth)

    assert ("spk_one", tmp_path / "token") == (auth.secret, auth.secret_file)


def test_a_token_endpoint_must_be_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_CLIENT_SECRET", "s")
    said = 'mode = "oauth2", token_url = "http://sso.example.com/t", user = "f", secret = "env:GATE_CLIENT_SECRET"'
    settings = load(loaded(tmp_path, said))

    with pytest.raises(SettingsError, match="the token_url must begin with https://"):
        sign_in(settings.gates[0].auth)
