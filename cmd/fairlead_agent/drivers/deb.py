"""`deb`: Debian packages through dpkg. The file is kept with the release, so the way back needs no network.

dpkg knows one version of a package at a time, outside of any release's folder. One that was killed leaves a package
half installed or half configured; installing either version again mends that (dpkg(1)), and others that it left in
between are configured first. A dpkg under way is never ended for something newer: half of it is worse than late.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from adapters.agent_protocol.orders import Artifact
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import Finished, Runner
from fairlead_agent.manifests import make_place
from fairlead_agent.trouble import Trouble

WITHIN = 600.0  # seconds for one dpkg
LOCKED_WITHIN = 300.0  # seconds for another dpkg to end: the machine's own upgrades, or one that outlived its agent
QUERY_WITHIN = 30.0
LOOK = 1.0  # seconds between two tries of a locked database
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
_KEEP_CONFFILES = ("--force-confdef", "--force-confold")  # what people changed in /etc stays
_REHEARSAL = ("--force-not-root", "--force-script-chrootless", "--force-bad-path")
_LOCKED = re.compile(r"dpkg(?: frontend)? (?:database )?lock|status database (?:area )?is locked")
_BETWEEN = frozenset({"half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"})


class DebDriver:
    """`root` is a root directory of its own (dpkg(1), --root), for rehearsals; None: this machine's."""

    reaches_out = True

    def __init__(self, run: Runner, root: Path | None = None) -> None:
        self._run = run
        self._admin = (root or Path("/")) / "var/lib/dpkg"
        self._is_rehearsal = root is not None
        self._options = [f"--root={root}", f"--log={root}/var/log/dpkg.log", *_REHEARSAL] if root else []
        self._known: dict[str, tuple[str, str]] = {}
        self._known_at: object = None

    def stage(self, artifact: Artifact, file: Path, folder: Path, stop: Event) -> Mapping[str, str]:
        """Keep the file, if it says of itself that it is that package and version, for this machine."""
        fields = ("Package", "Version", "Architecture")
        said = self._run(["dpkg-deb", "--field", str(file), *fields], within=QUERY_WITHIN, environment=_ENVIRONMENT)
        if not said.well:
            raise Trouble(Blame.REFUSED, f"{artifact.name} is no Debian package: {_why(said)}", said.output_tail)
        found = dict(line.split(": ", 1) for line in said.output_tail.splitlines() if ": " in line)
        name, version, architecture = (found.get(field, "") for field in fields)
        if (name, version) != (artifact.name, artifact.version):
            asked = f"{artifact.name} {artifact.version} was asked for"
            raise Trouble(Blame.REFUSED, f"the package says that it is {name} {version}, and {asked}; correct `from`")
        if architecture not in self._architectures():
            raise Trouble(Blame.REFUSED, f"{name} {version} is for {architecture}, which this host is not")
        inner = f"{artifact.name}.deb"
        place = make_place(folder, inner)
        file.chmod(0o644)
        file.rename(place)
        return {inner: artifact.sha256}

    def activate(self, artifacts: Sequence[Artifact], folder: Path) -> None:
        """Install all of them in one go: dpkg finds the order that their dependencies need."""
        if self._is_rehearsal:
            _furnish(self._admin)
        self._mend({artifact.name for artifact in artifacts})
        files = [str(folder / f"{artifact.name}.deb") for artifact in artifacts]
        done = self._dpkg([*_KEEP_CONFFILES, "--force-downgrade", "--install", *files])
        if not done.well or any(self._state(each.name) != ("installed", each.version) for each in artifacts):
            said = ", ".join(f"{artifact.name} {artifact.version}" for artifact in artifacts)
            raise Trouble(_blame(done), f"dpkg {done.how} for {said}: {_why(done)}", done.output_tail)

    def rollback(self, artifacts: Sequence[Artifact], folder: Path) -> None:
        """To dpkg an older version is a version like any other."""
        self.activate(artifacts, folder)

    def current(self, artifact: Artifact, is_unchanged: Callable[[], bool]) -> str | None:
        """What dpkg's database says; nothing of a package that is not wholly installed."""
        status, version = self._state(artifact.name)
        return version if status == "installed" else None

    def _mend(self, ours: Collection[str]) -> None:
        """Configure what a run that was cut off left in between; not ours, which are about to be installed anyway.

        It is no matter here if one cannot be configured: dpkg says so again where ours depends on it.
        """
        audit = self._run(["dpkg", *self._options, "--audit"], within=QUERY_WITHIN, environment=_ENVIRONMENT)
        named = [line.split()[0] for line in audit.output_tail.splitlines() if line[:1] == " " and line.strip()]
        others = [name for name in named if name not in ours and self._state(name)[0] in _BETWEEN]
        if others:
            self._dpkg([*_KEEP_CONFFILES, "--configure", *others])

    def _state(self, name: str) -> tuple[str, str]:
        """Status and version of a package, empty where dpkg knows none. Asked again only when its database changed."""
        written = _surface(self._admin)
        if self._known_at != written:
            self._known, self._known_at = {}, written
        if name not in self._known:
            self._known[name] = self._query(name)
        return self._known[name]

    def _query(self, name: str) -> tuple[str, str]:
        form = "${db:Status-Status} ${Version}\\n"
        argv = ["dpkg-query", f"--admindir={self._admin}", "--show", f"--showformat={form}", name]
        try:
            said = self._run(argv, within=QUERY_WITHIN, environment=_ENVIRONMENT)
        except Trouble:
            return "", ""
        states = [line.partition(" ")[::2] for line in said.output_tail.splitlines()] if said.well else []
        return min(states, key=lambda state: state[0] != "installed", default=("", ""))

    def _architectures(self) -> set[str]:
        answers = [
            self._run(["dpkg", word], within=QUERY_WITHIN, environment=_ENVIRONMENT).output_tail.split()
            for word in ("--print-architecture", "--print-foreign-architectures")
        ]
        return {"all"}.union(*answers)

    def _dpkg(self, arguments: Sequence[str]) -> Finished:
        """Run dpkg, as soon as nobody else does."""
        deadline = time.monotonic() + LOCKED_WITHIN
        while True:
            argv = ["dpkg", *self._options, *arguments]
            done = self._run(argv, within=WITHIN, environment=_ENVIRONMENT, lasting=True)
            if not _is_locked(done) or time.monotonic() > deadline:
                return done
            time.sleep(LOOK)


