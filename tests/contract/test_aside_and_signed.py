"""Branches of our own for pull requests, and signatures that others can verify."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from desired_state.commit_signing import Signer
from desired_state.edits import Edit
from desired_state.git_errors import GitRefused
from desired_state.landing import COMMAND, Author, NothingToChange, Writer, commit_aside
from desired_state.mirror import Mirror
from desired_state.model import Revision
from desired_state.writing import Note, bump, bumping
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.git_server import Call, Cut, GitServer

CHECKOUT, CART = "environments/prod/checkout.yaml", "environments/prod/cart.yaml"
BRANCH = "fairlead/bump-prod-checkout-1.4.2"
ADA = Author(name="Ada", email="ada@example.com")
US = Author(name="Fairlead", email="fairlead@example.com")
NOTE = Note(trailers=((COMMAND, "bump"),))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repositories") as server:
        yield server


@pytest.fixture
def ada(tmp_path: Path, server: GitServer) -> Checkout:
    checkout = Checkout(tmp_path / "ada", server.create("fleets"))
    checkout.commit("first", {CHECKOUT: "version: 1.4.1\n", CART: "version: 2.0.0\n"})
    checkout.push()
    return checkout


@pytest.fixture
def mirror(tmp_path: Path, server: GitServer, ada: Checkout) -> Iterator[Mirror]:
    with Mirror(tmp_path / "mirror", server.url("fleets"), timeout=20) as mirror:
        yield mirror


def propose(mirror: Mirror, version: str = "1.4.2") -> Revision:
    edits = {"prod/checkout": (Edit(version=version),)}
    return commit_aside(mirror, bumping(mirror, edits, note=NOTE).make, BRANCH, writer=Writer(author=ADA))


def remote(mirror: Mirror, branch: str) -> str:
    return mirror.git("ls-remote", mirror.url, f"refs/heads/{branch}").split("\t")[0]


def test_a_proposal_is_one_commit_on_a_branch_of_its_own(mirror: Mirror, ada: Checkout) -> None:
    made = propose(mirror)

    assert (ada.head,) == made.parents
    assert made.sha == remote(mirror, BRANCH)
    assert ada.head == remote(mirror, "main")


def test_the_same_proposal_again_leaves_the_branch_as_it_is(mirror: Mirror, ada: Checkout) -> None:
    first = propose(mirror)
    ada.commit("another", {CART: "version: 2.0.1\n"})
    ada.push()

    assert first == propose(mirror)
    assert first.sha == remote(mirror, BRANCH)


def test_another_proposal_takes_the_place_of_the_first(mirror: Mirror) -> None:
    propose(mirror)

    made = propose(mirror, "1.4.3")

    assert made.sha == remote(mirror, BRANCH)
    assert "prod/checkout: 1.4.1 -> 1.4.3" == made.subject


def test_a_proposal_is_made_anew_where_the_file_it_changes_is_another_now(mirror: Mirror, ada: Checkout) -> None:
    propose(mirror)
    ada.commit("another", {CHECKOUT: "# of payments\nversion: 1.4.1\n"})
    head = ada.push()

    made = propose(mirror)

    assert (head,) == made.parents
    assert made.sha == remote(mirror, BRANCH)


def test_a_branch_that_was_merged_and_left_is_used_again(mirror: Mirror, ada: Checkout) -> None:
    merged = propose(mirror)
    ada.git("fetch", "--quiet", "origin", BRANCH)
    ada.git("merge", "--quiet", "--ff-only", merged.sha)
    ada.commit("back", {CHECKOUT: "version: 1.4.1\n"})
    head = ada.push()

    made = propose(mirror)

    assert (head,) == made.parents
    assert made.sha == remote(mirror, BRANCH)


def test_a_branch_that_somebody_worked_on_is_left_alone(mirror: Mirror, ada: Checkout) -> None:
    propose(mirror)
    ada.git("fetch", "--quiet", "origin", BRANCH)
    ada.git("checkout", "--quiet", "-b", "work", "FETCH_HEAD")
    ada.commit("and the cart", {CART: "version: 2.0.1\n"})
    ada.git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}")

    with pytest.raises(GitRefused, match=f"{BRANCH} holds {ada.head[:7]}, which is not ours"):
        propose(mirror)

    assert ada.head == remote(mirror, BRANCH)


class Deaf:
    """Shares the server's address, and cuts the answer of the first push, which is taken."""

    def __init__(self) -> None:
        self.left = 1

    def answer(self, call: Call) -> None:
        """All is left to git."""

    @contextmanager
    def receiving(self, name: str) -> Iterator[None]:
        yield
        self.left -= 1
        if self.left >= 0:
            raise Cut


