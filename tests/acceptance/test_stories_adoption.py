"""The first days: what runs is imported, watched, adopted one environment after the other; the first failure goes back.

Two kinds of fleet. In prod each is mixed: an old server group is in service again, and one of the hosts was forgotten
by an older deploy. The hosts run a jar that Fairlead never put there.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead_sandbox.aws import ACCOUNT

EAST = "us-east-1"
HOSTS = {"qa/matchmaker": 2, "staging/matchmaker": 1, "prod/matchmaker": 3}
PATIENCE = 240.0  # seconds; a machine that does much else is slow
BUILDS = "s3://example-builds/{package}/{version}/{package}.jar"
ENVIRONMENT = f"""\
account: "{ACCOUNT}"
regions: [{EAST}]
spinnaker: {{{{url: "https://gate.example.com", account: prod}}}}
trigger: {{{{bucket: example-fairlead-{{name}}}}}}
"""
WORLD = {  # what the world is made of; nobody wrote it down there
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [qa, staging, prod]\n",
    "environments/qa/environment.yaml": ENVIRONMENT.format(name="qa"),
    "environments/staging/environment.yaml": ENVIRONMENT.format(name="staging"),
    "environments/prod/environment.yaml": ENVIRONMENT.format(name="prod"),
    **{f"environments/{name}/shop.yaml": "version: 1.4.0\n" for name in ("staging", "prod")},
    **{f"environments/{name}/matchmaker.yaml": "version: 2.3.1\n" for name in ("qa", "staging", "prod")},
    "services/shop.yaml": """\
package: shop
deploy:
  type: spinnaker
  application: shop
  pipeline: "deploy-{environment}"
  parameters: {version: PKG_VERSION, region: REGION, fairleadKey: FAIRLEAD_KEY}
  select: {cluster: "shop-{environment}"}
""",
    "services/matchmaker.yaml": """\
packages:
  matchmaker: {format: file, from: "s3://example-builds/matchmaker/{version}/matchmaker.jar", to: matchmaker.jar}
deploy:
  type: trigger
  root: /srv/matchmaker
  select: {tags: {service: matchmaker, environment: "{environment}"}}
  run: {unit: matchmaker.service}
  health: {http: "http://localhost:8080/health"}
""",
}


class Old:
    """A host before Fairlead: its unit starts a jar in /opt, and a file beside it tells the version."""

    def __init__(self, host: Any, world: Any) -> None:
        self.host, self.world = host, world
        self.place = host.folder / "opt"
        self.unit = host.folder / "units" / "matchmaker.service"
        self.to_be = self.unit.read_text()  # starts what Fairlead will have put there

    def deploy(self, version: str) -> None:
        """What others' tools did."""
        self.place.mkdir(exist_ok=True)
        key = f"matchmaker/{version}/matchmaker.jar"
        jar = self.world.aws.client("s3", EAST).get_object(Bucket="example-builds", Key=key)["Body"].read()
        (self.place / "matchmaker.jar").write_bytes(jar)
        (self.place / "VERSION").write_text(f"{version}\n")
        self.unit.write_text(self.to_be.replace(str(self.host.root() / "current"), str(self.place)))
        self.host.systemctl("start", self.unit.name)

    def watch(self, **more: Any) -> None:
        """Let the agent tell the version; `more` are further settings."""
        settings = {**yaml.safe_load(self.host.config.read_text()), "heartbeat": "5s", "poll": "10s", **more}
        settings["fleets"] = {
            name: {"observe": {"command": f"cat {self.place}/VERSION"}} for name in settings["fleets"]
        }
        self.host.config.write_text(yaml.safe_dump(settings))

    def hand_over(self) -> None:
        """What people do before adoption: the unit starts the new place from now on, and the agent may act."""
        self.unit.write_text(self.to_be)
        self.host.stop_agent()
        self.watch(report_only=False)
        self.host.start_agent()


