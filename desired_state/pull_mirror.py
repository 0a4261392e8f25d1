"""A mirror of its own for pull requests: what strangers wrote never comes near the mirror that deploys are read from.

Their heads stand under `refs/fairlead/pulls/`. Nothing is ever checked out, and nothing of theirs is run: git merges
objects into objects, and knows no hooks, filters or merge drivers but its own.
"""

import contextlib
import fcntl
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from desired_state.git_command import Bounds
from desired_state.git_errors import GitError, GitRefused, MirrorBroken
from desired_state.mirror import Mirror
from desired_state.model import Revision, Sha
from desired_state.tree_walk import Objects, WildTree, differing

PULLS = "refs/fairlead/pulls"
THEIRS = Bounds(seconds=20, file=64 * 1024**2)  # that the fetch of an outsider's head may take
ROOM = 512 * 1024**2  # bytes beside what the branch took; above, the mirror is made anew
SLACK = 64 * 1024**2  # bytes of what may have been let go
_BEGUN = "fairlead-begun"  # a file that holds the bytes of the mirror with the branch alone
_OWN = {"fetch.unpackLimit": "1", "core.bigFileThreshold": "1m", "pack.threads": "1"}  # a fetch is one file, in bounds
_REF = re.compile(r"refs/[A-Za-z0-9/._-]{1,200}")
_OID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_BROKEN = re.compile(
    r"unable to read|could not read|missing|bad object|corrupt|loose object|not something we can merge"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a merge gives: a tree, or the paths in which it conflicts."""

    tree: Sha = ""
    conflicts: tuple[str, ...] = ()


class PullMirror(Mirror):
    """A `Mirror` that also holds heads of pull requests, and merges them."""

    def lacking(self, commits: Iterable[Sha]) -> frozenset[Sha]:
        """Those of these commits that are to be fetched: all of them where this mirror is not to be trusted."""
        wanted = frozenset(commits)
        asked = [commit for commit in wanted if _OID.fullmatch(commit)]
        if self._suspect or not asked or not (self.folder / "HEAD").exists():
            return wanted
        lines = "".join(f"{commit}\n" for commit in asked).encode()
        out = self.command.run("cat-file", "--batch-check=%(objectname) %(objecttype)", input=lines).decode()
        return wanted - {line.removesuffix(" commit") for line in out.splitlines() if line.endswith(" commit")}

    def fetch(self) -> Revision:
        """See `Mirror`."""
        head = super().fetch()
        self._begin()
        return head

    def bring(self, refs: Mapping[int, str], keep: Collection[int], bounds: Bounds | None = None) -> dict[int, str]:
        """Fetch these refs of the remote, by the numbers of pull requests; of others only `keep` stays.

        Gives a sentence for each that could not be had, as it is larger than `bounds`; one harms no other. Raises
        `GitUnreachable`, also past the seconds of `bounds`.
        """
        self._begin()
        with self._locked(fcntl.LOCK_EX) as descriptor:
            self._drop_stale_locks()
            self._drop_half_packs()
            let_go = self._forget({*refs, *keep}, descriptor)
            try:
                self._fetch_refs(refs, descriptor, bounds)
            except GitRefused as refused:
                if len(refs) == 1:
                    return dict.fromkeys(refs, str(refused))
                return self._one_by_one(refs, descriptor, bounds)
            finally:
                self._drop_half_packs()
                self._tidy(descriptor)
                self._make_room(descriptor, let_go=let_go)
        return {}

    def _begin(self) -> None:
        """Once in the life of a mirror."""
        mark = self.folder / _BEGUN
        if not mark.exists() and (self.folder / "HEAD").exists():
            for key, value in _OWN.items():
                self.command.run("config", key, value)
            mark.write_text(str(self._bytes_here()))

    def _bytes_here(self) -> int:
        total = 0
        for path in (self.folder / "objects").rglob("*"):
            with contextlib.suppress(OSError):  # another process tidies
                total += path.stat().st_size
        return total

    def _make_room(self, descriptor: int, *, let_go: bool) -> None:
        """What strangers push takes no more of the disk than this, whether or not git can tidy it away."""
        try:
            begun = int((self.folder / _BEGUN).read_text())
        except (OSError, ValueError):
            return
        over = self._bytes_here() - begun
        if over > ROOM or (let_go and over > SLACK):
            with contextlib.suppress(GitError):
                self.command.run("gc", "--prune=now", "--quiet", pass_fds=(descriptor,))
            self._suspect = self._suspect or self._bytes_here() - begun > ROOM

    def left(self, base: Sha, head: Sha) -> Sha:
        """The commit at which `head` left the history of `base`; empty where they have nothing in common."""
        _, out, _ = self.command.attempt("merge-base", base, head)
        return out.decode().strip()

    def merge(self, base: Sha, head: Sha) -> Merge:
        """What the base would be with `head` merged into it, as three-way merges go. Raises `GitError`."""
        with self._watching():
            return self._merge(base, head)

    def _merge(self, base: Sha, head: Sha) -> Merge:
        with self._locked(fcntl.LOCK_SH) as descriptor:
            code, out, err = self.command.attempt(
                *("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", base, head),
                pass_fds=(descriptor,),
            )
        tree, *paths = out.decode(errors="replace").split("\0")
        if code == 0 and _OID.fullmatch(tree):
            return Merge(tree=tree)
        if code == 1 and paths:
            return Merge(conflicts=tuple(dict.fromkeys(path for path in paths if path)))
        said = err.decode(errors="replace")
        if "usage:" in said or "unknown rev" in said:
            raise GitRefused("plans of pull requests need git 2.38 or newer: install it, or set forge.plans = false")
        if _BROKEN.search(said):
            raise MirrorBroken(
                f"git cannot merge {head[:7]} in the mirror of {self.url}: the next fetch makes it again"
            )
        raise GitRefused(f"git cannot merge {head[:7]} in the mirror of {self.url}")

    def weight(self, old: Sha, new: Sha, most: int) -> tuple[int, int]:
        """How many files differ between two commits, and the bytes of the new ones; 0 bytes above `most` files.

        Costs no more than that, whatever the trees are. Raises `WildTree`, and other `GitError`.
        """
        blobs = differing(Objects(size=self.size, read=self.read), _checked_id(old), _checked_id(new), most)
        if len(blobs) > most:
            return len(blobs), 0
        return len(blobs), self._bytes([blob for blob in blobs if blob.strip("0")])

    def _bytes(self, blobs: Sequence[Sha]) -> int:
        lines = "".join(f"{blob}\n" for blob in blobs).encode()
        out = self.command.run("cat-file", "--batch-check=%(objecttype) %(objectsize)", input=lines) if blobs else b""
        said = [line.split(" ") for line in out.decode(errors="replace").splitlines()]
        if any(kind != "blob" for kind, *_ in said):
            raise WildTree("names as a file what is none: write it anew")
        return sum(int(size) for _, size in said)

    def _fetch_refs(self, refs: Mapping[int, str], descriptor: int, bounds: Bounds | None) -> None:
        wanted = [f"+{_checked(ref)}:{PULLS}/{number}" for number, ref in sorted(refs.items())]
        if wanted:
            self.command.run(
                *("fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", "--no-auto-maintenance"),
                *("--", self.url, *wanted),
                pass_fds=(descriptor,),
                bounds=bounds or Bounds(seconds=self.command.timeout, file=ROOM),
            )

    def _one_by_one(self, refs: Mapping[int, str], descriptor: int, bounds: Bounds | None) -> dict[int, str]:
        troubles: dict[int, str] = {}
        for number, ref in sorted(refs.items()):
            try:
                self._fetch_refs({number: ref}, descriptor, bounds)
            except GitRefused as refused:
                troubles[number] = str(refused)
        return troubles

    def _drop_half_packs(self) -> None:
        """What came before a fetch was ended: it could be gigabytes, again and again. We hold our own lock."""
        for path in (self.folder / "objects" / "pack").glob("tmp_*"):
            path.unlink(missing_ok=True)

    def _forget(self, kept: Iterable[int], descriptor: int) -> bool:
        """So that heads of closed pull requests can be tidied away; gives whether there were any."""
        known = {f"{PULLS}/{number}" for number in kept}
        listing = self.command.run("for-each-ref", "--format=%(refname)", PULLS, pass_fds=(descriptor,)).decode()
        gone = "".join(f"delete {ref}\n" for ref in listing.split() if ref not in known)
        if gone:
            with contextlib.suppress(GitError):  # they only take room
                self.command.run("update-ref", "--stdin", input=gone.encode(), pass_fds=(descriptor,))
        return bool(gone)


def _checked_id(commit: Sha) -> Sha:
    if not _OID.fullmatch(commit):
        raise GitRefused(f"{commit[:60]!r} is not a full commit id")
    return commit


def _checked(ref: str) -> str:
    if not _REF.fullmatch(ref):
        raise GitRefused(f"{ref[:60]!r} is no ref of a pull request")
    return ref
