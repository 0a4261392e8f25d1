"""What goes wrong between us and a repository is one sentence that names the fix, and never holds a secret."""

import base64
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from desired_state.git_command import GitAuth
from desired_state.git_errors import GitError, GitRefused, GitUnreachable
from desired_state.mirror import Mirror
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.git_server import GitServer, Login

CANARY = "c4n4ry-s3cr3t"
Act = Callable[[Mirror], object]
ACTS: dict[str, Act] = {
    "fetch": lambda mirror: mirror.fetch(),
    "poll": lambda mirror: mirror.remote_head(),
    "push": lambda mirror: mirror.git("push", mirror.url, "HEAD:refs/heads/x"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repositories") as server:
        yield server


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "locked", login=Login(user="ada", password=CANARY)) as server:
        yield server


def failure(mirror: Mirror, act: Act) -> GitError:
    with mirror, pytest.raises(GitError) as caught:
        act(mirror)
    return caught.value


def told(error: BaseException | None) -> str:
    """Everything that a log could print of an error, with what it came from."""
    text = ""
    while error:
        text += f"{error}\n{error!r}\n{error.args}\n"
        error = error.__cause__ or error.__context__
    return text


def first_commit(tmp_path: Path, url: str) -> str:
    checkout = Checkout(tmp_path / "ada", url)
    checkout.commit("first", {"a": "1\n"})
    return checkout.push()


@pytest.mark.parametrize("act", ["fetch", "poll"])
def test_a_host_that_is_down_is_unreachable(act: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    error = failure(Mirror(tmp_path / "mirror", f"http://127.0.0.1:{port}/x.git"), ACTS[act])

    assert isinstance(error, GitUnreachable)
    assert f"http://127.0.0.1:{port}/x.git cannot be reached (" in str(error)
    assert "check the address and the network, or wait" in str(error)


@pytest.mark.parametrize("act", ["fetch", "poll"])
@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (503, GitUnreachable, "503"),
        (429, GitUnreachable, "429"),
        (404, GitRefused, "check `url` and `auth`"),
        (403, GitRefused, "check the repository's `auth`"),
        (302, GitRefused, ""),
    ],
)
def test_what_a_host_answers_is_told(
    act: str, status: int, kind: type[GitError], words: str, server: GitServer, tmp_path: Path
) -> None:
    url = server.create("fleets")
    server.faults.refuse_with = status

    error = failure(Mirror(tmp_path / "mirror", url), ACTS[act])

    assert isinstance(error, kind)
    assert words in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("act", ["fetch", "poll"])
def test_a_host_that_hangs_is_given_up_at_the_deadline(act: str, server: GitServer, tmp_path: Path) -> None:
    url = server.create("fleets")
    server.faults.stall = True
    begun = time.monotonic()

    error = failure(Mirror(tmp_path / "mirror", url, timeout=0.5), ACTS[act])

    assert isinstance(error, GitUnreachable)
    assert "0.5 s" in str(error)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("act", ["fetch", "poll"])
@pytest.mark.parametrize(
    "auth",
    [
        GitAuth(),
        GitAuth(kind="basic", user="ada", secret_value=f"{CANARY}-wrong"),
        GitAuth(kind="bearer", secret_value=f"{CANARY}-wrong"),
    ],
    ids=lambda auth: auth.kind,
)
def test_refused_credentials_are_told_without_them(act: str, auth: GitAuth, locked: GitServer, tmp_path: Path) -> None:
    url = locked.create("fleets")

    error = failure(Mirror(tmp_path / "mirror", url, auth=auth), ACTS[act])

    assert isinstance(error, GitRefused)
    assert f"{url} does not let us in (" in str(error)
    assert "check the repository's `auth`" in str(error)
    assert CANARY not in told(error)
    assert base64.b64encode(f"ada:{CANARY}".encode()).decode()[:20] not in told(error)


@pytest.mark.parametrize(
    ("login", "auth"),
    [
        (Login(user="ada", password=CANARY), GitAuth(kind="basic", user="ada", secret_value=CANARY)),
        (Login(token=CANARY), GitAuth(kind="bearer", secret_value=CANARY)),
    ],
)
def test_right_credentials_let_us_in(login: Login, auth: GitAuth, tmp_path: Path) -> None:
    with GitServer(tmp_path / "repositories") as open_server:
        head = first_commit(tmp_path, open_server.create("fleets"))
    with (
        GitServer(tmp_path / "repositories", login=login) as server,
        Mirror(tmp_path / "mirror", server.url("fleets"), auth=auth) as mirror,
    ):
        assert [head, head] == [mirror.fetch().sha, mirror.remote_head()]
        mirror.git("push", mirror.url, f"{head}:refs/heads/pushed")
        assert CANARY not in repr(auth)