def _is_locked(done: Finished) -> bool:
    return done.code == 2 and _LOCKED.search(done.output_tail) is not None


def _blame(done: Finished) -> Blame:
    if _is_locked(done) or "No space left on device" in done.output_tail:
        return Blame.TRANSIENT
    return Blame.REFUSED if "dependency problems" in done.output_tail else Blame.UNHEALTHY


def _surface(admin: Path) -> Sequence[tuple[int, int, int]]:
    """What changes when dpkg writes its database: the file, and the folder with what is not in the file yet."""
    found = []
    for place in (admin / "status", admin / "updates"):
        with suppress(OSError):
            seen = place.stat()
            found.append((seen.st_ino, seen.st_mtime_ns, seen.st_size))
    return found


def _furnish(admin: Path) -> None:
    """An empty database, where there is none yet."""
    for folder in ("updates", "info", "triggers"):
        (admin / folder).mkdir(parents=True, exist_ok=True)
    (admin / "status").touch()
    (admin.parent.parent / "log").mkdir(exist_ok=True)


def _why(done: Finished) -> str:
    """dpkg's first error, with what it goes on to say below it; else its last line."""
    lines = done.output_tail.splitlines()
    errors = [number for number, line in enumerate(lines) if ": error" in line]
    said = lines[-1:] if not errors else lines[errors[0] : errors[0] + 1]
    said += [line for line in lines[errors[0] + 1 : errors[0] + 2] if line.startswith(" ")] if errors else []
    return " ".join(line.strip() for line in said)[:300] or "it said nothing"
