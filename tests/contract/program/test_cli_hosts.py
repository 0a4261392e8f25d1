"""`fairlead hosts`, and the hosts that `fairlead why` names: over a real ledger, as feeds and passes leave it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.agent_protocol.reports import Blame, Report, Work, WorkState
from adapters.feeds.repositories import Repositories, Source
from adapters.ledger.reports import HostReport
from fairlead import wiring
from fairlead.cli import app
from fairlead.settings import load
from reconciler.memory import Condition, ConditionType, Memory, Rest, Rollout, Status
from reconciler.observed import Unit
from reconciler.reasons import Reason
from reconciler.record import Event, Pass, Record
from reconciler.work import Kind, Release

ACCOUNT, EAST = "123456789012", "us-east-1"
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
    "environments/prod/environment.yaml": (
        f'account: "{ACCOUNT}"\nregions: [{EAST}]\ntrigger: {{bucket: example-fairlead-prod}}\n'
        'spinnaker: {url: "https://gate.example.com", account: prod}\n'
    ),
    "environments/prod/mm.yaml": "version: 1.1.0\n",
    "environments/prod/lobby.yaml": "version: 1.1.0\n",
    "environments/prod/web.yaml": "version: 1.1.0\n",
    "services/mm.yaml": """\
owner: games
packages: {mm: {format: file, from: "s3://builds/mm/{version}.jar", to: mm.jar}}
deploy:
  type: trigger
  root: /srv/mm
  select: {tags: {service: mm}}
  run: {unit: mm.service}
  health: {tcp: "localhost:8080"}
  max_unavailable: 50%
  min_healthy: 80%
""",
    "services/web.yaml": """\
owner: payments
package: web
deploy:
  type: spinnaker
  application: web
  pipeline: deploy
  parameters: {version: PKG_VERSION, region: REGION, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: web}
