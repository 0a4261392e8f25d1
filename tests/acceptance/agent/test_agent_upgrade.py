"""The agent upgrades itself by an order, and falls back where the new one is not heard: real launchers and zipapps."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.agent_protocol.addresses import order_key
from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.orders import LIFETIME, Artifact, Health, Lifecycle, Order, Release, Run
from adapters.clock import SystemClock
from fairlead_agent.itself import PROGRAM, UNIT
from fairlead_sandbox.builds import make_bucket
from tests.acceptance.agent.launched import SELF, Packages, Unit

OWN = "prod/fairlead-agent"
WITHIN = 120.0  # seconds to be heard, of agents that will be: a busy machine unpacks slowly
PATIENCE = 180.0


class Upgrades:
    """One host whose agent is the package's 1.0.0, and the hand that writes orders for it."""

    def __init__(self, bench: Any, packages: Packages, cache: Path) -> None:
        self.bench, self.host, self.packages = bench, bench.host, packages
        bench.host.stop_agent()
        settings = yaml.safe_load(bench.host.config.read_text())
        settings["fleets"][OWN] = {}
        bench.host.config.write_text(yaml.safe_dump(settings))
        bench.world.aws.client("s3").delete_object(Bucket=bench.bucket, Key=order_key(OWN))  # of the test before
        self.log = bench.host.folder / "agent.log"
        environment = {**bench.host.environment, "CACHE_DIRECTORY": str(cache)}
        self.unit = Unit(bench.host.folder, packages.agent("1.0.0"), bench.host.config, environment, self.log)
        self.sequence = 0

    def order(self, version: str, pyz: bytes, within: float = WITHIN, attempt: int = 1) -> Release:
        """Upload a file as a version of the agent, and write the order that asks for it."""
        aws, key = self.bench.world.aws, f"fairlead-agent-{version}.pyz"
        make_bucket(aws, "example-builds")
        aws.client("s3").put_object(Bucket="example-builds", Key=key, Body=pyz)
        pin = hashlib.sha256(pyz).hexdigest()
        components = {"package/fairlead-agent": version, "sha256/fairlead-agent": pin}
        source = f"s3://example-builds/{key}"
        artifact = Artifact(
            name="fairlead-agent", version=version, format="file", source=source, to=PROGRAM, sha256=pin
        )
        lifecycle = Lifecycle(root=SELF, run=Run(unit=UNIT), health=Health(command="true", within=within))
        release = Release(
            digest=hashlib.sha256(version.encode()).hexdigest(),
            commit=hashlib.sha1(version.encode()).hexdigest(),
            version=version,
            components=components,
            artifacts=(artifact,),
            lifecycle=lifecycle,
        )
        self.sequence, now = self.sequence + 1, SystemClock().now()
        order = Order(
            fleet=OWN,
            sequence=self.sequence,
            target=release,
            issued=now,
            expires=now + LIFETIME,
            attempts={self.host.id: attempt},
        )
        body = canonical(self.bench.signed(order))
        aws.client("s3").put_object(Bucket=self.bench.bucket, Key=order_key(OWN), Body=body)
        return release

    def said(self, **wanted: Any) -> dict[str, Any]:
        """The newest report of the agent's own fleet, once it says all of this."""

        def found() -> dict[str, Any] | None:
            reports = self.bench.reports(fleet=OWN)
            newest = (
                {**reports[-1], **{f"work_{k}": v for k, v in (reports[-1]["work"] or {}).items()}} if reports else {}
            )
            return newest if all(newest.get(key) == value for key, value in wanted.items()) else None

        report: dict[str, Any] = self.bench.wait(found, f"a report with {wanted}", PATIENCE)
        return report

    def done(self, release: Release) -> dict[str, Any]:
        return self.said(
            sequence=self.sequence,
            agent=release.version,
            work_state="done",
            work_version=release.version,
            healthy=True,
            components=dict(release.components),
        )

    def wait_log(self, words: str, times: int = 1) -> None:
        self.bench.wait(lambda: self.log.read_text().count(words) >= times, words, PATIENCE)


@pytest.fixture(scope="session")
def packages() -> Packages:
    return Packages()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As systemd gives it; shared by all, so that each version is unpacked once."""
    return tmp_path_factory.mktemp("cache", numbered=True)


@pytest.fixture
def upgrades(bench: Any, packages: Packages, cache: Path) -> Iterator[Upgrades]:
    made = Upgrades(bench, packages, cache)
    made.unit.begin()
    try:
        made.said(agent="1.0.0")
        yield made
    finally:
        made.unit.end()


@pytest.fixture
def service(upgrades: Upgrades) -> Iterator[None]:
    """The other fleet's service is the same process all the time, and serves."""
    before = upgrades.host.service_pid()
    yield
    assert before == upgrades.host.service_pid()
    assert upgrades.host.healthy()


@pytest.mark.usefixtures("service")
def test_an_order_brings_a_new_agent_and_another_one_brings_it_back(upgrades: Upgrades) -> None:
    for version in ("1.1.0", "1.2.0"):
        release = upgrades.order(version, upgrades.packages.agent(version))
        upgrades.done(release)

    assert release.id == upgrades.unit.root.joinpath("current").readlink().name
    assert [] == sorted(path.name for path in upgrades.unit.root.glob("went-back.json"))