class Days:
    """The world, the hosts as they were, and the person who imports."""

    def __init__(self, story: Any, folder: Path) -> None:
        self.story, self.world = story, story.world
        self.imported = folder / "desired"
        self.old = [Old(host, self.world) for host in self.world.hosts()]

    def args(self) -> list[str]:
        place = ["--account", ACCOUNT, "--region", EAST, "--gate", self.world.gate.url]
        return [*place, "--bucket", "example-fairlead-{environment}", "--artifacts", BUILDS]

    def see(self) -> dict[str, Any]:
        """What an import would write now, by fleet."""
        found = self.story.fairlead("import", *self.args(), "--dry-run")[1]
        return {one["fleet"]: one for one in found["fleets"]} if found else {}

    def have_all_spoken(self) -> bool:
        found = self.see()
        asked = [question for one in found.values() for question in one["questions"]]
        return len(found) == 5 and not any(question.startswith("what runs on") for question in asked)

    def answer(self) -> None:
        """The questions that only people can answer. In qa somebody adds configuration, which the hosts never had."""
        service = self.imported / "services" / "matchmaker.yaml"
        text = service.read_text()
        asked = next(line for line in text.splitlines() if line.strip().startswith("health:"))
        answered = '  health: {http: "http://localhost:8080/health", within: 3s}'
        service.write_text(f"{text.replace(asked, answered)}in: {{qa: {{config: {{to: mm.yaml, format: yaml}}}}}}\n")
        (self.imported / "environments" / "qa" / "matchmaker.config.yaml").write_text("greeting: hello\n")
        top = self.imported / "fairlead.yaml"
        top.write_text(top.read_text().replace("{adopt: ask}", "{adopt: ask, retries: 0}"))

    def push(self) -> str:
        """The imported repository as a history of its own, in place of what the world was made of."""
        paths = (path for path in self.imported.rglob("*") if path.is_file())
        files = {path.relative_to(self.imported).as_posix(): path.read_text() for path in paths}
        checkout = self.world.checkout
        checkout.git("checkout", "--quiet", "--orphan", "imported")
        checkout.git("rm", "--quiet", "-r", "-f", ".")
        checkout.commit("Import what runs", files)
        checkout.git("branch", "--move", "--force", "main")
        return str(checkout.push("--force"))

    def touched(self) -> tuple[int, list[str]]:
        """Executions that were started, and orders that were published."""
        s3 = self.world.aws.client("s3", EAST)
        buckets = [each["Name"] for each in s3.list_buckets()["Buckets"] if "fairlead" in each["Name"]]
        orders = [one["Key"] for name in buckets for one in s3.list_objects_v2(Bucket=name).get("Contents", [])]
        return len(self.world.gate.access_log.starts()), orders

    def versions(self, fleet: str) -> list[str | None]:
        return sorted(str(host.version()) for host in self.world.hosts(fleet))

    def wait_said(self, commit: str, fleet: str, state: str, text: str = "") -> None:
        self.story.wait_said(commit, fleet, state, text, PATIENCE)

    def act(self) -> None:
        """The controller is told to act from now on."""
        self.story.stop()
        config = self.world.config
        config.write_text(config.read_text().replace('observe_only = "true"', 'observe_only = "false"'))
        self.story.start()


