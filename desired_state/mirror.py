"""Our copy of one branch of one repository: cloned, kept fresh, read from git objects, made again when it is broken.

The copy is a cache: whatever happens to it, the next `fetch` gives a good one. A lock file beside the folder keeps
processes apart; git's children inherit it, so a lock file of git's own found while we hold ours belongs to nobody.
"""

import contextlib
import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from desired_state.git_command import GitAuth, GitCommand, check_branch, end, is_http
from desired_state.git_errors import GitError, GitRefused, GitUnreachable, MirrorBroken
from desired_state.git_log import FIRST_PARENTS, ONE, Change, parse_changes, parse_revisions
from desired_state.git_objects import GitTree, Objects, Stream, parse_entries
from desired_state.ls_refs import LsRefs
from desired_state.model import Revision, Sha
from desired_state.trees import Entry

NOTES = "refs/notes/fairlead"
_SHA = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")
_TIDY_EVERY = 256  # fetches between two looks of `git gc --auto`
_LIST_AT_MOST = 500  # changed paths that are listed one by one; above, the whole tree is
_CHARACTERS = 30_000  # of all those paths, because a system's argument list is bounded and git's paths are not


class Mirror:
    """A bare mirror in `folder` of the branch `branch` of `url`. Safe for several threads and processes."""

    def __init__(
        self, folder: Path, url: str, branch: str = "main", auth: GitAuth | None = None, timeout: float = 60
    ) -> None:
        self.folder = folder.absolute()
        self.branch = check_branch(branch)
        self.command = GitCommand(folder, url, auth, timeout)
        self._objects = Objects(self.command.start, timeout)
        self._ls_refs = LsRefs(url, self.command.auth, timeout) if is_http(url) else None
        self._polling = threading.Lock()
        self._listed: tuple[Sha, dict[str, Entry]] | None = None  # the tree listed last
        self._fetches = 0
        self._suspect = False  # a read met a broken object

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End processes and connections. The mirror stays usable: they are opened again when needed."""
        self._objects.close()
        if self._ls_refs:
            self._ls_refs.close()

    @property
    def url(self) -> str:
        """The repository's address; it holds no credentials."""
        return self.command.url

    def remote_head(self) -> Sha | None:
        """The branch's head at the remote, without fetching; None: no such branch. One round trip over HTTP.

        Raises `GitError`.
        """
        if self._ls_refs:
            with self._polling:
                return self._ls_refs.head(self.branch)
        listing = self.command.run("ls-remote", "--", self.url, f"refs/heads/{self.branch}").decode()
        return next((line.split("\t")[0] for line in listing.splitlines()), None)

    def local_head(self) -> Sha | None:
        """The branch's head as of the last fetch, in this life or an earlier one; None before the first."""
        if not (self.folder / "HEAD").exists():
            return None
        code, out, _ = self.command.attempt("rev-parse", "--verify", "--quiet", f"refs/heads/{self.branch}")
        return out.decode().strip() if code == 0 else None

    def fetch(self) -> Revision:
        """Make the mirror what the remote is now (also after a force-push) and give the branch's head.

        Raises `GitUnreachable`, or `GitRefused`: no such branch, no access, no repository.
        """
        with self._locked(fcntl.LOCK_EX) as descriptor:
            if self._suspect:
                self._remove()
            try:
                head = self._fetch(descriptor)
            except MirrorBroken:
                self._remove()
                head = self._fetch(descriptor)
            self._suspect = False
            self._tidy(descriptor)
            return head

    def tree(self, commit: Sha) -> GitTree:
        """The files of a commit. Costs what differs from the tree listed last. Raises `GitError`."""
        last = self._listed
        if not last or last[0] != commit:
            with self._watching():
                entries = self._relist(*last, commit) if last else None
                last = (commit, entries if entries is not None else self._list(commit))
            self._listed = last
        return GitTree(commit, last[1], self.read)

    def read(self, blob: str) -> bytes:
        """A blob's bytes by its object id. Raises `MirrorBroken`."""
        with self._watching():
            return self._objects.read(blob)

    def size(self, blob: str) -> int:
        """A blob's size in bytes, without reading it. Raises `MirrorBroken`."""
        with self._watching():
            return self._objects.size(blob)

    def revision(self, commit: str) -> Revision:
        """A commit by its id, or by any name git knows it by here. Raises `GitRefused`: there is none."""
        code, out, _ = self.command.attempt(*ONE, "--end-of-options", f"{commit}^{{commit}}", "--")
        if code:
            raise GitRefused(
                f"there is no commit {commit[:60]!r} in the mirror of {self.url}: fetch, or check its name"
            )
        return next(parse_revisions(_fields(out)))

    def is_ancestor(self, ancestor: Sha, descendant: Sha) -> bool:
        """Whether history leads from `descendant` back to `ancestor`. False where the mirror has no such commit."""
        code, _, _ = self.command.attempt("merge-base", "--is-ancestor", _sha(ancestor), _sha(descendant))
        return code == 0

    def first_parents(
        self, head: Sha, *, stop: Sha | None = None, limit: int = 20_000
    ) -> Generator[tuple[Revision, frozenset[str]], None, None]:
        """First-parent history, newest first, with the paths that differ from the first parent.

        Mode changes count, a rename is both names, a root commit is all its paths. Ends before `stop`, and after
        `limit` commits. One process; close the iterator to end it early.
        """
        with contextlib.closing(self.changes(head, stop=stop, limit=limit)) as changes:
            for change in changes:
                yield change.revision, frozenset(change.former)

    def changes(self, head: Sha, *, stop: Sha | None = None, limit: int = 20_000) -> Generator[Change, None, None]:
        """Like `first_parents`, with what the first parent had at each path."""
        process = self.command.start(*FIRST_PARENTS, f"--max-count={limit}", _sha(head), "--")
        try:
            for change in parse_changes(Stream(process, self.command.timeout).fields()):
                if change.revision.sha == stop:
                    return
                yield change
            if process.wait(self.command.timeout):
                raise GitRefused(f"the history of {head[:7]} is not in the mirror of {self.url}: fetch it again")
        finally:
            end(process)

    def messages(self, *revisions: str) -> list[Revision]:
        """The commits that `git log <revisions>` gives, such as `["a..b"]`, newest first."""
        out = self.command.run("log", "-z", ONE[-1], *revisions, "--")
        return list(parse_revisions(_fields(out)))

    def git(self, *args: str, input: str | None = None) -> str:  # noqa: A002  what subprocess calls it
        """Standard output of a git command in the mirror, with our credentials at hand. Raises `GitError`."""
        return self._shared(args, None if input is None else input.encode(), {})

    def plumb(
        self,
        *args: str,
        input: bytes | None = None,  # noqa: A002
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Like `git`, with bytes and variables, and without the line end of the answer."""
        return self._shared(args, input, env or {}).rstrip("\n")

    def _shared(self, args: Sequence[str], data: bytes | None, env: Mapping[str, str]) -> str:
        with self._locked(fcntl.LOCK_SH) as descriptor:
            return self.command.run(*args, input=data, env=env, pass_fds=(descriptor,)).decode(errors="replace")

    def _fetch(self, descriptor: int) -> Revision:
        branch = f"refs/heads/{self.branch}"
        if (self.folder / "HEAD").exists():
            self._drop_stale_locks()
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.command.run("init", "--quiet", "--bare", "--template=", pass_fds=(descriptor,))
        self.command.run(
            *("fetch", "--quiet", "--prune", "--no-tags", "--force", "--update-head-ok", "--no-write-fetch-head"),
            *("--no-auto-maintenance", "--", self.url, f"+{branch}:{branch}", f"+{NOTES}*:{NOTES}*"),
            pass_fds=(descriptor,),
        )
        code, out, err = self.command.attempt(*ONE, branch, "--")
        if code:
            raise MirrorBroken(
                f"the mirror of {self.url} has no head after a fetch: {err.decode(errors='replace')[:200]}"
            )
        return next(parse_revisions(_fields(out)))

    def _list(self, commit: Sha, *paths: str) -> dict[str, Entry]:
        literal = [f":(literal){path}" for path in paths]
        listing = self.command.run("ls-tree", "-r", "-z", "-l", "--full-tree", _sha(commit), "--", *literal)
        return dict(parse_entries(listing))

    def _relist(self, old: Sha, entries: dict[str, Entry], new: Sha) -> dict[str, Entry] | None:
        """The entries of `new` out of those of `old`; None where listing the whole tree is as cheap."""
        code, out, _ = self.command.attempt(
            "diff-tree", "-r", "-z", "--no-renames", "--name-only", _sha(old), _sha(new), "--"
        )
        paths = [path for path in out.decode(errors="replace").split("\0") if path]
        if code or len(paths) > _LIST_AT_MOST or sum(map(len, paths)) > _CHARACTERS:
            return None
        gone = set(paths)
        kept = {path: entry for path, entry in entries.items() if path not in gone} if gone else entries
        return {**kept, **self._list(new, *paths)} if paths else kept

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Remember that the mirror is broken, so that the next fetch makes it again."""
        try:
            yield
        except MirrorBroken:
            self._suspect = True
            raise

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[int]:
        """Hold our lock file beside the folder; gives its descriptor, for git to inherit. Raises `GitUnreachable`."""
        path = self.folder.with_name(self.folder.name + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor, kind, path)
            yield descriptor
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, kind: int, path: Path) -> None:
        give_up = time.monotonic() + self.command.timeout
        while True:
            try:
                return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise GitUnreachable(
                        f"another process holds {path}: end it, or wait for its fetch to end"
                    ) from None
                time.sleep(0.02)

    def _drop_stale_locks(self) -> None:
        """What a killed git left behind. We hold our own lock, so nobody is at work in here."""
        for pattern in ("*.lock", "refs/**/*.lock", "objects/*.lock", "objects/*/*.lock"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _remove(self) -> None:
        self._objects.close()
        self._listed = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tidy(self, descriptor: int) -> None:
        """Pack now and then, so that a mirror that lives for years stays small. Its failure fails no fetch."""
        self._fetches += 1
        if self._fetches % _TIDY_EVERY == 0:
            with contextlib.suppress(GitError):
                self.command.run("gc", "--auto", "--quiet", pass_fds=(descriptor,))


def _sha(commit: Sha) -> Sha:
    if not _SHA.match(commit):
        raise GitRefused(f"{commit[:60]!r} is not a full commit id: give all 40 characters")
    return commit


def _fields(out: bytes) -> Iterator[str]:
    return iter(out.decode(errors="replace").split("\0"))
