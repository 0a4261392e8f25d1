"""once, status and why over trigger fleets: from the sandbox's AWS, with a host that reports as itself."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from adapters.agent_protocol.reports import Report
from adapters.ledger.feeds import Feeds
from fairlead import wiring
from fairlead.cli import app
from fairlead.controller import Controller, feeds_of
from fairlead.settings import Settings, load
from fairlead_sandbox import images
from fairlead_sandbox.aws import ACCOUNT, Aws

EAST, BUCKET = "us-east-1", "example-fairlead-prod"
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {adopt: auto}\n",
    "environments/prod/environment.yaml": f"""\
account: "{ACCOUNT}"
regions: [{EAST}]
trigger: {{bucket: {BUCKET}}}
""",
    "environments/prod/mm.yaml": "version: 1.0.0\n",
    "services/mm.yaml": """\
owner: games
packages: {mm: {format: file, from: "s3://builds/mm/{version}.jar", to: mm.jar}}
deploy:
  type: trigger
  root: /srv/mm
  select: {tags: {service: mm}}
  run: {unit: mm.service}
  health: {tcp: "localhost:8080"}
""",
}


class Site:
    """One trigger fleet, one instance, and the command line."""

    def __init__(self, aws: Aws, config: Path) -> None:
        self.aws, self.config = aws, config
        self.image = images.register(aws, EAST, "mm", "1.0.0", wiring.clock().now())
        self.host = self.launch()
        aws.client("s3").create_bucket(Bucket="builds")
        for version in ("1.0.0", "1.1.0"):
            aws.client("s3").put_object(Bucket="builds", Key=f"mm/{version}.jar", Body=version.encode())

    def launch(self) -> str:
        """An instance of the fleet; gives its id."""
        made = self.aws.client("ec2").run_instances(
            ImageId=self.image.id,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "service", "Value": "mm"}]}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def run(self, *args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(self.config)])

    def says(self, **more: Any) -> None:
        """The host's report, sent as the host."""
        role = f"arn:aws:iam::{ACCOUNT}:role/fairlead-host"
        made = self.aws.client("sts").assume_role(RoleArn=role, RoleSessionName=self.host)["Credentials"]
        sqs = boto3.client(
            "sqs",
            region_name=EAST,
            endpoint_url=self.aws.endpoint_url,
            aws_access_key_id=made["AccessKeyId"],
            aws_secret_access_key=made["SecretAccessKey"],
            aws_session_token=made["SessionToken"],
        )
        said = Report(
            host=self.host,
            fleet="prod/mm",
            agent="0.1.0",
            number=1,
            at=wiring.clock().now(),
            components={"package/mm": "1.0.0"},
            running=True,
            healthy=True,
        )
        url = sqs.get_queue_url(QueueName="fairlead-reports-prod")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=replace(said, **more).text())
        sqs.close()

    def order(self) -> Any:
        """What hosts are told to run; None where nothing was ever written."""
        found = self.aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
        if not found:
            return None
        return json.loads(self.aws.client("s3").get_object(Bucket=BUCKET, Key="orders/prod/mm.json")["Body"].read())


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, desired: Any, files: dict[str, str]) -> Iterator[Site]:
    desired.change({**dict.fromkeys(files), **FILES})
    with Aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        CliRunner().invoke(app, ["trigger", "keys", "--key-id", "k", "--write", str(tmp_path)])
        config = tmp_path / "fairlead.toml"
        config.write_text(
            f'state = "{tmp_path / "state"}"\nreports_wait = "1s"\n'
            f'[[repositories]]\nname = "main"\nurl = "{desired.url}"\n'
            f'[signing]\nkey_id = "k"\nkey = "file:{tmp_path / "k.key"}"\n'
        )
        yield Site(aws, config)


def test_without_a_queue_once_says_what_to_run(site: Site) -> None:
    assert 3 == site.run("once").exit_code

    shown = site.run("status", "prod/mm")
    assert f"trouble: reports/{ACCOUNT}/{EAST}/prod: there is no queue fairlead-reports-prod" in shown.stdout
    assert "`fairlead trigger setup`" in shown.stdout


