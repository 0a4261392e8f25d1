"""A life in which every other system fails and repeats what it was told: no secret and no internal address comes out.

Each credential holds a canary. The forge, Gate, the channels and the git server echo all that they receive, with
addresses of their own network, in every kind of error. A trigger of the ledger hears every word that is ever said.
"""

import base64
import json
import re
import sqlite3
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

from fairlead.cli import app

INSIDE = ("orca.internal.example", "vault.internal.example", "10.99.98.97")
FLEET = "prod/checkout"
HEARD = """
CREATE TABLE heard AS SELECT repository, "commit", context, description, target_url FROM statuses;
CREATE TRIGGER hear_new AFTER INSERT ON statuses BEGIN
  INSERT INTO heard VALUES (new.repository, new."commit", new.context, new.description, new.target_url); END;
CREATE TRIGGER hear_again AFTER UPDATE ON statuses BEGIN
  INSERT INTO heard VALUES (new.repository, new."commit", new.context, new.description, new.target_url); END;
"""


@dataclass
class Parrot:
    """Answers every request with an error that repeats all of it. `answers`: the status of the next ones, by path."""

    url: str = ""
    bodies: list = field(default_factory=list)
    tokens: set = field(default_factory=set)  # that it was shown, and repeated
    answers: dict = field(default_factory=dict)

    def status(self, path):
        found = next((statuses for prefix, statuses in self.answers.items() if path.startswith(prefix)), [500])
        return found.pop(0) if len(found) > 1 else found[0]


@pytest.fixture
def parrot():
    played = Parrot()

    class Echo(BaseHTTPRequestHandler):
        def _answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0) or 0))
            played.bodies.append((self.path, body))
            headers = " ".join(f"{name}: {value}" for name, value in self.headers.items())
            tokens = " ".join(_unwrapped(self.headers.get("authorization", "")))
            played.tokens |= {tokens, self.headers.get("x-spinnaker-token", "")}
            inside = f"http://{INSIDE[0]}:8083/x?t={tokens} https://{INSIDE[1]}/v1 {INSIDE[2]}"
            said = f"{self.path} {headers} {tokens} {body.decode(errors='replace')} {inside}"
            status = played.status(self.path)
            text = json.dumps(
                {"message": said, "error": said, "errors": [{"message": said}], "exception": said}
            ).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("location", f"http://{INSIDE[0]}/{tokens}".replace("\n", ""))
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 names of http.server

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    played.url = f"http://127.0.0.1:{server.server_port}"
    yield played
    server.shutdown()
    server.server_close()


def _unwrapped(authorization):
    word = authorization.partition(" ")[2]
    try:
        yield base64.b64decode(word, validate=True).decode()
    except ValueError:
        yield word


def private_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind, shape, none = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return key.private_bytes(kind, shape, none).decode()


