"""Our own commits reach the repository as one small change, beside those of others, or not at all."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from desired_state.edits import Edit
from desired_state.git_errors import GitError, GitRefused, GitUnreachable
from desired_state.landing import Author, Changes, NewFile, NothingToChange, Patience, Writer, commit
from desired_state.mirror import Mirror
from desired_state.model import Revision, Sha
from desired_state.writing import bump, fleet_path, restoring
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.git_server import GitServer

CHECKOUT, CART = "environments/prod/checkout.yaml", "environments/prod/cart.yaml"
ADA = Author(name="Ada", email="ada@example.com")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repositories") as server:
        yield server


@pytest.fixture
def ada(tmp_path: Path, server: GitServer) -> Checkout:
    checkout = Checkout(tmp_path / "ada", server.create("fleets"))
    checkout.commit(
        "first",
        {
            CHECKOUT: "# the shop\nversion: 1.4.1  # as tested\n",
            CART: "version: 2.0.0\n",
            "environments/staging/checkout.yaml": "version: 1.4.1\n",
        },
    )
    checkout.push()
    return checkout


@pytest.fixture
def mirror(tmp_path: Path, server: GitServer, ada: Checkout) -> Iterator[Mirror]:
    with Mirror(tmp_path / "mirror", server.url("fleets"), timeout=20) as mirror:
        yield mirror


def restore(mirror: Mirror, fleets: Sequence[str], *, to: Sha, reverts: Sha | None = None) -> Revision:
    wish = restoring(mirror, fleets, to=to, reverts=reverts)
    return commit(mirror, wish.make, wish.paths, writer=Writer(author=ADA))


def text(mirror: Mirror, path: str) -> str:
    return mirror.read(mirror.tree(mirror.fetch().sha).entries()[path].blob).decode()


def test_a_bump_is_one_commit_with_one_changed_line(mirror: Mirror, ada: Checkout) -> None:
    before = ada.head

    made = bump(mirror, ["prod/checkout"], Edit(version="1.4.2"), author=ADA, message="Asked for in #12.")

    assert made == mirror.fetch()
    assert (before,) == made.parents
    assert "Ada <ada@example.com>" == made.author
    assert ("prod/checkout: 1.4.1 -> 1.4.2", "Asked for in #12.") == (made.subject, made.body)
    ada.pull()
    assert f"1\t1\t{CHECKOUT}" == ada.git("diff", "--numstat", "HEAD~1")
    assert "# the shop\nversion: 1.4.2  # as tested\n" == text(mirror, CHECKOUT)


def test_several_fleets_are_one_commit(mirror: Mirror) -> None:
    same = bump(mirror, ["staging/checkout", "prod/checkout"], Edit(version="1.4.2"))
    different = bump(mirror, ["prod/cart", "prod/checkout"], Edit(version="2.1.0"))

    assert "staging/checkout, prod/checkout: 1.4.1 -> 1.4.2" == same.subject
    assert "prod/cart: 2.0.0 -> 2.1.0; prod/checkout: 1.4.2 -> 2.1.0" == different.subject
    assert "prod/cart: 2.0.0 -> 2.1.0\nprod/checkout: 1.4.2 -> 2.1.0" == different.body


def test_a_long_list_of_fleets_is_in_the_body(mirror: Mirror, ada: Checkout) -> None:
    names = [f"service-with-a-name-{number}" for number in range(5)]
    ada.commit("more", {f"environments/prod/{name}.yaml": "version: 1.0.0\n" for name in names})
    ada.push()

    made = bump(mirror, [f"prod/{name}" for name in names], Edit(version="1.0.1"))

    assert "5 fleets to 1.0.1" == made.subject
    assert [f"prod/{name}: 1.0.0 -> 1.0.1" for name in names] == made.body.splitlines()


def test_nothing_is_pushed_where_nothing_changes(mirror: Mirror, ada: Checkout) -> None:
    with pytest.raises(NothingToChange, match=r"prod/checkout declared 1\.4\.1 already: nothing was pushed"):
        bump(mirror, ["prod/checkout"], Edit(version="1.4.1"))

    assert ada.head == mirror.remote_head()


def test_a_fleet_without_a_file_is_told(mirror: Mirror) -> None:
    with pytest.raises(GitRefused, match=r"prod/nobody has no file environments/prod/nobody\.yaml at"):
        bump(mirror, ["prod/nobody"], Edit(version="1"))


def test_the_desired_state_may_lie_in_a_folder(mirror: Mirror, ada: Checkout) -> None:
    ada.commit("moved", {"fleets/here/environments/prod/shop.yaml": "version: 1.0.0\n"})
    ada.push()

    bump(mirror, ["prod/shop"], Edit(version="1.0.1"), folder="/fleets/here/")

    assert "version: 1.0.1\n" == text(mirror, fleet_path("prod/shop", "fleets/here"))


def test_modes_of_files_are_kept(mirror: Mirror, ada: Checkout) -> None:
    (ada.folder / CHECKOUT).chmod(0o755)
    ada.commit("mode")
    ada.push()

    made = bump(mirror, ["prod/checkout"], Edit(version="1.4.2"))

    assert "100755" == mirror.tree(made.sha).entries()[CHECKOUT].mode


def test_bumps_of_different_fleets_at_once_all_arrive(mirror: Mirror, ada: Checkout, tmp_path: Path) -> None:
    names = [f"fleet-{number}" for number in range(4)]
    ada.commit("more", {f"environments/prod/{name}.yaml": "version: 1.0.0\n" for name in names})
    ada.push()
    failed: list[GitError] = []

    def run(name: str) -> None:
        with Mirror(tmp_path / f"mirror-{name}", mirror.url) as own:
            try:
                bump(own, [f"prod/{name}"], Edit(version="1.0.1"))
            except GitError as error:
                failed.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failed
    assert ["version: 1.0.1\n"] * 4 == [text(mirror, f"environments/prod/{name}.yaml") for name in names]
    assert "6" == mirror.git("rev-list", "--count", "main").strip()


def interfere(ada: Checkout, path: str, new: str) -> None:
    ada.pull()
    ada.commit("meanwhile", {path: new})
    ada.push()


def test_a_push_by_another_in_between_is_built_upon(mirror: Mirror, ada: Checkout) -> None:
    tries: list[Revision] = []

    def make(head: Revision) -> Changes:
        tries.append(head)
        if len(tries) == 1:
            interfere(ada, CART, "version: 2.0.1\n")
        return [NewFile(path=CHECKOUT, data=b"version: 1.4.2\n")], "ours\n"

    made = commit(mirror, make, [CHECKOUT])

    assert (ada.head,) == made.parents
    assert ["first", "meanwhile"] == [head.subject for head in tries]
    assert ("version: 1.4.2\n", "version: 2.0.1\n") == (text(mirror, CHECKOUT), text(mirror, CART))


def test_a_change_of_the_same_fleet_in_between_is_told(mirror: Mirror, ada: Checkout) -> None:
    def make(head: Revision) -> Changes:
        if head.subject == "first":
            interfere(ada, CHECKOUT, "version: 1.5.0\n")
        return [NewFile(path=CHECKOUT, data=b"version: 1.4.2\n")], "ours\n"

    with pytest.raises(GitRefused, match=f"{CHECKOUT} was changed up to [0-9a-f]{{7}} while we edited it"):
        commit(mirror, make, [CHECKOUT])

    assert "version: 1.5.0\n" == text(mirror, CHECKOUT)


def test_a_branch_that_never_rests_is_given_up(mirror: Mirror, ada: Checkout) -> None:
    def make(head: Revision) -> Changes:
        interfere(ada, CART, f"# {head.sha}\nversion: 2.0.1\n")
        return [NewFile(path=CHECKOUT, data=b"version: 1.4.2\n")], "ours\n"

    pauses: list[float] = []
    patience = Patience(tries=3, sleep=pauses.append, jitter=lambda: 1.0)

    with pytest.raises(GitRefused, match="moved on 3 times while we wrote to it"):
        commit(mirror, make, [CHECKOUT], writer=Writer(patience=patience))

    assert [2.0, 1.0, 2 / 3] == pauses


def test_a_force_push_in_between_is_not_undone(mirror: Mirror, ada: Checkout) -> None:
    ada.commit("to be lost", {"lost": "1\n"})
    ada.push()
    tries: list[str] = []

    def make(head: Revision) -> Changes:
        tries.append(head.subject)
        if len(tries) == 1:
            ada.git("reset", "--quiet", "--hard", "HEAD~1")
            ada.push("--force")
        return [NewFile(path=CHECKOUT, data=b"version: 1.4.2\n")], "ours\n"

    commit(mirror, make, [CHECKOUT])

    assert ["to be lost", "first"] == tries
    assert "lost" not in mirror.tree(mirror.fetch().sha).entries()


def test_a_host_that_is_down_is_told(mirror: Mirror, server: GitServer) -> None:
    mirror.fetch()
    server.faults.refuse_with = 503

    with pytest.raises(GitUnreachable, match="cannot be reached"):
        bump(mirror, ["prod/checkout"], Edit(version="1.4.2"))


def test_restoring_brings_back_version_and_configuration(mirror: Mirror, ada: Checkout) -> None:
    good = ada.head
    ada.commit("bad", {CHECKOUT: "version: 1.5.0\n", "environments/prod/checkout.config.yaml": "a: 1\n"})
    ada.commit("another", {CART: "version: 3.0.0\n"})
    bad = ada.push()

    made = restore(mirror, ["prod/checkout"], to=good, reverts=bad)

    assert "prod/checkout: 1.5.0 -> 1.4.1" == made.subject
    assert f"This reverts commit {bad}." == made.body
    entries = mirror.tree(made.sha).entries()
    assert "environments/prod/checkout.config.yaml" not in entries
    assert "# the shop\nversion: 1.4.1  # as tested\n" == text(mirror, CHECKOUT)
    assert "version: 3.0.0\n" == text(mirror, CART)


def test_restoring_repairs_a_file_that_cannot_be_read(mirror: Mirror, ada: Checkout) -> None:
    good = ada.head
    ada.commit("bad", {CHECKOUT: "version: [\n"})
    ada.push()

    made = restore(mirror, ["prod/checkout"], to=good)

    assert "prod/checkout: unreadable -> 1.4.1" == made.subject
    assert f"As it was at {good}." == made.body


def test_restoring_what_did_not_change_pushes_nothing(mirror: Mirror, ada: Checkout) -> None:
    good = ada.head
    ada.commit("shared", {"services/checkout.yaml": "owner: x\n"})
    head = ada.push()
    mirror.fetch()

    with pytest.raises(NothingToChange, match="if a shared file changed since, revert that commit with git"):
        restore(mirror, ["prod/checkout"], to=good)

    assert head == mirror.remote_head()


def test_restoring_to_before_the_fleet_is_told(mirror: Mirror, ada: Checkout) -> None:
    before = ada.head
    ada.commit("new", {"environments/prod/new.yaml": "version: 1.0.0\n"})
    ada.push()
    mirror.fetch()

    with pytest.raises(GitRefused, match=r"prod/new had no environments/prod/new\.yaml at"):
        restore(mirror, ["prod/new"], to=before)
