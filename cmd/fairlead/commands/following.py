"""Following what becomes of a commit by what is said on it, until everything that was asked for has ended."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from desired_state.git_errors import GitError
from desired_state.layout import fleet_path
from desired_state.model import FleetName, Sha
from fairlead.commands.desk import Desk, Done, Way
from fairlead.commands.hearing import Hearing
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import seen
from reconciler.outbox import FLEETS_A_COMMIT
from reconciler.ports import Unreadable
from reconciler.reasons import Reason
from reconciler.record import CommitStatus, State
from reconciler.reviews import Pull
from reconciler.rollup import fleets_in

if TYPE_CHECKING:
    from fairlead.wiring.writing_back import Words

Tell = Callable[[str], None]
ASKS = (5.0, 30.0)  # seconds between two questions to a forge or a repository beside what is said: first, longest
GROWTH = 1.25
_HOLDS = frozenset(reason.value for reason in Reason)


class Verdict(StrEnum):
    """How the wait for one fleet or environment ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    UNKNOWN = "unknown"  # not told one by one, and not all of them succeeded
    HELD = "held"
    TIMEOUT = "timeout"


_WORST = (Verdict.FAILURE, Verdict.ERROR, Verdict.UNKNOWN, Verdict.HELD, Verdict.TIMEOUT, Verdict.SUCCESS)
_ENDS = {State.SUCCESS: Verdict.SUCCESS, State.FAILURE: Verdict.FAILURE, State.ERROR: Verdict.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one scope: a fleet, or an environment."""

    scope: str
    commit: Sha | None
    verdict: Verdict
    message: str
    url: str = ""


def worst(results: Sequence[Result]) -> Verdict:
    """The one that decides how the command exits."""
    return min((result.verdict for result in results), key=_WORST.index)


def follow(found: Desk, done: Sequence[Done], within: timedelta) -> list[Result]:
    """Wait until each scope has ended, at most for that time. Refuses where nothing at all can be read."""
    from fairlead import wiring

    clock = wiring.clock()
    with _store(found) as words, _telling() as tell:
        following = _Following(found, words, tell)
        until = clock.monotonic() + within.total_seconds()
        try:
            while not following.look(done) and (left := until - clock.monotonic()) > 0:
                pause(following.rest(left))
        except KeyboardInterrupt:
            scope = done[0].scopes[0]
            raise Refused(
                f"waiting ended, and nothing else did: the deploy goes on; follow it with fairlead status {scope}",
                ExitCode.INTERRUPTED,
            ) from None
    return following.results(done)


def pause(seconds: float) -> None:
    """Between two looks."""
    time.sleep(seconds)


@contextmanager
def _store(found: Desk) -> "Iterator[Words]":
    """The ledger where it is at hand, else the forge."""
    from sqlalchemy.exc import SQLAlchemyError

    from fairlead import wiring
    from fairlead.settings import SettingsError
    from fairlead.wiring import writing_back

    clock = wiring.clock()
    with ExitStack() as stack:
        store = None
        with suppress(SQLAlchemyError, OSError):
            store = writing_back.ledger_at_hand(found.settings, clock)
        if store is not None:
            stack.callback(store.close)
            yield writing_back.words_of(store, found.repository)
            return
        try:
            words = writing_back.words_at_forge(found.settings, found.repository, found.mirror, clock)
        except SettingsError as error:
            raise Refused(str(error)) from error
        yield words


@contextmanager
def _telling() -> Iterator[Tell]:
    """One line a change, on stderr; on a terminal also what is waited for."""
    if not sys.stderr.isatty():
        yield lambda line: print(seen(line), file=sys.stderr, flush=True)
        return
    console = Console(stderr=True)
    with console.status("waiting ...") as status:

        def tell(line: str) -> None:
            console.print(Text(seen(line)))
            status.update(Text(seen(line)))

        yield tell


class _Pace:
    """Seconds between two looks: more and more while nothing is new."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest, self._span = first, longest, first

    def next(self) -> float:
        span = self._span
        self._span = min(self._longest, span * GROWTH)
        return span

    def again(self) -> None:
        self._span = self._first


class _Following:
    """What was heard so far, fleet by fleet: each on the commit that set what it is told to run."""

    def __init__(self, found: Desk, words: "Words", tell: Tell) -> None:
        self._desk, self._tell = found, tell
        self._hearing = Hearing(found, words)
        self._looks, self._asks = _Pace(words.every, words.longest), _Pace(*ASKS)
        self._rested, self._ask_at = 0.0, 0.0  # seconds of rest so far
        self._asking = False
        self._fleets: dict[str, Mapping[FleetName, Sha]] = {}  # by scope: its fleets and their setting commits
        self._last: dict[FleetName, Result] = {}  # the newest word on each, ended or not
        self._ended: set[str] = set()  # fleets, and scopes without any
        self._rolled: set[FleetName] = set()  # of which only a roll-up tells, and it did not succeed
        self._merged: dict[int, Sha] = {}  # by pull request
        self._began: Sha | None = None
        self._trouble = ""
        self._told = ""
        self._head: Sha | None = None

    def look(self, done: Sequence[Done]) -> bool:
        """One look at everything that has not ended; True where all has."""
        from sqlalchemy.exc import SQLAlchemyError

        self._asking = self._rested >= self._ask_at
        if self._asking:
            self._ask_at = self._rested + self._asks.next()
        try:
            for each in done:
                self._one(each)
            self._trouble = ""
        except (Unreadable, GitError, SQLAlchemyError, OSError) as trouble:
            self._trouble = " ".join(str(trouble).split())
            self._say(f"cannot be read now, and is asked again: {self._trouble}")
        return not any(self._left(scope) for each in done for scope in each.scopes)

    def rest(self, left: float) -> float:
        """Seconds until the next look."""
        span = self._looks.next()
        self._rested += span
        return min(span, left)

    def results(self, done: Sequence[Done]) -> list[Result]:
        """How it ended for each. Refuses where nothing could be read to the end."""
        if self._trouble and not self._last:
            raise Refused(f"what becomes of it cannot be read: {self._trouble}", ExitCode.UNREACHABLE)
        return [self._result(each, scope) for each in done for scope in each.scopes]

    def _left(self, scope: str) -> Sequence[str]:
        """The fleets that are waited for; the scope itself while its fleets are not known."""
        return [fleet for fleet in self._fleets.get(scope, (scope,)) if {fleet, scope}.isdisjoint(self._ended)]

    def _result(self, done: Done, scope: str) -> Result:
        """Of an environment the worst of its fleets'."""
        if "/" in scope or scope in self._last or scope not in self._fleets:
            return self._of(done, scope)
        each = [self._of(done, fleet) for fleet in self._fleets[scope]]
        verdict = worst(each) if each else Verdict.SUCCESS
        first = next((one for one in each if one.verdict is verdict), None)
        message = f"{first.scope}: {first.message}" if first and verdict is not Verdict.SUCCESS else ""
        return Result(
            scope=scope,
            commit=done.commit,
            verdict=verdict,
            message=message or f"{len(each)}/{len(each)} fleets at theirs",
            url=first.url if first else "",
        )

    def _of(self, done: Done, fleet: FleetName) -> Result:
        last = self._last.get(fleet)
        if last is None:
            unsaid = "nothing is said about it yet: is the controller running?"
            waits = done.pull and done.pull.number not in self._merged
            nothing = "its pull request is not merged" if waits else unsaid
            return Result(scope=fleet, commit=done.commit, verdict=Verdict.TIMEOUT, message=nothing)
        if fleet in self._ended:
            return last
        reason = last.message.partition(":")[0]
        return replace(last, verdict=Verdict.HELD if reason in _HOLDS else Verdict.TIMEOUT)

    def _one(self, done: Done) -> None:
        commit = self._commit(done) if any(self._left(scope) for scope in done.scopes) else None
        if commit is None:
            return
        for scope in done.scopes:
            if scope not in self._fleets:
                self._fleets[scope] = self._set_by(scope, commit)
        left = {fleet: self._fleets[scope][fleet] for scope in done.scopes for fleet in self._left(scope)}
        for setting in dict.fromkeys(left.values()):
            said = self._hearing.said(setting)
            for fleet in (each for each, its in left.items() if its == setting):
                self._hear(fleet, setting, said)
        self._superseded({fleet: setting for fleet, setting in left.items() if fleet not in self._last})

    def _set_by(self, scope: str, commit: Sha) -> Mapping[FleetName, Sha]:
        """The commit that counts for each fleet of a scope; of one that has none the commit that was made."""
        settings = self._hearing.settings(commit)
        if "/" in scope:
            return {scope: settings.get(scope, commit)}
        return {fleet: setting for fleet, setting in settings.items() if fleet.startswith(f"{scope}/")}

    def _commit(self, done: Done) -> Sha | None:
        """The commit on the branch to follow; None while there is none."""
        if done.how is Way.COMMIT or done.pull is None:
            return done.commit or done.stands_at or self._now()
        if done.pull.number not in self._merged and self._asking:
            self._merge(done, done.pull)
        return self._merged.get(done.pull.number)

    def _now(self) -> Sha:
        """The head when the wait began."""
        if self._began is None:
            self._began = self._desk.mirror.fetch().sha
        return self._began

    def _merge(self, done: Done, pull: Pull) -> None:
        reviews = self._desk.reviews()
        if reviews is None:
            return
        now = reviews.pull(pull.number)
        if now.merged_as:
            self._desk.mirror.fetch()
            self._hearing.merged(now)
            self._merged[pull.number] = now.merged_as
            self._say(f"pull request #{pull.number} is merged as {now.merged_as[:7]}")
        elif not now.open:
            for scope in done.scopes:
                message = f"pull request #{pull.number} was closed and not merged"
                self._end(Result(scope=scope, commit=None, verdict=Verdict.ERROR, message=message, url=pull.url))
        else:
            self._say(f"pull request #{pull.number} waits to be merged: {pull.url}")

    def _hear(self, fleet: FleetName, commit: Sha, said: Mapping[str, CommitStatus]) -> None:
        """The fleet's own word; where there is none what the roll-up of that commit tells of all of its fleets."""
        word = said.get(f"fairlead/{fleet}")
        if word is None:
            self._hear_of_all(fleet, commit, said.get(f"fairlead/{fleet.partition('/')[0]}"))
            return
        verdict = _ENDS.get(word.state, Verdict.TIMEOUT)
        result = Result(scope=fleet, commit=commit, verdict=verdict, message=word.description, url=word.target_url)
        if word.state is not State.PENDING:
            self._end(result)
        elif self._last.get(fleet) != result:
            self._last[fleet] = result
            self._news(f"{fleet}: {word.description}")

    def _hear_of_all(self, fleet: FleetName, commit: Sha, rolled: CommitStatus | None) -> None:
        """Of a commit that sets many fleets those that succeed are not told one by one."""
        fleets = fleets_in(rolled.description) if rolled and rolled.state is not State.PENDING else 0
        if rolled is None or not fleets:
            return
        verdict = Verdict.SUCCESS if rolled.state is State.SUCCESS else Verdict.UNKNOWN
        if verdict is Verdict.UNKNOWN and (fleets <= FLEETS_A_COMMIT or fleet not in self._rolled):
            self._rolled.add(fleet)  # its own word comes behind, if it has one
            return
        message, url = rolled.description, rolled.target_url
        self._end(Result(scope=fleet, commit=commit, verdict=verdict, message=message, url=url))

    def _end(self, result: Result) -> None:
        self._last[result.scope] = result
        self._ended.add(result.scope)
        self._news(f"{result.scope}: {result.verdict}: {result.message}")

    def _superseded(self, silent: Mapping[FleetName, Sha]) -> None:
        """A commit that was overtaken before anyone saw it is never spoken of: the newer one is named."""
        head = self._desk.mirror.remote_head() if silent and self._asking else None
        if head is None or head == self._head:
            return
        self._head = self._desk.mirror.fetch().sha
        now, files = self._hearing.settings(self._head), self._desk.tree(self._head).entries()
        for fleet, commit in silent.items():
            newer = now.get(fleet, commit)
            gone = fleet_path(fleet) not in files
            if gone or newer != commit:
                message = "no longer managed: its file is gone" if gone else f"superseded by {newer[:7]}"
                self._end(Result(scope=fleet, commit=commit, verdict=Verdict.ERROR, message=message))

    def _news(self, line: str) -> None:
        self._tell(line)
        self._looks.again()

    def _say(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._tell(line)