def test_a_fleet_that_runs_what_git_says_is_ready_and_its_order_lies_there(site: Site) -> None:
    site.run("trigger", "setup")
    site.says()

    done = site.run("once")

    assert 0 == done.exit_code, done.output
    assert "1.0.0" in site.run("status", "prod/mm").stdout
    assert 0 == site.run("why", "prod/mm").exit_code
    order = site.order()
    assert ("prod/mm", "1.0.0", "k") == (order["fleet"], order["target"]["version"], order["key_id"])


def test_who_only_observes_writes_no_order(site: Site) -> None:
    site.run("trigger", "setup")
    site.says(components={"package/mm": "0.9.0"})

    done = site.run("once", "--observe-only")

    assert 1 == done.exit_code
    assert "ObserveOnly" in site.run("why", "prod/mm").stdout
    assert site.order() is None


def test_a_host_at_another_version_is_admitted(site: Site) -> None:
    site.run("trigger", "setup")
    site.says(components={"package/mm": "0.9.0"})

    done = site.run("once")

    assert 1 == done.exit_code
    assert "Progressing" in site.run("why", "prod/mm").stdout
    assert [site.host] == site.order()["admitted"]


def test_without_a_key_it_says_what_is_missing_where_there_is_something_to_do(site: Site, desired: Any) -> None:
    site.run("trigger", "setup")
    site.says()
    site.config.write_text(site.config.read_text().partition("[signing]")[0])
    assert 0 == site.run("once").exit_code

    desired.change({"environments/prod/mm.yaml": "version: 1.1.0\n"})
    site.run("once")

    said = site.run("why", "prod/mm").stdout
    assert "Unequipped" in said
    assert "set [signing] in fairlead.toml" in said
    assert site.order() is None


def test_a_key_that_is_none_is_refused_in_a_sentence(site: Site, tmp_path: Path) -> None:
    (tmp_path / "k.key").write_text("not a key\n")

    done = site.run("once")

    assert 2 == done.exit_code
    assert "signing.key: a signing key is base64 of 32 bytes; `fairlead trigger keys` makes a pair" in done.stderr
    assert "not a key" not in done.stderr


def test_only_trigger_fleets_have_a_queue_to_read(site: Site) -> None:
    site.run("once")
    store = wiring.ledger(load(site.config))
    fleet = store.fleets()[0].desired
    store.close()
    assert fleet is not None

    assert f"reports:{ACCOUNT}/{EAST}/prod" in set(feeds_of([fleet]))
    assert not [name for name in feeds_of([replace(fleet, deploy_type="spinnaker")]) if name.startswith("reports:")]


@pytest.mark.parametrize("wait", ["0s", "21s", "1h"])
def test_a_wait_that_sqs_does_not_know_is_refused(site: Site, wait: str) -> None:
    site.config.write_text(site.config.read_text().replace('"1s"', f'"{wait}"'))

    done = site.run("once")

    assert 2 == done.exit_code
    assert "reports_wait: must be from 1s to 20s" in done.stderr


@pytest.mark.parametrize(
    "signing", ['key_id = "k"', 'key = "env:X"', 'key_id = "k"\nkey = "c2VjcmV0"', 'key_id = ""\nkey = "env:X"']
)
def test_half_a_key_or_the_key_itself_is_refused(site: Site, signing: str) -> None:
    site.config.write_text(f"{site.config.read_text().partition('[signing]')[0]}[signing]\n{signing}\n")

    done = site.run("once")

    assert 2 == done.exit_code
    assert "signing" in done.stderr
    assert "c2VjcmV0" not in done.stderr


def test_the_settings_never_show_the_key() -> None:
    settings = Settings(signing={"key_id": "k", "key": "env:FAIRLEAD_TEST_KEY"})  # type: ignore[arg-type]

    assert settings.signing is not None
    assert "env:FAIRLEAD_TEST_KEY" == settings.signing.key


