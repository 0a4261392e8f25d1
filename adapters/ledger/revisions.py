"""A repository at a new head: which fleets' own rows changed, and only those written and made due (DESIGN 3.2).

A fleet's name belongs to the first repository that declared it, until that one stops declaring it. A second one is not
heard: its fleet changes nothing here, so that nobody can stall or take over a fleet from elsewhere. Its own head gets
`fairlead/validate` as an error that names the fleets and the owner, and each fleet's history one line. After the owner
has let go, the other's next head takes the name over.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import BindParameter, Connection, Update, bindparam, insert, or_, select, update

from adapters.ledger import history, statuses
from adapters.ledger.codec import FLEET, MEMORY, PROBLEMS, SETTING
from adapters.ledger.database import Database
from adapters.ledger.dialects import Upsert, micros
from adapters.ledger.lease import pass_fence
from adapters.ledger.queue import make_due
from adapters.ledger.records import chunks
from adapters.ledger.tables import fleets, repositories
from desired_state.model import Fleet, FleetName, Problem, Setting, Sha
from reconciler.memory import Memory
from reconciler.ports import Known, Lease, RevisionChange
from reconciler.reasons import Reason
from reconciler.record import CommitStatus, Event, State

VALIDATE = "fairlead/validate"
NO_PROBLEMS = PROBLEMS.encode(())
_LIGHT = (
    *(fleets.c.name, fleets.c.repository, fleets.c.present, fleets.c.desired_digest, fleets.c.target_digest),
    *(fleets.c.spec_digest, fleets.c.setting, fleets.c.problems, fleets.c.rival),
)
_SPEC = ("desired", "desired_digest", "target_digest", "spec_digest", "setting", "setting_commit")
_FACTS = ("repository", "present", "problems", "revision", "changed_at")


def _rewritten(columns: Iterable[str], counts: Any) -> Update:
    """These columns of the row `row_name` anew; its generation moves by `counts`."""
    values: dict[str, Any] = {name: bindparam(name) for name in columns}
    values |= {"version": fleets.c.version + 1, "generation": fleets.c.generation + counts}
    return update(fleets).where(fleets.c.name == bindparam("row_name")).values(values)


_NEW = insert(fleets)
_CHANGED = _rewritten((*_SPEC, *_FACTS), bindparam("counts"))
_NOTED = _rewritten(_FACTS, 0)
_OF_REPOSITORY = or_(fleets.c.repository == bindparam("repository"), fleets.c.rival == bindparam("repository"))
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_STORED_BY_NAME = select(*_LIGHT).where(fleets.c.name.in_(_NAMES)).with_for_update()
_STORED = select(*_LIGHT).where(_OF_REPOSITORY).with_for_update()
_HEAD = select(repositories.c.head).where(repositories.c.name == bindparam("name"))
_HEAD_READ = Upsert(repositories, "head", "read_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One fleet as a head declares it, in the row's own words. Broken: `fleet` is None, and the row keeps its spec."""

    name: FleetName
    fleet: Fleet | None
    digest: str | None
    setting: str | None
    problems: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What this process wrote last of a repository: the rows are that as long as the ledger is at this head.

    So the next head costs what differs from this one, and not the repository. `settings` are those of all that are
    declared: a broken fleet keeps its last.
    """

    head: Sha
    declared: frozenset[FleetName]
    fleets: Mapping[FleetName, Fleet]
    settings: Mapping[FleetName, Setting]
    problems: Mapping[FleetName, str]
    foreign: frozenset[FleetName]  # what belongs to another repository may be let go any time: it is always asked for

    def differing(self, change: RevisionChange, problems: Mapping[FleetName, str]) -> set[FleetName]:
        """The names whose rows may have to change, or that came or went."""
        fleets, settings = change.desired.fleets, change.settings
        moved = {name for name, fleet in fleets.items() if self.fleets.get(name) is not fleet}
        moved |= {name for name in fleets if _differ(settings.get(name), self.settings.get(name))}
        told = problems.keys() | self.problems.keys()
        moved |= {name for name in told if problems.get(name) != self.problems.get(name)}
        moved |= self.fleets.keys() - fleets.keys()
        return moved | (self.declared ^ change.desired.declared) | self.foreign


class Revisions:
    """Writing what a repository's head declares."""

    _database: Database
    _written: dict[str, Written]

    def known(self, repository: str) -> Known | None:
        """The last read head, and the setting of each fleet that is declared there; None before the first read."""
        settings = select(fleets.c.name, fleets.c.setting).where(
            fleets.c.repository == repository, fleets.c.present, fleets.c.setting.is_not(None)
        )
        with self._database.reading() as connection:
            head = _head(connection, repository)
            if head is None:
                return None
            written = self._written.get(repository)
            if written is not None and written.head == head:
                return Known(repository=repository, head=head, settings=written.settings)
            rows = connection.execute(settings).all()
        return Known(repository=repository, head=head, settings={name: SETTING.decode(text) for name, text in rows})

    def record_revision(self, lease: Lease, change: RevisionChange) -> tuple[FleetName, ...]:
        """Store what a head declares; gives the fleets whose own row changed, in order, and makes them due.

        Raises `LeaseLost`; then nothing was written. After `LedgerAway` read again: what was written is no change.
        """
        problems = _problems(change)
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            before = self._as_written(connection, change.repository)
            names = before.differing(change, problems) if before else change.desired.declared
            declared = {
                name: _declared(name, change, problems.get(name, NO_PROBLEMS))
                for name in names & change.desired.declared
            }
            stored = _stored(connection, None if before else change.repository, names)
            foreign = {name for name in declared if _is_foreign(stored.get(name), change.repository)}
            changed = _Writer(connection, change, stored).write(
                [each for name, each in declared.items() if name not in foreign]
            )
            _note_rivals(connection, change, stored, foreign)
            # Fleets before roll-ups before statuses: the order in which passes lock these names too.
            make_due(connection, [f"fleet:{name}" for name in changed])
            _write_head(connection, change)
            statuses.put(connection, _words(change, stored, foreign), self._database.clock.now())
        self._remember(change, before, problems, foreign)
        return changed

    def _as_written(self, connection: Connection, repository: str) -> Written | None:
        """What this process wrote last, if nobody wrote another head since."""
        written = self._written.get(repository)
        return written if written is not None and written.head == _head(connection, repository) else None

    def _remember(
        self,
        change: RevisionChange,
        before: Written | None,
        problems: Mapping[FleetName, str],
        foreign: set[FleetName],
    ) -> None:
        """After a first write the settings of broken fleets are only in their rows: then `known` has to read them."""
        broken = change.desired.declared - change.desired.fleets.keys()
        if before is None and broken:
            self._written.pop(change.repository, None)
            return
        kept = {name: before.settings[name] for name in broken if name in before.settings} if before else {}
        ours = {name: each for name, each in change.settings.items() if name not in foreign}
        self._written[change.repository] = Written(
            head=change.head.sha,
            declared=change.desired.declared,
            fleets=change.desired.fleets,
            settings=MappingProxyType(ours | kept),
            problems=problems,
            foreign=frozenset(foreign),
        )


