"""trigger setup and trigger keys: against the sandbox's AWS, from a repository behind a real git server."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.agent_protocol.orders import FORMAT
from adapters.agent_protocol.signing import is_signed, public_key, signing_key
from fairlead import wiring
from fairlead.cli import app
from fairlead.settings import load
from fairlead_sandbox import images
from fairlead_sandbox.aws import ACCOUNT, Aws

EAST, WEST = "us-east-1", "eu-west-1"
BUCKET = "example-fairlead-prod"
ENVIRONMENT = f"""\
account: "{ACCOUNT}"
regions: [{EAST}, {WEST}]
role: arn:aws:iam::{ACCOUNT}:role/fairlead
trigger: {{bucket: {BUCKET}}}
"""
SERVICE = """\
owner: games
packages: {{{name}: {{format: file, from: "s3://builds/{name}/{{version}}.jar", to: {name}.jar}}}}
deploy:
  type: trigger
  root: /srv/{name}
  select: {{tags: {{service: {name}, environment: "{{environment}}"}}}}
  run: {{unit: {name}.service}}
  health: {{tcp: "localhost:8080"}}
"""


def trigger_files() -> dict[str, str]:
    """Two fleets beside those of the example, which are all of type spinnaker."""
    return {
        "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging, prod, games, test]\n",
        "environments/games/environment.yaml": ENVIRONMENT,
        "environments/test/environment.yaml": ENVIRONMENT.replace("-prod", "-test").replace(f", {WEST}", ""),
        "environments/games/mm.yaml": "version: 1.0.0\n",
        "environments/games/lobby.yaml": "version: 1.0.0\n",
        "environments/test/mm.yaml": "version: 1.0.0\n",
        "services/mm.yaml": SERVICE.format(name="mm"),
        "services/lobby.yaml": SERVICE.format(name="lobby"),
    }


class Site:
    """An AWS with instances, a repository with fleets, and the command."""

    def __init__(self, aws: Aws, config: Path) -> None:
        self.aws, self.config = aws, config
        self.image = {region: self._image(region) for region in (EAST, WEST)}

    def _image(self, region: str) -> str:
        found = self.aws.client("ec2", region).describe_images()["Images"]
        return found[0]["ImageId"] if found else str(self.aws.client("ec2", region).register_image(Name="x")["ImageId"])

    def launch(self, service: str, environment: str = "games", region: str = EAST, **more: str) -> str:
        tags = {"service": service, "environment": environment, **more}
        made = self.aws.client("ec2", region).run_instances(
            ImageId=self.image[region],
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": text} for key, text in tags.items()]}
            ],
        )
        return str(made["Instances"][0]["InstanceId"])

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(app, ["trigger", "setup", "--config", str(self.config), *args])

    def steps(self, *args: str) -> set[tuple[str, str, str, str]]:
        """What was done, kept things left out: (did, kind, name, region)."""
        done = self.run("-o", "json", *args)
        assert 0 == done.exit_code, done.output
        steps = json.loads(done.stdout)["steps"]
        return {(one["did"], one["kind"], one["name"], one["region"]) for one in steps if one["did"] != "kept"}

    def queue(self, name: str, region: str = EAST) -> dict[str, Any]:
        sqs = self.aws.client("sqs", region)
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        found: dict[str, Any] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {**found, "tags": sqs.list_queue_tags(QueueUrl=url).get("Tags", {})}

    def queues(self, region: str = EAST) -> set[str]:
        urls = self.aws.client("sqs", region).list_queues().get("QueueUrls", [])
        return {url.rpartition("/")[2] for url in urls}

    def subscriptions(self, region: str = EAST) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for one in self.aws.client("sns", region).list_subscriptions()["Subscriptions"]:
            found.setdefault(one["Endpoint"].rpartition(":")[2], set()).add(one["TopicArn"].rpartition(":")[2])
        return found

    def everything(self) -> Any:
        """All that the command could change."""
        buckets = [one["Name"] for one in self.aws.client("s3").list_buckets()["Buckets"]]
        regions = {
            region: (
                {name: self.queue(name, region) for name in sorted(self.queues(region))},
                self.subscriptions(region),
                sorted(one["TopicArn"] for one in self.aws.client("sns", region).list_topics()["Topics"]),
            )
            for region in (EAST, WEST)
        }
        return buckets, regions


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, desired: Any) -> Iterator[Site]:
    desired.change(trigger_files(), "two fleets with agents")
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    with Aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        for region in (EAST, WEST):
            images.register(aws, region, "mm", "1.0.0", wiring.clock().now())
        yield Site(aws, config)


def test_setup_makes_what_the_fleets_need(site: Site) -> None:
    host, both = site.launch("mm"), site.launch("lobby", region=WEST)
    site.launch("checkout", "prod")

    made = site.steps("--env", "games")

    topics = {
        ("made", "topic", f"fairlead-games_{name}", region) for name in ("mm", "lobby") for region in (EAST, WEST)
    }
    assert made == topics | {
        ("made", "bucket", BUCKET, EAST),
        ("made", "queue", "fairlead-reports-games", EAST),
        ("made", "queue", "fairlead-reports-games", WEST),
        ("made", "queue", "fairlead-reports-games_dead", EAST),
        ("made", "queue", "fairlead-reports-games_dead", WEST),
        ("made", "queue", f"fairlead-agent-{host}", EAST),
        ("made", "subscription", f"fairlead-games_mm to fairlead-agent-{host}", EAST),
        ("made", "queue", f"fairlead-agent-{both}", WEST),
        ("made", "subscription", f"fairlead-games_lobby to fairlead-agent-{both}", WEST),
    }
    assert {f"fairlead-agent-{host}": {"fairlead-games_mm"}} == site.subscriptions()
    reports = {"fairlead-reports-games", "fairlead-reports-games_dead"}
    assert reports | {f"fairlead-agent-{host}"} == site.queues()
    redrive = json.loads(site.queue("fairlead-reports-games")["RedrivePolicy"])
    assert "fairlead-reports-games_dead" == redrive["deadLetterTargetArn"].rpartition(":")[2]
    assert 5 == int(redrive["maxReceiveCount"])


def test_what_is_made_is_tagged_and_closed(site: Site) -> None:
    host = site.launch("mm")
    site.run("--env", "games")

    agent, reports = site.queue(f"fairlead-agent-{host}"), site.queue("fairlead-reports-games")
    ours = {"fairlead:managed": "setup", "fairlead:environment": "games"}
    assert (ours | {"fairlead:host": host}, ours) == (agent["tags"], reports["tags"])
    assert ("3600", "86400") == (agent["MessageRetentionPeriod"], reports["MessageRetentionPeriod"])
    (statement,) = json.loads(agent["Policy"])["Statement"]
    topic = f"arn:aws:sns:{EAST}:{ACCOUNT}:fairlead-games_mm"
    assert {"ArnEquals": {"aws:SourceArn": [topic]}, "StringEquals": {"aws:SourceAccount": ACCOUNT}} == statement[
        "Condition"
    ]
    tags = site.aws.client("sns").list_tags_for_resource(ResourceArn=topic)["Tags"]
    assert {"Key": "fairlead:fleet", "Value": "games/mm"} in tags
    s3 = site.aws.client("s3")
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    assert "Enabled" == s3.get_bucket_versioning(Bucket=BUCKET)["Status"]
    assert (
        90
        == s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"][0]["NoncurrentVersionExpiration"][
            "NoncurrentDays"
        ]
    )


def test_a_hint_reaches_the_instances_queue_as_it_was_sent(site: Site) -> None:
    host = site.launch("mm")
    site.run("--env", "games")

    site.aws.client("sns").publish(TopicArn=f"arn:aws:sns:{EAST}:{ACCOUNT}:fairlead-games_mm", Message="look again")

    sqs = site.aws.client("sqs")
    url = sqs.get_queue_url(QueueName=f"fairlead-agent-{host}")["QueueUrl"]
    assert ["look again"] == [one["Body"] for one in sqs.receive_message(QueueUrl=url)["Messages"]]


def test_setup_twice_changes_nothing(site: Site) -> None:
    site.launch("mm")
    site.steps()
    before = site.everything()

    done = site.run()

    assert (0, "15 things: 15 kept\n") == (done.exit_code, done.stdout)
    assert before == site.everything()


def test_a_dry_run_says_the_same_and_does_nothing(site: Site) -> None:
    site.launch("mm")
    before = site.everything()

    promised = site.steps("--dry-run")

    assert before == site.everything()
    assert promised == site.steps()
    assert set() == site.steps("--dry-run")


def test_a_dry_run_is_told_in_words(site: Site) -> None:
    done = site.run("--dry-run", "--env", "test")

    assert "would be made" in done.stdout
    assert "TO DO" in done.stdout.splitlines()[0]


def test_who_joins_gets_a_queue_and_who_is_gone_loses_it(site: Site) -> None:
    gone, stopped = site.launch("mm"), site.launch("mm")
    site.steps("--env", "games")
    site.aws.client("ec2").terminate_instances(InstanceIds=[gone])
    site.aws.client("ec2").stop_instances(InstanceIds=[stopped])
    joined = site.launch("mm")

    promised, done = site.steps("--dry-run", "--env", "games"), site.steps("--env", "games")

    assert promised == done
    assert done == {
        ("made", "queue", f"fairlead-agent-{joined}", EAST),
        ("made", "subscription", f"fairlead-games_mm to fairlead-agent-{joined}", EAST),
        ("removed", "subscription", f"fairlead-games_mm to fairlead-agent-{gone}", EAST),
        ("removed", "queue", f"fairlead-agent-{gone}", EAST),
    }
    assert {f"fairlead-agent-{stopped}", f"fairlead-agent-{joined}"} == set(site.subscriptions())


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"fairlead:managed": "terraform", "fairlead:environment": "games", "fairlead:host": "i-0123456789abcdef0"},
        {"fairlead:managed": "setup", "fairlead:environment": "staging", "fairlead:host": "i-0123456789abcdef0"},
        {"fairlead:managed": "setup", "fairlead:environment": "games", "fairlead:host": "i-0123456789abcdef1"},
    ],
)
def test_a_queue_that_is_not_ours_is_never_removed(site: Site, tags: dict[str, str]) -> None:
    name = "fairlead-agent-i-0123456789abcdef0"
    site.aws.client("sqs").create_queue(QueueName=name, tags=tags)

    site.steps("--env", "games")

    assert name in site.queues()


def test_an_instance_of_two_environments_hears_both(site: Site, desired: Any) -> None:
    """Setting one up does not deafen the instance to the other."""
    probe = SERVICE.format(name="probe").replace('{service: probe, environment: "{environment}"}', '{probe: "yes"}')
    desired.change({"services/probe.yaml": probe, "environments/test/probe.yaml": "version: 1.0.0\n"})
    host = site.launch("mm", probe="yes")
    name = f"fairlead-agent-{host}"
    site.steps("--env", "games")

    second = site.steps("--env", "test")

    assert ("made", "subscription", f"fairlead-test_probe to {name}", EAST) in second
    assert name not in {step[2] for step in second}
    assert {name: {"fairlead-games_mm", "fairlead-test_probe"}} == site.subscriptions()
    condition = json.loads(site.queue(name)["Policy"])["Statement"][0]["Condition"]
    assert 2 == len(condition["ArnEquals"]["aws:SourceArn"])
    assert set() == site.steps()


def hears(site: Site, name: str) -> set[str]:
    """The topics that the queue takes messages from, by name."""
    (statement,) = json.loads(site.queue(name)["Policy"])["Statement"]
    sources = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
    return {arn.rpartition(":")[2] for arn in ([sources] if isinstance(sources, str) else sources)}


def test_environments_with_a_role_each_keep_the_instance_that_they_share(site: Site, desired: Any) -> None:
    probe = SERVICE.format(name="probe").replace('{service: probe, environment: "{environment}"}', '{probe: "yes"}')
    other = ENVIRONMENT.replace("-prod", "-test").replace(f", {WEST}", "").replace("/fairlead", "/fairlead-test")
    desired.change(
        {
            "services/probe.yaml": probe,
            "environments/test/probe.yaml": "version: 1.0.0\n",
            "environments/test/environment.yaml": other,
        }
    )
    name = f"fairlead-agent-{site.launch('mm', probe='yes')}"

    site.steps("--as-controller")

    assert {"fairlead-games_mm", "fairlead-test_probe"} == hears(site, name)
    assert {name: {"fairlead-games_mm", "fairlead-test_probe"}} == site.subscriptions()
    assert set() == site.steps("--as-controller") | site.steps("--env", "test", "--as-controller") | site.steps()


def test_a_fleet_that_is_broken_now_goes_on_to_reach_its_instances(site: Site, desired: Any) -> None:
    both = SERVICE.format(name="lobby").replace("{service: lobby,", "{service: mm,")
    desired.change({"services/lobby.yaml": both})
    name = f"fairlead-agent-{site.launch('mm')}"
    site.steps("--env", "games")
    desired.change({"environments/games/lobby.yaml": "version: [1]\n"})

    assert set() == site.steps("--env", "games")

    assert {"fairlead-games_mm", "fairlead-games_lobby"} == hears(site, name)


def test_topics_of_others_are_not_let_in(site: Site) -> None:
    name = f"fairlead-agent-{site.launch('mm')}"
    site.steps("--env", "games")
    policy = json.loads(site.queue(name)["Policy"])
    sources = policy["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"]
    sources += [f"arn:aws:sns:{EAST}:999999999999:fairlead-games_mm", f"arn:aws:sns:{EAST}:{ACCOUNT}:alarms"]
    url = site.aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    site.aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})

    assert {("changed", "queue", name, EAST)} == site.steps("--env", "games")

    assert {"fairlead-games_mm"} == hears(site, name)


def test_a_queue_that_others_made_is_left_and_told(site: Site) -> None:
    name = f"fairlead-agent-{site.launch('mm')}"
    terraforms = {"fairlead:managed": "terraform"}
    site.aws.client("sqs").create_queue(QueueName=name, tags=terraforms, Attributes={"MessageRetentionPeriod": "60"})

    done = site.run("--env", "games")

    assert f"the queue {name} has no tag fairlead:managed=setup and is left as it is, though its " in done.stdout
    assert "60" == site.queue(name)["MessageRetentionPeriod"]


def test_a_queue_that_was_bent_is_mended(site: Site) -> None:
    host = site.launch("mm")
    site.steps("--env", "games")
    name = f"fairlead-agent-{host}"
    url = site.aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    site.aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})

    assert {("changed", "queue", name, EAST)} == site.steps("--env", "games")

    assert "3600" == site.queue(name)["MessageRetentionPeriod"]
    assert set() == site.steps("--env", "games")


def test_a_bucket_without_our_tags_is_used_as_it_is_and_what_it_lacks_is_told(site: Site) -> None:
    """Somebody else's, or ours whose maker died right after making it: nobody can tell."""
    site.aws.client("s3").create_bucket(Bucket=BUCKET)

    done = site.run("--env", "games")

    assert not [line for line in done.stdout.splitlines() if line.startswith(("made  bucket", "changed  bucket"))]
    assert f"the bucket {BUCKET} has no tags fairlead:environment=games, fairlead:managed=setup" in done.stdout
    assert "or does not keep old versions; set that, or the tags where it is ours, and run this again\n" in done.stdout
    assert "Status" not in site.aws.client("s3").get_bucket_versioning(Bucket=BUCKET)

    tags = [{"Key": "fairlead:managed", "Value": "setup"}, {"Key": "fairlead:environment", "Value": "games"}]
    site.aws.client("s3").put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags})
    assert {("changed", "bucket", BUCKET, EAST)} == site.steps("--env", "games")


