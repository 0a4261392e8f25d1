"""A pull request from its plan to its end, told wherever somebody looks: a real controller that nothing but the forge's
own webhooks wakes, and a forge of each dialect over HTTP.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest
import requests

from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.world import World

FLEET, CONTEXT = "prod/checkout", "fairlead/prod/checkout"
HOME = "acme/checkout"  # where the service's own code is
SECRET = "It's a Secret to Everybody"
FINAL = frozenset({"success", "failure", "error", "failed", "canceled", "inactive", "skipped"})
LONG = 90.0  # seconds, on a busy machine


# ── who takes part ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Slack:
    """An incoming webhook: what was posted to it."""

    texts: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def slack() -> Iterator[Slack]:
    played = Slack()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            played.texts.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    played.url = f"http://127.0.0.1:{server.server_port}/services/T0/B0/x"
    yield played
    server.shutdown()
    server.server_close()


class Person:
    """Ada, as she works at a forge of any dialect: over its API, and with git."""

    def __init__(self, world: World) -> None:
        self._world, self._vendor = world, world.forge.vendor.name
        place = world.repository.replace("/", "%2F") if self._vendor == "gitlab" else world.repository
        room = "projects" if self._vendor == "gitlab" else "repos"
        self._url = f"{world.forge.addresses.api}/{room}/{place}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {world.forge_half.token}"

    def push(self, branch: str, version: str) -> str:
        """Another version on a branch, which may be there; gives its head."""
        checkout: Checkout = self._world.checkout
        if branch not in checkout.git("branch", "--list", branch):
            checkout.pull()
            checkout.git("branch", "--quiet", branch)
        checkout.git("checkout", "--quiet", branch)
        head = checkout.commit(f"Bump to {version}", {f"environments/{FLEET}.yaml": f"version: {version}\n"})
        checkout.git("push", "--quiet", "origin", branch)
        checkout.git("checkout", "--quiet", "main")
        return head

    def open(self, branch: str) -> int:
        """A pull request; gives its number."""
        if self._vendor == "gitlab":
            body = {"source_branch": branch, "target_branch": "main", "title": branch}
            return int(self._ask("POST", "/merge_requests", body)["iid"])
        return int(self._ask("POST", "/pulls", {"head": branch, "base": "main", "title": branch})["number"])

    def merge(self, number: int, *, squash: bool = False) -> str:
        """Merge it; gives the commit that the branch is at then."""
        method = "squash" if squash else "merge"
        if self._vendor == "gitlab":
            self._ask("PUT", f"/merge_requests/{number}/merge", {"squash": squash})
        elif self._vendor == "github":
            self._ask("PUT", f"/pulls/{number}/merge", {"merge_method": method})
        else:
            self._ask("POST", f"/pulls/{number}/merge", {"Do": method})
        return self._world.checkout.pull()

    def add_webhook(self, address: str) -> None:
        url = f"http://{address}/hooks/{self._vendor}"
        if self._vendor == "gitlab":
            wanted = {"push_events": True, "merge_requests_events": True}
            self._ask("POST", "/hooks", {"url": url, "token": SECRET, **wanted})
            return
        config = {"url": url, "content_type": "json", "secret": SECRET}
        body = {"active": True, "events": ["push", "pull_request"], "config": config}
        self._ask("POST", "/hooks", {"type": "gitea", **body} if self._vendor == "gitea" else {"name": "web", **body})

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = self._session.request(method, self._url + path, json=body, timeout=30)
        assert answer.ok, f"{answer.status_code} to {method} {path}: {answer.text}"
        return answer.json() if answer.content else None


class Stage:
    """The world with its controller, and all that the forge shows."""

    controller: Any

    def __init__(self, world: World, slack: Slack, wait: Callable[..., Any]) -> None:
        self.world, self.slack, self.wait = world, slack, wait
        self.ada = Person(world)
        self.hosted = world.forge.repository(world.repository)

    def shown(self, commit: str, repository: str = "") -> dict[str, tuple[str, str]]:
        """What stands on a commit: state and description by context."""
        hosted = self.world.forge.repository(repository) if repository else self.hosted
        if self.world.forge.vendor.name == "gitlab":
            return {each.name: (each.status, each.description or "") for each in hosted.extra.of_commit(commit)}
        return {each.context: (each.state, each.description) for each in hosted.statuses.newest(commit)}

    def wait_shown(self, commit: str, states: str, text: str = "", context: str = CONTEXT, repository: str = "") -> str:
        """Wait for one of the states and a text; gives the description."""

        def found() -> str | None:
            state, said = self.shown(commit, repository).get(context, ("", ""))
            return said if state in states.split("|") and re.search(text, said) else None

        try:
            return str(self.wait(found, "", LONG))
        except TimeoutError:
            pytest.fail(f"no {states} {text!r} in {context} on {commit[:7]}, but {self.shown(commit, repository)}")

    def pending(self) -> list[tuple[str, str, str]]:
        """Whatever waits for an end anywhere at the forge."""
        found = []
        for name in (self.world.repository, HOME):
            hosted = self.world.forge.repository(name)
            commits = hosted.bare.git("rev-list", "--all").split()
            found += [
                (commit, context, state)
                for commit in commits
                for context, (state, _) in self.shown(commit, name).items()
                if state not in FINAL
            ]
            found += [(each.sha, each.environment, each.state) for each in hosted.deployments.all()]
        return [each for each in found if each[2] not in FINAL]

    def deployment(self, commit: str) -> list[str]:
        """The states of the deployments of a commit."""
        return [each.state for each in self.hosted.deployments.all() if each.sha == commit]


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    make_world: Callable[..., World],
    one_fleet: Mapping[str, str],
    start: Callable[..., Any],
    wait_until: Callable[..., Any],
    slack: Slack,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """A world of that dialect in which nothing is polled in the test's time, with everything on that it offers."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("SLACK_URL", slack.url)
    files = dict(one_fleet)
    files["fairlead.yaml"] += "defaults: {retries: 0}\n"
    files["services/checkout.yaml"] += f'source: {{repository: {HOME}, tag: "v{{version}}"}}\n'
    pace = {"poll_interval": "1h", "sweep_interval": "1h", "listen": "127.0.0.1:0"}
    world = make_world(files, forge="token", dialect=request.param, **pace)
    kind = f'type = "{request.param}"\n'
    further = {"gitea": ""}.get(request.param, "deployments = true\n")
    settings = world.config.read_text().replace(
        kind, f'{kind}webhook_secrets = ["env:HOOK_SECRET"]\nsources = ["acme/*"]\n{further}'
    )
    channel = '[[notify]]\nname = "payments"\nurl = "env:SLACK_URL"\nowners = ["payments"]\n'
    world.config.write_text(f"{settings}\n{channel}")
    tag(world)
    stage = Stage(world, slack, wait_until)
    controller = stage.controller = start(world)
    listening = wait_until(lambda: re.search(r'"address": "([^"]+)"', controller.said()), "the server listens", LONG)
    stage.ada.add_webhook(listening[1])
    stage.wait_shown(world.checkout.head, "success")
    return stage