@pytest.fixture(scope="module")
def days(begin_story: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Everything runs as it ran for years; agents were added, which only report."""
    story = begin_story(WORLD, hosts=HOSTS, deployed=False, observe_only="true", request_timeout="10s")
    found = Days(story, tmp_path_factory.mktemp("person"))
    for version in ("2.3.0", "2.3.1"):
        found.world.build("matchmaker", version)
    forgotten = found.world.hosts("prod/matchmaker")[0].id
    for old in found.old:
        old.deploy("2.3.0" if old.host.id == forgotten else "2.3.1")
        old.watch(report_only=True)
        old.host.start_agent()
    found.world.seed_cluster("shop-prod", EAST, "shop", "1.3.0", capacity=1)
    yield found
    for old in found.old:
        print(f"── {old.host.id}\n{old.host.log()[-4000:]}")


def test_what_runs_is_written_down(days: Days) -> None:
    days.story.wait(days.have_all_spoken, "every agent spoke", PATIENCE)
    code, said = days.story.fairlead("import", *days.args(), "--into", str(days.imported))

    assert 0 == code
    assert {
        "prod/matchmaker": ("trigger", "2.3.1"),
        "prod/shop": ("spinnaker", "1.4.0"),
        "qa/matchmaker": ("trigger", "2.3.1"),
        "staging/matchmaker": ("trigger", "2.3.1"),
        "staging/shop": ("spinnaker", "1.4.0"),
    } == {one["fleet"]: (one["type"], one["version"]) for one in said["fleets"]}
    assert "1 of 3 instances run another version: 1.3.0" in said["files"]["environments/prod/shop.yaml"]
    assert "1 of 3 instances run another version: 2.3.0" in said["files"]["environments/prod/matchmaker.yaml"]
    days.answer()
    assert 0 == days.story.program("validate", str(days.imported))


def test_a_controller_started_on_it_changes_nothing(days: Days) -> None:
    before = days.touched()
    commit = days.push()
    days.story.start()

    days.wait_said(commit, "staging/shop", "success", "1.4.0 on 1/1 units, already there")
    days.wait_said(commit, "staging/matchmaker", "success", "2.3.1 on 1/1 units, already there")
    days.wait_said(commit, "prod/shop", "pending", "FirstSight")
    days.wait_said(commit, "prod/matchmaker", "pending", "FirstSight: first seen running 2.3.0, 2.3.1")
    days.wait_said(commit, "qa/matchmaker", "pending", "FirstSight: first seen running 2.3.1")
    assert before == days.touched() == (0, [])
    assert ["2.3.0", "2.3.1", "2.3.1"] == days.versions("prod/matchmaker")


def test_the_first_failure_in_the_first_environment_goes_back_to_what_was_imported(days: Days) -> None:
    for old in days.old:
        old.hand_over()
    days.act()
    assert [] == days.story.fairlead("adopt", "staging")[1]["fleets"], "what is in sync needs no permission"
    days.world.gate.faults.on("unhealthy_version", version="1.5.0")
    days.world.build("matchmaker", "2.4.0", "sickens", 0.0)

    shop, matchmaker = days.world.bump("staging/shop", "1.5.0"), days.world.bump("staging/matchmaker", "2.4.0")

    days.wait_said(shop, "staging/shop", "failure", "; rolled back to 1.4.0")
    days.wait_said(matchmaker, "staging/matchmaker", "failure", "; rolled back to 2.3.1")
    assert {"1.4.0"} == days.world.versions("shop-staging", EAST)
    assert ["2.3.1"] == days.versions("staging/matchmaker")
    assert ["2.3.0", "2.3.1", "2.3.1"] == days.versions("prod/matchmaker")
    assert "FirstSight" == days.story.reason("prod/matchmaker") == days.story.reason("prod/shop")


def test_where_the_configuration_that_runs_is_not_known_nothing_is_invented_to_go_back_to(days: Days) -> None:
    commit = days.world.bump("qa/matchmaker", "2.4.0")  # a newer commit adopts it

    days.wait_said(commit, "qa/matchmaker", "failure", "2.4.0 failed")
    days.story.wait_reason("qa/matchmaker", "Quarantined", PATIENCE)
    assert days.story.record("qa/matchmaker").memory.last_good is None
    assert ["2.3.1", "2.4.0"] == days.versions("qa/matchmaker"), "one host was tried, the other was left alone"


def test_an_environment_is_adopted_whole_and_its_first_failure_goes_back_too(days: Days) -> None:
    code, asked = days.story.fairlead("adopt", "prod")
    assert (0, ["prod/matchmaker", "prod/shop"]) == (code, asked["fleets"])
    days.story.wait(lambda: days.story.record("prod/shop").memory.status.ready, "shop is one version", PATIENCE)
    days.story.wait(
        lambda: days.story.record("prod/matchmaker").memory.status.ready, "matchmaker is one version", PATIENCE
    )
    assert ["2.3.1"] * 3 == days.versions("prod/matchmaker")
    assert {"1.4.0"} == days.world.versions("shop-prod", EAST)

    shop, matchmaker = days.world.bump("prod/shop", "1.5.0"), days.world.bump("prod/matchmaker", "2.4.0")

    days.wait_said(shop, "prod/shop", "failure", "; rolled back to 1.4.0")
    days.wait_said(matchmaker, "prod/matchmaker", "failure", "; rolled back to 2.3.1")
    assert ["2.3.1"] * 3 == days.versions("prod/matchmaker")
    assert {"1.4.0"} == days.world.versions("shop-prod", EAST)


def test_a_good_version_then_reaches_everything(days: Days) -> None:
    days.world.build("matchmaker", "2.5.0")

    shop, matchmaker = days.world.bump("prod/shop", "1.6.0"), days.world.bump("prod/matchmaker", "2.5.0")

    days.wait_said(shop, "prod/shop", "success", "1.6.0 on 1/1 units")
    days.wait_said(matchmaker, "prod/matchmaker", "success", "2.5.0 on 3/3 units")
    assert ["2.5.0"] * 3 == days.versions("prod/matchmaker")


def test_the_imported_repository_is_a_git_repository_like_any_other(days: Days) -> None:
    git = ["git", "-C", str(days.imported), "-c", "user.name=Sam", "-c", "user.email=sam@example.com"]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "Import"], check=True)

    code, plan = days.story.fairlead("plan", "--repository", str(days.imported), "--base", "HEAD")

    assert (0, []) == (code, plan["changes"])