def _differ(one: Setting | None, other: Setting | None) -> bool:
    """Most are one object, which is quicker seen than that two say the same."""
    return one is not other and one != other


def _declared(name: FleetName, change: RevisionChange, problems: str) -> Declared:
    fleet = change.desired.fleets.get(name)
    setting = change.settings.get(name) if fleet else None
    return Declared(
        name=name,
        fleet=fleet,
        digest=hashlib.sha256(FLEET.encode(fleet).encode()).hexdigest() if fleet else None,
        setting=SETTING.encode(setting) if setting else None,
        problems=problems,
    )


def _problems(change: RevisionChange) -> Mapping[FleetName, str]:
    """What is wrong with the files of each fleet; sound ones are left out."""
    found: dict[FleetName, list[Problem]] = defaultdict(list)
    for problem in change.desired.errors:
        for name in problem.fleets:
            found[name].append(problem)
    return {name: PROBLEMS.encode(tuple(problems)) for name, problems in found.items()}


def _stored(connection: Connection, repository: str | None, names: Iterable[FleetName]) -> dict[FleetName, Any]:
    """The rows of these names, and with a repository all that are its own or that it wanted."""
    rows = {}
    if repository is not None:
        rows = {row.name: row for row in connection.execute(_STORED, {"repository": repository})}
    for chunk in chunks(sorted(name for name in names if name not in rows)):
        rows |= {row.name: row for row in connection.execute(_STORED_BY_NAME, {"names": chunk})}
    return rows