def test_the_agent_of_the_package_checks_and_deploys(upgrades: Upgrades, cache: Path) -> None:
    bench, config = upgrades.bench, upgrades.host.config
    command = [sys.executable, "-I", "-S", str(config.parent / "opt/fairlead-agent" / PROGRAM)]
    environment = {**upgrades.host.environment, "CACHE_DIRECTORY": str(cache)}

    checked = subprocess.run(
        [*command, "check", "--config", str(config)], env=environment, capture_output=True, text=True, check=False
    )
    bench.say(new := bench.release("2.4.0"))

    assert "1.0.0" == bench.wait_done(new)["agent"]
    assert "2.4.0" == bench.host.version()
    assert (0, 6) == (checked.returncode, checked.stdout.count("ok ")), checked.stdout + checked.stderr


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "ends at once": (lambda: Packages.program("raise SystemExit(1)"), "ended 3 times before it was heard"),
    "is no zip": (lambda: b"not a zip", "ended 3 times before it was heard"),
    "is killed": (
        lambda: Packages.program("import os; os.kill(os.getpid(), 9)"),
        "ended 3 times before it was heard",
    ),
    "hangs": (
        lambda: Packages.program("import time\nwhile True: time.sleep(60)"),
        "did not report and read its order within 3 s",
    ),
    "is deaf to SIGTERM and hangs": (
        lambda: Packages.program("import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: signal.pause()"),
        "did not report and read its order within 3 s",
    ),
}


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    "what", [pytest.param(each, marks=[] if each == "ends at once" else pytest.mark.long) for each in sorted(BROKEN)]
)
def test_a_new_agent_that_is_not_heard_goes_back_to_that_of_the_package(upgrades: Upgrades, what: str) -> None:
    make, why = BROKEN[what]

    upgrades.order("1.1.1", make(), within=1.0)

    report = upgrades.said(work_state="failed", agent="1.0.0")
    assert ("1.0.0", "unhealthy") == (report["work"]["rolled_back_to"], report["work"]["blame"])
    assert why in report["work"]["message"]
    assert not upgrades.unit.root.joinpath("current").is_symlink()


@pytest.mark.long
@pytest.mark.usefixtures("service")
def test_a_new_agent_that_reports_and_reads_no_order_goes_back_and_the_next_one_mends_it(upgrades: Upgrades) -> None:
    """It would be deaf to the order that replaces it."""
    upgrades.order("1.1.0", upgrades.packages.blind("1.1.0"), within=60.0)
    upgrades.said(agent="1.1.0")
    assert [] == [path for path in upgrades.unit.root.glob("heard") if path.read_text().strip()]

    report = upgrades.said(work_state="failed", agent="1.0.0")
    assert ("1.0.0", "unhealthy") == (report["work"]["rolled_back_to"], report["work"]["blame"])
    assert "did not report and read its order within 62 s" in report["work"]["message"]

    upgrades.done(upgrades.order("1.2.0", upgrades.packages.agent("1.2.0")))


@pytest.mark.long
@pytest.mark.usefixtures("service")
def test_it_goes_back_to_the_release_before_and_a_second_attempt_is_a_whole_one(upgrades: Upgrades) -> None:
    good = upgrades.order("1.1.0", upgrades.packages.agent("1.1.0"))
    upgrades.done(good)
    broken = Packages.program("raise SystemExit(1)")

    for attempt in (1, 2):
        upgrades.order("1.1.1", broken, attempt=attempt)
        report = upgrades.said(work_state="failed", work_attempt=attempt, agent="1.1.0")
        assert "1.1.0" == report["work"]["rolled_back_to"]
        assert dict(good.components) == upgrades.said(healthy=True, agent="1.1.0", work_state="failed")["components"]
    fixed = upgrades.order("1.2.0", upgrades.packages.agent("1.2.0"))
    upgrades.done(fixed)

    assert 2 == upgrades.log.read_text().count("ended 3 times before it was heard; going back")


STEPS = ("staging", "activating", "restarting", "hands-over", "resumed")


@pytest.mark.long
@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_gets_there(upgrades: Upgrades, step: str) -> None:
    release = upgrades.order("1.1.0", upgrades.packages.agent("1.1.0"))
    upgrades.wait_log(f" {step} fleet={OWN}")

    upgrades.unit.kill()

    upgrades.done(release)


@pytest.mark.long
@pytest.mark.usefixtures("service")
def test_power_lost_between_the_switch_and_the_end_of_the_old_agent(upgrades: Upgrades) -> None:
    """The link leads to the new release, and nothing else was said of it."""
    current = upgrades.unit.root / "current"
    release = upgrades.order("1.1.0", upgrades.packages.agent("1.1.0"))
    upgrades.bench.wait(current.is_symlink, "the switch", PATIENCE)

    upgrades.unit.kill()

    upgrades.done(release)
    assert release.id == current.readlink().name


@pytest.mark.long
def test_an_agent_that_no_launcher_started_does_not_touch_itself(bench: Any, packages: Packages, cache: Path) -> None:
    made = Upgrades(bench, packages, cache)
    bench.host.start_agent()

    made.order("1.1.0", b"any")

    report = made.said(work_state="failed")
    assert "refused" == report["work"]["blame"]
    assert "no launcher started this agent" in report["work"]["message"]
    assert not (bench.host.folder / SELF.lstrip("/") / "current").is_symlink()
