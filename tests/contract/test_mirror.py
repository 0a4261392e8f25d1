"""A mirror follows its remote over every transport, whatever happens to either of them."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from desired_state.git_errors import GitRefused, MirrorBroken
from desired_state.mirror import NOTES, Mirror
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.git_server import GitServer

BUMP = {"environments/prod/checkout.yaml": "version: 1.4.2\n"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repositories") as server:
        yield server


@pytest.fixture(params=["http", "file"])
def url(request: pytest.FixtureRequest, server: GitServer) -> str:
    over_http = server.create("fleets")
    path = str(server.path("fleets"))
    return {"http": over_http, "file": f"file://{path}"}[request.param]


@pytest.fixture
def ada(tmp_path: Path, url: str) -> Checkout:
    checkout = Checkout(tmp_path / "ada", url)
    checkout.commit("first", {"fairlead.yaml": "apiVersion: fairlead/v1\n"})
    checkout.push()
    return checkout


@pytest.fixture
def mirror(tmp_path: Path, url: str, ada: Checkout) -> Iterator[Mirror]:
    with Mirror(tmp_path / "mirror", url, timeout=20) as mirror:
        yield mirror


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 15 s"
        time.sleep(0.01)


def files(mirror: Mirror, commit: str) -> dict[str, bytes]:
    return {path: mirror.read(entry.blob) for path, entry in mirror.tree(commit).entries().items()}


def test_the_first_fetch_clones(mirror: Mirror, ada: Checkout) -> None:
    assert mirror.local_head() is None

    head = mirror.fetch()

    assert (ada.head, (), "Ada <ada@example.com>", "first") == (head.sha, head.parents, head.author, head.subject)
    assert ada.head == mirror.local_head()
    assert {"fairlead.yaml": b"apiVersion: fairlead/v1\n"} == files(mirror, head.sha)


def test_a_push_is_seen_at_the_remote_and_then_fetched(mirror: Mirror, ada: Checkout) -> None:
    first = mirror.fetch().sha
    ada.commit("second", BUMP)
    second = ada.push()

    assert second == mirror.remote_head()
    assert first == mirror.local_head()
    assert second == mirror.fetch().sha
    assert b"version: 1.4.2\n" == files(mirror, second)["environments/prod/checkout.yaml"]


def test_a_force_push_is_followed(mirror: Mirror, ada: Checkout) -> None:
    ada.commit("lost")
    lost = ada.push()
    mirror.fetch()
    ada.git("reset", "--quiet", "--hard", "HEAD~1")
    ada.commit("rewritten", BUMP)
    rewritten = ada.push("--force")

    assert rewritten == mirror.fetch().sha
    assert not mirror.is_ancestor(lost, rewritten)


def test_ancestry(mirror: Mirror, ada: Checkout) -> None:
    first = ada.head
    ada.commit("second")
    second = ada.push()
    mirror.fetch()

    assert mirror.is_ancestor(first, second)
    assert mirror.is_ancestor(second, second)
    assert not mirror.is_ancestor(second, first)
    assert not mirror.is_ancestor("0" * 39 + "1", second)


def test_only_the_branch_and_our_notes_are_fetched(mirror: Mirror, ada: Checkout) -> None:
    ada.git("tag", "v1")
    ada.git("notes", "--ref", NOTES, "add", "--message", "hello")
    ada.git("push", "--quiet", "origin", "HEAD:refs/heads/other", "HEAD:refs/pull/1/head", "v1", NOTES)

    mirror.fetch()

    assert ["refs/heads/main", NOTES] == mirror.git("for-each-ref", "--format=%(refname)").split()


def test_notes_that_are_gone_at_the_remote_are_dropped(mirror: Mirror, ada: Checkout) -> None:
    ada.git("notes", "--ref", NOTES, "add", "--message", "hello")
    ada.git("push", "--quiet", "origin", NOTES)
    mirror.fetch()
    ada.git("push", "--quiet", "origin", f":{NOTES}")

    mirror.fetch()

    assert "" == mirror.git("for-each-ref", NOTES)


def test_a_commit_is_found_by_any_name_git_knows(mirror: Mirror, ada: Checkout) -> None:
    mirror.fetch()

    assert {ada.head} == {mirror.revision(name).sha for name in (ada.head, ada.head[:8], "main")}
    with pytest.raises(GitRefused, match="there is no commit 'nowhere' in the mirror"):
        mirror.revision("nowhere")


def test_a_message_keeps_its_lines(mirror: Mirror, ada: Checkout) -> None:
    ada.commit("subject\n\nThis reverts commit 0123.\n\nSigned: Ada\x01 Müller")
    ada.push()

    head = mirror.fetch()

    assert ("subject", "This reverts commit 0123.\n\nSigned: Ada\x01 Müller") == (head.subject, head.body)


def test_odd_names_and_modes_are_entries(mirror: Mirror, ada: Checkout) -> None:
    names = ["[a]*?.yaml", "tab\there.yaml", 'quo"te.yaml', "ümlaut.yaml", "-dash.yaml", ":(glob)x.yaml"]
    ada.commit("odd", dict.fromkeys(names, "x\n"))
    (ada.folder / "link").symlink_to("/etc/passwd")
    (ada.folder / "run").write_text("y")
    (ada.folder / "run").chmod(0o755)
    ada.git("update-index", "--add", "--cacheinfo", f"160000,{ada.head},module")
    ada.git("add", "--all", "link", "run")
    ada.git("commit", "--quiet", "--message", "modes")
    ada.push()

    entries = mirror.tree(mirror.fetch().sha).entries()

    assert set(names) < set(entries)
    assert {"link": "120000", "run": "100755", "module": "160000", "ümlaut.yaml": "100644"} == {
        path: entries[path].mode for path in ("link", "run", "module", "ümlaut.yaml")
    }
    assert b"/etc/passwd" == mirror.read(entries["link"].blob)
    assert (2, 1) == (entries["ümlaut.yaml"].size, mirror.size(entries["run"].blob))


def test_a_tree_listed_from_the_last_one_is_as_if_listed_whole(mirror: Mirror, ada: Checkout, tmp_path: Path) -> None:
    ada.commit("one", {f"{number}[x].yaml": "x\n" for number in range(20)} | {"both": "a file\n"})
    ada.commit("two", {"3[x].yaml": None, "4[x].yaml": "y\n", "new/one.yaml": "z\n", "both": None})
    ada.commit("three", {"both/of.yaml": "a folder now\n"})
    ada.commit("four")
    ada.push()
    head = mirror.fetch().sha
    commits = [revision.sha for revision, _ in mirror.first_parents(head)]

    step_by_step = [mirror.tree(commit).entries() for commit in commits + commits[::-1]]

    whole = []
    for commit in commits + commits[::-1]:
        with Mirror(tmp_path / "mirror", mirror.url) as fresh:
            whole.append(fresh.tree(commit).entries())
    assert whole == step_by_step


def test_first_parents_tell_what_each_commit_changed(mirror: Mirror, ada: Checkout) -> None:
    root = ada.head
    ada.commit("two", {"a": "1\n", "b": "1\n"})
    ada.merge_branch("side", "on the side", {"a": "2\n"})
    (ada.folder / "b").chmod(0o755)
    ada.commit("mode")
    ada.git("mv", "a", "c")
    ada.commit("rename")
    ada.commit("empty")
    ada.push()

    walk = list(mirror.first_parents(mirror.fetch().sha))

    assert [
        ("empty", set()),
        ("rename", {"a", "c"}),
        ("mode", {"b"}),
        ("Merge side: on the side", {"a"}),
        ("two", {"a", "b"}),
        ("first", {"fairlead.yaml"}),
    ] == [(revision.subject, set(paths)) for revision, paths in walk]
    assert ["empty", "rename"] == [each.subject for each, _ in mirror.first_parents(ada.head, limit=2)]
    assert root not in [each.sha for each, _ in mirror.first_parents(ada.head, stop=root)]


def test_lock_files_of_a_killed_git_are_removed(mirror: Mirror, ada: Checkout) -> None:
    mirror.fetch()
    ada.commit("second")
    second = ada.push()
    for name in ("refs/heads/main.lock", "packed-refs.lock", "config.lock", "HEAD.lock", "shallow.lock"):
        (mirror.folder / name).touch()

    assert second == mirror.fetch().sha


def _truncate_objects(folder: Path) -> None:
    for path in (folder / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")


def _write(name: str, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_text(text)

    return damage


def _remove(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        subprocess.run(["rm", "-rf", str(folder / name)], check=True)

    return damage


@pytest.mark.parametrize("url", ["file"], indirect=True)
@pytest.mark.parametrize(
    "damage",
    [
        _truncate_objects,
        _remove("objects"),
        _remove("refs"),
        _remove("HEAD"),
        _remove("."),
        _write("HEAD", "garbage"),
        _write("config", "[garbage"),
        _write("packed-refs", "garbage\n"),
        _write("refs/heads/main", "garbage\n"),
        _write("refs/heads/main", "1" * 40 + "\n"),
    ],
)
def test_a_damaged_mirror_is_made_again(mirror: Mirror, ada: Checkout, damage: Callable[[Path], None]) -> None:
    mirror.fetch()
    ada.commit("second", BUMP)
    second = ada.push()
    damage(mirror.folder)

    assert second == mirror.fetch().sha
    assert b"version: 1.4.2\n" == files(mirror, second)["environments/prod/checkout.yaml"]


def test_a_broken_blob_is_an_error_and_the_next_fetch_repairs_it(mirror: Mirror, ada: Checkout) -> None:
    head = mirror.fetch().sha
    entry = mirror.tree(head).entries()["fairlead.yaml"]
    _truncate_objects(mirror.folder)

    with pytest.raises(MirrorBroken, match="the next fetch makes it again"):
        mirror.read(entry.blob)

    mirror.fetch()
    assert b"apiVersion: fairlead/v1\n" == mirror.read(entry.blob)


def test_several_threads_read_at_once(mirror: Mirror, ada: Checkout) -> None:
    ada.commit("many", {f"{number}.yaml": f"{number}\n" * 100 for number in range(50)})
    head = ada.push()
    mirror.fetch()
    entries = mirror.tree(head).entries()

    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda number: mirror.read(entries[f"{number}.yaml"].blob), list(range(50)) * 4))

    assert [f"{number}\n".encode() * 100 for number in range(50)] * 4 == read


def test_closing_leaves_no_process_behind(mirror: Mirror) -> None:
    head = mirror.fetch().sha
    files(mirror, head)
    next(walk := mirror.first_parents(head))
    assert set() != _children()

    walk.close()
    mirror.close()

    assert set() == _children()
    assert 1 == len(files(mirror, head))


def _children() -> set[str]:
    listing = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, check=False)
    return {line for line in listing.stdout.decode().splitlines() if line.split()[1].startswith("git")}


def test_a_caller_inside_a_git_hook_does_not_lead_git_astray(
    mirror: Mirror, ada: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_NAMESPACE", "elsewhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "fetch.prune")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "nonsense")

    head = mirror.fetch()

    assert {"fairlead.yaml"} == set(mirror.tree(head.sha).entries())


def test_the_users_own_git_configuration_is_not_read(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text(f'[url "file:///nowhere/"]\n\tinsteadOf = {mirror.url}\n')
    monkeypatch.setenv("HOME", str(tmp_path))

    assert mirror.remote_head() == mirror.fetch().sha


@pytest.mark.parametrize("url", ["http"], indirect=True)
def test_a_poll_that_finds_nothing_new_is_one_request(mirror: Mirror, server: GitServer) -> None:
    head = mirror.fetch().sha
    mirror.remote_head()
    server.accesses.clear()

    assert [head, head, head] == [mirror.remote_head() for _ in range(3)]
    assert [("POST", "/fleets.git/git-upload-pack")] * 3 == [(each.method, each.path) for each in server.accesses]


@pytest.mark.parametrize("url", ["http"], indirect=True)
def test_a_server_of_the_old_protocol_is_polled_too(mirror: Mirror, ada: Checkout, server: GitServer) -> None:
    server.faults.old_protocol = True

    assert [ada.head, ada.head] == [mirror.remote_head() for _ in range(2)]
    assert ada.head == mirror.fetch().sha


@pytest.mark.parametrize("url", ["http"], indirect=True)
def test_a_branch_whose_name_begins_alike_is_another(server: GitServer, ada: Checkout, tmp_path: Path) -> None:
    ada.git("push", "--quiet", "origin", "HEAD:refs/heads/main-two")
    with Mirror(tmp_path / "mirror", server.url("fleets"), "main-t") as mirror:
        assert mirror.remote_head() is None


@pytest.mark.parametrize("url", ["http"], indirect=True)
def test_a_process_killed_in_a_fetch_leaves_a_mirror_that_can_be_fetched(
    server: GitServer, ada: Checkout, tmp_path: Path
) -> None:
    """The orphaned git goes on; its lock keeps us out until it has ended, and nothing is torn away under it."""
    folder = tmp_path / "mirror"
    server.faults.stall = True
    fetch = f"from desired_state.mirror import Mirror, Path; Mirror(Path({str(folder)!r}), {ada.url!r}).fetch()"
    fetching = subprocess.Popen([sys.executable, "-c", fetch])
    wait_until(lambda: server.waiting > 0)
    fetching.send_signal(signal.SIGKILL)
    fetching.wait()

    assert _is_held(tmp_path / "mirror.lock")
    threading.Timer(0.2, lambda: setattr(server.faults, "stall", False)).start()
    with Mirror(folder, ada.url) as mirror:
        assert ada.head == mirror.fetch().sha


def _is_held(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
