"""One word for an environment: `fairlead/<env>` on every setting commit and on head. Pure but for `RollUps`."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from desired_state.model import Sha
from reconciler.memory import ConditionType
from reconciler.ports import Clock, Lease, Ledger
from reconciler.record import CommitStatus, Record, State
from reconciler.speech import Word, clip

_DONE = re.compile(r"[0-9]{1,6}/([0-9]{1,6}) fleets done")
OTHERS = frozenset({"validate", "plan"})  # contexts `fairlead/<word>` that are no environment's


class RollUps:
    """The family of names that keeps roll-ups: `rollup:<repository>`."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock

    def run(self, repository: str, lease: Lease) -> datetime | None:
        """Say again what changed of a repository's roll-ups."""
        known = self._ledger.known(repository)
        if known is None:
            return None
        records = self._ledger.fleets(repository)
        commits = {record.setting.commit for record in records if record.setting} | {known.head}
        said = {
            (status.commit, status.context): status
            for status in (
                *self._ledger.statuses(repository, context_prefix="fairlead/", open_only=True),
                *self._ledger.statuses(repository, commits=commits, context_prefix="fairlead/"),
            )
        }
        also = {status.commit for status in said.values()} - commits
        closed = self._ledger.statuses(repository, commits=also, context_prefix="fairlead/") if also else ()
        statuses = (*said.values(), *closed)
        self._ledger.say(lease, roll_up(repository, known.head, records, statuses, self._clock.now()))
        return None


def roll_up(
    repository: str, head: Sha, records: Sequence[Record], statuses: Iterable[CommitStatus], now: datetime
) -> tuple[CommitStatus, ...]:
    """The roll-up of each environment on every commit that has fleets' words, an open roll-up, or is head."""
    own: dict[tuple[str, Sha], dict[str, State]] = defaultdict(dict)
    left_open: set[tuple[str, Sha]] = set()
    for status in statuses:
        parts = status.context.split("/")
        if len(parts) == 3:
            own[parts[1], status.commit][parts[2]] = status.state
        elif len(parts) == 2 and parts[1] not in OTHERS and status.state is State.PENDING:
            left_open.add((parts[1], status.commit))
    for record in filter(_is_unseen, records):
        environment, _, name = record.name.partition("/")
        own[environment, _setting_commit(record)].setdefault(name, State.PENDING)
    by_environment = _by_environment(records)
    places = {*own, *left_open, *((environment, head) for environment in by_environment)}
    return tuple(
        CommitStatus(
            repository=repository,
            commit=commit,
            context=f"fairlead/{environment}",
            state=(word := _word(environment, commit, head, own, by_environment)).state,
            description=clip(word.text),
            at=now,
        )
        for environment, commit in sorted(places)
    )


def _is_unseen(record: Record) -> bool:
    """No pass has spoken about the fleet since its setting commit came: it will, so nothing is a success yet."""
    sound = record.present and record.desired is not None and record.setting is not None
    return sound and record.memory.status.setting_commit != _setting_commit(record)


def _setting_commit(record: Record) -> Sha:
    return record.setting.commit if record.setting else ""


def _by_environment(records: Sequence[Record]) -> Mapping[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.present:
            found[record.name.partition("/")[0]].append(record)
    return found


def _word(
    environment: str,
    commit: Sha,
    head: Sha,
    own: Mapping[tuple[str, Sha], Mapping[str, State]],
    by_environment: Mapping[str, list[Record]],
) -> Word:
    if states := own.get((environment, commit)):
        return own_commit_word(states)
    if commit == head:
        return head_word(commit, by_environment.get(environment, []))
    return Word(state=State.SUCCESS, text=f"sets no version in {environment}; {head[:7]} came after it")


def own_commit_word(states: Mapping[str, State]) -> Word:
    """The word on a commit that set versions: pending while any of them is, then the worst."""
    count = Counter(states.values())
    failed = sorted(name for name, state in states.items() if state in {State.FAILURE, State.ERROR})
    text = f"{count[State.SUCCESS]}/{len(states)} fleets done"
    if count[State.PENDING]:
        text += f", {count[State.PENDING]} under way"
    if failed:
        text += f", {len(failed)} failed: {', '.join(failed)}"
    return Word(state=_worst(count), text=text)


def fleets_in(description: str) -> int:
    """Of how many fleets that its commit set a roll-up tells; 0 where it tells how an environment stands."""
    found = _DONE.match(description)
    return int(found.group(1)) if found else 0


def _worst(count: Counter[State]) -> State:
    order = (State.PENDING, State.FAILURE, State.ERROR)
    return next((state for state in order if count[state]), State.SUCCESS)


def head_word(head: Sha, records: Sequence[Record]) -> Word:
    """The word on a head that set no version: how the whole environment stands."""
    ready = sum(record.memory.status.ready for record in records)
    moving = [record for record in records if _has(record, ConditionType.RECONCILING)]
    stuck = sorted(record.name.partition("/")[2] for record in records if _is_stuck(record))
    changed = sum(record.revision == head and not record.problems for record in records)
    run = "1 fleet is run" if changed == 1 else f"{changed} fleets are run"
    what = f"changes how {run}, no version" if changed else "sets no version"
    text = f"{what}; {ready}/{len(records)} fleets at theirs"
    if moving:
        return Word(state=State.PENDING, text=f"{text}, {len(moving)} under way")
    if stuck:
        return Word(state=State.ERROR, text=f"{text}, stalled: {', '.join(stuck)}")
    return Word(state=State.SUCCESS, text=text)


def _has(record: Record, kind: ConditionType) -> bool:
    return record.memory.status.condition(kind) is not None


def _is_stuck(record: Record) -> bool:
    return record.desired is None or bool(record.problems) or _has(record, ConditionType.STALLED)