def test_a_push_whose_answer_was_lost_is_found(mirror: Mirror, server: GitServer) -> None:
    server.share(Deaf())

    made = propose(mirror)

    assert made.sha == remote(mirror, BRANCH)
    assert made == propose(mirror)


def test_a_proposal_of_what_is_declared_already_is_none(mirror: Mirror) -> None:
    with pytest.raises(NothingToChange):
        propose(mirror, "1.4.1")

    assert "" == remote(mirror, BRANCH)


# ── signatures ───────────────────────────────────────────────────────────────────────────────────────────────────


def signed_bump(mirror: Mirror, key: str) -> Revision:
    edits = {"prod/checkout": (Edit(version="1.4.2"),)}
    return commit_aside(
        mirror,
        bumping(mirror, edits, note=NOTE).make,
        BRANCH,
        writer=Writer(author=ADA, committer=US, signer=Signer(key=key)),
    )


@pytest.fixture
def ssh_key(tmp_path: Path) -> Path:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    return key


def test_a_commit_is_signed_with_an_ssh_key_that_others_can_verify(
    mirror: Mirror, ssh_key: Path, tmp_path: Path
) -> None:
    made = signed_bump(mirror, ssh_key.read_text())

    allowed = tmp_path / "allowed"
    allowed.write_text(f"{US.email} {ssh_key.with_suffix('.pub').read_text()}")
    verified = git(mirror, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", made.sha)
    assert (0, True) == (verified.returncode, f'Good "git" signature for {US.email}' in verified.stderr)


def test_a_commit_is_signed_with_an_openpgp_key_that_others_can_verify(mirror: Mirror, tmp_path: Path) -> None:
    home = {"GNUPGHOME": str(tmp_path / "gpg")}
    (tmp_path / "gpg").mkdir(mode=0o700)
    gpg(home, "--quick-generate-key", US.email, "ed25519", "sign")
    key = gpg(home, "--armor", "--export-secret-keys")

    made = signed_bump(mirror, key)

    verified = git(mirror, "verify-commit", made.sha, **home)
    subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **home}, check=False)
    assert (0, True) == (verified.returncode, "Good signature" in verified.stderr)


def gpg(home: dict[str, str], *args: str) -> str:
    program = ["gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    return subprocess.run(
        [*program, *args], env={**os.environ, **home}, check=True, capture_output=True, text=True
    ).stdout


def git(mirror: Mirror, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    surroundings = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **env}
    return subprocess.run(
        ["git", "-C", str(mirror.folder), *args], env=surroundings, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("key", ["not a key", "-----BEGIN OPENSSH PRIVATE KEY-----\nbroken\n"])
def test_a_key_that_cannot_sign_is_told_and_nothing_is_pushed(mirror: Mirror, ada: Checkout, key: str) -> None:
    with pytest.raises(GitRefused, match=r"commits\.signing_key") as refused:
        signed_bump(mirror, key)

    assert "broken" not in str(refused.value)
    assert ("", ada.head) == (remote(mirror, BRANCH), remote(mirror, "main"))


def test_a_key_with_a_passphrase_is_told(mirror: Mirror, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-C", "", "-f", str(key)], check=True)

    with pytest.raises(GitRefused, match="is it a key without a passphrase"):
        signed_bump(mirror, key.read_text())


def test_a_users_own_git_decides_nothing_about_signatures(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[commit]\n\tgpgSign = true\n[user]\n\tsigningKey = nobody\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    made = bump(mirror, ["prod/checkout"], Edit(version="1.4.2"), author=ADA)

    assert "gpgsig" not in mirror.git("cat-file", "-p", made.sha)