def _head(connection: Connection, repository: str) -> Sha | None:
    found: Sha | None = connection.scalar(_HEAD, {"name": repository})
    return found


def _is_foreign(row: Any, repository: str) -> bool:
    return row is not None and row.present and row.repository != repository


class _Writer:
    """Writes the rows that are not what they were."""

    def __init__(self, connection: Connection, change: RevisionChange, stored: Mapping[FleetName, Any]) -> None:
        self._connection, self._change, self._stored = connection, change, stored
        self._at = micros(change.at)

    def write(self, declared: Sequence[Declared]) -> tuple[FleetName, ...]:
        """Rows of declared fleets, and of those of this repository that are declared no more."""
        new = [each for each in declared if each.name not in self._stored]
        changed = [each for each in declared if each.name in self._stored and self._differs(each)]
        gone = self._gone()
        self._insert(new)
        self._update(_CHANGED, [self._changes(each) for each in changed if each.fleet])
        self._update(_NOTED, [self._facts(each) for each in changed if not each.fleet])
        self._update(_NOTED, gone)
        named = {*(each.name for each in (*new, *changed)), *(row["name"] for row in gone)}
        self._hold_rewritten(named)
        return tuple(sorted(named))

    def _differs(self, each: Declared) -> bool:
        row = self._stored[each.name]
        if (row.repository, row.present, row.problems) != (self._change.repository, True, each.problems):
            return True
        return each.fleet is not None and (row.desired_digest, row.setting) != (each.digest, each.setting)

    def _gone(self) -> list[dict[str, Any]]:
        mine = (row for row in self._stored.values() if row.repository == self._change.repository and row.present)
        missing = (row.name for row in mine if row.name not in self._change.desired.declared)
        return [
            {
                "name": name,
                "present": False,
                "problems": NO_PROBLEMS,
                "repository": self._change.repository,
                **self._when(),
            }
            for name in missing
        ]

    def _when(self) -> dict[str, Any]:
        return {"revision": self._change.head.sha, "changed_at": self._at}

    def _facts(self, each: Declared) -> dict[str, Any]:
        where = {"name": each.name, "repository": self._change.repository, "present": True}
        return {**where, "problems": each.problems, **self._when()}

    def _spec(self, each: Declared) -> dict[str, Any]:
        setting = self._change.settings.get(each.name) if each.fleet else None
        return {
            "desired": FLEET.encode(each.fleet) if each.fleet else None,
            "desired_digest": each.digest,
            "target_digest": each.fleet.target_digest if each.fleet else None,
            "spec_digest": each.fleet.spec_digest if each.fleet else None,
            "setting": each.setting,
            "setting_commit": setting.commit if setting else None,
        }

    def _changes(self, each: Declared) -> dict[str, Any]:
        row, spec = self._stored[each.name], self._spec(each)
        counts = (row.target_digest, row.spec_digest) != (spec["target_digest"], spec["spec_digest"])
        return {**self._facts(each), **spec, "counts": int(counts)}

    def _update(self, changed: Update, rows: Sequence[Mapping[str, Any]]) -> None:
        named = [{"row_name" if key == "name" else key: value for key, value in row.items()} for row in rows]
        if named:
            self._connection.execute(changed, named)

    def _insert(self, new: Sequence[Declared]) -> None:
        if new:
            self._connection.execute(_NEW, [self._new(each) for each in new])

    def _new(self, each: Declared) -> dict[str, Any]:
        environment, _, short_name = each.name.partition("/")
        status = {"state": "Unknown", "ready": False, "reason": Reason.UNKNOWN.value}
        return {
            "environment": environment,
            "short_name": short_name,
            "generation": int(each.fleet is not None),
            "version": 1,
            "created_at": self._at,
            "message": "",
            "target_version": "",
            **status,
            **self._facts(each),
            **self._spec(each),
        }

    def _hold_rewritten(self, changed: Iterable[FleetName]) -> None:
        """Fleets that a force-push changes remember the setting commit that it brought; a guard holds them for it."""
        held = {name: self._change.settings[name].commit for name in self._rewritten(changed)}
        for chunk in chunks(sorted(held)):
            rows = self._connection.execute(select(fleets.c.name, fleets.c.memory).where(fleets.c.name.in_(chunk)))
            for name, text in rows.all():
                memory = replace(MEMORY.decode(text) if text else Memory(), rewritten=held[name])
                values = {"memory": MEMORY.encode(memory), "version": fleets.c.version + 1}
                self._connection.execute(update(fleets).where(fleets.c.name == name).values(**values))

    def _rewritten(self, changed: Iterable[FleetName]) -> Iterable[FleetName]:
        return self._change.rewritten & self._change.settings.keys() & set(changed)