def tag(world: World) -> None:
    """The service's own repository, with a tag for each version."""
    world.forge.create(HOME)
    code = Checkout(world.folder / "code", world.git.url(HOME))
    for version in ("1.4.0", "1.4.1", "1.4.2", "1.5.0"):
        code.commit(f"Make {version}")
        code.git("tag", "--annotate", "--message", version, f"v{version}")
    code.git("push", "--quiet", "origin", "HEAD:refs/heads/main", "--tags")


def tagged(stage: Stage, version: str) -> str:
    return stage.world.forge.repository(HOME).bare.git("rev-parse", f"v{version}^{{commit}}").strip()


# ── the story ────────────────────────────────────────────────────────────────────────────────────────────────────


OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in ("gitlab", "gitea")]


@pytest.mark.parametrize("stage", ["github", *OTHERS], indirect=True)
def test_a_pull_request_is_told_from_its_plan_to_its_revert_wherever_somebody_looks(stage: Stage) -> None:
    good, head = planned_and_planned_again(stage)
    bad, bad_head = failed_and_rolled_back(stage)
    revert = stage.world.revert(bad)

    stage.wait_shown(revert, "success", rf"rolled back to 1\.4\.2 \(reverts {bad[:7]}\)")
    for commit in (bad, bad_head):
        stage.wait_shown(commit, "failure|failed", rf"\(reverted by {revert[:7]}\)")
    stage.wait(lambda: stage.pending() == [], "an end of everything", LONG)
    for commit in (good, head):
        assert "success" == stage.shown(commit)[CONTEXT][0]
    assert longest_said(stage) <= 140
    assert [] == said_twice(stage)
    log = stage.world.forge.log
    assert ([], [], []) == (log.unknown(), log.misfits(), log.undeclared())
    assert " refused" not in stage.controller.said()


