"""doctor: over a real git server, the sandbox's AWS and Gate, and a ledger; each trouble is made, seen and named."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.doctor.findings import Verdict
from adapters.doctor.webhook import check_webhook
from adapters.ledger.dialects import micros
from adapters.ledger.migrations.steps import HEAD
from adapters.ledger.store import open_ledger
from fairlead import wiring
from fairlead.cli import app
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline

EAST = "us-east-1"
BUCKET = "example-fairlead-games"
SERVICE = """\
owner: games
packages: {mm: {format: file, from: "s3://builds/mm/{version}.jar", to: mm.jar}}
deploy:
  type: trigger
  root: /srv/mm
  select: {tags: {service: mm, environment: "{environment}"}}
  run: {unit: mm.service}
  health: {tcp: "localhost:8080"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A whole world, the settings, and the command."""

    aws: Aws
    gate: Gate
    desired: Any
    config: Path
    state: Path

    def doctor(self, *args: str) -> Result:
        return CliRunner().invoke(app, ["doctor", "--config", str(self.config), *args])

    def checks(self, check: str, about: str | None = None) -> list[dict[str, Any]]:
        done = self.doctor("-o", "json")
        assert done.exit_code in {0, 1, 3}, done.output
        found = [one for one in json.loads(done.stdout)["checks"] if one["check"] == check]
        return [one for one in found if about in (None, one["about"])]

    def verdicts(self, check: str, about: str | None = None) -> list[str]:
        return [one["verdict"] for one in self.checks(check, about)]

    def setting(self, text: str) -> None:
        self.config.write_text(f"{text}\n{self.config.read_text()}")

    def setup(self) -> None:
        """What `fairlead trigger setup` makes."""
        made = CliRunner().invoke(app, ["trigger", "setup", "--config", str(self.config)])
        assert 0 == made.exit_code, made.output

    def pipeline(self, service: str = "checkout", environment: str = "staging", **fields: Any) -> str:
        cluster = f"{service}-{environment}"
        config = deploy_pipeline(service, f"deploy-{environment}", cluster, service, regions=[EAST], **fields)
        return self.gate.pipelines.save(config)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, desired: Any) -> Iterator[Site]:
    """One fleet of each type; all that they need is there but the plumbing and the pipeline."""
    state = tmp_path / "state"
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{state}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    monkeypatch.setenv("KEY", wiring.new_keys("k1")[1])
    with Aws() as aws, Gate(aws, GateSettings(background=False)) as gate:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        place = f'account: "{ACCOUNT}"\nregions: [{EAST}]\n'
        desired.change(
            {
                "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging, games]\n",
                **{f"environments/prod/{name}.yaml": None for name in ("environment", "basket", "checkout")},
                "environments/staging/basket.yaml": None,
                "services/basket.yaml": None,
                "environments/staging/environment.yaml": f'{place}spinnaker: {{url: "{gate.url}", account: staging}}\n',
                "environments/games/environment.yaml": f"{place}trigger: {{bucket: {BUCKET}}}\n",
                "environments/games/mm.yaml": "version: 1.0.0\n",
                "services/mm.yaml": SERVICE,
            },
            "two fleets",
        )
        yield Site(aws=aws, gate=gate, desired=desired, config=config, state=state)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_world_that_is_ready_has_no_trouble(site: Site) -> None:
    site.pipeline()
    site.setup()
    site.setting('signing = {key_id = "k1", key = "env:KEY"}')

    done = site.doctor()

    assert 0 == done.exit_code, done.output
    assert "trouble" not in done.stdout.replace("0 trouble", "")
    for check in ("settings", "git", "ledger", "aws", "messaging", "gate", "clock", "agents", "webhook"):
        assert check in done.stdout


def test_it_changes_nothing(site: Site) -> None:
    site.pipeline()
    open_ledger(f"sqlite:///{site.state / 'ledger.db'}", wiring.clock()).close()
    before = everything(site.state)
    head, refs = site.desired.clone.head(), site.desired.clone.git("ls-remote", "origin")
    site.aws.reset_calls()

    site.doctor()

    assert before == everything(site.state)
    assert (head, refs) == (site.desired.clone.head(), site.desired.clone.git("ls-remote", "origin"))
    looking = ("Describe", "Get", "Simulate", "HEAD", "GET", "List")
    assert [] == [call for call in site.aws.calls if not call.partition(":")[2].startswith(looking)]


# ── git ──


def test_a_repository_says_where_it_stands_and_how_many_fleets_it_has(site: Site) -> None:
    seen = [one["seen"] for one in site.checks("git")]

    assert f"main at {site.desired.clone.head()[:7]}" in seen[0]
    assert "declares 2 fleets" in seen[1]
    assert "refs/notes/fairlead may begin" in seen[2]


def proposing(site: Site) -> None:
    """The environment staging takes changes by pull request only."""
    path = "environments/staging/environment.yaml"
    said = (site.desired.clone.folder / path).read_text()
    site.desired.change({path: f"{said}changes: {{how: pull-request}}\n"})


def at_a_forge(site: Site) -> None:
    with site.config.open("a") as config:
        forge = 'api = "http://127.0.0.1:1"\nrepository = "a/b"\nauth = {token = "env:KEY"}\n'
        config.write(f'[repositories.forge]\ntype = "github"\n{forge}')


def test_where_pull_requests_are_wanted_a_push_of_a_branch_is_begun_and_none_is_made(site: Site) -> None:
    proposing(site)
    at_a_forge(site)
    refs = site.desired.clone.git("ls-remote", "origin")

    (found,) = [one for one in site.checks("git") if "branches" in one["seen"]]

    assert ("ok", True) == (found["verdict"], "pull requests of staging" in found["seen"])
    assert "not tried" in found["seen"]
    assert refs == site.desired.clone.git("ls-remote", "origin")


def test_pull_requests_without_a_forge_are_a_warning(site: Site) -> None:
    proposing(site)

    (found,) = [one for one in site.checks("git") if one["verdict"] == "warning"]

    assert "staging takes changes by pull request only, and git_notes has none" in found["seen"]


def test_a_repository_that_is_not_there_is_not_reachable(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace("desired", "nowhere"))

    assert 3 == site.doctor().exit_code
    assert ["trouble"] == site.verdicts("git")


def test_a_broken_file_is_named_with_its_line(site: Site) -> None:
    site.desired.change({"environments/games/mm.yaml": "version: 1.10\n"})

    (parsed,) = [one for one in site.checks("git") if one["verdict"] == "trouble"]

    assert "environments/games/mm.yaml:1" in parsed["seen"]
    assert "fairlead validate" in parsed["fix"]
    assert 1 == site.doctor().exit_code


# ── settings ──


def test_a_secret_that_is_missing_or_open_to_others_is_named(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(os.environ["KEY"])
    secret.chmod(0o644)
    site.setting(f'signing = {{key_id = "k1", key = "file:{secret}"}}')

    (opened,) = site.checks("settings", "signing.key")
    secret.unlink()
    (missing,) = site.checks("settings", "signing.key")

    assert ("warning", f"chmod 600 {secret}") == (opened["verdict"], opened["fix"])
    assert "trouble" == missing["verdict"]
    assert os.environ["KEY"] not in opened["seen"] + missing["seen"]


def test_a_password_in_settings_that_others_may_read_is_a_warning(site: Site) -> None:
    site.setting('ledger = "postgresql+psycopg://fairlead:hunter2@127.0.0.1:1/fairlead"')
    site.config.chmod(0o644)

    done = site.doctor()

    assert 3 == done.exit_code
    assert "may hold a password" in done.stdout
    assert "hunter2" not in done.output


# ── ledger ──


def test_no_ledger_yet_is_no_trouble(site: Site) -> None:
    (found,) = site.checks("ledger")

    assert ("ok", True) == (found["verdict"], "the first start makes it" in found["seen"])
    assert not site.state.exists()


def test_a_ledger_of_an_older_schema_is_told_and_left(site: Site) -> None:
    path = site.state / "ledger.db"
    open_ledger(f"sqlite:///{path}", wiring.clock()).close()
    with sqlite3.connect(path) as file:
        file.execute("UPDATE alembic_version SET version_num = '0001'")
    file.close()

    (found,) = site.checks("ledger")

    assert f"at schema 0001; this version brings it to {HEAD}" in found["seen"]
    with sqlite3.connect(path) as file:
        assert ("0001",) == file.execute("SELECT version_num FROM alembic_version").fetchone()
    file.close()


def test_a_ledger_of_a_newer_schema_is_trouble(site: Site) -> None:
    path = site.state / "ledger.db"
    open_ledger(f"sqlite:///{path}", wiring.clock()).close()
    with sqlite3.connect(path) as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    file.close()

    assert ["trouble"] == site.verdicts("ledger")
    assert 1 == site.doctor().exit_code


# ── AWS ──


def test_what_setup_has_not_made_is_named_with_the_command_that_makes_it(site: Site) -> None:
    found = site.checks("messaging")

    assert ["warning", "trouble", "warning", "trouble"] == [one["verdict"] for one in found]
    assert {"run `fairlead trigger setup`"} == {one["fix"] for one in found}

    site.setup()

    assert ["ok", "ok", "ok", "ok"] == site.verdicts("messaging")


def test_an_identity_of_another_account_is_trouble_and_nothing_else_is_asked(site: Site) -> None:
    other = f'account: "210987654321"\nregions: [{EAST}]\ntrigger: {{bucket: {BUCKET}}}\n'
    site.desired.change({"environments/games/environment.yaml": other})

    (found,) = site.checks("aws", f"210987654321/{EAST}")

    assert f"reaches account {ACCOUNT}" in found["seen"]
    assert "correct `role` or `account`" in found["fix"]


def test_what_cannot_be_tried_is_said_to_be_not_tried(site: Site) -> None:
    (found,) = [one for one in site.checks("aws") if one["verdict"] == "skipped"]

    assert "s3:PutObject" in found["seen"]
    assert "sns:Publish" in found["seen"]
    assert "iam:SimulatePrincipalPolicy" in found["fix"]


def test_a_controller_that_only_observes_is_not_asked_what_acting_needs(site: Site) -> None:
    site.setting("observe_only = true")

    (found,) = [one for one in site.checks("aws") if one["verdict"] == "skipped"]

    assert found["seen"].endswith(": sqs:DeleteMessage, sqs:ReceiveMessage")
    assert [] == site.checks("agents", "signing")


def test_the_read_only_tier_that_setup_prints_is_all_that_observing_calls(site: Site) -> None:
    site.pipeline()
    site.setup()
    run = CliRunner().invoke
    printed = json.loads(run(app, ["setup", "--print", "--config", str(site.config), "-o", "json"]).stdout)
    policies = [each["read_only"] for each in printed["accounts"]]
    allowed = {action for policy in policies for one in policy["Statement"] for action in one["Action"]}
    site.aws.reset_calls()

    run(app, ["once", "--observe-only", "--config", str(site.config)])

    without_policy, as_iam_says = "sts:GetCallerIdentity", {"s3:GET": "s3:GetObject", "s3:HEAD": "s3:GetObject"}
    called = {as_iam_says.get(call, call) for call in site.aws.calls} - {without_policy}
    assert {"ec2:DescribeInstances", "sqs:ReceiveMessage"} <= called
    assert set() == called - allowed


# ── Gate ──


def test_a_trigger_of_another_master_is_trouble(site: Site) -> None:
    site.pipeline(triggers=[{"type": "cron", "enabled": True}])

    done = site.doctor()

    assert 1 == done.exit_code
    assert "trouble: gate checkout/deploy-staging: an enabled cron trigger starts it too\n  fix: disable" in done.stdout


def test_a_gate_that_is_away_is_not_reachable(site: Site) -> None:
    site.gate.stop()

    assert 3 == site.doctor().exit_code
    assert ["trouble"] == site.verdicts("gate")


# ── agents ──


def test_a_host_that_never_reported_is_named(site: Site) -> None:
    ec2 = site.aws.client("ec2")
    image = ec2.register_image(Name="mm-1")["ImageId"]
    tags = [{"Key": "service", "Value": "mm"}, {"Key": "environment", "Value": "games"}]
    made = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
    )
    open_ledger(f"sqlite:///{site.state / 'ledger.db'}", wiring.clock()).close()

    (found,) = site.checks("agents", "games/mm")

    assert "warning" == found["verdict"]
    assert f"({made['Instances'][0]['InstanceId']}) never reported" in found["seen"]


def test_tags_that_meet_no_host_are_a_warning_unless_an_empty_fleet_is_meant(site: Site) -> None:
    open_ledger(f"sqlite:///{site.state / 'ledger.db'}", wiring.clock()).close()

    (found,) = site.checks("agents", "games/mm")
    site.desired.change({"services/mm.yaml": f"{SERVICE}zero_units: allowed\n"})
    (meant,) = site.checks("agents", "games/mm")

    assert ("warning", f"`select.tags` meets no host in {EAST}") == (found["verdict"], found["seen"])
    assert ("ok", "it has no hosts, as `zero_units` allows") == (meant["verdict"], meant["seen"])


def test_hosts_that_fell_silent_or_do_not_know_our_key_are_named(site: Site) -> None:
    ec2 = site.aws.client("ec2")
    image = ec2.register_image(Name="mm-1")["ImageId"]
    tags = [{"Key": "service", "Value": "mm"}, {"Key": "environment", "Value": "games"}]
    made = ec2.run_instances(
        ImageId=image, MinCount=2, MaxCount=2, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
    )
    silent, stranger = sorted(each["InstanceId"] for each in made["Instances"])
    open_ledger(f"sqlite:///{site.state / 'ledger.db'}", wiring.clock()).close()
    soon = micros(wiring.clock().now() + timedelta(hours=1))
    with sqlite3.connect(site.state / "ledger.db") as file:
        for host, body, silent_at in ((silent, "{}", 1), (stranger, '{"reason":"OrderKeyUnknown"}', soon)):
            row = ("games/mm", "reports/x", host, "", body, 1, 1, 1, silent_at)
            file.execute("INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    file.close()

    found = {one["verdict"]: one["seen"] for one in site.checks("agents", "games/mm")}

    assert {
        "trouble": f"no key of ours is on 1 host ({stranger})",
        "warning": f"1 host ({silent}) fell silent",
    } == found


def test_without_a_ledger_nobody_is_said_to_be_silent(site: Site) -> None:
    assert ["skipped"] == site.verdicts("agents", "reports")


def test_agents_without_a_key_to_sign_with_are_trouble(site: Site) -> None:
    (found,) = site.checks("agents", "signing")

    assert ("trouble", True) == (found["verdict"], "fairlead trigger keys" in found["fix"])


# ── the server ──


class Healthy(BaseHTTPRequestHandler):
    """A server that answers /healthz, and is ready where its class says so."""

    ready = True

    def do_GET(self) -> None:
        well = self.path == "/healthz" or (self.path == "/readyz" and self.ready)
        body = json.dumps({"alive": well, "why": "" if well else "the ledger does not answer within a second"}).encode()
        self.send_response(200 if well else 503)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


def test_a_server_that_answers_here_and_at_its_public_address_is_ok(site: Site) -> None:
    with serving(Healthy) as port:
        site.setting(f'listen = "0.0.0.0:{port}"\npublic_url = "http://127.0.0.1:{port}/"')

        assert ["ok", "ok"] == site.verdicts("webhook")


def test_a_server_that_is_not_ready_says_why() -> None:
    with serving(type("Waiting", (Healthy,), {"ready": False})) as port:
        local, public = check_webhook(f"127.0.0.1:{port}", "", [])

    assert (Verdict.WARNING, True) == (local.verdict, "the ledger does not answer" in local.seen)
    assert "`public_url` is not set" in public.seen


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "answers 404, and not as a controller does"),
        (401, "wants a sign-in"),
        (403, "wants a sign-in"),
        (302, "wants a sign-in"),
        (200, "answers 200, and not as a controller does"),
        (503, "answers 503, and not as a controller does"),
    ],
)
def test_a_public_address_that_leads_elsewhere_is_a_warning(status: int, said: str) -> None:
    class Elsewhere(Healthy):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Elsewhere) as port:
        *_, public = check_webhook("127.0.0.1:1", f"http://127.0.0.1:{port}", [])

    assert (Verdict.WARNING, True) == (public.verdict, said in public.seen)


@contextmanager
def serving(answers: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_server_that_does_not_listen_is_a_warning(site: Site) -> None:
    site.setting('listen = "127.0.0.1:1"\npublic_url = "http://127.0.0.1:1"')

    assert ["warning", "warning"] == site.verdicts("webhook")
