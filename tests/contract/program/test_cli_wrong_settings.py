"""Settings, files and addresses that cannot be used: one sentence each, no traceback, and no secret in it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fairlead.cli import app

REPOSITORY = 'state = "{state}"\n[[repositories]]\nurl = "{url}"\n'


def said(*args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(args), env=env)
    return done.exit_code, done.stderr


def written(folder: Path, text: str) -> Path:
    config = folder / "fairlead.toml"
    config.write_text(text)
    return config


@pytest.mark.parametrize("command", [("once",), ("controller",), ("bump", "checkout", "1.4.2", "--env", "prod")])
@pytest.mark.parametrize(
    ("repository", "why"),
    [
        ('url = "--upload-pack=x"', "is no address of a repository: write https://, ssh://, file:// or a path"),
        ('url = "https://me:canary@git.example.com/x"', "the repository's url holds credentials"),
        ('url = "ext::sh -c x"', "is not allowed: use https, http, ssh or file"),
        ('url = "/x"\nbranch = "--x"', "is no name of a branch: write one such as `main`"),
    ],
)
def test_an_address_that_git_must_not_be_given(
    tmp_path: Path, command: tuple[str, ...], repository: str, why: str
) -> None:
    config = written(tmp_path, f'state = "{tmp_path}"\n[[repositories]]\n{repository}\n')

    code, sentence = said(*command, "--config", str(config))

    assert (2, 1) == (code, sentence.count("\n"))
    assert sentence.startswith("fairlead: repository main: ")
    assert why in sentence
    assert "canary" not in sentence


def test_a_secret_that_is_not_text_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\xff\xfecanary")
    auth = f'auth = {{mode = "basic", user = "x", secret = "file:{secret}"}}\n'
    config = written(tmp_path, REPOSITORY.format(state=tmp_path, url="http://127.0.0.1:1/x") + auth)

    code, sentence = said("bump", "checkout", "1.4.2", "--env", "prod", "--config", str(config))

    assert 2 == code
    assert f"fairlead: the secret file:{secret} cannot be read: it must be text that this user may read\n" == sentence


@pytest.mark.parametrize("value", ["canary\nX-Other: y", "c\u00e4nary\u2603", ""])
@pytest.mark.parametrize("kind", ["repositories", "gates"])
def test_a_token_that_fits_into_no_header_is_refused_and_not_shown(tmp_path: Path, kind: str, value: str) -> None:
    auth = 'auth = {mode = "bearer", secret = "env:TOKEN"}\n'
    gate = '[[gates]]\nurl = "https://gate.example.com"\n'
    repository = REPOSITORY.format(state=tmp_path, url="http://127.0.0.1:1/x")
    config = written(tmp_path, repository + (auth if kind == "repositories" else gate + auth))

    code, sentence = said("once", "--config", str(config), env={"TOKEN": value})

    told = "fairlead: the secret env:TOKEN is no token: it must be one line of ASCII letters, digits and signs\n"
    assert (2, told) == (code, sentence)


def test_a_settings_file_that_is_not_utf_8(tmp_path: Path) -> None:
    config = tmp_path / "fairlead.toml"
    config.write_bytes(b"\xff\xfe = 1")

    assert (2, f"fairlead: {config}: the file is not UTF-8; save it as UTF-8\n") == said(
        "status", "--config", str(config)
    )


def test_a_settings_file_that_the_environment_names_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "nope.toml"

    code, sentence = said("status", env={"FAIRLEAD_CONFIG": str(missing)})

    assert (2, f"fairlead: {missing}: no such file; name the settings file with FAIRLEAD_CONFIG\n") == (code, sentence)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("FAIRLEAD_REPOSITORIES", "main", "FAIRLEAD_REPOSITORIES: must be JSON, such as a list in [ ]"),
        ("FAIRLEAD_POLL_INTERVAL", "5", "FAIRLEAD_POLL_INTERVAL: poll_interval: must be a duration like"),
    ],
)
def test_a_wrong_variable_is_named_and_not_the_file(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    config = written(tmp_path, f'state = "{tmp_path}"\n')

    code, told = said("status", "--config", str(config), env={name: value})

    assert 2 == code
    assert told.startswith(f"fairlead: {sentence}")


def test_a_ledger_url_without_a_scheme_shows_no_password(tmp_path: Path) -> None:
    config = written(tmp_path, f'state = "{tmp_path}"\nledger = "me:canary@db.example.com/x"\n')

    code, sentence = said("status", "--config", str(config))

    assert 3 == code
    assert "db.example.com" in sentence
    assert "canary" not in sentence


@pytest.mark.parametrize("command", ["once", "controller", "status"])
@pytest.mark.parametrize("where", ["h1:1,h2:2", "h1:port"])
def test_a_ledger_url_whose_port_is_no_number_is_a_sentence_with_the_right_form(
    tmp_path: Path, command: str, where: str
) -> None:
    ledger = f"postgresql+psycopg://me:canary@{where}/x?target_session_attrs=read-write"
    config = written(tmp_path, f'ledger = "{ledger}"\n{REPOSITORY.format(state=tmp_path, url=tmp_path)}')

    code, sentence = said(command, "--config", str(config))

    assert (3, 1) == (code, sentence.count("\n"))
    assert "postgresql+psycopg://USER:PASSWORD@/NAME?host=HOST1:5432&host=HOST2:5432" in sentence
    assert "canary" not in sentence


def test_schemas_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    code, sentence = said("schemas", "--write", str(tmp_path / "file"))

    assert 2 == code
    assert f"fairlead: {tmp_path / 'file'}: File exists; name a folder that can be written with --write\n" == sentence


def test_once_that_reaches_no_repository_says_so_and_exits_3(tmp_path: Path) -> None:
    config = written(tmp_path, REPOSITORY.format(state=tmp_path, url=tmp_path / "nowhere"))

    code, sentence = said("once", "--config", str(config))

    assert 3 == code
    assert f"there is no repository at {tmp_path / 'nowhere'} that we may see" in sentence


def test_what_a_terminal_would_obey_is_escaped(tmp_path: Path) -> None:
    code, sentence = said("validate", str(tmp_path / "a\x1b[2Jb"))

    assert 2 == code
    assert sentence.rstrip("\n").isprintable()