class Life:
    """One world whose surroundings echo, and everything that came out of the program."""

    def __init__(self, folder, world, parrot):
        self.folder, self.world, self.parrot = folder, world, parrot
        self.out = []
        pem = private_key()
        self.secrets = {
            "GIT_SECRET": "CANARY-git-password",
            "FORGE_TOKEN": "ghp_CANARYforge0123456789",
            "APP_KEY": pem,
            "HOOK_SECRET": "CANARY-hook-secret",
            "HOOK_SECRET_NEXT": "CANARY-hook-secret-next",
            "SLACK_URL": f"{parrot.url}/services/TCANARY/BCANARY/CANARYslack",
            "ONCALL_URL": f"{parrot.url}/oncall/CANARYoncall?key=CANARYkey",
            "ONCALL_SECRET": "CANARY-oncall-secret",
            "GATE_TOKEN": "CANARY-gate-token",
            "SIGNING_KEY": base64.b64encode(b"CANARY-signing-key-of-32-bytes!!").decode(),
        }
        self.needles = {"CANARY", self.secrets["SIGNING_KEY"], pem.splitlines()[3], *INSIDE}
        self.needles |= {base64.b64encode(f"fairlead:{self.secrets['GIT_SECRET']}".encode()).decode()[:20]}

    def settings(self, name, *, url, gate, auth, ledger=""):
        file = self.folder / f"{name}.toml"
        state = self.world.state
        embedded = f"sqlite:///{state / 'ledger.db'}"
        file.write_text(f"""
state = "{state}"
ledger = "{ledger or embedded}"
listen = "127.0.0.1:0"
public_url = "https://fairlead.example.com"
request_timeout = "3s"
poll_interval = "1s"
active_interval = "1s"
inventory_interval = "1s"
executions_interval = "1s"
gate_timeout = "1s"

[[repositories]]
name = "main"
url = "{url}"
auth = {{mode = "basic", user = "fairlead", secret = "env:GIT_SECRET"}}

[repositories.forge]
type = "github"
api = "{self.parrot.url}/api"
repository = "acme/desired"
auth = {auth}
sources = ["acme/*"]
deployments = true
webhook_secrets = ["env:HOOK_SECRET", "env:HOOK_SECRET_NEXT"]

[[gates]]
url = "{gate}"
auth = {{mode = "bearer", secret = "env:GATE_TOKEN"}}

[signing]
key_id = "2026-11"
key = "env:SIGNING_KEY"

[[notify]]
name = "payments"
url = "env:SLACK_URL"

[[notify]]
name = "on-call"
kind = "webhook"
url = "env:ONCALL_URL"
secret = "env:ONCALL_SECRET"
""")
        return file

    @property
    def environment(self):
        return {**self.world.environment, **self.secrets, "AWS_SECRET_ACCESS_KEY": "CANARY-aws-secret"}

    def fairlead(self, config, *args):
        done = CliRunner().invoke(app, list(args), env={**self.environment, "FAIRLEAD_CONFIG": str(config)})
        self.out.append((" ".join(args), done.output))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done

    def hear(self):
        with sqlite3.connect(self.world.state / "ledger.db") as ledger:
            ledger.executescript(HEARD)

    @property
    def heard(self):
        with sqlite3.connect(self.world.state / "ledger.db") as ledger:
            return ledger.execute("SELECT DISTINCT * FROM heard").fetchall()

    def dump(self):
        with sqlite3.connect(self.world.state / "ledger.db") as ledger:
            return "\n".join(ledger.iterdump())

    def found(self, text):
        return sorted(needle for needle in self.needles if needle in text)


@pytest.fixture
def life(tmp_path, make_world, one_fleet, parrot):
    source = 'source: {repository: acme/checkout, tag: "v{version}"}\n'
    world = make_world({**one_fleet, "services/checkout.yaml": one_fleet["services/checkout.yaml"] + source})
    return Life(tmp_path, world, parrot)