def test_a_bucket_that_was_left_half_made_is_finished(site: Site) -> None:
    site.steps("--env", "games")
    s3 = site.aws.client("s3")
    s3.delete_public_access_block(Bucket=BUCKET)

    assert {("changed", "bucket", BUCKET, EAST)} == site.steps("--env", "games")

    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())


def test_it_works_as_the_controller_too(site: Site) -> None:
    site.steps("--env", "test", "--as-controller")

    assert 1 <= site.aws.calls["sts:AssumeRole"]
    assert set() == site.steps("--env", "test")


@pytest.mark.parametrize(("name", "said"), [("prod", "there are games, test"), ("nowhere", "there are games, test")])
def test_an_environment_without_such_a_fleet_is_refused(site: Site, name: str, said: str) -> None:
    done = site.run("--env", name)

    assert (2, "") == (done.exit_code, done.stdout)
    assert f"--env {name}: no such environment with a fleet of type trigger; {said}\n" in done.stderr


def test_an_account_that_is_another_is_refused(site: Site, desired: Any) -> None:
    other = ENVIRONMENT.replace(ACCOUNT, "210987654321")
    desired.change({"environments/games/environment.yaml": other})

    done = site.run("--env", "games")

    assert 3 == done.exit_code
    assert f"reaches account {ACCOUNT}" in done.stderr
    assert set() == site.queues()