def test_a_controller_hears_a_host_at_once_and_ends_when_told(site: Site) -> None:
    """A look at the queue waits for messages; what a host says is in the ledger long before that wait is over."""
    site.run("trigger", "setup")
    site.config.write_text(site.config.read_text().replace('"1s"', '"5s"'))
    controller, stop = Controller(load(site.config)), Event()
    store, clock = wiring.ledger(load(site.config)), wiring.clock()
    running = Thread(target=controller.run, args=(stop,))
    running.start()
    try:
        wait_until(lambda: site.aws.calls["sqs:ReceiveMessage"] >= 1)
        site.says()
        said = clock.monotonic()
        wait_until(lambda: site.host in hosts_in(store))
        assert clock.monotonic() - said < 3
    finally:
        stop.set()
        running.join(30)
        store.close()
    assert not running.is_alive()


def test_a_read_that_failed_after_the_head_was_written_wakes_the_feeds_when_it_comes_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, store = Controller(load(site.config)), wiring.ledger(load(site.config))
    store.add(["repository:main"])
    with monkeypatch.context() as failing:
        failing.setattr(Feeds, "record_snapshots", refused)
        controller.loop.drain(("repository",))
    assert ["prod/mm"] == [record.name for record in store.fleets()]
    assert [] == store.claim("inventory", 10, timedelta(seconds=9))

    store.add(["repository:main"])
    controller.loop.drain(("repository",))

    due = store.claim("inventory", 10, timedelta(seconds=9))
    store.close()
    controller.close()
    assert [f"inventory:{ACCOUNT}/{EAST}"] == [each.key for each in due]


def refused(*_: Any, **__: Any) -> None:
    raise RuntimeError("it could not be written")


def hosts_in(store: Any) -> dict[str, Any]:
    record = store.load("prod/mm")
    part = record.snapshots.get(f"reports/{ACCOUNT}/{EAST}/prod") if record is not None else None
    return dict(part.body["hosts"]) if part is not None else {}


def wait_until(is_so: Callable[[], bool]) -> None:
    clock = wiring.clock()
    until = clock.monotonic() + 30
    while not is_so():
        assert clock.monotonic() < until, "it did not happen"
        Event().wait(0.02)


def test_a_controller_that_keeps_the_queues_needs_no_setup_but_for_the_bucket(site: Site, desired: Any) -> None:
    kept = FILES["environments/prod/environment.yaml"].replace(f"{BUCKET}", f"{BUCKET}, queues: controller")
    desired.change({"environments/prod/environment.yaml": kept})
    site.aws.client("s3").create_bucket(Bucket=BUCKET)
    site.run("once")
    site.says()

    done = site.run("once")

    assert 0 == done.exit_code, done.output
    topic = f"arn:aws:sns:{EAST}:{ACCOUNT}:fairlead-prod_mm"
    (one,) = site.aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert f"fairlead-agent-{site.host}" == one["Endpoint"].rpartition(":")[2]


def test_a_new_instance_makes_the_keeping_of_queues_due(site: Site, desired: Any) -> None:
    kept = FILES["environments/prod/environment.yaml"].replace(f"{BUCKET}", f"{BUCKET}, queues: controller")
    desired.change({"environments/prod/environment.yaml": kept})
    site.run("once")
    controller, store = Controller(load(site.config)), wiring.ledger(load(site.config))
    assert [] == store.claim("plumbing", 10, timedelta(seconds=9))
    joined = site.launch()

    store.add([f"inventory:{ACCOUNT}/{EAST}"])
    controller.loop.drain(("inventory", "plumbing"))

    store.close()
    controller.close()
    urls = site.aws.client("sqs").list_queues(QueueNamePrefix="fairlead-agent-")["QueueUrls"]
    assert {site.host, joined} == {url.rpartition("fairlead-agent-")[2] for url in urls}
