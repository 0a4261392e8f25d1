"""The feed of pull requests: what a merge would do, as the status `fairlead/plan` on its head and in one comment.

A pass that finds nothing new costs the forge's answer and one look at the ledger: a plan is made again only where the
head or the branch moved, and slowly for what is said of the world in it. Of a forge that is away only plans suffer.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from adapters.feeds.pacing import Pacing
from adapters.feeds.pull_choice import SHA, Choice, choose, left_out
from adapters.feeds.pull_plans import Merging, Onlooker, by_git
from adapters.feeds.pull_said import COMMENT, comment_of, status_of
from desired_state.changes import Change
from desired_state.git_command import Bounds
from desired_state.git_errors import GitError, GitUnreachable
from desired_state.model import Sha
from desired_state.pull_mirror import THEIRS
from reconciler.merge_plan import MergePlan
from reconciler.plan_comment import comment, no_comparison
from reconciler.plan_words import word_of
from reconciler.ports import Clock, Lease, Ledger, Unreadable
from reconciler.record import CommitStatus, State
from reconciler.reviews import PLAN, Pull, Reviews
from reconciler.speech import Word

TRIES = 3  # passes in which a head that cannot be fetched is looked for
AGAIN = 10  # that an outsider's is, with the slow ones
AT_ONCE = 3  # outsiders' pull requests that are planned in one pass
BUDGET = 20.0  # seconds of a pass after which no further one of theirs is begun
KEPT = 100  # fleets that a plan changes and is kept; a larger one is made again when the world is looked at
HIDDEN = "it would stall: the comment on the pull request of this repository with the same head says why"
PATIENCE = 5.0  # seconds of planning after which those that wait are told so
NOTED = 1_000  # merged pull requests that are remembered as passed on


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The pull requests of one repository against the branch that is read."""

    reviews: Reviews
    merging: Merging
    compared: Callable[[Pull, Change], str] | None = None  # where the application's own changes are shown
    heads: Callable[[str, Mapping[Sha, Pull]], None] | None = None  # told which commit came from which, once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A plan by Git alone, and what it was made of. An outsider's is not kept, and no very large one."""

    head: Sha
    base: Sha
    outside: bool
    shared: bool
    at: datetime
    plan: MergePlan | None