def test_a_broken_fleet_is_left_out_and_named(site: Site, desired: Any) -> None:
    desired.change({"environments/games/lobby.yaml": "version: [1]\n"})

    done = site.run("--env", "games", "--dry-run")

    assert 0 == done.exit_code
    assert "left out, because their files are wrong: games/lobby\n" in done.stderr
    assert "fairlead-games_lobby" not in done.stdout


def test_topics_of_fleets_that_are_gone_stay_until_they_are_asked_away(site: Site, desired: Any) -> None:
    probe = {"services/probe.yaml": SERVICE.format(name="probe"), "environments/games/probe.yaml": "version: 1.0.0\n"}
    desired.change(probe)
    site.steps("--env", "games")
    site.aws.client("sns").create_topic(Name="fairlead-games_theirs")
    desired.change({"environments/games/lobby.yaml": None, "environments/games/probe.yaml": "version: [1]\n"})
    assert set() == site.steps("--env", "games")

    told = site.steps("--env", "games", "--remove-topics", "--dry-run")
    done = site.steps("--env", "games", "--remove-topics")

    assert told == done == {("removed", "topic", "fairlead-games_lobby", region) for region in (EAST, WEST)}
    left = {one["TopicArn"].rpartition(":")[2] for one in site.aws.client("sns").list_topics()["Topics"]}
    assert {"fairlead-games_mm", "fairlead-games_probe", "fairlead-games_theirs"} == left, "one is broken, one not ours"


