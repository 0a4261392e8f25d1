"""From a settings file to a status on GitHub, as the controller does it; secrets that are replaced while it runs."""

from pathlib import Path
from typing import Any

import pytest

from fairlead import wiring
from fairlead.settings import Settings, load
from fairlead.wiring import forges

FILE = """
state = "{folder}"
[[repositories]]
url = "https://github.com/acme/desired.git"
[repositories.forge]
type = "github"
api = "{api}"
repository = "acme/desired"
[repositories.forge.auth]
{auth}
"""


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


def settings(github: Any, folder: Path, auth: str) -> Settings:
    file = folder / "fairlead.toml"
    file.write_text(FILE.format(folder=folder, api=f"{github.url}/api/v3", auth=auth))
    return load(file)


def test_a_token_out_of_a_file_is_used_and_replaced_without_a_restart(github: Any, say: Any, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{say.token}\n")
    parts = wiring.assemble(settings(github, tmp_path, f'token = "file:{secret}"'))
    github.tokens = {"new": github.tokens[say.token], say.token: github.tokens[say.token]}
    told = say.waiting(say.status())

    for token in (say.token, "new"):
        secret.write_text(token)
        (delivery,) = parts.forges["main"].deliver(say.lease(), told, say.now)
        assert delivery.delivered

    parts.close()
    assert [f"Bearer {say.token}", "Bearer new"] == [each.headers["Authorization"] for each in github.requests]


def test_an_app_out_of_the_environment_is_used(
    github: Any, say: Any, tmp_path: Path, app_key: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    pem, github.public_key = app_key
    monkeypatch.setenv("APP_KEY", pem)
    found = settings(
        github, tmp_path, 'mode = "app"\napp_id = "12345"\ninstallation_id = "678"\nprivate_key = "env:APP_KEY"'
    )
    store = wiring.ledger(found, clock)

    forge = forges.hosted(found, found.repositories[0], clock)(store)
    (delivery,) = forge.deliver(say.lease(), say.waiting(say.status()), say.now)

    store.close()
    assert delivery.delivered
    assert ["/api/v3/app/installations/678/access_tokens", "/api/v3/repos/acme/desired/statuses/" + "ab" * 20] == [
        each.path for each in github.requests
    ]
