"""The feed of pull requests: what a merge would do, as the status `fairlead/plan` on its head and in one comment.

A pass that finds nothing new costs the forge's answer and one look at the ledger: a plan is made again only where the
head or the branch moved, and slowly for what is said of the world in it. Of a forge that is away only plans suffer.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from adapters.feeds.pacing import Pacing
from adapters.feeds.pull_plans import Merging, Onlooker, by_git
from desired_state.changes import Change
from desired_state.git_errors import GitError, GitUnreachable
from desired_state.model import Sha
from reconciler.merge_plan import MergePlan
from reconciler.plan_comment import comment, no_comparison
from reconciler.plan_words import word_of
from reconciler.ports import Clock, Lease, Ledger, Unreadable
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import PLAN, Pull, Reviews
from reconciler.speech import Word, clip

COMMENT = "fairlead/plan comment"
MOST = 50  # open pull requests that are planned: the newest
TOLD = 100  # of the others, that are told so
TRIES = 3  # passes in which a head that cannot be fetched is looked for
PATIENCE = 5.0  # seconds of planning after which those that wait are told so
NOTED = 1_000  # merged pull requests that are remembered as passed on
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The pull requests of one repository against the branch that is read."""

    reviews: Reviews
    merging: Merging
    compared: Callable[[Pull, Change], str] | None = None  # where the application's own changes are shown
    heads: Callable[[str, Mapping[Sha, Pull]], None] | None = None  # told which commit came from which, once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A plan by Git alone, and what it was made of."""

    head: Sha
    base: Sha
    outside: bool
    plan: MergePlan


@dataclass(slots=True, kw_only=True)
class _Known:
    """What this process knows of a repository's pull requests. It can be lost: the same is said once more, in vain."""

    made: dict[int, _Made] = field(default_factory=dict)
    lost: dict[tuple[int, Sha], int] = field(default_factory=dict)  # heads that could not be fetched: how often
    noted: dict[Sha, None] = field(default_factory=dict)
    heads: frozenset[tuple[int, Sha]] = frozenset()  # of the open ones, at the last pass
    refreshed_at: datetime | None = None
    well: bool = False  # the ledger holds no trouble of ours


