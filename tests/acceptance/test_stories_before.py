"""A database migration before a version, and hooks around it, as people live them: real agents, real commands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLEET, HOSTS = "prod/matchmaker", 3
MIGRATE = """\
echo "$FAIRLEAD_VERSION $FAIRLEAD_HOST $$" >> {shared}/migrations
while test -e {shared}/hold; do sleep 0.05; done
test ! -e {shared}/fail || {{ echo the column is there already; exit 3; }}
"""
SERVICE = """\
owner: multiplayer
{policy}
packages:
  matchmaker: {{format: file, from: "s3://example-builds/matchmaker/{{version}}/matchmaker.jar", to: matchmaker.jar}}
config: {{to: matchmaker.yaml, format: yaml}}
deploy:
  type: trigger
  root: /srv/matchmaker
  select: {{tags: {{service: matchmaker, environment: "{{environment}}"}}}}
  run: {{unit: matchmaker.service, stop_within: 5s}}
  health: {{http: "http://localhost:8080/health", within: 2s}}
  silent_after: 20s
  max_unavailable: 50%
  waves: [{{hosts: 1}}, {{hosts: 100%}}]
  hooks:
    pre: {{command: "echo pre $FAIRLEAD_VERSION $FAIRLEAD_HOST >> {shared}/hooks", within: 20s}}
    post: {{command: "echo post $FAIRLEAD_VERSION $FAIRLEAD_HOST >> {shared}/hooks", within: 20s}}
  before: {{command: "sh {shared}/migrate", within: 60s, irreversible: {irreversible}}}
"""


class Scene:
    """The fleet, and the database that its hosts share: a folder."""

    def __init__(self, story: Any, shared: Path) -> None:
        self.story, self.world, self.shared = story, story.world, shared
        for name in ("hold", "fail"):
            (shared / name).unlink(missing_ok=True)

    @property
    def hosts(self) -> tuple[Any, ...]:
        return self.world.hosts(FLEET)

    def lines(self, name: str, version: str) -> list[list[str]]:
        path = self.shared / name
        found = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [words for words in found if version in words]

    def migrated(self, version: str) -> list[str]:
        """The hosts that ran the migration to the version, in order."""
        return [host for _, host, _ in self.lines("migrations", version)]

    def bump(self, version: str, behaviour: str = "healthy", **how: str) -> str:
        self.world.build("matchmaker", version, behaviour)
        text = service(self.shared, **how)
        changed = {"environments/prod/matchmaker.yaml": f"version: {version}\n", "services/matchmaker.yaml": text}
        commit = str(self.world.checkout.commit(f"Run {version}", changed))
        self.world.checkout.push()
        return commit

    def versions(self) -> list[str | None]:
        return [host.version() for host in self.hosts]

    def pids(self) -> list[int | None]:
        return [host.service_pid() for host in self.hosts]


def service(shared: Path, policy: str = "retries: 0", irreversible: str = "false") -> str:
    return SERVICE.format(shared=shared, policy=policy, irreversible=irreversible)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("database")
    (folder / "migrate").write_text(MIGRATE.format(shared=folder))
    return folder


@pytest.fixture(scope="module")
def story(begin_story: Any, shared: Path) -> Iterator[Any]:
    files = {
        "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
        "environments/prod/environment.yaml": (
            'account: "123456789012"\nregions: [us-east-1]\ntrigger: {bucket: example-fairlead-prod}\n'
        ),
        "environments/prod/matchmaker.yaml": "version: 2.3.1\n",
        "services/matchmaker.config.yaml": "greeting: hello\n",
        "services/matchmaker.yaml": service(shared),
    }
    found = begin_story(files, hosts={FLEET: HOSTS})
    found.start()
    found.wait_said(found.world.checkout.head, FLEET, "success")
    yield found
    for host in found.world.hosts():
        print(f"── {host.id}\n{host.log()[-4000:]}")


@pytest.fixture
def scene(story: Any, shared: Path) -> Scene:
    """A fleet at rest, wherever the test before left it."""
    story.wait(lambda: not (story.record(FLEET).work or story.record(FLEET).memory.rollout), "a fleet at rest")
    return Scene(story, shared)


def test_a_migration_runs_once_on_one_host_and_then_the_waves_go_with_their_hooks(scene: Scene) -> None:
    assert [] == scene.migrated("2.3.1")  # what was there before needs none

    commit = scene.bump("3.0.0")

    scene.story.wait_said(commit, FLEET, "success", "3.0.0 on 3/3 units")
    assert ["3.0.0"] * HOSTS == scene.versions()
    (one,) = scene.migrated("3.0.0")
    everyone = sorted(host.id for host in scene.hosts)
    assert one in everyone
    for hook in ("pre", "post"):
        assert everyone == sorted(host for what, _, host in scene.lines("hooks", "3.0.0") if what == hook)


def test_a_failing_migration_stops_the_first_wave_and_nothing_was_restarted(scene: Scene) -> None:
    (scene.shared / "fail").touch()
    versions, pids = scene.versions(), scene.pids()

    commit = scene.bump("3.1.0")

    line = scene.story.wait_said(commit, FLEET, "failure", "its before step ended with 3")
    assert line.description.startswith("3.1.0 failed: before step on i-")
    assert 1 == len(scene.migrated("3.1.0"))
    assert (versions, pids, []) == (scene.versions(), scene.pids(), scene.lines("hooks", "3.1.0"))


def test_an_agent_killed_in_a_migration_says_that_nobody_knows_and_another_host_takes_the_next_attempt(
    scene: Scene,
) -> None:
    (scene.shared / "hold").touch()
    commit = scene.bump("3.2.0", policy="retries: 1")
    ((_, name, pid),) = scene.story.wait(lambda: scene.lines("migrations", "3.2.0"), "the migration begun")
    host = next(each for each in scene.hosts if each.id == name)
    scene.story.wait_said(commit, FLEET, "pending", f"before step on {name}: running")
    assert "before step on" in str(scene.story.fairlead("why", FLEET))

    host.kill_agent()
    assert Path(f"/proc/{pid}").exists()
    host.start_agent()

    scene.story.wait(lambda: not _runs(pid), "the end of what the killed agent left running")
    (scene.shared / "hold").unlink()
    scene.story.wait_said(commit, FLEET, "success", "3.2.0 on 3/3 units")
    assert "interrupted; whether it finished is not known" in host.log()
    first, second = scene.migrated("3.2.0")
    assert first != second


def test_after_a_migration_that_cannot_be_undone_a_bad_version_stays_until_a_person_reverts_it(scene: Scene) -> None:
    scene.story.wait(lambda: all(host.healthy() for host in scene.hosts), "a healthy fleet")
    before = scene.versions()

    bad = scene.bump("3.3.0", "unhealthy", irreversible="true")

    line = scene.story.wait_said(bad, FLEET, "failure", "3.3.0 failed")
    assert line.description.endswith("stays where it stands (BeforeIrreversible: the before step of 3.3.0 stays)")
    scene.story.wait_reason(FLEET, "BeforeIrreversible")
    revert = scene.world.revert(bad)
    scene.story.wait_said(revert, FLEET, "success")
    assert before == scene.versions()
    assert 1 == len(scene.migrated("3.3.0"))


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
