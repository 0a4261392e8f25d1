"""spinnaker pipelines plan and apply: the real command against the sandbox's Gate over HTTP."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner, Result

from adapters.clock import ManualClock
from adapters.gate.client import Gate as Client
from adapters.pipelines.building import wanted_of
from adapters.pipelines.comparing import Wishes, compare
from adapters.pipelines.writing import End, Writer, Written
from desired_state.trees import FolderTree
from fairlead import wiring
from fairlead.cli import app
from fairlead.commands.origins import name_of
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings

FAIRLEAD = Path(sys.executable).with_name("fairlead")
SERVICE = """\
owner: payments
package: {name}
deploy:
  type: spinnaker
  application: {name}
  pipeline: "deploy-{{environment}}"
  parameters: {{version: PKG_VERSION, region: REGION, ami: AMI, fairleadKey: FAIRLEAD_KEY}}
  select: {{cluster: "{name}-{{environment}}"}}
  generate:
    bake: {{base_os: jammy}}
    zones: {{us-east-1: [us-east-1a]}}
    capacity: {{min: 1, max: 2, desired: 1}}
    cluster: {{instanceType: m6i.large}}
"""
SHOWN = "deploy of staging/checkout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A Gate, a folder of desired state, and the command."""

    gate: Gate
    folder: Path

    def run(self, *args: str, text: str | None = None) -> Result:
        named = () if "--repository" in args else ("--repository", "deploys")
        command = ("spinnaker", "pipelines", args[0], str(self.folder), *args[1:], *named)
        return CliRunner().invoke(app, [*command, "--config", str(self.folder / "fairlead.toml")], input=text)

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "-o", "json").stdout)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def configs(self, application: str = "checkout") -> list[dict[str, Any]]:
        answer = requests.get(f"{self.gate.url}/applications/{application}/pipelineConfigs", timeout=10)
        found: list[dict[str, Any]] = answer.json()
        return found

    def edit(self, **fields: Any) -> None:
        """What a person does in Spinnaker's pages."""
        (config,) = self.configs()
        assert requests.post(f"{self.gate.url}/pipelines", json={**config, **fields}, timeout=10).ok

    def saves(self) -> int:
        return len(self.gate.access_log.entries(method="POST", path_prefix="/pipelines"))


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def site(aws: Aws, tmp_path: Path) -> Iterator[Site]:
    with Gate(aws, GateSettings(background=False)) as gate:
        site = Site(gate=gate, folder=tmp_path)
        site.write("fairlead.yaml", "apiVersion: fairlead/v1\nenvironments: [staging]\n")
        site.write(
            "environments/staging/environment.yaml",
            f'account: "123456789012"\nregions: [us-east-1]\nspinnaker: {{url: "{gate.url}", account: staging}}\n',
        )
        site.write("environments/staging/checkout.yaml", "version: 1.4.1\n")
        site.write("services/checkout.yaml", SERVICE.format(name="checkout"))
        site.write("fairlead.toml", f'state = "{tmp_path / "state"}"\n')
        yield site


def test_plan_shows_what_apply_then_writes_once(site: Site) -> None:
    seen = site.run("plan")
    assert 1 == seen.exit_code, seen.output
    assert f"create: checkout/deploy-staging ({SHOWN}): there is none of that name" in seen.stdout
    assert 0 == site.saves()

    done = site.run("apply", "--yes")
    assert 0 == done.exit_code, done.output
    assert "written: checkout/deploy-staging: written" in done.stdout

    assert (0, 0) == (site.run("plan").exit_code, site.run("apply", "--yes").exit_code)
    assert 1 == site.saves()
    (config,) = site.configs()
    assert "staging/checkout" == config["fairlead"]["fleet"]


def test_a_changed_service_file_changes_the_pipeline_under_its_id(site: Site) -> None:
    site.run("apply", "--yes")
    (before,) = site.configs()
    site.write("services/checkout.yaml", SERVICE.format(name="checkout").replace("m6i", "m7i"))

    seen = site.run("apply", "--yes")

    assert '~ stages[deploy-us-east-1].clusters[0].instanceType: "m6i.large" -> "m7i.large"' in seen.stdout
    (after,) = site.configs()
    assert before["id"] == after["id"]
    assert "m7i.large" in str(after)


def test_apply_without_a_person_and_without_yes_writes_nothing(site: Site) -> None:
    done = site.run("apply")

    assert 2 == done.exit_code
    assert "nobody can be asked here: look with plan first, then say --yes" in done.stderr
    assert 0 == site.saves()


