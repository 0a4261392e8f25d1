"""Pull requests and commits, as each environment says; the reviews are a stand-in, the git server is real."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import app
from fairlead.wiring import writing_back
from reconciler.ports import Unreadable
from reconciler.reviews import Proposal, Pull
from tests.contract.program.conftest import ENVIRONMENT

PROD = "environments/prod/environment.yaml"
BY_PULL = ENVIRONMENT.format(regions="[us-east-1, eu-west-1]", name="prod") + "changes: {how: pull-request}\n"
BRANCH = "fairlead/bump-prod-checkout-1.4.2"


class Reviews:
    """Pull requests in memory."""

    pull_ref = "refs/pull/{number}/head"

    def __init__(self) -> None:
        self.proposals: list[Proposal] = []
        self.away = ""

    def pulls(self, base: str) -> Sequence[Pull]:
        return [self._pull(each, base) for each in self.proposals]

    def propose(self, proposal: Proposal) -> Pull:
        if self.away:
            raise Unreadable(self.away)
        if proposal.branch not in [each.branch for each in self.proposals]:
            self.proposals.append(proposal)
        return self._pull(proposal, proposal.base)

    def _pull(self, proposal: Proposal, base: str) -> Pull:
        number = [each.branch for each in self.proposals].index(proposal.branch) + 1
        return Pull(
            number=number,
            head="",
            base=base,
            branch=proposal.branch,
            title=proposal.title,
            author="fairlead",
            url=f"https://git.example.com/pulls/{number}",
            outside=False,
        )


@pytest.fixture
def reviews(monkeypatch: pytest.MonkeyPatch) -> Reviews:
    found = Reviews()
    monkeypatch.setattr(writing_back, "reviews", lambda *_: found)
    return found


@pytest.fixture
def run(tmp_path: Path, desired: Any) -> Any:
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(config)])

    return invoke


@pytest.fixture
def by_pull(desired: Any) -> str:
    return str(desired.change({PROD: BY_PULL}))


def branch(desired: Any, name: str) -> str:
    return str(desired.clone.git("ls-remote", "origin", f"refs/heads/{name}").partition("\t")[0])


def test_an_environment_may_want_pull_requests(run: Any, desired: Any, reviews: Reviews, by_pull: str) -> None:
    done = run("bump", "checkout", "1.4.2", "--env", "prod", "--message", "the fix", "-o", "json")

    said = json.loads(done.stdout)
    change = said["changes"][0]
    assert (0, None, by_pull) == (done.exit_code, said["commit"], desired.clone.head())
    assert ("pull-request", BRANCH, branch(desired, BRANCH)) == (change["how"], change["branch"], change["commit"])
    assert {"number": 1, "url": "https://git.example.com/pulls/1"} == change["pull"]
    assert [(BRANCH, "main", "prod/checkout: 1.4.1 -> 1.4.2")] == [
        (each.branch, each.base, each.title) for each in reviews.proposals
    ]
    assert "the fix\n\nFairlead-Command: bump" == reviews.proposals[0].body


def test_the_same_command_again_finds_the_branch_and_the_pull_request(
    run: Any, desired: Any, reviews: Reviews, by_pull: str
) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod")
    stands = branch(desired, BRANCH)

    done = run("bump", "checkout", "1.4.2", "--env", "prod")

    assert 0 == done.exit_code
    assert "pull request #1: https://git.example.com/pulls/1" in done.stdout
    assert (stands, 1) == (branch(desired, BRANCH), len(reviews.proposals))


def test_environments_that_differ_get_one_of_each_kind(run: Any, desired: Any, reviews: Reviews, by_pull: str) -> None:
    done = run("bump", "checkout=1.4.2", "basket=2.0.0", "--env", "staging", "--env", "prod")

    lines = done.stdout.splitlines()
    assert 0 == done.exit_code
    assert lines[0].startswith(f"staging (by a commit): pushed {desired.clone.head()[:7]}: ")
    assert any(line.startswith("prod (by a pull request): ") for line in lines)
    desired.clone.git("fetch", "--quiet", "origin", "main", reviews.proposals[0].branch)
    changed = desired.clone.git("diff", "--name-only", by_pull, desired.clone.head())
    assert ["environments/staging/basket.yaml", "environments/staging/checkout.yaml"] == changed.splitlines()
    proposed = desired.clone.git("diff", "--name-only", by_pull, branch(desired, reviews.proposals[0].branch))
    assert 2 == sum(path.startswith("environments/prod/") for path in proposed.splitlines())


def test_a_commit_is_refused_where_pull_requests_are_wanted(
    run: Any, desired: Any, reviews: Reviews, by_pull: str
) -> None:
    done = run("bump", "checkout", "1.4.2", "--env", "prod", "--commit")

    assert (2, by_pull) == (done.exit_code, desired.clone.head())
    assert f"fairlead: prod takes pull requests only (changes.how in {PROD})" in done.stderr


def test_a_pull_request_may_be_asked_for_anywhere(run: Any, desired: Any, reviews: Reviews) -> None:
    head = desired.clone.head()

    done = run("rollback", "--help")
    done = run("bump", "checkout", "1.4.2", "--env", "staging", "--pull-request")

    assert (0, head) == (done.exit_code, desired.clone.head())
    assert ["fairlead/bump-staging-checkout-1.4.2"] == [each.branch for each in reviews.proposals]


def test_a_forge_without_pull_requests_is_told_before_anything_is_pushed(run: Any, desired: Any, by_pull: str) -> None:
    done = run("bump", "checkout", "1.4.2", "--env", "prod", "--env", "staging")

    assert (2, by_pull) == (done.exit_code, desired.clone.head())
    assert "the forge of repository main (git_notes) has none: set repositories.forge" in done.stderr
    assert "" == branch(desired, BRANCH)


def test_a_pull_request_that_cannot_be_opened_leaves_a_branch_that_is_named(
    run: Any, desired: Any, reviews: Reviews, by_pull: str
) -> None:
    reviews.away = "GitHub did not answer in time"

    done = run("bump", "checkout", "1.4.2", "--env", "prod", "--env", "staging")

    assert 3 == done.exit_code
    assert f"the branch {BRANCH} is pushed ({branch(desired, BRANCH)[:7]})" in done.stderr
    assert f"open one by hand from {BRANCH} into main" in done.stderr
    assert f"is pushed as {desired.clone.head()[:7]} all the same" in done.stderr
    reviews.away = ""
    assert 0 == run("bump", "checkout", "1.4.2", "--env", "prod", "--env", "staging").exit_code
    assert [BRANCH] == [each.branch for each in reviews.proposals]


def test_an_environment_that_cannot_be_read_takes_no_commit(run: Any, desired: Any, reviews: Reviews) -> None:
    head = desired.change({PROD: "account: 12\n"})

    done = run("bump", "checkout", "1.4.2", "--env", "prod")

    assert (2, head) == (done.exit_code, desired.clone.head())
    assert f"fairlead: {PROD} cannot be read, so it does not say whether commits are allowed" in done.stderr


def test_a_rollback_and_a_suspension_are_proposed_too(run: Any, desired: Any, reviews: Reviews, by_pull: str) -> None:
    desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})

    assert 0 == run("rollback", "prod/checkout").exit_code
    assert 0 == run("suspend", "prod/checkout", "--reason", "a look").exit_code

    back, asleep = [each.branch for each in reviews.proposals]
    assert back.startswith("fairlead/rollback-prod-checkout-to-")
    assert "fairlead/suspend-prod-checkout" == asleep
