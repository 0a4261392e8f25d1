"""A pull request from the command to the deploy, at the sandbox's forges: opened, merged by a person, waited for."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner, Result

from adapters.clock import SystemClock
from adapters.forges.hosted import HostedForge
from fairlead.cli import app
from fairlead.commands import following
from fairlead.settings import load
from fairlead.wiring import writing_back
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.git_server import GitServer
from reconciler.ports import Undelivered
from reconciler.record import CommitStatus, State
from tests.contract.program.conftest import Clone, example_files

NAME = "acme/desired"
PROD = "environments/prod/environment.yaml"
BRANCH = "fairlead/bump-prod-checkout-1.4.2"
NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
TOKEN = "github_pat_CANARY11AAAA0123456789"


class Lease:
    key = "statuses:main"

    def check(self) -> None:
        """It is held."""


class Site:
    """The repository at the forge, a person's clone, and the command with its settings."""

    def __init__(self, forge: Forge, folder: Path, kind: str = "github") -> None:
        forge.create(NAME)
        self.forge = forge
        self.clone = Clone(folder / "clone", forge.git.url(NAME))
        files = example_files()
        self.clone.commit("begin", files | {PROD: files[PROD] + "changes: {how: pull-request}\n"})
        token = forge.identities.add_person("fairlead")
        self._api = f"{forge.addresses.api}/repos/{NAME}"
        self._signed = {"Authorization": f"Bearer {forge.identities.add_person('ada')}"}
        (folder / "token").write_text(token)
        self._config = folder / "fairlead.toml"
        self._config.write_text(
            f'state = "{folder / "state"}"\n'
            f'[[repositories]]\nurl = "{forge.git.url(NAME)}"\n'
            f'[repositories.forge]\ntype = "{kind}"\napi = "{forge.addresses.api}"\nrepository = "{NAME}"\n'
            f'auth = {{token = "file:{folder / "token"}"}}\n'
        )

    def adapter(self) -> HostedForge:
        """As the controller speaks to the forge."""
        settings = load(self._config)
        found = writing_back.reviews(settings, settings.repositories[0], SystemClock())
        assert isinstance(found, HostedForge)
        return found

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(self._config)])

    def answers_on_heads(self) -> None:
        settings = self._config.read_text()
        self._config.write_text(
            settings.replace("[repositories.forge]\n", '[repositories.forge]\nanswer_on = "head"\n')
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, self._api + path, json=body, headers=self._signed, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def merge(self, how: str) -> str:
        return str(self.ask("PUT", "/pulls/1/merge", {"merge_method": how})["sha"])

    def say(self, commit: str, state: str, description: str) -> None:
        body = {"state": state, "context": "fairlead/prod/checkout", "description": description}
        self.ask("POST", f"/statuses/{commit}", body)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with GitServer(tmp_path / "git") as git, Forge(git, SystemClock()) as forge:
        yield Site(forge, tmp_path)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens between one look and the next, instead of a pause."""

    def happen(*steps: Callable[[], Any]) -> None:
        left = list(steps)
        monkeypatch.setattr(following, "pause", lambda _: left.pop(0)())

    return happen


@pytest.mark.parametrize("how", ["merge", "squash"])
def test_a_pull_request_is_opened_and_followed_until_what_it_became_is_deployed(
    site: Site, between: Any, how: str
) -> None:
    between(
        lambda: None,
        lambda: site.say(site.merge(how), "pending", "wave 1/2: 1.4.2 on 0/2 units"),
        lambda: site.say(site.clone.head(), "success", "1.4.2 on 2/2 units in 48 s"),
    )

    done = site.run("bump", "checkout", "1.4.2", "--env", "prod", "--wait", "-o", "json")

    assert done.stdout, (done.stderr, done.exception)
    said = json.loads(done.stdout)
    assert (0, "success", None) == (done.exit_code, said["result"], said["commit"])
    assert (1, BRANCH) == (said["changes"][0]["pull"]["number"], said["changes"][0]["branch"])
    assert site.clone.head() == said["results"][0]["commit"]
    assert [
        f"pull request #1 waits to be merged: {said['changes'][0]['pull']['url']}",
        f"pull request #1 is merged as {site.clone.head()[:7]}",
        "prod/checkout: wave 1/2: 1.4.2 on 0/2 units",
        "prod/checkout: success: 1.4.2 on 2/2 units in 48 s",
    ] == done.stderr.splitlines()


def test_a_pull_request_that_is_closed_ends_the_wait(site: Site, between: Any) -> None:
    between(lambda: site.ask("PATCH", "/pulls/1", {"state": "closed"}))

    done = site.run("bump", "checkout", "1.4.2", "--env", "prod", "--wait")

    assert 11 == done.exit_code
    assert "prod/checkout: error: pull request #1 was closed and not merged" in done.stdout


def test_the_same_command_again_finds_the_pull_request(site: Site) -> None:
    first, again = (site.run("bump", "checkout", "1.4.2", "--env", "prod", "-o", "json") for _ in range(2))

    assert json.loads(first.stdout)["changes"] == json.loads(again.stdout)["changes"]
    assert 1 == len(site.ask("GET", "/pulls"))


def test_a_forge_that_lets_nobody_in_is_told_with_the_branch(site: Site, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)

    done = site.run("bump", "checkout", "1.4.2", "--env", "prod")

    assert 3 == done.exit_code
    assert f"the branch {BRANCH} is pushed" in done.stderr
    assert TOKEN not in done.stderr


@pytest.mark.parametrize("how", ["merge", "squash"])
def test_where_only_heads_are_told_the_head_is_read(site: Site, between: Any, how: str) -> None:
    site.answers_on_heads()

    def told() -> None:
        head = site.ask("GET", "/pulls/1")["head"]["sha"]
        site.merge(how)
        site.say(head, "success", "1.4.2 on 2/2 units in 48 s")

    between(told)

    merged = site.run("bump", "checkout", "1.4.2", "--env", "prod", "--wait")
    again = site.run("bump", "checkout", "1.4.2", "--env", "prod", "--wait", "--timeout", "0s")

    assert [0, 0] == [merged.exit_code, again.exit_code], again.stderr
    assert "prod/checkout: success: 1.4.2 on 2/2 units in 48 s" == again.stdout.splitlines()[-1]


def test_a_look_at_a_pull_request_is_one_question_and_looks_grow_rare(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        site.clone.git("fetch", "--quiet", "origin", "main")
        site.clone.git("reset", "--quiet", "--hard", "FETCH_HEAD")
        site.clone.git("commit", "--quiet", "--allow-empty", "-m", f"old {number}")
        site.clone.git("push", "--quiet", "origin", f"HEAD:refs/heads/old-{number}")
        site.ask("POST", "/pulls", {"title": "old", "head": f"old-{number}", "base": "main"})
        site.ask("PUT", f"/pulls/{number}/merge", {"merge_method": "squash"})
    rests: list[float] = []
    reads: list[int] = []

    def pause(seconds: float) -> None:
        rests.append(seconds)
        reads.append(site.forge.log.reads)
        if len(rests) == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr(following, "pause", pause)

    done = site.run("bump", "checkout", "1.4.2", "--env", "prod", "--wait", "--timeout", "2h")

    assert 130 == done.exit_code
    assert {1} == {later - earlier for earlier, later in pairwise(reads)}
    assert (5.0, 30.0, sorted(rests)) == (rests[0], rests[-1], rests)


@pytest.mark.parametrize("kind", ["gitlab", "gitea"])
def test_other_forges_are_asked_in_their_own_words(kind: Name, tmp_path: Path, between: Any) -> None:
    """Merged by a push of the branch's commit to `main`."""
    with GitServer(tmp_path / "git") as git, Forge(git, SystemClock(), kind) as forge:
        site = Site(forge, tmp_path, kind)

        def merge() -> None:
            site.clone.git("fetch", "--quiet", "origin", BRANCH)
            site.clone.git("push", "--quiet", "origin", "FETCH_HEAD:refs/heads/main")

        def fail() -> None:
            word = CommitStatus(
                repository="main",
                commit=site.clone.head(),
                context="fairlead/prod/checkout",
                state=State.FAILURE,
                description="1.4.2 failed",
            )
            (told,) = site.adapter().deliver(Lease(), [Undelivered(id=1, sequence=1, status=word, attempts=0)], NOW)
            assert told.delivered

        between(merge, fail, lambda: None)

        done = site.run("bump", "checkout", "1.4.2", "--env", "prod", "--wait")

    assert 10 == done.exit_code, (done.stdout, done.stderr, done.exception)
    assert "prod/checkout: failure: 1.4.2 failed" == done.stdout.splitlines()[-1]