# ── keys ──


def keys(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["trigger", "keys", "--key-id", "2026-11", "--write", str(folder), *args])


def test_a_pair_of_keys_fits_and_its_secret_half_is_never_shown(tmp_path: Path) -> None:
    done = keys(tmp_path / "keys")

    private, public = ((tmp_path / "keys" / f"2026-11.{half}") for half in ("key", "pub"))
    assert 0 == done.exit_code
    assert 0o600 == stat.S_IMODE(private.stat().st_mode)
    assert private.read_text().strip() not in done.output
    assert public.read_text().strip() in done.stdout
    signed = signing_key("2026-11", private.read_text()).sign({"format": FORMAT})
    assert is_signed(signed, public_key(public.read_text()))


def test_what_is_printed_is_what_the_settings_read(tmp_path: Path) -> None:
    done = keys(tmp_path)
    block = done.stdout[done.stdout.index("[signing]") :].partition("\n\n")[0]
    (tmp_path / "fairlead.toml").write_text(block + "\n")

    key = wiring.signing(load(tmp_path / "fairlead.toml"))

    assert key is not None
    assert ("2026-11", (tmp_path / "2026-11.pub").read_text().strip()) == (key.key_id, key.public)


def test_keys_as_json(tmp_path: Path) -> None:
    told = json.loads(keys(tmp_path, "-o", "json").stdout)

    assert {"key_id", "private", "public"} == set(told)
    assert told["public"] == (tmp_path / "2026-11.pub").read_text().strip()


def test_a_key_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    keys(tmp_path)
    before = (tmp_path / "2026-11.key").read_text()

    done = keys(tmp_path)

    assert (2, "") == (done.exit_code, done.stdout)
    assert "is there already and is left as it is" in done.stderr
    assert before == (tmp_path / "2026-11.key").read_text()


@pytest.mark.parametrize("key_id", ["", "../x", "a b", "-x", "x" * 61])
def test_a_key_id_that_is_no_name_is_refused(tmp_path: Path, key_id: str) -> None:
    done = CliRunner().invoke(app, ["trigger", "keys", f"--key-id={key_id}", "--write", str(tmp_path)])

    assert 2 == done.exit_code
    assert [] == list(tmp_path.iterdir())


def test_keys_that_were_written_by_half_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id can be used again once there is room."""
    opened = os.open

    def full(path: Any, *args: Any, **more: Any) -> int:
        if str(path).endswith(".pub"):
            raise OSError(28, "No space left on device")
        return opened(path, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        refused = keys(tmp_path)

    assert (2, []) == (refused.exit_code, list(tmp_path.iterdir()))
    assert 0 == keys(tmp_path).exit_code
