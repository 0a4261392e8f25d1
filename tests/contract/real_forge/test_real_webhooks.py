"""A real Gitea tells a controller's own server of pushes and pull requests."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.clock import SystemClock
from adapters.ledger.store import open_ledger
from fairlead.settings import ForgeSettings, RepositorySettings, Settings
from fairlead.wiring.hooks import hooks
from tests.contract.hooked import Hooked, hooked
from tests.contract.real_forge.server import RealForge, wait_until

pytestmark = pytest.mark.forge
SECRET = "a secret that forges share with us"
MakeSite = Callable[..., Hooked]


@pytest.fixture
def repository(real_forge: RealForge) -> str:
    return real_forge.create(f"desired-{uuid4()}")


@pytest.fixture
def make_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_forge: RealForge, repository: str
) -> Iterator[MakeSite]:
    """`make_site(secret=, content_type=)`: a server, and a webhook of the repository that leads to it."""
    monkeypatch.setenv("SECRET", SECRET)
    with ExitStack() as ends:
        store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", SystemClock())
        ends.callback(store.close)
        forge = ForgeSettings(repository=repository, webhook_secrets=("env:SECRET",))
        watched = RepositorySettings(
            name="main", url=f"{real_forge.url}/{repository}", forge=forge.model_copy(update={"type": "gitea"})
        )
        site = ends.enter_context(hooked(store, hooks(Settings(repositories=(watched,)), SystemClock())))

        def make(secret: str = SECRET, content_type: str = "json") -> Hooked:
            config = {"url": f"{site.url}/gitea", "content_type": content_type, "secret": secret}
            events = ["push", "pull_request", "pull_request_sync"]
            body = {"type": "gitea", "active": True, "events": events, "config": config}
            real_forge.ask("POST", f"repos/{repository}/hooks", body)
            return site

        yield make


def test_a_push_makes_the_repository_and_its_pull_requests_due(
    make_site: MakeSite, real_forge: RealForge, repository: str, tmp_path: Path
) -> None:
    site, clone = make_site(), tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", real_forge.clone_url(repository), clone], check=True)
    (clone / "file").write_text("hi\n")
    author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "add", "file"], cwd=clone, check=True)
    subprocess.run(["git", *author, "commit", "-qm", "Add file"], cwd=clone, check=True)

    subprocess.run(["git", "push", "-q", "origin", "HEAD:main"], cwd=clone, check=True)

    assert {"repository:main", "pulls:main"} == wait_until(site.queued)


def test_a_pull_request_and_a_push_to_it_make_pull_requests_due(
    make_site: MakeSite, real_forge: RealForge, repository: str
) -> None:
    real_forge.commit(repository, "first", new_branch="topic")
    site = make_site()

    real_forge.ask("POST", f"repos/{repository}/pulls", {"title": "Topic", "head": "topic", "base": "main"})
    assert {"pulls:main"} == wait_until(site.queued)

    real_forge.commit(repository, "second", branch="topic")
    assert {"pulls:main"} == wait_until(site.queued)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"secret": "another"}, "the signature is not of a secret that is known here"),
        ({"secret": ""}, "not signed: set a secret at the webhook, so that it sends X-Gitea-Signature"),
        (
            {"content_type": "form"},
            "write application/json as the webhook's content type: the signature of a form is not over it",
        ),
    ],
    ids=["another", "none", "form"],
)
def test_what_cannot_be_believed_moves_nothing_and_the_log_says_why(
    make_site: MakeSite, real_forge: RealForge, repository: str, given: dict[str, str], why: str
) -> None:
    site = make_site(**given)

    real_forge.commit(repository, "file")

    assert why in wait_until(lambda: [line for line in site.log.lines if "webhook not taken" in line])[0]
    assert set() == site.queued()