def test_a_secret_is_in_no_argument_and_no_file(locked: GitServer, tmp_path: Path) -> None:
    url = locked.create("fleets")
    locked.faults.stall = True
    mirror = Mirror(tmp_path / "mirror", url, auth=GitAuth(kind="basic", user="ada", secret_value=CANARY))
    header = base64.b64encode(f"ada:{CANARY}".encode()).decode()
    thread = threading.Thread(target=lambda: failure(mirror, ACTS["fetch"]))
    thread.start()
    deadline = time.monotonic() + 15
    while not locked.waiting and time.monotonic() < deadline:
        time.sleep(0.01)

    arguments = subprocess.run(["ps", "-eo", "args="], capture_output=True, check=True).stdout.decode(errors="replace")
    locked.faults.stall = False
    thread.join()

    assert "git fetch" in arguments
    assert CANARY not in arguments
    assert header not in arguments
    texts = [path.read_text(errors="replace") for path in (tmp_path / "mirror").rglob("*") if path.is_file()]
    assert [] == [text for text in texts if CANARY in text or header in text]


@pytest.mark.parametrize("act", ["fetch", "push"])
def test_a_secret_that_a_host_echoes_is_taken_out(act: str, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(remote)], check=True)
    first_commit(tmp_path, str(remote))
    auth = GitAuth(kind="bearer", secret_value=CANARY)
    with Mirror(tmp_path / "mirror", str(remote), auth=auth) as mirror:
        mirror.fetch()
        hook = remote / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho 'fatal: {CANARY}' >&2\nexit 1\n")
        hook.chmod(0o755)
        error = failure(mirror, lambda mirror: mirror.git(act, mirror.url, f"{CANARY}:x", "main:refs/heads/x"))

    assert CANARY not in told(error)


def test_a_push_that_a_hook_declines_names_the_way_out(server: GitServer, tmp_path: Path) -> None:
    url = server.create("fleets")
    first_commit(tmp_path, url)
    with Mirror(tmp_path / "mirror", url) as mirror:
        mirror.fetch()
        hook = server.path("fleets") / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
        hook.chmod(0o755)
        error = failure(mirror, lambda mirror: mirror.git("push", mirror.url, "main:refs/heads/x"))

    assert isinstance(error, GitRefused)
    assert f"{url} takes no push from us (" in str(error)
    assert "open a pull request instead" in str(error)


@pytest.mark.parametrize("transport", ["http", "file"])
def test_an_empty_repository_has_no_branch_yet(transport: str, server: GitServer, tmp_path: Path) -> None:
    url = server.create("fleets")
    mirror = Mirror(tmp_path / "mirror", url if transport == "http" else f"file://{server.path('fleets')}")

    assert mirror.remote_head() is None
    error = failure(mirror, ACTS["fetch"])

    assert isinstance(error, GitRefused)
    assert "has no such branch yet" in str(error)
    assert "push a first commit to it, or set `branch`" in str(error)


