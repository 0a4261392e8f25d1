"""where: over a real ledger, a real mirror and a real clone of the service's own code."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from adapters.feeds.repositories import Repositories, Source
from fairlead import wiring
from fairlead.cli import app
from fairlead.settings import load
from reconciler.memory import Finished, Quarantine, Status
from reconciler.observed import Unit
from reconciler.reasons import Reason
from reconciler.record import Pass
from reconciler.work import Kind

NOW = datetime(2026, 11, 26, 17, 0, tzinfo=UTC)
PROD, STAGING = "prod/checkout", "staging/checkout"


class Desk:
    """The example, read by a controller commit by commit, and what its fleets are seen to run."""

    def __init__(self, folder, desired):
        self.folder, self.desired = folder, desired
        self.config = folder / "fairlead.toml"
        self.config.write_text(
            f'state = "{folder / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n'
        )
        self.settings = load(self.config)
        self.ledger = wiring.ledger(self.settings)
        self.begin = self.read(desired.clone.head())

    def read(self, commit):
        with wiring.mirror(self.settings, self.settings.repositories[0]) as mirror:
            feed = Repositories(
                self.ledger,
                {"main": Source(mirror=mirror, parser=wiring.parser())},
                wiring.clock(),
                timedelta(minutes=1),
            )
            self.ledger.add(["repository:main"])
            (due,) = self.ledger.claim("repository", 1, timedelta(minutes=5))
            feed.run("main", due.lease)
            self.ledger.finish(due)
        return commit

    def set(self, fleet, version):
        return self.read(
            self.desired.change({f"environments/{fleet}.yaml": f'version: "{version}"\n'}, f"{fleet} {version}")
        )

    def runs(self, fleet, *versions, target="", **changes):
        """A pass saw these versions on the units, one each."""
        self.ledger.add([f"fleet:{fleet}"])
        claimed = {due.key: due for due in self.ledger.claim("fleet", 50, timedelta(minutes=5))}
        due = claimed.pop(f"fleet:{fleet}")
        for other in claimed.values():
            self.ledger.finish(other)
        record = self.ledger.load(fleet)
        units = tuple(
            Unit(id=f"u{place}", components={"package/checkout": version}, healthy=True)
            for place, version in enumerate(versions)
        )
        status = Status(
            units=units, version=target or record.desired.version, reason=Reason.SUCCEEDED, message="all is well"
        )
        finished = Finished(
            target_digest=record.desired.target_digest,
            setting_commit=record.setting.commit,
            kind=Kind.DEPLOY,
            version=versions[0] if versions else "",
            units=len(units),
            took=None,
            at=NOW,
        )
        memory = replace(record.memory, status=status, finished=finished, **changes)
        self.ledger.save(due.lease, record, Pass(record=record, memory=memory, work=(), statuses=(), events=()))
        self.ledger.finish(due)

    def ask(self, *args):
        return CliRunner().invoke(app, ["where", *args, "--config", str(self.config)])

    def stands(self, *args):
        done = self.ask(*args, "-o", "json")
        facts = json.loads(done.stdout)
        return {row["environment"]: row["stand"] for row in facts["environments"]}, facts, done.exit_code


@pytest.fixture
def desk(tmp_path, desired):
    desk = Desk(tmp_path, desired)
    yield desk
    desk.ledger.close()


def test_a_version_that_every_environment_runs_is_everywhere(desk):
    for fleet in (PROD, STAGING):
        desk.runs(fleet, "1.4.1", "1.4.1")
    stands, facts, code = desk.stands("checkout", "1.4.1")
    assert {"prod": "running", "staging": "running"} == stands
    assert 0 == code
    assert ["2026-11-26T17:00:00Z"] * 2 == [row["since"] for row in facts["environments"]]
    assert {desk.begin} == {row["setting_commit"] for row in facts["environments"]}
    assert [(2, 2)] * 2 == [(row["units_at"], row["units"]) for row in facts["environments"]]


def test_a_version_on_its_way_runs_partly_here_and_is_not_there_yet(desk):
    desk.set(STAGING, "1.4.2")
    desk.runs(STAGING, "1.4.2", "1.4.1")
    desk.runs(PROD, "1.4.1", "1.4.1")

    stands, _, code = desk.stands("checkout", "1.4.2")
    assert {"staging": "partly", "prod": "not there"} == stands
    assert 1 == code


def test_a_version_that_is_set_and_runs_nowhere_yet_is_the_target(desk):
    desk.runs(PROD, "1.4.1")
    commit = desk.set(PROD, "1.4.2")
    stands, facts, _ = desk.stands("checkout", "1.4.2")
    assert "target" == stands["prod"]
    assert commit == facts["environments"][0]["setting_commit"]


def test_a_version_that_a_fleet_is_brought_back_to_is_its_target(desk):
    desk.set(PROD, "1.4.2")
    desk.runs(PROD, "1.4.2", target="1.4.1")
    assert "target" == desk.stands("checkout", "1.4.1")[0]["prod"]


def test_a_version_that_failed_says_why(desk):
    commit = desk.set(PROD, "1.4.2")
    record = desk.ledger.load(PROD)
    failed = Quarantine(
        target_digest=record.desired.target_digest,
        spec_digest=record.desired.spec_digest,
        setting_commit=commit,
        version="1.4.2",
        reason=Reason.HEALTH_CHECK_FAILED,
        message="2 of 2 instances are unhealthy",
        since=NOW,
        until=None,
    )
    desk.runs(PROD, "1.4.1", quarantines=(failed,))
    stands, facts, _ = desk.stands("checkout", "1.4.2")
    assert "failed" == stands["prod"]
    assert "it failed: 2 of 2 instances are unhealthy" == facts["environments"][0]["message"]


def test_a_version_that_another_one_followed_is_told_with_the_commit_that_did(desk):
    desk.set(PROD, "1.4.2")
    later = desk.set(PROD, "1.4.3")
    desk.runs(PROD, "1.4.3")
    stands, facts, _ = desk.stands("checkout", "1.4.2")
    assert {"prod": "later", "staging": "not there"} == stands
    assert f"1.4.3 came after it, set by {later[:7]}" == facts["environments"][0]["message"]


def test_a_commit_of_the_desired_state_stands_for_the_version_that_it_set(desk):
    commit = desk.set(STAGING, "1.4.2")
    desk.runs(STAGING, "1.4.2")
    stands, facts, _ = desk.stands("checkout", commit[:7])
    assert {"staging": "running", "prod": "not there"} == stands
    assert (commit, ["1.4.2"]) == (facts["commit"], facts["versions"])
    assert desk.stands("checkout", commit.upper())[0] == stands

    desk.set(STAGING, "1.4.3")
    desk.runs(STAGING, "1.4.3")
    assert "later" == desk.stands("checkout", commit[:9])[0]["staging"]


def test_a_commit_that_sets_no_version_stands_for_what_was_in_force_and_says_so(desk):
    commit = desk.read(desk.desired.change({"README.md": "words\n"}))
    for fleet in (PROD, STAGING):
        desk.runs(fleet, "1.4.1")
    stands, facts, code = desk.stands("checkout", commit[:8])
    assert {"prod": "running", "staging": "running"} == stands
    assert 0 == code
    assert (
        "sets no version of it; what stood in force there is looked for: prod 1.4.1, staging 1.4.1" in facts["notes"][0]
    )


def test_a_commit_of_the_services_own_code_is_known_by_the_tags_of_a_clone(desk, tmp_path, files):
    source = 'source: {repository: acme/checkout, tag: "v{version}"}\n'
    desk.read(desk.desired.change({"services/checkout.yaml": files["services/checkout.yaml"] + source}))
    code = tmp_path / "code"
    git = desk.desired.clone.git
    git("init", "--quiet", str(code), where=tmp_path)
    commits = []
    for version in ("1.4.0", "1.4.1", "1.4.2"):
        git("commit", "--quiet", "--allow-empty", "--message", version, where=code)
        git("tag", f"v{version}", where=code)
        commits.append(git("rev-parse", "HEAD", where=code))
    desk.runs(PROD, "1.4.1")
    desk.runs(STAGING, "1.4.2")

    def stands(commit):
        return desk.stands("checkout", commit[:10], "--clone", str(code))[0]

    assert {"prod": "running", "staging": "running"} == stands(commits[0]) == stands(commits[1])
    assert {"prod": "not there", "staging": "running"} == stands(commits[2])

    without = desk.ask("checkout", commits[0][:10])
    assert 2 == without.exit_code
    assert "a commit of acme/checkout is known by its tags: say --clone" in without.stderr


def test_a_version_that_names_its_commit_is_found_by_it(desk):
    desk.set(PROD, "1.5.0-g1a2b3c4")
    desk.runs(PROD, "1.5.0-g1a2b3c4")
    stands, facts, _ = desk.stands("checkout", "1a2b3c4d5e6f")
    assert "running" == stands["prod"]
    assert "taken from the version's own text" in facts["notes"][0]


def test_what_is_not_known_is_one_sentence_with_what_is_near(desk):
    for args, said in [
        (("chekout", "1.4.1"), "is it checkout?"),
        (("checkout", "1.4.11"), "is it 1.4.1?"),
        (("checkout", "abcdef0"), "no commit of main begins with abcdef0"),
        (("checkout", "abc"), "abc is not known"),
    ]:
        done = desk.ask(*args)
        assert (2, True) == (done.exit_code, said in done.stderr), done.stderr
        assert "Traceback" not in done.output


def test_a_folder_that_is_no_clone_is_refused(desk, tmp_path):
    for folder, said in [(tmp_path / "none", "there is no such folder"), (tmp_path, "is no git repository")]:
        done = desk.ask("checkout", "abcdef0", "--clone", str(folder))
        assert (2, True) == (done.exit_code, said in done.stderr)


def test_without_a_copy_of_the_repository_the_ledger_answers_and_says_what_it_cannot_know(desk, tmp_path):
    commit = desk.set(PROD, "1.4.2")
    desk.runs(PROD, "1.4.2")
    shutil.rmtree(tmp_path / "state" / "repositories")
    stands, facts, _ = desk.stands("checkout", commit[:7])
    assert {"prod": "running", "staging": "not there"} == stands
    assert "what was set before is not known: this machine has no copy of main" in facts["notes"]

    gone = desk.ask("checkout", "abcdef0123")
    assert "this machine has no copy of main" in gone.stderr


def test_people_see_a_table(desk):
    commit = desk.set(PROD, "1.4.2")
    desk.runs(PROD, "1.4.2")
    done = desk.ask("checkout", commit[:7])
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [commit[:7], "sets", "1.4.2"] == lines[0]
    assert ["prod", "checkout", "running", "1.4.2", "1/1", "2026-11-26", "17:00:00", "UTC", commit[:7]] == lines[2][:9]