class Pulls:
    """Plans the pull requests of repositories, by name."""

    def __init__(
        self,
        ledger: Ledger,
        watched: Mapping[str, Watched],
        onlooker: Onlooker,
        clock: Clock,
        interval: timedelta,
        refresh: timedelta,
    ) -> None:
        self._ledger, self._watched, self._onlooker, self._clock = ledger, watched, onlooker, clock
        self._refresh = refresh
        self._pacing = Pacing(clock, interval)
        self._known: dict[str, _Known] = {name: _Known() for name in watched}

    @property
    def names(self) -> frozenset[str]:
        """The repositories whose pull requests are planned."""
        return frozenset(self._watched)

    def run(self, name: str, lease: Lease) -> datetime | None:
        """Look at the open pull requests, and say what is new of them; gives the time to look again.

        None for a repository whose pull requests are not planned. A forge or remote that is down is recorded as
        trouble of `pulls/<name>`. Raises `LeaseLost`.
        """
        if name not in self._watched:
            return None
        try:
            self._look(name, lease)
        except (Unreadable, GitError) as trouble:
            self._known[name].well = False
            self._ledger.record_trouble(lease, feed(name), str(trouble))
            again_at = self._pacing.failed(name)
            retry_in = trouble.retry_in if isinstance(trouble, Unreadable) else None
            return again_at if retry_in is None else max(again_at, self._clock.now() + retry_in)
        if not self._known[name].well:
            self._ledger.record_snapshots(lease, feed(name), {}, self._clock.now())
            self._known[name].well = True
        return self._pacing.succeeded(name)

    def close(self) -> None:
        """End what reads the mirrors."""
        for watched in self._watched.values():
            watched.merging.mirror.close()

    def _look(self, name: str, lease: Lease) -> None:
        watched, known, base = self._watched[name], self._known[name], self._base(name)
        branch = watched.merging.mirror.branch
        shown = watched.reviews.pulls(branch)
        self._note(name, shown)
        pulls = _open(shown, branch)
        if base is None:
            return  # nothing of the branch was read yet
        chosen, rest = pulls[:MOST], pulls[MOST : MOST + TOLD]
        heads = frozenset((pull.number, pull.head) for pull in pulls)
        due = known.refreshed_at is None or self._clock.now() >= known.refreshed_at + self._refresh
        if heads != known.heads or due:
            self._close(name, pulls, lease)
            self._ledger.say(lease, [_status(name, pull, _left_out(), self._clock.now()) for pull in rest])
            known.heads = heads
        known.made = {pull.number: known.made[pull.number] for pull in chosen if pull.number in known.made}
        known.lost = {place: times for place, times in known.lost.items() if place in heads}
        if due:
            known.refreshed_at = self._clock.now()
        self._plan(name, base, chosen, lease, all_again=due)

    def _base(self, name: str) -> Sha | None:
        """The head of the branch that the fleets are converged to: of it a plan speaks."""
        return self._ledger.heads().get(name)

    # ── planning ──

    def _plan(self, name: str, base: Sha, pulls: Sequence[Pull], lease: Lease, *, all_again: bool) -> None:
        known = self._known[name]
        stale = [
            pull
            for pull in pulls
            if _is_stale(known.made.get(pull.number), pull, base)
            and (all_again or known.lost.get((pull.number, pull.head), 0) < TRIES)
        ]
        stale.sort(key=lambda pull: pull.number in known.made)  # new ones and new heads first, then the branch's move
        if not stale and not all_again:
            return
        self._onlooker.begin()
        ready = self._fetched(name, base, stale, [pull.number for pull in pulls], lease) if stale else []
        troubles = self._made(name, base, ready, lease) if ready else []
        for pull in pulls if all_again else ():
            if pull not in ready and not _is_stale(known.made.get(pull.number), pull, base):
                lease.check()
                self._say(name, pull, known.made[pull.number].plan, lease)
        if troubles:
            raise troubles[0]

    def _made(self, name: str, base: Sha, pulls: Sequence[Pull], lease: Lease) -> list[GitError]:
        """Plan them and say so; what git cannot merge keeps no other from being planned."""
        merging, known, began = self._watched[name].merging, self._known[name], self._clock.monotonic()
        before, waiting, troubles = merging.declares(base), list(pulls), list[GitError]()
        for pull in pulls:
            lease.check()
            if waiting and self._clock.monotonic() - began > PATIENCE:
                self._say_waiting(name, waiting, lease)
                waiting = []
            waiting = waiting[1:]
            try:
                plan = by_git(merging, base, before, pull)
            except GitError as error:
                troubles.append(error)
                self._lost(name, pull, "not planned: git cannot merge it here", lease)
            else:
                self._say(name, pull, plan, lease)
                known.made[pull.number] = _Made(head=pull.head, base=base, outside=pull.outside, plan=plan)
        return troubles

    def _fetched(self, name: str, base: Sha, stale: Sequence[Pull], numbers: Sequence[int], lease: Lease) -> list[Pull]:
        """Those of them whose heads are here now. One whose head moved meanwhile comes with the next look."""
        mirror = self._watched[name].merging.mirror
        if mirror.lacking([base]):
            mirror.fetch()
        lacking = mirror.lacking(pull.head for pull in stale)
        tried = self._bring(name, [pull for pull in stale if pull.head in lacking], numbers) if lacking else frozenset()
        lacking = mirror.lacking(lacking)
        if mirror.lacking([base]):
            return []  # the branch was rewritten; its new head will be read soon
        for pull in stale:
            if pull.head in lacking and pull.number in tried:
                self._lost(name, pull, f"not planned: the forge gives no commit {pull.head[:7]} of it to git", lease)
        return [pull for pull in stale if pull.head not in lacking]

    def _bring(self, name: str, pulls: Sequence[Pull], numbers: Collection[int]) -> frozenset[int]:
        """Fetch heads; gives the numbers of those that were tried.

        An outsider's comes alone: one that is too large to come in time, or never ends, keeps only others of theirs
        waiting, and those only until it was tried a few times. Raises `GitUnreachable`.
        """
        watched, lost = self._watched[name], self._known[name].lost
        mirror, ref = watched.merging.mirror, watched.reviews.pull_ref
        refs = {pull.number: ref.format(number=pull.number) for pull in pulls}
        tried = {pull.number for pull in pulls if not pull.outside}
        if tried:
            mirror.bring({number: refs[number] for number in tried}, numbers)
        theirs = sorted((lost.get((pull.number, pull.head), 0), -pull.number) for pull in pulls if pull.outside)
        for number in (-place for _, place in theirs):
            tried.add(number)
            try:
                mirror.bring({number: refs[number]}, numbers)
            except GitUnreachable:
                break
        return frozenset(tried)

    def _lost(self, name: str, pull: Pull, why: str, lease: Lease) -> None:
        """It is tried a few times, and then with every refresh."""
        lost = self._known[name].lost
        lost[pull.number, pull.head] = lost.get((pull.number, pull.head), 0) + 1
        if lost[pull.number, pull.head] >= TRIES:
            word = Word(state=State.ERROR, text=why)
            self._ledger.say(lease, [_status(name, pull, word, self._clock.now())])

    def _say(self, name: str, pull: Pull, plan: MergePlan, lease: Lease) -> None:
        """The status and the comment, in one transaction."""
        now = self._clock.now()
        plan = self._onlooker.seen(name, plan)
        word = word_of(plan)
        words = [_status(name, pull, word, now)]
        if plan.changes or plan.problems or plan.refused or self._has_comment(name, pull):
            compared = self._watched[name].compared
            body = comment(plan, partial(compared, pull) if compared else no_comparison)
            words.append(_comment(name, pull, word, body, now))
        self._ledger.say(lease, words)

    def _has_comment(self, name: str, pull: Pull) -> bool:
        """It says what is not so any more."""
        return f"pull/{pull.number}" in self._ledger.commented(name, COMMENT)

    def _say_waiting(self, name: str, pulls: Sequence[Pull], lease: Lease) -> None:
        """For heads of which nothing was ever said: a plan that stands is no worse while another is made."""
        heads = [pull.head for pull in pulls]
        said = {status.commit for status in self._ledger.statuses(name, commits=heads, context_prefix=PLAN)}
        word, now = Word(state=State.PENDING, text="what a merge would do is being worked out"), self._clock.now()
        self._ledger.say(lease, [_status(name, pull, word, now) for pull in pulls if pull.head not in said])

    # ── the others ──

    def _close(self, name: str, pulls: Iterable[Pull], lease: Lease) -> None:
        """No plan stays pending on what is no head of an open pull request any more."""
        heads, now = {pull.head for pull in pulls}, self._clock.now()
        pending = self._ledger.statuses(name, context_prefix=PLAN, open_only=True)
        text = "not planned: the pull request was closed, or has a newer head"
        self._ledger.say(
            lease,
            [
                CommitStatus(
                    repository=name,
                    commit=status.commit,
                    context=PLAN,
                    state=State.ERROR,
                    description=text,
                    target_url=status.target_url,
                    at=now,
                )
                for status in pending
                if status.context == PLAN and status.commit not in heads
            ],
        )

    def _note(self, name: str, shown: Iterable[Pull]) -> None:
        """Pass on, once, which commits of the branch came from which pull requests."""
        known, heads = self._known[name], self._watched[name].heads
        if heads is None:
            return
        merged = {
            pull.merged_as: pull
            for pull in shown
            if not pull.open and _SHA.fullmatch(pull.merged_as) and _SHA.fullmatch(pull.head)
        }
        fresh = {commit: pull for commit, pull in merged.items() if commit not in known.noted}
        if fresh:
            heads(name, fresh)
            known.noted = dict.fromkeys([*known.noted, *fresh][-NOTED:])


