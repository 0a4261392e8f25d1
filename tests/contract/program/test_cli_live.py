"""status, why, history, adopt, approve and retry: over a real SQLite ledger."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.feeds.repositories import Repositories, Source
from fairlead import wiring
from fairlead.cli import app
from fairlead.settings import load
from reconciler.memory import Condition, ConditionType, Memory, Quarantine, Status
from reconciler.observed import Unit
from reconciler.reasons import Reason
from reconciler.record import Event, Pass, Record

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path, desired: Any) -> Path:
    path = tmp_path / "fairlead.toml"
    path.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    return path


@pytest.fixture
def store(config: Path) -> Iterator[Any]:
    """The ledger that the settings name, with the example read into it."""
    settings = load(config)
    ledger = wiring.ledger(settings)
    with wiring.mirror(settings, settings.repositories[0]) as mirror:
        source = Source(mirror=mirror, parser=wiring.parser())
        feed = Repositories(ledger, {"main": source}, wiring.clock(), timedelta(minutes=1))
        ledger.add(["repository:main"])
        (due,) = ledger.claim("repository", 1, timedelta(minutes=5))
        feed.run("main", due.lease)
        ledger.finish(due)
    yield ledger
    ledger.close()


@pytest.fixture
def run(config: Path) -> Any:
    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(config)])

    return invoke


def settle(store: Any, fleet: str, memory: Memory, *events: Event) -> None:
    """What a pass would leave behind."""
    due = next(due for due in claimed(store) if due.key == f"fleet:{fleet}")
    record = store.load(fleet)
    store.save(due.lease, record, Pass(record=record, memory=memory, work=(), statuses=(), events=events))
    store.finish(due)


def claimed(store: Any) -> list[Any]:
    store.add([f"fleet:{record.name}" for record in store.fleets()])
    return list(store.claim("fleet", 10, timedelta(seconds=30)))


def conditions(ready: bool, reason: Reason, message: str, *others: ConditionType) -> tuple[Condition, ...]:
    first = Condition(type=ConditionType.READY, status=ready, reason=reason, message=message, since=NOW)
    return (first, *(replace(first, type=kind, status=True) for kind in others))


def units(record: Record, version: str | None = None) -> tuple[Unit, ...]:
    assert record.desired is not None
    components = {name: version or wanted for name, wanted in record.desired.components.items()}
    return tuple(Unit(id=region, components=components, healthy=True) for region in record.desired.environment.regions)


def ready(record: Record) -> Memory:
    assert record.desired is not None
    message = "1.4.1 on 2/2 units"
    status = Status(
        conditions=conditions(True, Reason.SUCCEEDED, message, ConditionType.HEALTHY),
        target_digest=record.desired.target_digest,
        version="1.4.1",
        units=units(record),
        reason=Reason.SUCCEEDED,
        message=message,
    )
    return Memory(adopted=True, status=status)


def rolled_back(record: Record) -> Memory:
    """Converged to 1.4.0 while Git says 1.4.1."""
    assert record.setting is not None
    quarantine = Quarantine(
        target_digest=record.setting.target_digest,
        spec_digest="",
        setting_commit=record.setting.commit,
        version="1.4.1",
        reason=Reason.HEALTH_CHECK_FAILED,
        message="us-east-1: 0 of 3 instances healthy after 10 min",
        since=NOW,
        until=NOW + timedelta(days=1),
    )
    status = Status(
        conditions=conditions(False, Reason.ROLLED_BACK, "1.4.1 failed", ConditionType.HEALTHY),
        target_digest="0" * 64,
        version="1.4.0",
        diverted=True,
        units=units(record, "1.4.0"),
        reason=Reason.ROLLED_BACK,
        message="1.4.1 failed",
    )
    return Memory(status=status, quarantines=(quarantine,))


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_status_of_all_is_plain_columns_in_a_pipe(run: Any, store: Any) -> None:
    settle(store, "prod/checkout", ready(store.load("prod/checkout")))

    done = run("status")

    assert 1 == done.exit_code
    assert None is re.search("\x1b", done.stdout)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["SERVICE", "ENVIRONMENT", "VERSION", "READY", "UNITS", "CONDITIONS", "REASON", "MESSAGE"] == lines[0]
    assert ["basket", "prod", "1.4.1", "no", "0/0", "-", "Unknown"] == lines[1]
    assert ["checkout", "prod", "1.4.1", "yes", "2/2", "Ready,", "Healthy", "Succeeded"] == lines[3][:8]
    assert "4 fleets, 1 ready" == done.stdout.splitlines()[-1]


def test_status_of_one_environment_shows_no_other(run: Any, store: Any) -> None:
    said = json.loads(run("status", "prod", "-o", "json").stdout)

    assert ["prod/basket", "prod/checkout"] == [fleet["fleet"] for fleet in said["fleets"]]


def test_status_exits_0_when_every_fleet_shown_is_ready(run: Any, store: Any) -> None:
    settle(store, "prod/checkout", ready(store.load("prod/checkout")))

    assert [0, 1] == [run("status", "prod/checkout").exit_code, run("status", "prod").exit_code]


def test_a_diverted_fleet_shows_both_versions(run: Any, store: Any) -> None:
    settle(store, "prod/checkout", rolled_back(store.load("prod/checkout")))

    assert "1.4.0 (wants 1.4.1)" in run("status", "prod").stdout


def test_status_of_one_fleet_shows_units_and_quarantine(run: Any, store: Any) -> None:
    settle(store, "prod/checkout", rolled_back(store.load("prod/checkout")))

    said = run("status", "prod/checkout").stdout

    assert "prod/checkout  1.4.0 (wants 1.4.1)  0/2 units" == said.splitlines()[0]
    assert "eu-west-1  package/checkout 1.4.0  yes" in said
    assert "quarantine: 1.4.1 since 2026-11-23 20:15:03 UTC, until 2026-11-24 20:15:03 UTC: us-east-1: 0 of 3" in said


def test_status_as_json_has_the_documented_keys(run: Any, store: Any) -> None:
    settle(store, "prod/checkout", rolled_back(store.load("prod/checkout")))

    many = json.loads(run("status", "-o", "json").stdout)["fleets"][1]
    one = json.loads(run("status", "prod/checkout", "-o", "json").stdout)

    assert set(DOCUMENTED) == set(many)
    assert set(DOCUMENTED) | set(DETAILS) == set(one)
    assert (2, 0, True) == (one["units"], one["units_at_target"], one["diverted"])
    assert "2026-11-24T20:15:03Z" == one["quarantines"][0]["until"]


DOCUMENTED = [
    "fleet",
    "environment",
    "service",
    "desired",
    "version",
    "diverted",
    "ready",
    "reason",
    "message",
    "until",
    "units_at_target",
    "units",
    "conditions",
    "leftovers",
]
DETAILS = [
    "repository",
    "revision",
    "setting_commit",
    "generation",
    "managed",
    "unit_states",
    "last_good",
    "rollout",
    "work",
    "quarantines",
    "requests",
    "problems",
    "trouble",
]


def test_the_docs_list_every_key_of_status() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()

    assert [] == [key for key in (*DOCUMENTED, *DETAILS) if f"`{key}`" not in page]


@pytest.mark.parametrize(
    ("scope", "sentence"),
    [
        ("prod/chekout", "prod/chekout is not known: is it prod/checkout"),
        ("production", "production is not known: is it prod"),
        ("a/b/c", "'a/b/c' is no fleet: write ENV/SERVICE, such as prod/checkout"),
    ],
)
def test_a_name_that_is_not_known_is_one_sentence(run: Any, store: Any, scope: str, sentence: str) -> None:
    done = run("status", scope)

    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"fairlead: {sentence}")
    assert 1 == done.stderr.count("\n")


def test_an_empty_ledger_says_what_to_do(run: Any) -> None:
    done = run("status", "prod/checkout")

    assert 2 == done.exit_code
    assert "the ledger has no fleets yet; start the controller, or run fairlead once" in done.stderr


# ── why ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_why_goes_from_what_is_seen_to_the_cause_and_what_clears_it(run: Any, store: Any) -> None:
    settle(store, "prod/checkout", rolled_back(store.load("prod/checkout")))

    done = run("why", "prod/checkout")

    lines = done.stdout.splitlines()
    assert 1 == done.exit_code
    assert lines[0].startswith("prod/checkout wants 1.4.1, set by ")
    assert "  RolledBack: 1.4.1 failed" == lines[1]
    assert "  because Quarantined: 1.4.1 failed: us-east-1: 0 of 3 instances healthy after 10 min" == lines[2]
    assert lines[3].startswith("clears: ")
    assert "`fairlead retry prod/checkout`" in lines[3]


def test_why_of_a_ready_fleet_says_that_nothing_holds_it(run: Any, store: Any) -> None:
    settle(store, "prod/checkout", ready(store.load("prod/checkout")))

    done = run("why", "prod/checkout")

    assert (0, "prod/checkout: nothing holds it: 1.4.1 on 2/2 units\n") == (done.exit_code, done.stdout)


def test_why_of_a_fleet_that_nobody_looked_at_says_so(run: Any, store: Any) -> None:
    said = json.loads(run("why", "prod/checkout", "-o", "json").stdout)

    assert {"fleet", "ready", "version", "desired", "setting_commit", "chain", "clears", "until", "leftovers"} == set(
        said
    ) - {"holding"}
    assert [{"reason": "Unknown", "message": "no pass has looked at it yet"}] == said["chain"]


# ── history ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_history_shows_the_newest_lines_first(run: Any, store: Any) -> None:
    events = [Event(kind=f"step-{n}", message=f"did {n}", at=NOW + timedelta(seconds=n)) for n in range(3)]
    settle(store, "prod/checkout", ready(store.load("prod/checkout")), *events)

    said = json.loads(run("history", "prod/checkout", "--limit", "2", "-o", "json").stdout)
    lines = run("history", "prod/checkout").stdout.splitlines()

    assert ["step-2", "step-1"] == [event["kind"] for event in said["events"]]
    assert {"at", "kind", "message", "data"} == set(said["events"][0])
    assert ["2026-11-23", "20:15:05", "UTC", "step-2", "did", "2"] == lines[1].split()


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ask", ["adopt", "approve", "retry"])
def test_what_a_person_asks_reaches_the_ledger_and_makes_the_fleet_due(run: Any, store: Any, ask: str) -> None:
    for due in claimed(store):
        store.finish(due)

    done = run(ask, "prod/checkout", "prod/basket")

    assert 0 == done.exit_code
    assert [ask] == [request.ask for request in store.load("prod/checkout").requests]
    assert ["fleet:prod/basket", "fleet:prod/checkout"] == sorted(
        due.key for due in store.claim("fleet", 10, timedelta(seconds=30))
    )


def test_an_environment_is_adopted_whole_but_for_what_is_adopted_already(run: Any, store: Any) -> None:
    known = [record.name for record in store.fleets() if record.name.startswith("prod/") and record.present]
    held = [name for name in known if not store.load(name).memory.adopted]

    done = run("adopt", "prod", "-o", "json")

    assert 0 == done.exit_code
    assert sorted(held) == json.loads(done.stdout)["fleets"]
    assert ["adopt"] == [request.ask for request in store.load(held[0]).requests]
    assert () == store.load("staging/checkout").requests


def test_an_environment_that_nobody_knows_adopts_nothing_and_names_those_that_are_there(run: Any, store: Any) -> None:
    done = run("adopt", "prd")

    assert () == store.load("prod/checkout").requests
    assert 2 == done.exit_code
    assert "prd is not known: is it prod?" in done.stderr


@pytest.mark.parametrize("ask", ["approve", "retry"])
def test_only_adopting_takes_an_environment(run: Any, ask: str) -> None:
    assert 2 == run(ask, "prod").exit_code


def test_one_fleet_that_is_not_known_asks_for_nothing(run: Any, store: Any) -> None:
    done = run("retry", "prod/checkout", "prod/nothing")

    assert 2 == done.exit_code
    assert () == store.load("prod/checkout").requests


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_settings_that_are_wrong_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "fairlead.toml"
    path.write_text("workers = 0\n")

    done = CliRunner().invoke(app, ["status", "--config", str(path)])

    assert 2 == done.exit_code
    assert done.stderr.startswith(f"fairlead: {path}: workers: ")
    assert 1 == done.stderr.count("\n")


def test_a_settings_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["status", "--config", str(tmp_path / "nowhere.toml")])

    assert 2 == done.exit_code
    assert "name the settings file with --config" in done.stderr


def test_a_ledger_that_cannot_be_opened_exits_3_and_names_no_password(tmp_path: Path) -> None:
    path = tmp_path / "fairlead.toml"
    path.write_text(f'state = "{tmp_path}"\nledger = "sqlite:////proc/no-such/ledger.db"\n')

    done = CliRunner().invoke(app, ["status", "--config", str(path)])

    assert 3 == done.exit_code
    assert done.stderr.startswith("fairlead: the ledger sqlite:////proc/no-such/ledger.db cannot be used: ")
    assert 1 == done.stderr.count("\n")
