"""Statuses as git notes in the desired-state repository itself, so that no forge is needed to see them.

`git log --notes=fairlead` shows them after a fetch of `refs/notes/fairlead`. A commit has one note, a note has one line
a context, newest first:

    success  fairlead/prod/checkout  1.4.2 on 2/2 units in 48 s  (2026-11-23T20:15:03Z)

A batch is one notes commit and one push. Git's own fast-import keeps the fan-out of the notes tree (git-fast-import(1),
`notemodify`), so any number of notes stays quick.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from desired_state.git_errors import GitError, GitRejected
from desired_state.mirror import Mirror
from desired_state.model import Sha
from reconciler.ports import Delivery, Lease, Undelivered
from reconciler.record import CommitStatus, Medium, State

REF = "refs/notes/fairlead"
OUTGOING = "refs/fairlead/outgoing-notes"  # ours alone; fast-import has to write to some ref
AUTHOR = "fairlead <fairlead@localhost>"
LONGEST_DESCRIPTION = 140  # characters, as everywhere
TRIES = 5  # pushes of one batch while others push too
LONGEST_WAIT = timedelta(minutes=5)
CLOCKS_APART = timedelta(minutes=10)  # between writers, at most
ABSENT = "0" * 40

_LINE = re.compile(
    r"(?P<state>success|pending|failure|error) +(?P<context>\S+)  (?P<description>.*)"
    r"  \((?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\)(?:  (?P<url>\S+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One status of a note, as it is written. `at` is aware UTC in whole seconds."""

    state: State
    context: str
    description: str
    at: datetime
    url: str = ""

    @classmethod
    def parse(cls, text: str) -> "Line | None":
        """None for a line that Fairlead did not write."""
        found = _LINE.fullmatch(text)
        if found is None:
            return None
        try:
            at = datetime.fromisoformat(found["at"])
        except ValueError:
            return None
        state = State(found["state"])
        return cls(
            state=state, context=found["context"], description=found["description"], at=at, url=found["url"] or ""
        )

    @classmethod
    def of(cls, status: CommitStatus, now: datetime) -> "Line":
        """How a status reads in a note; `now` stands in where it carries no time."""
        at = (status.at or now).astimezone(UTC).replace(microsecond=0)
        url = "".join(status.target_url.split())
        shown = "".join(each if each.isprintable() or each.isspace() else "?" for each in status.description)
        description = " ".join(shown.split())  # a note is read on terminals
        if len(description) > LONGEST_DESCRIPTION:
            description = f"{description[: LONGEST_DESCRIPTION - 1].rstrip()}…"
        return cls(state=status.state, context=status.context, description=description, at=at, url=url)

    def __str__(self) -> str:
        text = f"{self.state:<7}  {self.context}  {self.description}  ({self.at:%Y-%m-%dT%H:%M:%SZ})"
        return f"{text}  {self.url}" if self.url else text

    def says(self, other: "Line") -> bool:
        """True when both mean the same, whenever they were said."""
        mine = (self.state, self.context, self.description, self.url)
        return mine == (other.state, other.context, other.description, other.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The note of one commit: our lines by context, and whatever else people wrote into it."""

    lines: Mapping[str, Line] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Note":
        """Any text is a note: what is not ours is kept as it is."""
        lines: dict[str, Line] = {}
        foreign = []
        for raw in filter(None, (raw.rstrip() for raw in text.splitlines())):
            line = Line.parse(raw)
            if line is None:
                foreign.append(raw)
            elif line.context not in lines or lines[line.context].at < line.at:
                lines[line.context] = line
        return cls(lines=lines, foreign=tuple(foreign))

    def merged(self, news: Iterable[Line], now: datetime) -> "Note":
        """With our news: a context keeps the newer word, and its old time where nothing new is said.

        A word from far in the future is no newer one: a clock was wrong, or a person wrote it.
        """
        lines = dict(self.lines)
        for line in news:
            old = lines.get(line.context)
            if old is not None and old.at > now + CLOCKS_APART:
                old = None
            if old is None or (old.at <= line.at and not old.says(line)):
                lines[line.context] = line
        return Note(lines=lines, foreign=self.foreign)

    def __str__(self) -> str:
        ordered = sorted(self.lines.values(), key=lambda line: line.context)
        ordered.sort(key=lambda line: line.at, reverse=True)
        return "".join(f"{text}\n" for text in (*map(str, ordered), *self.foreign))


class GitNotes:
    """`reconciler.ports.Forge` over a notes ref. `author` is `name <address>`; `jitter` gives numbers from 0 to 1."""

    def __init__(
        self,
        mirror: Mirror,
        *,
        repository: str = "",
        author: str = AUTHOR,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._mirror = mirror
        self._repository = repository
        self._author = author
        self._jitter = jitter
        self._one_writer = Lock()  # of the mirror's notes: statuses and copies on heads leave at once

    def deliver(self, lease: Lease, statuses: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        """Push all statuses as one notes commit; nothing is pushed where the notes say it already.

        A commit that the repository does not have refuses its own statuses only, and what is no status of this
        repository is refused without a look. Trouble with the remote gives every
        status a `retry_at`. Raises `LeaseLost` before the push, never after.
        """
        further = [waiting for waiting in statuses if not _is_ours(waiting.status)]
        statuses = [waiting for waiting in statuses if _is_ours(waiting.status)]
        return (*map(_refusal, further), *self._delivered(lease, statuses, now))

    def _delivered(self, lease: Lease, statuses: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        if not statuses:
            return ()
        try:
            present = self._present({waiting.status.commit for waiting in statuses})
            with self._one_writer:
                self._publish(lease, [waiting for waiting in statuses if waiting.status.commit in present], now)
        except GitError as error:
            return tuple(self._later(waiting, str(error), now) for waiting in statuses)
        return tuple(_answer(waiting, waiting.status.commit in present) for waiting in statuses)

    def read(self, commit: Sha) -> list[CommitStatus]:
        """What the repository's notes say on a commit now, newest first. Raises `GitError`."""
        if commit not in self._present({commit}) or self._fetch() == ABSENT:
            return []
        lines = sorted(self._notes({commit})[commit].lines.values(), key=lambda line: line.at, reverse=True)
        return [self._status(commit, line) for line in lines]

    def _status(self, commit: Sha, line: Line) -> CommitStatus:
        return CommitStatus(
            repository=self._repository,
            commit=commit,
            context=line.context,
            state=line.state,
            description=line.description,
            target_url=line.url,
            at=line.at,
        )

    def _publish(self, lease: Lease, waiting: Sequence[Undelivered], now: datetime) -> None:
        """Build on what is there and push, again while others get in between. Raises `GitError`."""
        for _ in range(TRIES if waiting else 0):
            old = self._fetch()
            changed = self._changed(waiting, old, now)
            if not changed:
                return
            new = self._build(changed, old, now)
            lease.check()
            try:
                self._push(new, old)
            except GitRejected:
                continue
            return
        if waiting:
            raise GitRejected(f"others wrote notes to {self._mirror.url} {TRIES} times in between: try again later")

    def _changed(self, waiting: Sequence[Undelivered], old: Sha, now: datetime) -> dict[Sha, Note]:
        news: dict[Sha, list[Line]] = {}
        for one in sorted(waiting, key=lambda one: (one.status.at or now, one.sequence)):
            news.setdefault(one.status.commit, []).append(Line.of(one.status, now))
        notes = self._notes(news.keys()) if old != ABSENT else {}
        merged = {commit: notes.get(commit, Note()).merged(lines, now) for commit, lines in news.items()}
        return {commit: note for commit, note in merged.items() if note != notes.get(commit)}

    # git

    def _present(self, commits: set[Sha]) -> set[Sha]:
        """Which of the commits the repository has; a replica's mirror may be behind, so it is fetched when in doubt."""
        known = self._known(commits) if self._mirror.local_head() else set()
        if known != commits:
            self._mirror.fetch()
            known = self._known(commits)
        return known

    def _known(self, commits: set[Sha]) -> set[Sha]:
        asked = "".join(f"{commit}\n" for commit in sorted(commits))
        said = (line.split() for line in self._mirror.git("cat-file", "--batch-check", input=asked).splitlines())
        return {words[0] for words in said if words[1:2] == ["commit"]} & commits

    def _fetch(self) -> Sha:
        """Bring the remote's notes here; gives the ref's commit, or `ABSENT`."""
        git, url = self._mirror.git, self._mirror.url
        seen = git("ls-remote", "--", url, REF).split()
        if not seen:
            return ABSENT
        if seen[0] != git("for-each-ref", "--format=%(objectname)", REF).strip():
            git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", url, f"+{REF}:{REF}")
        return git("for-each-ref", "--format=%(objectname)", REF).strip()

    def _notes(self, commits: Iterable[Sha]) -> dict[Sha, Note]:
        """The notes that are here, of commits that are here: one process for all of them."""
        asked = "".join(f"{commit}\n" for commit in commits)
        shape = ("--no-walk=unsorted", "--no-notes", f"--notes={REF}", "--format=%H%x00%N%x00", "--stdin")
        parts = self._mirror.git("log", *shape, input=asked).split("\0")
        pairs = zip(parts[0::2], parts[1::2], strict=False)
        return {commit.strip(): Note.parse(text) for commit, text in pairs}

    def _build(self, notes: Mapping[Sha, Note], old: Sha, now: datetime) -> Sha:
        """One commit with all the notes, on top of `old`. Nothing but a ref of ours moves."""
        message = f"{len(notes)} commit{'s' if len(notes) > 1 else ''} with news"
        begin = [
            f"commit {OUTGOING}",
            "mark :1",
            f"committer {self._author} {int(now.timestamp())} +0000",
            _data(message),
        ]
        if old != ABSENT:
            begin.append(f"from {old}")
        body = [f"N inline {commit}\n{_data(str(note))}" for commit, note in notes.items()]
        stream = "\n".join([*begin, *body, "", "get-mark :1", "done", ""])
        return self._mirror.git("fast-import", "--quiet", "--force", "--done", input=stream).strip()

    def _push(self, new: Sha, old: Sha) -> None:
        expected = "" if old == ABSENT else old
        lease = f"--force-with-lease={REF}:{expected}"  # refuses where the ref is not what we built on
        self._mirror.git("push", "--quiet", lease, "--", self._mirror.url, f"{new}:{REF}")
        self._mirror.git("update-ref", REF, new)

    def _later(self, waiting: Undelivered, message: str, now: datetime) -> Delivery:
        """Full jitter, so that many replicas do not come back together."""
        longest = min(LONGEST_WAIT.total_seconds(), 2.0 ** min(waiting.attempts + 1, 20))
        retry_at = now + timedelta(seconds=max(1.0, longest * self._jitter()))
        return Delivery(id=waiting.id, sequence=waiting.sequence, delivered=False, retry_at=retry_at, message=message)


def _is_ours(word: CommitStatus) -> bool:
    return word.medium is Medium.STATUS and not word.project


def _refusal(waiting: Undelivered) -> Delivery:
    why = "git notes show statuses of their own repository, and nothing else"
    return Delivery(id=waiting.id, sequence=waiting.sequence, delivered=False, message=why)


def _answer(waiting: Undelivered, present: bool) -> Delivery:
    message = (
        "" if present else f"the repository has no commit {waiting.status.commit[:12]}: no status can be put on it"
    )
    return Delivery(id=waiting.id, sequence=waiting.sequence, delivered=present, message=message)


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}"