@dataclass(slots=True, kw_only=True)
class _Known:
    """What this process knows of a repository's pull requests. It can be lost: the same is said once more, in vain."""

    made: dict[int, _Made] = field(default_factory=dict)
    lost: dict[tuple[int, Sha], int] = field(default_factory=dict)  # heads that could not be fetched: how often
    refusals: dict[Sha, str] = field(default_factory=dict)  # heads that are not merged, and why
    noted: dict[Sha, None] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)  # of the last pass
    looked_at: datetime | None = None
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
        least: timedelta = timedelta(0),
    ) -> None:
        """`least`: the least span between two looks, however often a webhook asks for one."""
        self._ledger, self._watched, self._onlooker, self._clock = ledger, watched, onlooker, clock
        self._refresh, self._least = refresh, least
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
        known, now = self._known[name], self._clock.now()
        if known.looked_at is not None and known.looked_at <= now < known.looked_at + self._least:
            return known.looked_at + self._least
        known.looked_at = now
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
        choice = choose(shown, branch)
        if base is None:
            return  # nothing of the branch was read yet
        due = known.refreshed_at is None or self._clock.now() >= known.refreshed_at + self._refresh
        moved, known.choice = choice.heads != known.choice.heads, choice
        if moved or due:
            self._close(name, choice.open, lease)
            self._say_left_out(name, choice.rest, lease)
        heads = {head for _, head in choice.heads}
        known.made = {pull.number: known.made[pull.number] for pull in choice.planned if pull.number in known.made}
        known.lost = {place: times for place, times in known.lost.items() if place in choice.heads}
        known.refusals = {head: why for head, why in known.refusals.items() if head in heads}
        if due:
            known.refreshed_at = self._clock.now()
        self._plan(name, base, choice.planned, lease, all_again=due)

    def _base(self, name: str) -> Sha | None:
        """The head of the branch that the fleets are converged to: of it a plan speaks."""
        return self._ledger.heads().get(name)

    # ── planning ──

    def _plan(self, name: str, base: Sha, pulls: Sequence[Pull], lease: Lease, *, all_again: bool) -> None:
        known = self._known[name]
        stale = [pull for pull in pulls if self._is_due(name, pull, base, all_again=all_again)]
        if not stale and not all_again:
            return
        self._onlooker.begin()
        stale = self._in_turn(name, stale)
        ready, troubles = self._fetched(name, base, stale, pulls, lease) if stale else ([], [])
        troubles += self._made(name, base, ready, lease) if ready else []
        for pull in pulls if all_again else ():
            made = known.made.get(pull.number)
            if (
                pull not in ready
                and made is not None
                and made.plan is not None
                and not self._is_stale(name, pull, base)
            ):
                lease.check()
                self._say(name, pull, made.plan, lease)
        if troubles:
            raise troubles[0]

    def _is_due(self, name: str, pull: Pull, base: Sha, *, all_again: bool) -> bool:
        known = self._known[name]
        made, lost = known.made.get(pull.number), known.lost.get((pull.number, pull.head), 0)
        if lost >= (AGAIN if pull.outside else TRIES) or (lost >= TRIES and not all_again):
            return all_again and not pull.outside
        again = all_again and made is not None and made.plan is None and not pull.outside
        return again or self._is_stale(name, pull, base)

    def _is_stale(self, name: str, pull: Pull, base: Sha) -> bool:
        """A branch that moves makes an outsider's plan stale only slowly."""
        made, shared = self._known[name].made.get(pull.number), pull.head in self._known[name].choice.shared
        if made is None or (made.head, made.outside, made.shared) != (pull.head, pull.outside, shared):
            return True
        return made.base != base and (not pull.outside or self._clock.now() >= made.at + self._refresh)

    def _in_turn(self, name: str, stale: Sequence[Pull]) -> list[Pull]:
        """Insiders first, and of outsiders a few; what is new before what only the branch's move asks for."""
        known = self._known[name]

        def turn(pull: Pull) -> tuple[int, float]:
            made = known.made.get(pull.number)
            return known.lost.get((pull.number, pull.head), 0), made.at.timestamp() if made else 0.0

        ours = sorted((pull for pull in stale if not pull.outside), key=lambda pull: pull.number in known.made)
        return [*ours, *sorted((pull for pull in stale if pull.outside), key=turn)[:AT_ONCE]]

    def _made(self, name: str, base: Sha, pulls: Sequence[Pull], lease: Lease) -> list[GitError]:
        """Plan them and say so; what git cannot merge keeps no other from being planned."""
        merging, began, troubles = self._watched[name].merging, self._clock.monotonic(), list[GitError]()
        before, waiting = merging.declares(base), list(pulls)
        for pull in pulls:
            lease.check()
            spent = self._clock.monotonic() - began
            if pull.outside and spent > BUDGET:
                break
            if waiting and spent > PATIENCE:
                self._say_waiting(name, waiting, lease)
                waiting = []
            waiting = waiting[1:]
            try:
                plan = by_git(merging, base, before, pull, self._known[name].refusals)
            except GitError as error:
                troubles.append(error)
                self._lost(name, pull, "not planned: git cannot merge it here", lease)
            else:
                self._say(name, pull, plan, lease)
                self._keep(name, base, pull, plan)
        return troubles

    def _keep(self, name: str, base: Sha, pull: Pull, plan: MergePlan) -> None:
        known = self._known[name]
        kept = plan if not pull.outside and len(plan.changes) <= KEPT else None
        known.made[pull.number] = _Made(
            head=pull.head,
            base=base,
            outside=pull.outside,
            shared=pull.head in known.choice.shared,
            at=self._clock.now(),
            plan=kept,
        )

    def _fetched(
        self, name: str, base: Sha, stale: Sequence[Pull], pulls: Sequence[Pull], lease: Lease
    ) -> tuple[list[Pull], list[GitError]]:
        """Those of them whose heads are here now. One whose head moved meanwhile comes with the next look."""
        mirror, troubles = self._watched[name].merging.mirror, list[GitError]()
        if mirror.lacking([base]):
            mirror.fetch()
        lacking, tried = mirror.lacking(pull.head for pull in stale), frozenset[int]()
        if lacking:
            kept = {pull.number for pull in pulls if not pull.outside} | {pull.number for pull in stale}
            tried, troubles = self._bring(name, [pull for pull in stale if pull.head in lacking], kept)
        lacking = mirror.lacking(lacking)
        if mirror.lacking([base]):
            return [], troubles  # the branch was rewritten; its new head will be read soon
        for pull in stale:
            if pull.head in lacking and pull.number in tried:
                self._lost(name, pull, f"not planned: the forge gives no commit {pull.head[:7]} of it to git", lease)
        return [pull for pull in stale if pull.head not in lacking], troubles

    def _bring(self, name: str, pulls: Sequence[Pull], kept: Collection[int]) -> tuple[frozenset[int], list[GitError]]:
        """Fetch heads; gives the numbers of those that were tried, and why insiders' did not come.

        An outsider's comes alone and in bounds: one that is too large, or never ends, keeps only others of theirs
        waiting, and those only until it was tried a few times.
        """
        ours = [pull for pull in pulls if not pull.outside]
        theirs = [pull for pull in pulls if pull.outside]
        troubles: list[GitError] = []
        tried = frozenset(pull.number for pull in ours)
        try:
            if ours:
                self._watched[name].merging.mirror.bring(self._refs(name, ours), kept)
        except GitUnreachable as away:
            troubles.append(away)
            tried = self._each(name, ours, kept, None)
        return tried | self._each(name, theirs, kept, THEIRS), troubles

    def _each(self, name: str, pulls: Sequence[Pull], kept: Collection[int], bounds: Bounds | None) -> frozenset[int]:
        """Alone, and what was not had most often last; ends with the first that does not come in time."""
        lost, tried = self._known[name].lost, set[int]()
        for pull in sorted(pulls, key=lambda pull: (lost.get((pull.number, pull.head), 0), -pull.number)):
            tried.add(pull.number)
            try:
                self._watched[name].merging.mirror.bring(self._refs(name, [pull]), kept, bounds)
            except GitUnreachable:
                break
        return frozenset(tried)

    def _refs(self, name: str, pulls: Sequence[Pull]) -> dict[int, str]:
        ref = self._watched[name].reviews.pull_ref
        return {pull.number: ref.format(number=pull.number) for pull in pulls}

    def _lost(self, name: str, pull: Pull, why: str, lease: Lease) -> None:
        """It is tried a few times, and then with every refresh."""
        lost = self._known[name].lost
        lost[pull.number, pull.head] = lost.get((pull.number, pull.head), 0) + 1
        if lost[pull.number, pull.head] >= TRIES:
            self._ledger.say(lease, self._verdict(name, pull, Word(state=State.ERROR, text=why)))

    def _say(self, name: str, pull: Pull, plan: MergePlan, lease: Lease) -> None:
        """The status and the comment, in one transaction."""
        now = self._clock.now()
        by_files, plan = replace(plan, outside=True), self._onlooker.seen(name, plan)
        word = word_of(plan)
        words = self._verdict(name, pull, word, word_of(by_files))
        if plan.changes or plan.problems or plan.refused or self._has_comment(name, pull):
            compared = self._watched[name].compared
            body = comment(plan, partial(compared, pull) if compared else no_comparison)
            words.append(comment_of(name, pull, word, body, now))
        self._ledger.say(lease, words)

    def _verdict(self, name: str, pull: Pull, word: Word, by_files: Word | None = None) -> list[CommitStatus]:
        """Of a head that an outsider proposes too it is the insider's, without words that only insiders may read."""
        choice, now = self._known[name].choice, self._clock.now()
        if not choice.speaks(pull):
            return []
        if pull.head in choice.shared and by_files is not None:
            hidden = Word(state=word.state, text=HIDDEN)
            word = by_files if by_files.state is word.state else hidden
        return [status_of(name, pull, word, now)]

    def _has_comment(self, name: str, pull: Pull) -> bool:
        """It says what is not so any more."""
        return f"pull/{pull.number}" in self._ledger.commented(name, COMMENT)

    def _say_waiting(self, name: str, pulls: Sequence[Pull], lease: Lease) -> None:
        """For heads of which nothing was ever said: a plan that stands is no worse while another is made."""
        said = self._said(name, pulls)
        word = Word(state=State.PENDING, text="what a merge would do is being worked out")
        waiting = (self._verdict(name, pull, word) for pull in pulls if pull.head not in said)
        self._ledger.say(lease, [status for one in waiting for status in one])

    def _said(self, name: str, pulls: Sequence[Pull]) -> dict[Sha, State]:
        heads = [pull.head for pull in pulls]
        found = self._ledger.statuses(name, commits=heads, context_prefix=PLAN) if heads else ()
        return {status.commit: status.state for status in found if status.context == PLAN}

    def _say_left_out(self, name: str, pulls: Sequence[Pull], lease: Lease) -> None:
        """A plan that stands is not taken back because others came."""
        said, now = self._said(name, pulls), self._clock.now()
        speaking = filter(self._known[name].choice.speaks, pulls)
        unsaid = [pull for pull in speaking if said.get(pull.head, State.PENDING) is State.PENDING]
        words = {pull.head: (pull, Word(state=State.ERROR, text=left_out(pull))) for pull in reversed(unsaid)}
        self._ledger.say(lease, [status_of(name, pull, word, now) for pull, word in words.values()])

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
            if not pull.open and SHA.fullmatch(pull.merged_as) and SHA.fullmatch(pull.head)
        }
        fresh = {commit: pull for commit, pull in merged.items() if commit not in known.noted}
        if fresh:
            heads(name, fresh)
            known.noted = dict.fromkeys([*known.noted, *fresh][-NOTED:])


def feed(name: str) -> str:
    """The name under which the trouble of a repository's pull requests is recorded."""
    return f"pulls/{name}"