@pytest.mark.parametrize(("said", "code", "saves"), [("y", 0, 1), ("n", 1, 0)])
def test_a_person_at_a_terminal_is_asked_after_the_plan(site: Site, said: str, code: int, saves: int) -> None:
    person, terminal = pty.openpty()
    command = [str(FAIRLEAD), "spinnaker", "pipelines", "apply", str(site.folder), "--repository", "deploys"]
    os.write(person, f"{said}\n".encode())

    done = subprocess.run(
        command, cwd=site.folder, stdin=terminal, capture_output=True, text=True, check=False, env=dict(os.environ)
    )

    assert code == done.returncode, done.stderr
    assert done.stdout.index("create: checkout/deploy-staging") < done.stdout.index("Write 1 pipeline? [y/N]")
    assert saves == site.saves()
    os.close(person)
    os.close(terminal)


def test_an_edit_in_spinnaker_is_told_and_kept_until_a_person_says_otherwise(site: Site) -> None:
    site.run("apply", "--yes")
    site.edit(limitConcurrent=True)

    assert 1 == site.run("apply", "--yes").exit_code
    (seen,) = site.json("plan")["pipelines"]
    assert ("edited", False) == (seen["state"], seen["writes"])
    assert seen["message"].startswith("edited in Spinnaker by anonymous at ")
    assert ["- limitConcurrent: true"] == seen["differences"]
    assert [True] == [each["limitConcurrent"] for each in site.configs()]

    assert 0 == site.run("apply", "--yes", "--overwrite").exit_code
    assert [False] == [each["limitConcurrent"] for each in site.configs()]


def test_somebodys_pipeline_is_adopted_only_when_that_is_said(site: Site) -> None:
    theirs = {"id": "t", "application": "checkout", "name": "deploy-staging", "stages": [], "email": "a@example.com"}
    site.gate.pipelines.save(theirs)

    refused = site.run("apply", "--yes")
    assert 1 == refused.exit_code
    assert "foreign: checkout/deploy-staging" in refused.stdout
    assert 0 == site.saves()

    assert 0 == site.run("apply", "--yes", "--adopt").exit_code
    (config,) = site.configs()
    assert ("t", False) == (config["id"], "email" in config)


def test_what_is_left_over_is_named_and_not_deleted(site: Site) -> None:
    site.run("apply", "--yes")
    site.write("services/checkout.yaml", SERVICE.format(name="checkout").replace("deploy-{", "ship-{"))

    done = site.run("apply", "--yes")

    assert "left over: checkout/deploy-staging (was written for staging/checkout)" in done.stdout
    assert {"deploy-staging", "ship-staging"} == {each["name"] for each in site.configs()}


def test_of_two_repositories_with_a_fleet_of_one_name_the_second_writes_nothing(site: Site) -> None:
    site.run("apply", "--yes")

    other = site.run("apply", "--yes", "--adopt", "--overwrite", "--repository", "fraud")

    assert (1, 1) == (other.exit_code, site.saves())
    assert f"refused: checkout/deploy-staging ({SHOWN}): it is the deploy pipeline of staging/checkout in deploys" in (
        other.stdout
    )
    site.write("services/checkout.yaml", SERVICE.format(name="checkout").replace("deploy-{", "ship-{"))
    assert "left over" not in site.run("plan", "--repository", "fraud").stdout


def test_a_copy_in_spinnaker_is_named_and_nobody_is_told_to_delete_it(site: Site) -> None:
    site.run("apply", "--yes")
    (config,) = site.configs()
    site.gate.pipelines.save({**config, "id": "copied", "name": "deploy-staging copy"})

    seen = site.run("plan")

    assert 0 == seen.exit_code
    assert "a copy: checkout/deploy-staging copy (of a pipeline of staging/checkout)" in seen.stdout
    assert "delete" not in seen.stdout
    assert ["deploy-staging copy"] == [each["pipeline"] for each in site.json("plan")["copies"]]


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://alice:s3cret@Git.example.com/payments/deploys.git", "git.example.com/payments/deploys"),
        ("git@git.example.com:payments/deploys.git", "git.example.com/payments/deploys"),
        ("ssh://git@git.example.com:7999/payments/deploys", "git.example.com/payments/deploys"),
    ],
)
def test_a_clone_has_the_name_of_where_it_came_from(site: Site, remote: str, name: str) -> None:
    command = ("spinnaker", "pipelines", "apply", "--yes", "--config", str(site.folder / "fairlead.toml"))
    unknown = CliRunner().invoke(app, [*command, str(site.folder)])
    assert (2, True) == (unknown.exit_code, "say --repository NAME" in unknown.stderr)

    subprocess.run(["git", "init", "-q", str(site.folder)], check=True)
    subprocess.run(["git", "-C", str(site.folder), "remote", "add", "origin", remote], check=True)

    assert 0 == CliRunner().invoke(app, [*command, str(site.folder)]).exit_code
    assert [name] == [each["fairlead"]["repository"] for each in site.configs()]


