"""From a settings file to a word at GitLab or Gitea, as the controller does it; and what the doctor says of them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.doctor.findings import Finding, Verdict
from fairlead import wiring
from fairlead.settings import Settings, load
from fairlead.wiring.looking import checkup
from fairlead_sandbox.forge.vendor import Name
from reconciler.ports import Undelivered
from reconciler.record import CommitStatus, State
from tests.contract.forges.hosted_worlds import MakeSite, Site

KINDS: tuple[Name, ...] = ("gitlab", "gitea")
NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
FILE = """
state = "{folder}/state"
[[repositories]]
url = "{url}"
[repositories.forge]
type = "{kind}"
api = "{api}"
repository = "{repository}"
auth = {{ token = "file:{folder}/token" }}
"""


class HeldLease:
    key = "statuses:main"

    def check(self) -> None:
        """It is held."""


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


def settings(site: Site, folder: Path, **changes: str) -> Settings:
    file = folder / "fairlead.toml"
    values = {
        "kind": site.kind,
        "url": site.sandbox.git.url(site.repository),
        "api": site.sandbox.addresses.api,
        "repository": site.repository,
    }
    file.write_text(FILE.format(folder=folder, **(values | changes)))
    (folder / "token").write_text(f"{site.token}\n")
    return load(file)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_out_of_a_file_is_used_and_replaced_without_a_restart(
    make_site: MakeSite, tmp_path: Path, kind: Name
) -> None:
    site = make_site(kind)
    parts = wiring.assemble(settings(site, tmp_path))
    told = [
        CommitStatus(repository="main", commit=commit, context="fairlead/validate", state=State.SUCCESS, description="")
        for commit in site.commits[:2]
    ]

    for number, each in enumerate(told):
        (delivery,) = parts.forges["main"].deliver(
            HeldLease(), [Undelivered(id=1, sequence=1, status=each, attempts=0)], NOW
        )
        assert delivery.delivered
        fresh = site.sandbox.identities.add_person(f"bot-{number}")
        site.sandbox.identities.revoke(site.token)
        (tmp_path / "token").write_text(fresh)

    parts.close()
    assert [1, 1] == [len(site.read(commit)) for commit in site.commits[:2]]


def said(found: Settings, folder: Path) -> list[Finding]:
    (look,) = checkup(found, folder / "scratch").forges
    return list(look.check())


@pytest.mark.parametrize("kind", KINDS)
def test_the_doctor_sees_the_repository_and_who_we_are(make_site: MakeSite, tmp_path: Path, kind: Name) -> None:
    site = make_site(kind)

    found = said(settings(site, tmp_path), tmp_path)

    assert [Verdict.OK, Verdict.OK] == [each.verdict for each in found]
    assert [f"{site.repository} is seen, 0 pull requests of its newest are open", "we are fairlead-bot there"] == [
        each.seen for each in found
    ]
    assert [] == site.writes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_doctor_names_the_fix_of_what_is_wrong(make_site: MakeSite, tmp_path: Path, kind: Name) -> None:
    site = make_site(kind)
    (nowhere,) = said(settings(site, tmp_path, repository="acme/nowhere"), tmp_path)
    (else_,) = said(settings(site, tmp_path, api=site.sandbox.addresses.web), tmp_path)
    site.sandbox.identities.revoke(site.token)
    (revoked,) = said(settings(site, tmp_path), tmp_path)

    assert [Verdict.TROUBLE] * 3 == [each.verdict for each in (nowhere, else_, revoked)]
    assert "check forge.repository, and that the token may see it" == nowhere.fix
    assert "check forge.auth" == revoked.fix
    assert "did not accept our sign-in" in revoked.seen
