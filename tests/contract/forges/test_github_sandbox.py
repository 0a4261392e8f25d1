"""The adapter and the sandbox's forge, over real HTTP and real Git: each holds the other to GitHub's rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.forges.github import GitHub
from adapters.forges.hosted import Allowance, HostedForge, Road, TokenSignIn, Transport, windows
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge import Forge
from fairlead_sandbox.git_server import GitServer
from reconciler.reviews import Proposal

NAME = "sandbox/main"


class Site:
    """A repository at the sandbox's forge with a first commit, a clone of it, and the adapter as `fairlead`."""

    def __init__(self, forge: Forge, bench: Any, folder: Path) -> None:
        forge.create(NAME)
        self.checkout = Checkout(folder / "clone", forge.git.url(NAME))
        self.checkout.commit("first", {"fleet.yaml": "version: 1\n"})
        self.first = self.checkout.push()
        token = forge.identities.add_person("fairlead")
        transport = Transport(
            forge.addresses.api,
            title=GitHub.title,
            example=GitHub.example,
            headers=GitHub.headers,
            timeout=10,
            monotonic=bench.clock.monotonic,
        )
        self.adapter = HostedForge(
            Road(GitHub(), transport, TokenSignIn(lambda: token, reference="env:TOKEN")),
            NAME,
            allowance=Allowance(budget=bench.store, windows=windows(60, 400)),
            log=bench.log,
        )

    def branch(self, name: str) -> str:
        """Push a branch with one change; gives its head."""
        self.checkout.git("checkout", "--quiet", "-B", name, self.first)
        self.checkout.commit(name, {"fleet.yaml": f"version: {name}\n"})
        self.checkout.git("push", "--quiet", "origin", name)
        head: str = self.checkout.head
        return head


@pytest.fixture
def site(bench: Any, clock: Any, tmp_path: Path) -> Iterator[Site]:
    with GitServer(tmp_path / "git") as git, Forge(git, clock) as forge:
        yield Site(forge, bench, tmp_path)


def test_a_proposal_is_opened_once_and_listed_with_its_head(site: Site) -> None:
    head = site.branch("fairlead/bump")
    proposal = Proposal(branch="fairlead/bump", base="main", title="Bump checkout", body="why")

    opened, again = site.adapter.propose(proposal), site.adapter.propose(proposal)

    (listed,) = site.adapter.pulls("main")
    assert opened == again
    assert (opened.number, head, "main", "fairlead/bump", "fairlead", False, True) == (
        listed.number, listed.head, listed.base, listed.branch, listed.author, listed.outside, listed.open,
    )  # fmt: skip


def test_a_branch_without_a_commit_of_its_own_is_no_proposal(site: Site) -> None:
    site.checkout.git("push", "--quiet", "origin", f"{site.first}:refs/heads/empty")

    with pytest.raises(Exception, match=r"^GitHub refused the pull request \(422: .*No commits between main and empty"):
        site.adapter.propose(Proposal(branch="empty", base="main", title="t", body=""))


def test_statuses_arrive_and_what_is_not_there_is_told_apart(site: Site, say: Any, bench: Any) -> None:
    words = say.waiting(say.status(site.first), say.status("ab" * 20), attempts=5)

    told, refused = site.adapter.deliver(say.lease(), words, bench.clock.now())

    assert (True, False) == (told.delivered, refused.delivered)
    assert "the repository has no commit abababababab: no status can be put on it" == refused.message