def planned_and_planned_again(stage: Stage) -> tuple[str, str]:
    """A pull request gets a plan, with its second push another, and is squashed. Gives its commit and its head."""
    first = stage.ada.push("bump", "1.4.1")
    number = stage.ada.open("bump")
    stage.wait_shown(first, "success", r"1\.4\.0.*1\.4\.1", context="fairlead/plan")
    comment = stage.wait(lambda: stage.hosted.comments.of(number), "a comment")
    assert ["`1.4.0` → `1.4.1`"] == [m for each in comment for m in re.findall(r"`1\S+` → `1\S+`", each.body)]

    head = stage.ada.push("bump", "1.4.2")
    stage.wait_shown(head, "success", r"1\.4\.0.*1\.4\.2", context="fairlead/plan")
    stage.wait(lambda: "1.4.2" in stage.hosted.comments.of(number)[0].body, "the comment says the new version")
    (changed,) = stage.hosted.comments.of(number)
    assert (comment[0].id, True, "fairlead") == (changed.id, changed.edits > 0, changed.login)

    merged = stage.ada.merge(number, squash=True)
    for commit in (merged, head, tagged(stage, "1.4.2")):
        home = HOME if commit == tagged(stage, "1.4.2") else ""
        stage.wait_shown(commit, "success", r"1\.4\.2 on 2/2 units", repository=home)
    for commit in (merged, head):
        stage.wait_shown(commit, "success", context="fairlead/prod")
    if stage.world.forge.vendor.name != "gitea":
        stage.wait(lambda: stage.deployment(merged) == ["success"], "a record of the deployment")
    return merged, head


def failed_and_rolled_back(stage: Stage) -> tuple[str, str]:
    """A version that gets ill is merged. Gives the merge commit and the head that it merged."""
    stage.world.gate.faults.on("unhealthy_version", version="1.5.0")
    head = stage.ada.push("worse", "1.5.0")
    number = stage.ada.open("worse")
    bad = stage.ada.merge(number)
    for commit in (bad, head, tagged(stage, "1.5.0")):
        home = HOME if commit == tagged(stage, "1.5.0") else ""
        stage.wait_shown(commit, "failure|failed", r"1\.5\.0 failed: .*; rolled back to 1\.4\.2", repository=home)
    for commit in (bad, head):
        stage.wait_shown(commit, "failure|failed", context="fairlead/prod")
    if stage.world.forge.vendor.name != "gitea":
        stage.wait(lambda: stage.deployment(bad) == [failure(stage)], "a record of the failure")
    stage.wait(lambda: any("rolled back to 1.4.2" in text for text in stage.slack.texts), "people are told", LONG)
    told = [text for text in stage.slack.texts if "1.5.0" in text]
    assert len(set(told)) == len(told) <= 2, "it failed, and it is back: once each"
    return bad, head


def failure(stage: Stage) -> str:
    return "failed" if stage.world.forge.vendor.name == "gitlab" else "failure"


def longest_said(stage: Stage) -> int:
    bodies = [entry.body for entry in stage.world.forge.log.all()]
    said = [str(body["description"]) for body in bodies if body.get("description")]
    assert said
    return max(map(len, said))


def said_twice(stage: Stage) -> list[tuple[str, str]]:
    """Places at which the same word was written twice in a row."""
    said: dict[tuple[str, str], list[Any]] = {}
    for entry in stage.world.forge.log.successes():
        place = entry.path, str(entry.body.get("context") or entry.body.get("name") or "")
        if entry.login == "fairlead":
            said.setdefault(place, []).append(entry.body)
    return [place for place, bodies in said.items() if any(one == other for one, other in pairwise(bodies))]
