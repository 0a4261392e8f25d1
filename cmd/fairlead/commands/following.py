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
from desired_state.model import Sha
from fairlead.commands.desk import Desk, Done, Way
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import seen
from reconciler.ports import Unreadable
from reconciler.reasons import Reason
from reconciler.record import CommitStatus, State

if TYPE_CHECKING:
    from fairlead.wiring.writing_back import Words

Tell = Callable[[str], None]
SLOWLY = 5.0  # seconds between two questions to a forge or a repository beside what is said
_HOLDS = frozenset(reason.value for reason in Reason)


class Verdict(StrEnum):
    """How the wait for one fleet or environment ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    HELD = "held"
    TIMEOUT = "timeout"


_WORST = (Verdict.FAILURE, Verdict.ERROR, Verdict.HELD, Verdict.TIMEOUT, Verdict.SUCCESS)
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
        until = clock.now() + within
        try:
            while not following.look(done) and clock.now() < until:
                pause(words.every)
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


class _Following:
    """What was heard so far, scope by scope."""

    def __init__(self, found: Desk, words: "Words", tell: Tell) -> None:
        self._desk, self._read, self._tell = found, words.read, tell
        self._now_and_then = max(1, round(SLOWLY / words.every))  # looks between two of what others answer
        self._looks = -1
        self._last: dict[str, Result] = {}  # the newest word on each scope, ended or not
        self._ended: set[str] = set()
        self._merged: dict[int, Sha] = {}  # by pull request
        self._trouble = ""
        self._told = ""
        self._head: Sha | None = None

    def look(self, done: Sequence[Done]) -> bool:
        """One look at everything that has not ended; True where all has."""
        from sqlalchemy.exc import SQLAlchemyError

        self._looks += 1
        try:
            for each in done:
                self._one(each)
            self._trouble = ""
        except (Unreadable, GitError, SQLAlchemyError, OSError) as trouble:
            self._trouble = " ".join(str(trouble).split())
            self._say(f"cannot be read now, and is asked again: {self._trouble}")
        return self._ended >= {scope for each in done for scope in each.scopes}

    def results(self, done: Sequence[Done]) -> list[Result]:
        """How it ended for each. Refuses where nothing could be read to the end."""
        if self._trouble and not self._last:
            raise Refused(f"what becomes of it cannot be read: {self._trouble}", ExitCode.UNREACHABLE)
        return [self._result(each, scope) for each in done for scope in each.scopes]

    def _result(self, done: Done, scope: str) -> Result:
        last = self._last.get(scope)
        if last is None:
            unsaid = "nothing is said about it yet: is the controller running?"
            nothing = "its pull request is not merged" if done.pull else unsaid
            return Result(scope=scope, commit=done.commit, verdict=Verdict.TIMEOUT, message=nothing)
        if scope in self._ended:
            return last
        reason = last.message.partition(":")[0]
        return replace(last, verdict=Verdict.HELD if reason in _HOLDS else Verdict.TIMEOUT)

    def _one(self, done: Done) -> None:
        left = [scope for scope in done.scopes if scope not in self._ended]
        commit = self._commit(done) if left else None
        if commit is None:
            return
        said = {status.context: status for status in self._read(commit)}
        for scope in left:
            self._hear(scope, commit, said)
        self._superseded(commit, [scope for scope in left if scope not in self._last])

    def _commit(self, done: Done) -> Sha | None:
        """The commit on the branch to follow; None while there is none."""
        if done.how is Way.COMMIT or done.pull is None:
            return self._there(done)
        if done.pull.number not in self._merged and self._looks % self._now_and_then == 0:
            self._merge(done)
        return self._merged.get(done.pull.number)

    def _there(self, done: Done) -> Sha | None:
        commit = done.commit or done.stands
        if commit is None:
            for scope in done.scopes:
                self._end(Result(scope=scope, commit=None, verdict=Verdict.SUCCESS, message=done.message))
        return commit

    def _merge(self, done: Done) -> None:
        reviews, pull = self._desk.reviews(), done.pull
        if reviews is None or pull is None:
            return
        now = next((each for each in reviews.pulls(self._desk.mirror.branch) if each.number == pull.number), pull)
        if now.merged_as:
            self._merged[pull.number] = now.merged_as
            self._say(f"pull request #{pull.number} is merged as {now.merged_as[:7]}")
        elif not now.open:
            for scope in done.scopes:
                message = f"pull request #{pull.number} was closed and not merged"
                self._end(Result(scope=scope, commit=None, verdict=Verdict.ERROR, message=message, url=pull.url))
        else:
            self._say(f"pull request #{pull.number} waits to be merged: {pull.url}")

    def _hear(self, scope: str, commit: Sha, said: Mapping[str, CommitStatus]) -> None:
        """The fleet's own word; where there is none the environment's, once that has ended."""
        rolled = said.get(f"fairlead/{scope.partition('/')[0]}")
        word = said.get(f"fairlead/{scope}") or (rolled if rolled and rolled.state is not State.PENDING else None)
        if word is None:
            return
        verdict = _ENDS.get(word.state, Verdict.TIMEOUT)
        result = Result(scope=scope, commit=commit, verdict=verdict, message=word.description, url=word.target_url)
        if word.state is not State.PENDING:
            self._end(result)
        elif self._last.get(scope) != result:
            self._last[scope] = result
            self._tell(f"{scope}: {word.description}")

    def _end(self, result: Result) -> None:
        self._last[result.scope] = result
        self._ended.add(result.scope)
        self._tell(f"{result.scope}: {result.verdict}: {result.message}")

    def _superseded(self, commit: Sha, silent: Sequence[str]) -> None:
        """A commit that was overtaken before anyone saw it is never spoken of: the newer one is named."""
        asks = bool(silent) and self._looks % self._now_and_then == 0
        head = self._desk.mirror.remote_head() if asks else None
        if head is None or head in {commit, self._head}:
            return
        self._head = self._desk.mirror.fetch().sha
        ours, now = self._desk.tree(commit), self._desk.tree(self._head)
        digest = self._desk.parser.target_digest
        for scope in silent:
            if "/" in scope and digest(ours, scope) != digest(now, scope):
                newer = self._desk.stands(_paths(scope, self._desk.folder))
                message = f"superseded by {(newer or self._head)[:7]}"
                self._end(Result(scope=scope, commit=commit, verdict=Verdict.ERROR, message=message))

    def _say(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._tell(line)


def _paths(scope: str, folder: str) -> tuple[str, ...]:
    from desired_state.writing import fleet_path

    return (fleet_path(scope, folder),)