@pytest.mark.parametrize("url", ["", "/srv/git/deploys.git", "../deploys", "file:///srv/deploys", "host", "host:"])
def test_a_folder_on_this_machine_is_no_name(url: str) -> None:
    assert "" == name_of(url)


def test_only_the_named_fleets_are_written_and_an_unknown_one_is_refused(site: Site) -> None:
    site.write("environments/staging/basket.yaml", "version: 1.4.1\n")
    site.write("services/basket.yaml", SERVICE.format(name="basket"))
    folder, config = str(site.folder), str(site.folder / "fairlead.toml")
    command = ("spinnaker", "pipelines", "apply", "--repository", "deploys")

    assert 0 == CliRunner().invoke(app, [*command, "staging/basket", folder, "--yes", "--config", config]).exit_code
    assert ([], 1) == (site.configs(), len(site.configs("basket")))
    wrong = CliRunner().invoke(app, [*command, "staging/bucket", folder, "--yes", "--config", config])
    assert (2, True) == (wrong.exit_code, "is it staging/basket" in wrong.stderr)


def test_a_broken_fleet_keeps_its_pipeline_and_the_others_are_written(site: Site) -> None:
    site.run("apply", "--yes")
    site.write("environments/staging/checkout.yaml", "version: [\n")
    site.write("environments/staging/basket.yaml", "version: 1.4.1\n")
    site.write("services/basket.yaml", SERVICE.format(name="basket"))

    done = site.run("apply", "--yes")

    assert 1 == done.exit_code
    assert "not looked at: staging/checkout: its files are wrong" in done.stdout
    assert "left over" not in done.stdout
    assert 1 == len(site.configs("basket"))


@pytest.mark.parametrize(
    ("odd", "said"),
    [({"notes": "x" * 5_000_000}, "KiB large"), ({"stages": {"a": 1}}, "has stages that are no list of objects")],
)
def test_a_hostile_pipeline_of_the_name_is_one_sentence(site: Site, odd: dict[str, Any], said: str) -> None:
    site.gate.pipelines.save({"application": "checkout", "name": "deploy-staging", "stages": [], **odd})

    done = site.run("apply", "--yes", "--adopt", "--overwrite")

    assert 1 == done.exit_code
    (line,) = [line for line in done.stdout.splitlines() if "refused" in line and "checkout/" in line]
    assert said in line
    assert len(line) < 300
    assert 0 == site.saves()


@pytest.mark.parametrize("fault", ["unavailable", "html", "login_redirect"])
def test_a_gate_that_does_not_answer_is_one_sentence(site: Site, fault: str) -> None:
    site.gate.faults.on(fault)

    done = site.run("plan")

    assert 3 == done.exit_code
    assert done.stderr.startswith("fairlead: Gate ")
    assert 1 == done.stderr.count("\n")
    assert site.gate.url not in done.stderr


def test_a_refused_save_is_told_in_gates_words(site: Site) -> None:
    site.gate.faults.on("error_after_accepting", operation="configs", times=1, status=403)

    done = site.run("plan")

    assert 3 == done.exit_code
    assert "Gate refused to show the pipelines of checkout (403" in done.stderr


# ── saves that do not answer as they end ──


class Hand:
    """The writer with a clock that moves when it pauses."""

    def __init__(self, site: Site) -> None:
        self.clock = ManualClock(datetime(2026, 11, 26, tzinfo=UTC))
        client = Client(site.gate.url)
        self.writer = Writer(
            lambda url: client.configs, self.clock, pause=lambda seconds: self.clock.advance(timedelta(seconds=seconds))
        )
        self.state = wiring.parser().parse(FolderTree(site.folder))

    def look(self) -> Any:
        wanted = [each for fleet in self.state.fleets.values() for each in wanted_of(fleet)]
        (change,) = compare(wanted, self.writer.found(wanted), Wishes())
        return change

    def write(self) -> Written:
        return self.writer.write(self.look(), Wishes())


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("save_times_out", {"reads": 3}),
        ("save_seen_late", {"reads": 3}),
        ("drop_after_accepting", {"operation": "save"}),
        ("error_after_accepting", {"operation": "save"}),
    ],
)
def test_a_save_counts_when_it_is_there_whatever_was_answered(site: Site, fault: str, options: dict[str, Any]) -> None:
    site.gate.faults.on(fault, times=1, **options)

    assert End.WRITTEN is Hand(site).write().end

    assert 1 == site.saves()