@pytest.mark.parametrize("act", ["fetch", "poll"])
@pytest.mark.parametrize("transport", ["http", "file", "path"])
def test_a_repository_that_is_not_there_is_told(act: str, transport: str, server: GitServer, tmp_path: Path) -> None:
    url = {"http": server.url("none"), "file": "file:///nowhere/none.git", "path": "/nowhere/none.git"}[transport]

    error = failure(Mirror(tmp_path / "mirror", url), ACTS[act])

    assert isinstance(error, GitRefused)
    assert f"there is no repository at {url} that we may see" in str(error)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("--upload-pack=touch /tmp/x", "is no address of a repository"),
        ("", "is no address of a repository"),
        ("ext::sh -c true", "the transport of 'ext::sh -c true' is not allowed"),
        ("fd::17", "is not allowed"),
        ("git://example.com/x", "the transport of 'git' is not allowed: use https, http, ssh or file"),
        ("ftp://example.com/x", "the transport of 'ftp' is not allowed"),
        (f"https://ada:{CANARY}@example.com/x.git", "take them out and name them in its `auth`"),
        (f"https://{CANARY}@example.com/x.git", "take them out and name them in its `auth`"),
        (f"ssh://git:{CANARY}@example.com/x.git", "take them out and name them in its `auth`"),
        ("ssh://-oProxyCommand=x/y", "is no address of a repository"),
        ("git@-oProxyCommand:y", "is no address of a repository"),
    ],
)
def test_a_dangerous_address_is_refused(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(GitRefused) as caught:
        Mirror(tmp_path / "mirror", url)

    assert words in str(caught.value)
    assert CANARY not in told(caught.value)


@pytest.mark.parametrize("branch", ["--all", "", "a b", "a..b", "a:b", "refs/*", "x.lock", "/x", "x/", "a\nb", "x~1"])
def test_a_dangerous_branch_is_refused(branch: str, tmp_path: Path) -> None:
    with pytest.raises(GitRefused, match="is no name of a branch"):
        Mirror(tmp_path / "mirror", "https://example.com/x.git", branch)


@pytest.mark.parametrize("url", ["git@example.com:org/x.git", "ssh://git@example.com:22/x.git", "example.git"])
def test_a_usual_address_is_taken(url: str, tmp_path: Path) -> None:
    assert url == Mirror(tmp_path / "mirror", url, "release/1.x").url


def test_an_ssh_key_is_a_private_file_only_while_git_runs(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `ssh` on PATH that runs the asked command here, and notes how it was called."""
    url = server.create("fleets")
    head = first_commit(tmp_path, url)
    called = tmp_path / "called"
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {called}\n'
        f'while [ $# -gt 1 ]; do [ "$1" = -i ] && stat -c %a "$2" >> {called} && cat "$2" >> {called}; shift; done\n'
        'eval "$1"\n'
    )
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/local/bin:/usr/bin:/bin")
    auth = GitAuth(kind="ssh_key", secret_value=f"-----BEGIN KEY-----\n{CANARY}\n-----END KEY-----")

    with Mirror(tmp_path / "mirror", f"git@example.com:{server.path('fleets')}", auth=auth) as mirror:
        assert head == mirror.fetch().sha

    arguments, mode, *key = called.read_text().splitlines()
    assert "BatchMode=yes" in arguments
    assert "StrictHostKeyChecking=yes" in arguments
    assert CANARY not in arguments
    assert ("600", auth.secret_value) == (mode, "\n".join(key))
    assert not Path(arguments.split(" -i ")[1].split()[0]).exists()


def test_a_secret_that_fits_into_no_header_is_not_shown(server: GitServer, tmp_path: Path) -> None:
    auth = GitAuth(kind="bearer", secret_value=f"{CANARY}\nX: y")

    said = failure(Mirror(tmp_path / "mirror", server.create("fleets"), auth=auth), ACTS["poll"])

    assert isinstance(said, GitRefused)
    assert "does not fit into a header: check its `auth`" in str(said)
    assert CANARY not in str(said)


@pytest.mark.parametrize("when", ["9999999999999 +0000", "18446744073709551615 +0000", "-1 +0000", ""])
def test_a_commit_with_an_impossible_time_is_read(server: GitServer, tmp_path: Path, when: str) -> None:
    checkout = Checkout(tmp_path / "ada", server.create("fleets"))
    parent = checkout.commit("first", {"a": "1\n"})
    who = f"Ada <ada@example.com> {when}".strip()
    raw = tmp_path / "raw"
    raw.write_text(f"tree {checkout.git('rev-parse', 'HEAD^{tree}')}\nparent {parent}\n")
    with raw.open("a") as file:
        file.write(f"author {who}\ncommitter {who}\n\nodd\n")
    odd = checkout.git("hash-object", "-t", "commit", "-w", "--literally", str(raw))
    checkout.git("reset", "--quiet", "--hard", odd)
    checkout.push()

    with Mirror(tmp_path / "mirror", server.url("fleets")) as mirror:
        head = mirror.fetch()
        assert (odd, "odd", 1970) == (head.sha, head.subject, head.committed_at.year)
        assert [odd, parent] == [revision.sha for revision, _ in mirror.first_parents(odd)]


def test_a_path_that_is_longer_than_an_argument_list_is_listed(server: GitServer, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "ada", server.create("fleets"))
    checkout.commit("first", {"a": "1\n"})
    checkout.push()
    with Mirror(tmp_path / "mirror", server.url("fleets")) as mirror:
        mirror.tree(mirror.fetch().sha)
        bare = server.path("fleets")
        tree = _deep_tree(bare, 700)
        deep = _bare_git(bare, "commit-tree", tree, "-p", "main", "-m", "deep")
        _bare_git(bare, "update-ref", "refs/heads/main", deep)

        entries = mirror.tree(mirror.fetch().sha).entries()

    assert ["a", "/".join([*["d" * 200] * 700, "x"])] == sorted(entries)


def _deep_tree(bare: Path, depth: int) -> str:
    """The tree of `main`, and a file below so many folders."""
    blob = _bare_git(bare, "rev-parse", "main:a")
    tree = _bare_git(bare, "mktree", entries=f"100644 blob {blob}\tx\n")
    for _ in range(depth - 1):
        tree = _bare_git(bare, "mktree", entries=f"040000 tree {tree}\t{'d' * 200}\n")
    return _bare_git(bare, "mktree", entries=f"100644 blob {blob}\ta\n040000 tree {tree}\t{'d' * 200}\n")


def _bare_git(bare: Path, *args: str, entries: str = "") -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    done = subprocess.run(["git", *who, *args], cwd=bare, input=entries, capture_output=True, text=True, check=True)
    return done.stdout.strip()
