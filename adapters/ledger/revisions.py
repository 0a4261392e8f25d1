"""A repository at a new head: which fleets' own rows changed, and only those written and made due (DESIGN 3.2).

A fleet's name belongs to the first repository that declared it, until that one stops declaring it. A second one is not
heard: its fleet changes nothing here, so that nobody can stall or take over a fleet from elsewhere. Its own head gets
`fairlead/validate` as an error that names the fleets and the owner, and each fleet's history one line. After the owner
has let go, the other's next head takes the name over.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import BindParameter, Connection, Update, bindparam, insert, or_, select, update

from adapters.ledger import heads, history, statuses
from adapters.ledger.codec import FLEET, MEMORY, PROBLEMS, SETTING
from adapters.ledger.database import Database
from adapters.ledger.dialects import Upsert, micros
from adapters.ledger.lease import pass_fence
from adapters.ledger.queue import make_due
from adapters.ledger.records import chunks
from adapters.ledger.remembered import NO_PROBLEMS, Declared, Encodings, Stamp, Written
from adapters.ledger.tables import fleets, repositories
from desired_state.model import FleetName, Problem, Setting
from reconciler.memory import Memory
from reconciler.ports import Known, Lease, RevisionChange
from reconciler.reasons import Reason
from reconciler.record import CommitStatus, Event, State

VALIDATE = "fairlead/validate"
_LIGHT = (
    *(fleets.c.name, fleets.c.repository, fleets.c.present, fleets.c.desired_digest, fleets.c.target_digest),
    *(fleets.c.spec_digest, fleets.c.setting, fleets.c.problems, fleets.c.rival),
)
_REPOSITORY: BindParameter[str] = bindparam("repository")
_HEAD = select(repositories.c.head, repositories.c.read_at).where(repositories.c.name == _REPOSITORY)
_SETTINGS = select(fleets.c.name, fleets.c.setting).where(
    fleets.c.repository == _REPOSITORY, fleets.c.present, fleets.c.setting.is_not(None)
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
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_BY_NAME = select(*_LIGHT).where(fleets.c.name.in_(_NAMES)).order_by(fleets.c.name)
_LOCKED = _BY_NAME.with_for_update()
_OWN = select(*_LIGHT).where(or_(fleets.c.repository == _REPOSITORY, fleets.c.rival == _REPOSITORY))
_HEAD_READ = Upsert(repositories, "head", "read_at")


class Revisions:
    """Writing what a repository's head declares."""

    _database: Database
    _written: dict[str, Written]
    _encodings: Encodings

    def known(self, repository: str) -> Known | None:
        """The last read head, and the setting of each fleet that is declared there; None before the first read."""
        with self._database.reading() as connection:
            stamp = _stamp(connection, repository)
            if stamp is None:
                return None
            written = self._written.get(repository)
            if written is not None and written.stamp == stamp:
                return Known(repository=repository, head=stamp.head, settings=written.settings)
            rows = connection.execute(_SETTINGS, {"repository": repository}).all()
        return Known(
            repository=repository, head=stamp.head, settings={name: SETTING.decode(text) for name, text in rows}
        )

    def record_revision(self, lease: Lease, change: RevisionChange) -> tuple[FleetName, ...]:
        """Store what a head declares; gives the fleets whose own row changed, in order, and makes them due.

        Raises `LeaseLost`; then nothing was written. After `LedgerAway` read again: what was written is no change.
        """
        news = self._compare(change)
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            stored = _stored(connection, news.names)
            declared = [news.declared[name] for name in sorted(news.declared)]
            foreign = {each.name for each in declared if _is_foreign(stored.get(each.name), change.repository)}
            changed = _Writer(connection, change, stored).write([one for one in declared if one.name not in foreign])
            _note_rivals(connection, change, stored, foreign)
            # Fleets before roll-ups before statuses: the order in which passes lock these names too.
            make_due(connection, [f"fleet:{name}" for name in changed])
            _write_head(connection, change)
            now = self._database.clock.now()
            merged = heads.record(connection, change.repository, change.heads, now)
            statuses.put(connection, _words(change, stored, foreign), now)
            statuses.repeat(connection, change.repository, merged, now)
        self._remember(change, news, foreign)
        return changed

    def _compare(self, change: RevisionChange) -> "_News":
        """What may have to be written, found without a lock: nobody else writes this repository's own rows.

        Everything is put into the rows' words here, so that the transaction never stands idle.
        """
        problems, written = _problems(change), self._written.get(change.repository)
        with self._database.reading() as connection:
            exact = written is not None and written.stamp == _stamp(connection, change.repository)
            rows = {} if exact else _all_rows(connection, change)
        if written is not None and exact:
            names = written.differing(change, problems)
            chosen = {
                name: self._encodings.declared(name, change, problems) for name in names & change.desired.declared
            }
            return _News(problems=problems, names=names, declared=chosen, settings=written.settings)
        declared = {name: self._encodings.declared(name, change, problems) for name in change.desired.declared}
        names = {name for name, each in declared.items() if not each.is_row(rows.get(name), change.repository)}
        names |= {name for name, row in rows.items() if name not in declared or row.rival}
        broken = change.desired.declared - change.desired.fleets.keys()
        kept = {name: SETTING.decode(rows[name].setting) for name in broken if name in rows and rows[name].setting}
        chosen = {name: each for name, each in declared.items() if name in names}
        return _News(problems=problems, names=names, declared=chosen, settings=kept)

    def _remember(self, change: RevisionChange, news: "_News", foreign: set[FleetName]) -> None:
        broken = change.desired.declared - change.desired.fleets.keys() - foreign
        kept = {name: news.settings[name] for name in broken if name in news.settings}
        ours = {name: each for name, each in change.settings.items() if name not in foreign}
        self._written[change.repository] = Written(
            stamp=Stamp(change.head.sha, micros(change.at)),
            declared=change.desired.declared,
            fleets=change.desired.fleets,
            settings=MappingProxyType(ours | kept),
            problems=news.problems,
            foreign=frozenset(foreign),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What a head may change: names whose rows are looked at again under a lock, and what is declared of them."""

    problems: Mapping[FleetName, str]
    names: Collection[FleetName]
    declared: Mapping[FleetName, Declared]
    settings: Mapping[FleetName, Setting]  # that were known before: a broken fleet keeps its last


def _problems(change: RevisionChange) -> Mapping[FleetName, str]:
    """What is wrong with the files of each fleet; sound ones are left out."""
    found: dict[FleetName, list[Problem]] = defaultdict(list)
    for problem in change.desired.errors:
        for name in problem.fleets:
            found[name].append(problem)
    return {name: PROBLEMS.encode(tuple(problems)) for name, problems in found.items()}


def _all_rows(connection: Connection, change: RevisionChange) -> dict[FleetName, Any]:
    """The rows that are this repository's own or that it wanted, and those of other names that it declares."""
    rows = {row.name: row for row in connection.execute(_OWN, {"repository": change.repository})}
    for chunk in chunks(sorted(change.desired.declared - rows.keys())):
        rows |= {row.name: row for row in connection.execute(_BY_NAME, {"names": chunk})}
    return rows


def _stored(connection: Connection, names: Collection[FleetName]) -> dict[FleetName, Any]:
    """The rows of these names, locked in one order."""
    rows: dict[FleetName, Any] = {}
    for chunk in chunks(sorted(names)):
        rows |= {row.name: row for row in connection.execute(_LOCKED, {"names": chunk})}
    return rows


def _stamp(connection: Connection, repository: str) -> Stamp | None:
    found = connection.execute(_HEAD, {"repository": repository}).first()
    return None if found is None else Stamp(found.head, found.read_at)


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
        ours = self._change.repository
        old = [each for each in declared if each.name in self._stored]
        changed = [each for each in old if not each.is_row(self._stored[each.name], ours)]
        gone = self._gone()
        self._insert(new)
        for chunk in chunks(changed):  # what is put together between two statements keeps rows locked
            self._update(_CHANGED, [self._changes(each) for each in chunk if each.fleet])
            self._update(_NOTED, [self._facts(each) for each in chunk if not each.fleet])
        self._update(_NOTED, gone)
        named = {*(each.name for each in (*new, *changed)), *(row["name"] for row in gone)}
        self._hold_rewritten(named)
        return tuple(sorted(named))

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
        for chunk in chunks(new):
            self._connection.execute(_NEW, [self._new(each) for each in chunk])

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
    before = _stamp(connection, change.repository)
    if before is None or before.head != change.head.sha:
        make_due(connection, [f"rollup:{change.repository}"], after=statuses.ROLL_UP_AFTER)
    read = {"head": change.head.sha, "read_at": micros(change.at)}
    _HEAD_READ.run(connection, {"name": change.repository, **read})
