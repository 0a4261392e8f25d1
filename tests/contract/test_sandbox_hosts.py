"""Hosts of a world: instances with a folder, services that really run, builds that behave as told, and no survivors."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from adapters.agent_protocol.orders import assignment_of
from adapters.agent_protocol.reading import Trust, read_order
from adapters.agent_protocol.signing import signing_key
from adapters.clock import SystemClock
from desired_state.trees import FolderTree
from fairlead import wiring
from fairlead_sandbox import hosts as hosts_module
from fairlead_sandbox import processes
from fairlead_sandbox.builds import Behaviour
from fairlead_sandbox.first_deploy import first_orders
from fairlead_sandbox.hosts import Host
from fairlead_sandbox.surroundings import inherited
from fairlead_sandbox.world import EXAMPLE_HOSTS, World, WorldSettings

MATCHMAKER = "prod/matchmaker"
LOBBY = "prod/lobby"
BOTH = f"{MATCHMAKER}+{LOBBY}"
SLEEPER = (
    sys.executable,
    "-c",
    "import time; time.sleep(600)",
    "--config",
)  # stands for an agent where any process does


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """`make_world(hosts)`: a world of fresh hosts whose agents are not started."""
    made: list[World] = []

    def make(hosts: dict[str, int], **settings: Any) -> World:
        folder = tmp_path / f"world-{len(made)}"
        world = World(folder, WorldSettings(hosts=hosts, deployed=False, agents=False, **settings))
        made.append(world)
        return world.__enter__()

    yield make
    for world in made:
        world.stop()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world({BOTH: 2})


@pytest.fixture
def host(world: World) -> Host:
    return world.hosts()[0]


def eventually(condition: Callable[[], Any], within: float = 20.0) -> Any:
    until = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < until, "not in time"
        time.sleep(0.01)
    return found


def install(world: World, host: Host, version: str, fleet: str = MATCHMAKER) -> None:
    """Put a build where an agent would put it, by hand."""
    known = world.trigger.fleets[fleet]
    release = host.root(fleet) / "releases" / version
    release.mkdir(parents=True)
    for artifact in known.artifacts:
        key = artifact.source.replace("{version}", version).removeprefix("s3://example-builds/")
        content = world.aws.client("s3").get_object(Bucket="example-builds", Key=key)["Body"].read()
        if artifact.format == "file":
            (release / artifact.to).write_bytes(content)
        else:
            with tarfile.open(fileobj=BytesIO(content)) as archive:
                archive.extractall(release / artifact.to, filter="data")
    (release / str(known.config)).write_text(
        '{"greeting": "Hi"}' if fleet == LOBBY else 'greeting: "Hi"\nqueue:\n  - 1\n'
    )
    current = host.root(fleet) / "current"
    current.unlink(missing_ok=True)
    current.symlink_to(f"releases/{version}")


def run(world: World, host: Host, version: str, behaviour: Behaviour, after: float = 0.0) -> None:
    world.build("matchmaker", version, behaviour, after)
    install(world, host, version)
    assert host.systemctl("restart", "matchmaker.service").returncode == 0


# -- what a world is made of ---------------------------------------------------------------------------------


def test_a_world_without_hosts_has_spinnakers_half_alone(tmp_path: Path) -> None:
    with World(tmp_path, WorldSettings()) as world:
        paths = world.checkout.git("ls-files")

        assert ("matchmaker" in paths, "lobby" in paths, world.hosts()) == (False, False, ())
        assert "trigger" not in (world.checkout.folder / "environments/prod/environment.yaml").read_text()
        assert "signing" not in tomllib.loads(world.config.read_text())
        assert not (world.folder / "hosts").exists()
        with pytest.raises(RuntimeError, match="has no hosts"):
            world.build("matchmaker", "9")


def test_only_the_fleets_that_have_hosts_are_in_the_repository(make_world: Callable[..., World]) -> None:
    world = make_world({"staging/lobby": 0})

    paths = world.checkout.git("ls-files").split()
    assert {"environments/staging/lobby.yaml", "services/lobby.yaml", "services/lobby.config.yaml"} <= set(paths)
    assert not [path for path in paths if "matchmaker" in path or path == "environments/prod/lobby.yaml"]
    assert () == world.hosts("staging/lobby")


def test_the_example_with_all_hosts_has_no_problem(make_world: Callable[..., World]) -> None:
    world = make_world(EXAMPLE_HOSTS)

    desired = wiring.parser().parse(FolderTree(world.checkout.folder))
    assert ((), 12) == (desired.problems, len(desired.fleets))
    assert (8, 2, 1, 9) == (
        len(world.hosts(MATCHMAKER)),
        len(world.hosts(LOBBY)),
        len(world.hosts("staging/lobby")),
        len(world.hosts()),
    )


def test_a_host_is_an_instance_with_the_tags_that_its_fleets_select_by(world: World) -> None:
    assert {"us-east-1", "eu-west-1"} == {host.region for host in world.hosts()}
    for host in world.hosts():
        described = world.aws.client("ec2", host.region).describe_instances(
            Filters=[
                {"Name": "tag:service", "Values": ["matchmaker"]},
                {"Name": "tag:lobby", "Values": ["yes"]},
                {"Name": "tag:environment", "Values": ["prod"]},
            ]
        )["Reservations"]
        assert [host.id] == [each["InstanceId"] for group in described for each in group["Instances"]]


def test_an_agent_is_told_its_settings(world: World, host: Host) -> None:
    said = yaml.safe_load(host.config.read_text())

    assert {MATCHMAKER: {}, LOBBY: {}} == said["fleets"]
    assert ("example-fairlead-prod", "2s", "1s") == (said["bucket"], said["poll"], said["heartbeat"])
    assert {"sandbox": world.trigger.key.public} == said["keys"]
    assert {8080: host.port(MATCHMAKER), 8090: host.port(LOBBY)} == said["rehearsal"]["ports"]
    assert host.port(MATCHMAKER) != host.port(LOBBY)
    assert "host" not in said  # it asks the metadata service


def test_the_controller_signs_with_the_key_that_agents_know(world: World) -> None:
    signing = tomllib.loads(world.config.read_text())["signing"]

    text = Path(signing["key"].removeprefix("file:")).read_text()
    assert world.trigger.key.public == signing_key(signing["key_id"], text).public
    assert 0o600 == Path(signing["key"].removeprefix("file:")).stat().st_mode & 0o777


def test_every_host_hears_its_fleets_topics_and_its_environment_has_a_reports_queue(world: World) -> None:
    for host in world.hosts():
        sqs, sns = world.aws.client("sqs", host.region), world.aws.client("sns", host.region)
        for topic in ("fairlead-prod_matchmaker", "fairlead-prod_lobby"):
            sns.publish(TopicArn=f"arn:aws:sns:{host.region}:123456789012:{topic}", Message=topic)
        url = sqs.get_queue_url(QueueName=f"fairlead-agent-{host.id}")["QueueUrl"]
        heard = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        assert {"fairlead-prod_matchmaker", "fairlead-prod_lobby"} == {each["Body"] for each in heard}
        assert sqs.get_queue_url(QueueName="fairlead-reports-prod")["QueueUrl"]


def test_hosts_of_a_fleet_that_drains_are_behind_its_target_group(world: World) -> None:
    for host in world.hosts():
        group = world.trigger.target_group(MATCHMAKER, host.region)
        told = world.aws.client("elbv2", host.region).describe_target_health(TargetGroupArn=group)
        assert [host.id] == [each["Target"]["Id"] for each in told["TargetHealthDescriptions"]]
        with pytest.raises(KeyError):
            world.trigger.target_group(LOBBY, host.region)


def test_the_first_orders_are_what_the_controller_would_write(world: World, host: Host) -> None:
    tree = FolderTree(world.checkout.folder)
    files = {path: (world.checkout.folder / path).read_text() for path in world.checkout.git("ls-files").split()}
    builds = {MATCHMAKER: world.build("matchmaker", "2.3.1"), LOBBY: world.build("lobby", "1.0.0")}
    now = SystemClock().now()

    orders = first_orders(files, world.checkout.head, builds, world.trigger.key, now)

    keys = {world.trigger.key.key_id: world.trigger.key.public}
    fleets = wiring.parser().parse(tree).fleets
    for name, body in orders.items():
        order = read_order(body, Trust(fleet=name, keys=keys), now)
        given = assignment_of(order, host.id)
        assert given is not None
        assert (fleets[name].target_digest, 1) == (given.release.digest, given.attempt)
        assert dict(fleets[name].components) == dict(given.release.components)
        assert world.checkout.head == given.release.commit
    with pytest.raises(ValueError, match="prod/nobody cannot be deployed"):
        first_orders(files, world.checkout.head, {"prod/nobody": builds[LOBBY]}, world.trigger.key, now)


# -- builds --------------------------------------------------------------------------------------------------


def test_a_build_is_the_same_each_time_and_its_checksum_is_told(world: World) -> None:
    one, same, other = (world.build("matchmaker", version) for version in ("2.4.0", "2.4.0", "2.4.1"))

    assert one == same
    assert one.sha256 != other.sha256
    address = "s3://example-builds/matchmaker/2.4.0/matchmaker.jar"
    assert {"matchmaker": address} == one.addresses


def test_a_build_of_nothing_known_says_what_there_is(world: World) -> None:
    with pytest.raises(LookupError, match=r"no trigger fleet is of the service nobody; there is: lobby, matchmaker"):
        world.build("nobody", "1")


@pytest.mark.parametrize(("fleet", "version"), [(MATCHMAKER, "2.3.1"), (LOBBY, "1.0.0")])
def test_a_service_says_its_version_and_what_its_config_holds(
    world: World, host: Host, fleet: str, version: str
) -> None:
    install(world, host, version, fleet)
    unit = world.trigger.fleets[fleet].unit

    assert host.systemctl("start", unit).returncode == 0

    answer = eventually(lambda: host.service(fleet))
    assert (version, "Hi", 200) == (answer["version"], answer["greeting"], answer["status"])
    assert (version, True, True) == (host.version(fleet), host.healthy(fleet), host.service_running(fleet))
    assert (version, (version,)) == (host.current(fleet), host.releases(fleet))
    assert host.service_pid(fleet) == answer["pid"]


def test_a_build_is_unhealthy(world: World, host: Host) -> None:
    run(world, host, "3.0.0", Behaviour.UNHEALTHY)

    assert (503, "3.0.0") == (eventually(host.service)["status"], host.version())


def test_a_build_never_starts(world: World, host: Host) -> None:
    run(world, host, "3.0.0", Behaviour.NEVER_STARTS)

    eventually(lambda: not host.service_running())
    assert "cannot start" in eventually(host.service_log)
    assert (None, None) == (host.service(), host.version())


def test_a_build_gets_healthy_late(world: World, host: Host) -> None:
    run(world, host, "3.0.0", Behaviour.SLOW, after=0.8)

    assert 503 == eventually(host.service)["status"]
    eventually(host.healthy)


def test_a_build_gets_sick(world: World, host: Host) -> None:
    run(world, host, "3.0.0", Behaviour.SICKENS, after=1.5)

    eventually(host.healthy)
    eventually(lambda: not host.healthy())
    assert host.service_running()


def test_a_build_dies_unasked(world: World, host: Host) -> None:
    run(world, host, "3.0.0", Behaviour.DIES, after=0.1)

    eventually(lambda: not host.service_running())


def test_a_deaf_build_is_killed_when_its_time_to_stop_is_over(world: World, host: Host) -> None:
    unit = host.folder / "units" / "matchmaker.service"
    unit.write_text(unit.read_text().replace("TimeoutStopSec=5", "TimeoutStopSec=0.5"))
    run(world, host, "3.0.0", Behaviour.STUBBORN)
    eventually(host.healthy)
    began = time.monotonic()

    assert host.systemctl("stop", "matchmaker.service").returncode == 0

    assert (False, True) == (host.service_running(), time.monotonic() - began >= 0.5)


def test_a_service_is_made_sick_by_hand(world: World, host: Host) -> None:
    run(world, host, "2.4.0", Behaviour.HEALTHY)
    eventually(host.healthy)

    host.make_sick()
    assert (False, "2.4.0") == (host.healthy(), host.version())

    host.make_well()
    assert host.healthy()


def test_another_release_is_switched_on_by_hand(world: World, host: Host) -> None:
    with pytest.raises(LookupError, match=f"{host.id} keeps no other release; deploy another version first"):
        host.switch_by_hand()
    run(world, host, "2.4.0", Behaviour.HEALTHY)
    run(world, host, "2.5.0", Behaviour.HEALTHY)
    eventually(lambda: host.version() == "2.5.0")

    assert "2.4.0" == host.switch_by_hand() == host.current()
    eventually(lambda: host.version() == "2.4.0")

    done = requests.post(f"{world.gate.url}/sandbox/switch-by-hand", json={"host": host.id}, timeout=10)
    assert {"done": "2.5.0"} == done.json()
    eventually(lambda: host.version() == "2.5.0")


# -- systemctl -----------------------------------------------------------------------------------------------


def test_systemctl_answers_as_the_real_one(world: World, host: Host) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        done = host.systemctl(*arguments)
        return done.returncode, done.stdout.strip()

    install(world, host, "2.3.1")
    assert (3, "inactive") == said("is-active", "matchmaker.service")
    assert (0, "") == said("start", "matchmaker.service")
    assert (0, "") == said("daemon-reload")
    assert [(0, "active"), (0, "")] == [said("is-active", "matchmaker"), said("is-active", "--quiet", "matchmaker")]
    assert (0, f"MainPID={host.service_pid()}") == said("show", "-p", "MainPID", "matchmaker.service")
    assert (0, "active") == said("show", "--property=ActiveState", "--value", "matchmaker.service")
    assert (0, "") == said("stop", "matchmaker.service")
    assert (0, "") == said("stop", "matchmaker.service")
    assert [(4, "inactive"), (5, ""), (1, "")] == [said("is-active", "x"), said("start", "x"), said("dance", "x")]


def test_a_restart_replaces_the_process(world: World, host: Host) -> None:
    install(world, host, "2.3.1")
    host.systemctl("start", "matchmaker.service")
    first = host.service_pid()
    host.systemctl("start", "matchmaker.service")
    assert first == host.service_pid()

    host.systemctl("restart", "matchmaker.service")

    assert first is not None
    assert (True, "") == (host.service_pid() not in {None, first}, processes.began(first))


def test_a_killed_service_is_seen_dead(world: World, host: Host) -> None:
    install(world, host, "2.3.1")
    host.systemctl("start", "matchmaker.service")

    host.kill_service()

    assert (False, None, 3) == (
        host.service_running(),
        host.service(),
        host.systemctl("is-active", "matchmaker").returncode,
    )


# -- agents as processes -------------------------------------------------------------------------------------


def test_an_agent_is_started_stopped_and_killed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts_module, "AGENT", SLEEPER)

    pid = host.start_agent()
    assert (pid, True) == (host.agent_pid, host.agent_running)
    with pytest.raises(RuntimeError, match="runs already"):
        host.start_agent()
    assert (-signal.SIGKILL, False) == (host.kill_agent(), host.agent_running)

    assert pid != host.start_agent()
    assert -signal.SIGTERM == host.stop_agent()


def test_a_service_outlives_the_agent_that_started_it(
    world: World, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = "import subprocess, time; subprocess.run(['systemctl', 'start', 'matchmaker.service']); time.sleep(600)"
    monkeypatch.setattr(hosts_module, "AGENT", (sys.executable, "-c", starting))
    install(world, host, "2.3.1")
    host.start_agent(PATH=f"{host.folder / 'bin'}:{os.environ['PATH']}")
    eventually(host.healthy)

    host.kill_agent()

    assert host.healthy()


# -- members come and go -------------------------------------------------------------------------------------


def test_a_host_joins_and_another_is_terminated(world: World) -> None:
    gone = world.hosts()[0]

    joined = world.add_host(MATCHMAKER, region="us-east-1", agent=False)
    world.terminate(gone)

    assert {joined.id} == {host.id for host in world.hosts()} - {world.hosts(LOBBY)[0].id}
    states = {
        each["InstanceId"]: each["State"]["Name"]
        for region in ("us-east-1", "eu-west-1")
        for group in world.aws.client("ec2", region).describe_instances()["Reservations"]
        for each in group["Instances"]
        if each["InstanceId"] in {gone.id, joined.id}
    }
    assert {gone.id: "terminated", joined.id: "running"} == states
    with pytest.raises(LookupError, match="is no host here"):
        world.host(gone.id)


# -- by HTTP -------------------------------------------------------------------------------------------------


def test_people_build_and_make_hosts_sick_by_http(world: World, host: Host) -> None:
    def do(deed: str, **body: Any) -> requests.Response:
        return requests.post(f"{world.gate.url}/sandbox/{deed}", json=body, timeout=10)

    built = do("build", service="matchmaker", version="2.4.0", behaviour="unhealthy")
    assert {"matchmaker": "s3://example-builds/matchmaker/2.4.0/matchmaker.jar"} == built.json()["done"]
    run_by_hand(world, host)
    assert 200 == do("make-sick", host=host.id).status_code
    assert not host.healthy()
    assert 200 == do("make-well", host=host.id).status_code
    assert host.healthy()
    wrong = do("build", service="matchmaker", version="2.4.0", behaviour="odd")
    assert (400, "'odd' is not a valid Behaviour") == (wrong.status_code, wrong.json()["message"])
    assert 400 == do("make-sick", host="i-nobody").status_code


def run_by_hand(world: World, host: Host) -> None:
    install(world, host, "2.3.1")
    host.systemctl("start", "matchmaker.service")
    eventually(host.healthy)


# -- the end -------------------------------------------------------------------------------------------------


def test_leaving_a_world_ends_all_of_its_processes(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts_module, "AGENT", SLEEPER)
    world = make_world({MATCHMAKER: 2})
    for host in world.hosts():
        run(world, host, "3.0.0", Behaviour.STUBBORN)
        host.start_agent()
    pids = [pid for host in world.hosts() for pid in (host.agent_pid, host.service_pid())]
    known = world.hosts()

    world.stop()

    assert None not in pids
    assert ["", "", "", ""] == [processes.began(pid) for pid in pids if pid is not None]
    assert {1} == {host.systemctl("start", "matchmaker.service").returncode for host in known}


KILLED = """
import json, sys, time
from pathlib import Path
from fairlead_sandbox import hosts
from fairlead_sandbox.world import World, WorldSettings

hosts.AGENT = (sys.executable, "-c", "import time; time.sleep(600)")
with World(Path(sys.argv[1]), WorldSettings(hosts={"prod/matchmaker": 1}, deployed=False)) as world:
    host = world.hosts()[0]
    (host.root() / "current").mkdir(parents=True)
    key = "matchmaker/2.3.1/matchmaker.jar"
    body = world.aws.client("s3").get_object(Bucket="example-builds", Key=key)["Body"].read()
    host.file("matchmaker.jar").write_bytes(body)
    host.file("matchmaker.yaml").write_text("greeting: Hi")
    host.systemctl("start", "matchmaker.service")
    print(json.dumps([host.agent_pid, host.service_pid()]), flush=True)
    time.sleep(600)
"""


def test_a_killed_world_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "world")]
    with subprocess.Popen(command, env=inherited(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())
        assert all(processes.began(pid) for pid in pids)

        process.kill()

    eventually(lambda: not any(processes.began(pid) for pid in pids))
