"""A fleet's own folder: it is what it seems to be, and nobody else's.

Who owns `root` may put anything there, and the agent may be the superuser: so no link is followed out of it. A lock
says whose it is, `<root>/.fairlead.lock`: it holds the fleet's name, and is held for as long as the agent lives.
"""

import fcntl
import os
import re
import stat
from pathlib import Path

from adapters.agent_protocol.reports import Blame
from fairlead_agent.durable import make_folder
from fairlead_agent.trouble import Trouble

LOCK = ".fairlead.lock"
OUR_ID = re.compile(r"[0-9a-f]{16}")
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LONGEST = 200  # bytes of a fleet's name


class Premises:
    """`fleet` may be empty: then nothing is locked."""

    def __init__(self, root: Path, fleet: str = "") -> None:
        self._root = root
        self._releases = root / "releases"
        self._fleet = fleet
        self._held: int | None = None

    def __del__(self) -> None:
        self._let_go()

    def check(self) -> None:
        """Before anything is touched there. Raises `Trouble` (REFUSED) with a sentence that names the fix, OSError."""
        self._check_folders()
        self._check_link()
        if self._fleet:
            self._check_above()
            make_folder(self._root)
            self._claim()
        make_folder(self._releases)

    def claim_again(self) -> None:
        """Hold what was this fleet's before, as soon as the agent is there. Raises as `check`."""
        if self._fleet and (self._root / LOCK).is_file():
            self._claim()

    # What is there

    def _check_folders(self) -> None:
        for folder in (self._releases, self._releases / ".downloads"):
            found = _seen(folder)
            if found is None:
                continue
            if not stat.S_ISDIR(found.st_mode):
                raise _refused(f"{folder} is a link or a file, and must be a folder; move it elsewhere")
            if os.geteuid() == 0 and (found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
                raise _refused(
                    f"{folder} must be root's, and nobody else's to write to; chown and chmod it, or move it"
                )

    def _check_link(self) -> None:
        link = self._root / "current"
        found = _seen(link)
        if found is None:
            return
        leads_to = str(link.readlink()) if stat.S_ISLNK(found.st_mode) else ""
        folder, _, name = leads_to.rpartition("/")
        if folder != "releases" or OUR_ID.fullmatch(name) is None:
            where = f", it leads to {leads_to[:200]}" if leads_to else ""
            raise _refused(f"{link} is not a link of the agent's{where}, and is in its way; move it elsewhere")

    # Whose it is

    def _claim(self) -> None:
        path = self._root / LOCK
        if self._held is not None and _is_same(self._held, path):
            return
        self._let_go()
        self._held = self._opened(path)
        try:
            self._take(self._held, path)
        except (Trouble, OSError):
            self._let_go()
            raise

    def _opened(self, path: Path) -> int:
        found = _seen(path)
        if found is not None and not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
            raise _refused(f"{path} is no file of the agent's; remove it")
        return os.open(path, _OPEN, 0o600)

    def _take(self, descriptor: int, path: Path) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not _is_same(descriptor, path):
            raise _refused(f"{path} is no file of the agent's; remove it")
        holder = os.pread(descriptor, _LONGEST, 0).decode("utf-8", errors="replace").strip()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            whom = f"{holder or 'a fleet'}, by an agent that runs"
            raise _refused(
                f"{self._root} is used for {whom}; give each fleet one agent and a root of its own"
            ) from None
        if holder not in {"", self._fleet}:
            said = f"{self._root} is the root of {holder}; give {self._fleet} a root of its own"
            raise _refused(f"{said}, or remove {path} if {holder} is not on this host any more")
        if not holder:
            os.pwrite(descriptor, f"{self._fleet}\n".encode(), 0)
            os.fsync(descriptor)

    def _check_above(self) -> None:
        for folder in self._root.parents:
            if (folder / LOCK).is_file() and (holder := (folder / LOCK).read_text()[:_LONGEST].strip()) != self._fleet:
                raise _refused(f"{self._root} is inside of {folder}, the root of {holder}; give it one beside that")

    def _let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _seen(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _is_same(descriptor: int, path: Path) -> bool:
    found, held = _seen(path), os.fstat(descriptor)
    return found is not None and (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def _refused(said: str) -> Trouble:
    return Trouble(Blame.REFUSED, said)