""",
}
FILES["services/lobby.yaml"] = FILES["services/mm.yaml"].replace("mm", "lobby")


class Desk:
    """The command line, and the hand of feeds and passes on the ledger behind it."""

    def __init__(self, config: Path, store: Any) -> None:
        self.config, self.store = config, store
        self.now = wiring.clock().now()
        self._parts: dict[str, dict[str, Any]] = {}
        self._said: list[HostReport] = []

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(self.config)])

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "-o", "json").stdout)

    def host(self, name: str, fleet: str = "prod/mm", age: float = 5.0, zone: str = "a", **said: Any) -> None:
        """One host that reports `said`, `age` seconds ago; with `report=False` it never did."""
        launched = self.now - timedelta(days=3)
        facts = {"zone": f"{EAST}{zone}", "state": said.pop("state", "running"), "launched": launched.isoformat()}
        self._parts.setdefault(fleet, {})[name] = facts
        if not said.pop("report", True):
            return
        version = said.pop("version", "1.1.0")
        sent = self.now - timedelta(seconds=age)
        report = Report(
            host=name, fleet=fleet, agent="0.2.0", number=1, at=sent, sequence=7, running=True, healthy=True
        )
        report = replace(report, components={f"package/{fleet.partition('/')[2]}": version}, **said)
        body = {key: value for key, value in json.loads(report.text()).items() if key not in {"number", "at"}}
        self._said.append(
            HostReport(
                fleet=fleet, host=name, number=1, at=sent, sent=sent, body=body, silent_after=timedelta(minutes=3)
            )
        )

    def read(self) -> None:
        """What the feeds leave."""
        inventory, reports = f"inventory/{ACCOUNT}/{EAST}", f"reports/{ACCOUNT}/{EAST}/prod"
        parts = {fleet: {"hosts": hosts} for fleet, hosts in self._parts.items()}
        self.store.record_snapshots(self.lease("inventory"), inventory, parts, self.now)
        self.store.record_reports(self.lease("reports"), reports, self._said, {"prod/mm", "prod/lobby"}, self.now)

    def lease(self, family: str) -> Any:
        self.store.add([f"{family}:it"])
        return self.store.claim(family, 1, timedelta(minutes=5))[0].lease

    def leave(self, fleet: str, change: Callable[[Record], Memory], *events: Event) -> None:
        """What a pass leaves."""
        self.store.add([f"fleet:{fleet}"])
        due = next(due for due in self.store.claim("fleet", 10, timedelta(minutes=5)) if due.key == f"fleet:{fleet}")
        record = self.store.load(fleet)
        left = Pass(record=record, memory=change(record), work=(), statuses=(), events=events)
        self.store.save(due.lease, record, left)


@pytest.fixture
def desk(tmp_path: Path, desired: Any, files: dict[str, str]) -> Iterator[Desk]:
    desired.change({**dict.fromkeys(files), **FILES})
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    settings = load(config)
    ledger = wiring.ledger(settings)
    with wiring.mirror(settings, settings.repositories[0]) as mirror:
        source = Source(mirror=mirror, parser=wiring.parser())
        feed = Repositories(ledger, {"main": source}, wiring.clock(), timedelta(minutes=1))
        ledger.add(["repository:main"])
        (due,) = ledger.claim("repository", 1, timedelta(minutes=5))
        feed.run("main", due.lease)
        ledger.finish(due)
    yield Desk(config, ledger)
    ledger.close()


def failed(version: str = "1.1.0", message: str = "answers 503", log: str = "") -> dict[str, Any]:
    work = Work(
        key="k", version=version, attempt=1, state=WorkState.FAILED, message=message, blame=Blame.UNHEALTHY, log=log
    )
    return {"work": replace(work, rolled_back_to="1.0.0"), "version": "1.0.0"}


def working(stage: str) -> dict[str, Any]:
    work = Work(key="k", version="1.1.0", attempt=1, state=WorkState.WORKING, stage=stage)
    return {"work": work, "version": "1.0.0"}


def some_of_each(desk: Desk) -> None:
    desk.host("i-well", zone="b")
    desk.host("i-old", version="1.0.0")
    desk.host("i-deaf", age=600)
    desk.host("i-mute", report=False)
    desk.host("i-sick", healthy=False, message="its health check fails")
    desk.host("i-busy", **working("draining"))
    desk.host("i-new", state="pending", report=False)
    desk.read()


# ── hosts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_trouble_comes_first_and_the_counts_last(desk: Desk) -> None:
    some_of_each(desk)

    done = desk.run("hosts", "prod/mm")

    assert 1 == done.exit_code
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["HOST", "ZONE", "VERSION", "STATE", "REPORTED", "AGENT", "ORDER", "LAST", "WORDS"] == lines[0]
    names = ["i-sick", "i-deaf", "i-mute", "i-old", "i-busy", "i-new", "i-well"]
    assert names == [line[0] for line in lines[1:8]]
    assert "7 hosts: 1 failed, 2 silent, 1 behind, 1 working, 1 joining, 1 at target" == done.stdout.splitlines()[-1]


def test_a_line_tells_version_state_age_agent_order_and_last_words(desk: Desk) -> None:
    desk.host("i-old", version="1.0.0", age=400)
    desk.read()

    line = desk.run("hosts", "prod/mm").stdout.splitlines()[1]

    said = ["i-old", f"{EAST}a", "1.0.0", "silent", "6", "min", "ago", "0.2.0", "7", "silent", "since"]
    assert said == line.split()[: len(said)]


def test_the_stage_of_who_works_is_told(desk: Desk) -> None:
    desk.host("i-busy", **working("draining"))
    desk.read()

    assert "working: draining" in desk.run("hosts", "prod/mm").stdout


def test_a_fleet_that_is_at_its_version_exits_0(desk: Desk) -> None:
    desk.host("i-well")
    desk.read()

    done = desk.run("hosts", "prod/mm")

    assert (0, "1 host: 1 at target") == (done.exit_code, done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("--unhealthy", ["i-sick", "i-deaf", "i-mute", "i-new"]),
        ("--behind", ["i-mute", "i-old", "i-busy", "i-new"]),
    ],
)
def test_an_option_shows_a_part_and_counts_all(desk: Desk, option: str, names: list[str]) -> None:
    some_of_each(desk)

    said = desk.json("hosts", "prod/mm", option)

    assert names == [host["host"] for host in said["hosts"]]
    assert 7 == sum(said["counts"].values())


def test_json_has_the_documented_keys(desk: Desk) -> None:
    desk.host("i-sick", **failed(log="out of memory\n"))
    desk.read()

    said = desk.json("hosts", "prod/mm", "--log")

    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    (host,) = said["hosts"]
    assert [] == [key for key in (*said, *host) if f"`{key}`" not in page]
    assert ("failed", "1.1.0 failed: answers 503; went back to 1.0.0") == (host["state"], host["message"])
    assert "out of memory\n" == host["log"]
    assert "log" not in desk.json("hosts", "prod/mm")["hosts"][0]


def test_the_log_is_shown_when_it_is_asked_for_and_no_terminal_obeys_it(desk: Desk) -> None:
    desk.host("i-sick", **failed(log="\x1b[2Jfirst\nlast \x07words"))
    desk.read()

    plain, told = desk.run("hosts", "prod/mm").stdout, desk.run("hosts", "prod/mm", "--log").stdout

    assert "last" not in plain.replace("LAST WORDS", "")
    assert "i-sick ran last:\n  | first\n  | last  words" in told
    assert "\x1b" not in told


def test_hosts_of_all_fleets_name_their_fleet(desk: Desk) -> None:
    desk.host("i-1")
    desk.host("i-2", fleet="prod/lobby")
    desk.read()

    all_of_them, environment = desk.run("hosts").stdout, desk.run("hosts", "prod").stdout

    assert all_of_them == environment
    assert ["prod/lobby", "i-2"] == all_of_them.splitlines()[1].split()[:2]
    assert "2 hosts: 2 at target" == all_of_them.splitlines()[-1]


@pytest.mark.parametrize(
    ("scope", "sentence"),
    [
        ("prod/web", "prod/web is of type spinnaker, which has no hosts with agents; `fairlead status prod/web`"),
        ("prod/mn", "prod/mn is not known: is it prod/mm"),
        ("prd", "prd is not known: is it prod?"),
    ],
)
def test_a_fleet_without_hosts_or_a_wrong_name_is_one_sentence(desk: Desk, scope: str, sentence: str) -> None:
    done = desk.run("hosts", scope)

    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"fairlead: {sentence}")
    assert 1 == done.stderr.count("\n")


def test_ten_thousand_hosts_are_a_page_and_the_counts_of_all(desk: Desk) -> None:
    for number in range(10_000):
        desk.host(f"i-{number:05}", version="1.0.0" if number % 100 == 7 else "1.1.0")
    desk.read()

    done = desk.run("hosts", "prod/mm", "--limit", "10")

    lines = done.stdout.splitlines()
    assert ["i-00007", "i-00107"] == [line.split()[0] for line in lines[1:3]]
    assert "... and 9990 more; --limit 0 shows all" == lines[11]
    assert "10000 hosts: 100 behind, 9900 at target" == lines[-1]
    assert 10_000 == len(desk.json("hosts", "prod/mm", "--limit", "0")["hosts"])


def test_a_feed_that_cannot_be_read_is_told(desk: Desk) -> None:
    desk.host("i-well")
    desk.read()
    feed = f"inventory/{ACCOUNT}/{EAST}"
    desk.store.record_trouble(desk.lease("doubt"), feed, "AccessDenied")

    done = desk.run("hosts", "prod/mm")

    assert (1, f"trouble: {feed}: AccessDenied") == (done.exit_code, done.stdout.splitlines()[-1])


# ── why ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def rolling(desk: Desk, members: Mapping[str, bool], **more: Any) -> Callable[[Record], Memory]:
    """A rollout in its second wave. `members`: whether each is at the version already."""

    def memory(record: Record) -> Memory:
        assert record.desired is not None
        fleet = record.desired
        units = tuple(
            Unit(id=name, components={"package/mm": "1.1.0" if there else "1.0.0"}, healthy=there)
            for name, there in members.items()
        )
        said = "wave 2/2: 1.1.0 on some units"
        condition = Condition(
            type=ConditionType.READY, status=False, reason=Reason.PROGRESSING, message=said, since=desk.now
        )
        status = Status(
            conditions=(condition,),
            target_digest=fleet.target_digest,
            version="1.1.0",
            units=units,
            reason=Reason.PROGRESSING,
            message=said,
        )
        rollout = Rollout(
            release=Release(fleet=fleet, setting_commit="c" * 40),
            kind=Kind.DEPLOY,
            started_at=desk.now - timedelta(hours=1),
            wave=2,
            members=tuple(members),
            failures=more.get("failures", {}),
        )
        return Memory(adopted=True, rollout=rollout, status=status, rests=more.get("rests", ()))

    return memory


def finished(desk: Desk, minutes: int) -> Event:
    at: datetime = desk.now - timedelta(minutes=minutes)
    return Event(kind="succeeded", message="deploy 1.1.0 on i-7", at=at)


def test_why_names_the_hosts_that_hold_a_wave_and_how_many_more(desk: Desk) -> None:
    desk.host("i-0", **working("checking"))
    desk.host("i-1", **failed(log="first\n\x1b[31mlast words of it\x1b[0m\n\n"))
    for number in range(2, 7):
        desk.host(f"i-{number}", version="1.0.0")
    desk.host("i-7")
    desk.read()
    members = {f"i-{number}": number == 7 for number in range(8)}
    desk.leave("prod/mm", rolling(desk, members, failures={"i-1": 2}), finished(desk, 20), finished(desk, 40))

    lines = desk.run("why", "prod/mm").stdout.splitlines()

    at = next(number for number, line in enumerate(lines) if line.startswith("wave 2"))
    assert "wave 2 waits for 7 of its 8 units:" == lines[at]
    assert (
        "  i-1  us-east-1a  failed, said 5 s ago, failed 2 times: 1.1.0 failed: answers 503; went back" in lines[at + 1]
    )
    assert "    | last words of it" == lines[at + 2]
    assert "  i-2  us-east-1a  behind" in lines[at + 3]
    assert "  and 2 more: `fairlead hosts prod/mm --behind`" == lines[at + 7]
    assert lines[at + 8].endswith("UTC, 20 min ago")
    assert "failed and tried again: i-1" == lines[at + 9]
    room = "at most 1 of 8 hosts at once (max_unavailable 50%, min_healthy 80%; min_healthy is the stricter)"
    assert f"out of service: {room}; 7 not healthy now (i-0, i-1, i-2, i-3, i-4 +2 more)" == lines[at + 10]
    assert lines[-1].startswith("clears: ")


def test_why_tells_the_same_in_json(desk: Desk) -> None:
    desk.host("i-0", age=400, version="1.0.0")
    desk.host("i-7")
    desk.read()
    desk.leave("prod/mm", rolling(desk, {"i-0": False, "i-7": True}))

    held = desk.json("why", "prod/mm")["holding"]

    assert (2, 2, 0) == (held["wave"], held["members"], held["more"])
    assert ["i-0"] == [each["host"] for each in held["waiting"]]
    assert {"hosts": ["i-0"], "more": 0} == held["silent"]
    assert {
        "at_once": 0,
        "hosts": 2,
        "max_unavailable": "50%",
        "min_healthy": "80%",
        "stricter": "min_healthy",
    } == held["room"]
    began = (desk.now - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert began == held["progress_at"]
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    keys = (*held, *held["waiting"][0], *held["room"])
    assert [] == [key for key in keys if f"`{key}`" not in page]


def test_why_names_hosts_that_were_given_up(desk: Desk) -> None:
    desk.host("i-0", **failed())
    desk.read()

    def rested(record: Record) -> Memory:
        assert record.desired is not None
        digest = record.desired.target_digest
        rest = Rest(
            unit="i-0",
            target_digest=digest,
            tries=3,
            until=desk.now + timedelta(hours=1),
            given_up=True,
            reason=Reason.HEALTH_CHECK_FAILED,
            message="i-0: answers 503",
        )
        return replace(rolling(desk, {"i-0": False})(record), rollout=None, rests=(rest,))

    desk.leave("prod/mm", rested)

    assert "given up: i-0" in desk.run("why", "prod/mm").stdout.splitlines()


def test_why_names_regions_where_a_fleet_has_no_hosts(desk: Desk) -> None:
    desk.leave("prod/web", rolling(desk, {EAST: False}))

    done = desk.run("why", "prod/web")

    assert "wave 2 waits for 1 of its 1 unit:" in done.stdout.splitlines()
    assert "out of service" not in done.stdout
    assert None is desk.json("why", "prod/web")["holding"]["room"]


def test_why_of_thousands_of_hosts_stays_short(desk: Desk) -> None:
    for number in range(3000):
        desk.host(f"i-{number:05}", version="1.0.0")
    desk.read()
    desk.leave("prod/mm", rolling(desk, {f"i-{number:05}": False for number in range(3000)}))

    lines = desk.run("why", "prod/mm").stdout.splitlines()

    assert len(lines) < 20
    assert "wave 2 waits for 3000 of its 3000 units:" in lines