def test_nothing_that_is_ever_said_holds_a_secret_or_an_address_of_the_inside(life, start, wait_until):
    world, parrot = life.world, life.parrot
    token = '{mode = "token", token = "env:FORGE_TOKEN"}'
    app = '{mode = "app", app_id = "1", installation_id = "2", private_key = "env:APP_KEY"}'
    url = world.git.url("main")
    calm = life.settings("calm", url=url, gate=world.gate.url, auth=token)
    wild = life.settings("wild", url=url, gate=parrot.url, auth=token)

    parrot.answers = {"/api": [201, 422, 201, 422], "/services": [200, 400], "/oncall": [204, 422]}
    life.fairlead(calm, "once")
    life.hear()

    environment = (world.checkout.folder / "environments/prod/environment.yaml").read_text()
    world.merge(
        "Move to another Gate, and bump",
        {
            "environments/prod/environment.yaml": environment.replace(world.gate.url, parrot.url),
            f"environments/{FLEET}.yaml": "version: 1.4.1\n",
        },
    )
    for answer in ([400], [500], [401]):
        parrot.answers |= {"/": answer}
        life.fairlead(wild, "once")
    world.merge("Break the file", {f"environments/{FLEET}.yaml": "version: [1, 2]\n"})
    life.fairlead(wild, "once")

    for status in ([401], [403], [429]):  # each rests for a minute or more: the doctor asks all the same
        parrot.answers = {"/": status}
        life.fairlead(wild, "doctor")
    parrot.answers = {"/": [404]}
    life.fairlead(wild, "once")
    nowhere = life.settings("nowhere", url=f"{parrot.url}/acme/desired.git", gate=parrot.url, auth=app)
    for args in (("once",), ("doctor",), ("bump", "checkout", "1.4.2", "--env", "prod")):
        life.fairlead(nowhere, *args)
    ask_everything(life, wild)
    hooked_and_measured(life, wild, start, wait_until)
    lost = life.settings(
        "lost", url=url, gate=parrot.url, auth=token, ledger="postgresql://fairlead:CANARYpg@127.0.0.1:1/fairlead"
    )
    for args in (("status",), ("doctor",), ("once",), ("where", "checkout", "1.4.1")):
        life.fairlead(lost, *args)

    descriptions = [row[3] for row in life.heard]
    bodies = [
        body.decode() for path, body in parrot.bodies if path.startswith(("/api", "/services", "/oncall")) and body
    ]
    assert [] == [(what, life.found(text)) for what, text in life.out if life.found(text)]
    assert [] == [row for row in life.heard if life.found(" ".join(map(str, row)))]
    assert [] == [body for body in bodies if life.found(body)]
    assert [] == life.found(life.dump())
    assert [] == [text for text in descriptions if len(text) > 140 or not (text.isprintable() or not text)]
    assert [] == [body for body in bodies if len(json.loads(body).get("description", "")) > 140]
    assert_it_was_a_life(life, descriptions, bodies)


def ask_everything(life, config):
    for args in (("status",), ("status", FLEET), ("why", FLEET), ("history", FLEET), ("where", "checkout", "1.4.1")):
        life.fairlead(config, *args)
        life.fairlead(config, *args, "-o", "json")
    life.fairlead(config, "setup", "--print")


def hooked_and_measured(life, config, start, wait_until):
    """A controller with its server: webhooks with wrong signatures, metrics, and its own log."""
    controller = start(life.world, **(life.environment | {"FAIRLEAD_CONFIG": str(config)}))
    listening = wait_until(lambda: re.search(r'"address": "([^"]+)"', controller.said()), "the server listens", 60)
    base = f"http://{listening[1]}"
    for headers in ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, {"X-Hub-Signature-256": "CANARY"}, {}):
        request = urllib.request.Request(f"{base}/hooks/github", b'{"ref": "x"}', {"X-GitHub-Event": "push", **headers})
        life.out.append(("webhook", _read(request)))
    wait_until(lambda: controller.said().count('"event": "pass"') > 5, "some passes", 60)
    for path in ("/metrics", "/healthz", "/readyz", "/nothing"):
        life.out.append((path, _read(urllib.request.Request(f"{base}{path}"))))
    controller.terminate()
    life.out.append(("controller", controller.said()))


def _read(request):
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def assert_it_was_a_life(life, descriptions, bodies):
    """What was to go wrong did: else nothing was proved."""
    said = "\n".join(descriptions)
    log = "\n".join(text for _, text in life.out)
    shown = "\n".join(life.parrot.tokens)
    assert all(life.secrets[name] in shown for name in ("GIT_SECRET", "FORGE_TOKEN", "GATE_TOKEN"))
    assert "1.4.0 on 2/2 units" in said
    assert "InvalidSpec" in said or "must be" in said
    assert any('"context"' in body for body in bodies)
    assert any('"text"' in body for body in bodies), "Slack was told"
    assert any('"fairlead.' in body for body in bodies), "the webhook was told"
    assert "status refused" in log
    assert "Gate" in said
    assert "fairlead_forge_writes_total" in log