def _note_rivals(
    connection: Connection, change: RevisionChange, stored: Mapping[FleetName, Any], foreign: set[FleetName]
) -> None:
    """Write down who else declares a fleet: a line in its history when that begins."""
    for name in sorted(name for name, row in stored.items() if row.rival or name in foreign):
        row, rival = stored[name], change.repository if name in foreign else None
        if row.rival == rival or (rival is None and row.rival != change.repository):
            continue
        connection.execute(update(fleets).where(fleets.c.name == name).values(rival=rival))
        if rival:
            said = f"{rival} declares {name} too at {change.head.short}; it belongs to {row.repository}: not heard"
            history.append(connection, name, [Event(kind="name-taken", message=said, at=change.at)])


def _words(change: RevisionChange, stored: Mapping[FleetName, Any], foreign: set[FleetName]) -> Iterable[CommitStatus]:
    """The read's own words; the head's verdict gives way where it declares somebody else's fleets."""
    head = (change.head.sha, VALIDATE)
    yield from (word for word in change.statuses if not foreign or (word.commit, word.context) != head)
    if foreign:
        yield CommitStatus(
            repository=change.repository,
            commit=change.head.sha,
            context=VALIDATE,
            state=State.ERROR,
            description=_taken(sorted(foreign), stored),
            at=change.at,
        )


def _taken(names: Sequence[FleetName], stored: Mapping[FleetName, Any]) -> str:
    more = f" (+{len(names) - 1} more)" if len(names) > 1 else ""
    said = f"{names[0]} belongs to repository {stored[names[0]].repository}: rename it, or remove it there"
    return said[: 140 - len(more)] + more


def _write_head(connection: Connection, change: RevisionChange) -> None:
    """The head; a head that moved makes the roll-ups due, which speak on every head."""
    if _head(connection, change.repository) != change.head.sha:
        make_due(connection, [f"rollup:{change.repository}"], after=statuses.ROLL_UP_AFTER)
    read = {"head": change.head.sha, "read_at": micros(change.at)}
    _HEAD_READ.run(connection, {"name": change.repository, **read})