def feed(name: str) -> str:
    """The name under which the trouble of a repository's pull requests is recorded."""
    return f"pulls/{name}"


def _open(shown: Iterable[Pull], branch: str) -> list[Pull]:
    """Newest first. Where one head is proposed twice, once from outside, both are told what an outsider may know."""
    against = (pull for pull in shown if pull.open and pull.base == branch)
    pulls = [pull for pull in against if pull.number > 0 and _SHA.fullmatch(pull.head)]
    outside = {pull.head for pull in pulls if pull.outside}
    kept = (replace(pull, outside=True) if pull.head in outside else pull for pull in pulls)
    return sorted(kept, key=lambda pull: -pull.number)


def _is_stale(made: _Made | None, pull: Pull, base: Sha) -> bool:
    return made is None or (made.head, made.base, made.outside) != (pull.head, base, pull.outside)


def _left_out() -> Word:
    return Word(state=State.ERROR, text=f"not planned: only the newest {MOST} open pull requests are")


def _status(name: str, pull: Pull, word: Word, now: datetime) -> CommitStatus:
    return CommitStatus(
        repository=name,
        commit=pull.head,
        context=PLAN,
        state=word.state,
        description=clip(word.text),
        target_url=_address(pull.url),
        at=now,
    )


def _comment(name: str, pull: Pull, word: Word, body: str, now: datetime) -> CommitStatus:
    """The forge finds its own comment again by the context."""
    return CommitStatus(
        repository=name,
        commit=f"pull/{pull.number}",
        context=COMMENT,
        state=word.state,
        description=clip(word.text),
        at=now,
        medium=Medium.COMMENT,
        body=body,
    )


def _address(url: str) -> str:
    return url if url.startswith(("https://", "http://")) and url.isprintable() and " " not in url else ""