@pytest.mark.parametrize(
    ("fault", "options", "end"),
    [
        ("save_times_out", {"reads": -1}, End.UNCONFIRMED),
        ("drop_before_accepting", {"operation": "save"}, End.UNCONFIRMED),
        ("too_many_requests", {"operation": "save"}, End.UNCONFIRMED),
    ],
)
def test_a_save_that_never_shows_is_not_called_written(
    site: Site, fault: str, options: dict[str, Any], end: End
) -> None:
    site.gate.faults.on(fault, times=1, **options)

    done = Hand(site).write()

    assert end is done.end
    assert "Spinnaker does not show it as it was written after 60 s; run plan to see" in done.message
    assert End.WRITTEN is Hand(site).write().end  # and the next run writes it


def test_a_save_that_front50_refuses_is_refused_at_once(site: Site) -> None:
    hand = Hand(site)
    change = hand.look()
    site.gate.faults.on("error_after_accepting", operation="save", times=1, status=403)
    site.gate.faults.on("save_seen_late", times=1, reads=-1)

    done = hand.writer.write(change, Wishes())

    assert End.REFUSED is done.end
    assert "Gate refused to save the pipeline deploy-staging of checkout (403" in done.message
    assert done.message.endswith("; sign in as somebody who has WRITE on the application")
    assert 0.0 == hand.clock.monotonic()


def test_what_changed_since_it_was_shown_is_not_written(site: Site) -> None:
    hand = Hand(site)
    change = hand.look()
    site.gate.pipelines.save({"application": "checkout", "name": "deploy-staging", "stages": []})

    assert End.CHANGED is hand.writer.write(change, Wishes(adopt=True)).end
    assert 0 == site.saves()


def test_of_two_who_write_different_things_at_once_the_later_is_refused_as_stale(site: Site) -> None:
    first = Hand(site)
    first.write()
    site.write("services/checkout.yaml", SERVICE.format(name="checkout").replace("m6i", "m7i"))
    second = Hand(site)
    site.write("services/checkout.yaml", SERVICE.format(name="checkout").replace("m6i", "c6i"))
    third = Hand(site)
    site.gate.faults.on("hold_before_accepting", operation="save", times=1)

    with ThreadPoolExecutor(max_workers=1) as pool:
        late = pool.submit(second.write)
        assert site.gate.faults.wait_until_held(30)
        assert End.WRITTEN is third.write().end
        site.gate.faults.release()

    assert End.REFUSED is late.result().end
    assert "The submitted pipeline is stale." in late.result().message
    assert "c6i" in str(site.configs())


def test_what_somebody_wrote_meanwhile_is_not_written_again(site: Site) -> None:
    hand = Hand(site)
    change = hand.look()
    hand.write()

    assert End.SAME is hand.writer.write(change, Wishes()).end
    assert 1 == site.saves()


def test_two_people_at_once_make_one_pipeline(site: Site) -> None:
    site.gate.faults.on("slow", operation="save", seconds=0.2)

    with ThreadPoolExecutor(max_workers=2) as pool:
        ends = [done.result().end for done in [pool.submit(Hand(site).write) for _ in range(2)]]

    assert {End.WRITTEN, End.SAME} >= set(ends)
    assert 1 == len(site.configs())


def test_a_run_that_is_killed_while_it_saves_is_finished_by_the_next(site: Site) -> None:
    site.gate.faults.on("hold_after_accepting", operation="save", times=1)
    command = [str(FAIRLEAD), "spinnaker", "pipelines", "apply", str(site.folder), "--yes", "--repository", "deploys"]
    killed = subprocess.Popen(command, cwd=site.folder, env=dict(os.environ), stdout=subprocess.DEVNULL)
    try:
        assert site.gate.faults.wait_until_held(60)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    site.gate.faults.release()

    assert 0 == site.run("apply", "--yes").exit_code
    assert (1, 1) == (len(site.configs()), site.saves())


@pytest.fixture(autouse=True)
def _no_settings_of_the_host(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.delenv("FAIRLEAD_CONFIG", raising=False)
    return lambda: None
