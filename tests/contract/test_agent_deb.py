"""Real Debian packages, through the real dpkg, on a root directory of its own."""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from adapters.agent_protocol.canonical import sha256
from adapters.agent_protocol.orders import Artifact, ConfigFile, Health, Lifecycle, Release, Run
from adapters.agent_protocol.reports import Blame
from fairlead_agent.drivers import deb
from fairlead_agent.installation import Installation, Means
from fairlead_agent.trouble import Trouble

pytestmark = [
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb here to build packages with"),
    pytest.mark.skipif(os.geteuid() != 0, reason="dpkg gives the files that it installs to root, which only root can"),
]
DIES_ONCE = '[ ! -e "$DPKG_ROOT/armed" ] || {{ rm "$DPKG_ROOT/armed"; kill -9 {whom}; exit 1; }}'
AGENT = """
import os, sys
from pathlib import Path
from fairlead_agent.installation import Installation, Means
root, prefix, name, left = *sys.argv[1:4], int(sys.argv[4])
def mortal(real):
    def step(*call, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return real(*call, **named)
    return step
# The last two: before a child.
for each in ("rename", "replace", "fsync", "symlink", "unlink", "write", "fchmod", "pipe", "memfd_create"):
    setattr(os, each, mortal(getattr(os, each)))
Path(prefix, "agent").write_text(str(os.getpid()))
Installation(Path(root), Means(s3=None, secrets=None, dpkg_root=Path(prefix))).activate(name)
"""


class Bucket:
    """As much of an S3 client as a download needs, over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads = 0

    def get_object(self, **asked: str) -> Mapping[str, Any]:
        path = self.folder / asked["Key"]
        if not path.is_file():
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        self.downloads += 1
        return {"ContentLength": path.stat().st_size, "Body": StreamingBody(path.open("rb"), path.stat().st_size)}


def build_package(folder: Path, version: str, *, name: str = "mm", scripts: Mapping[str, str], **fields: str) -> Path:
    """A package with one file, one conffile, and those maintainer scripts."""
    tree = folder / f"{name}-{version}"
    control, etc, share = tree / "DEBIAN", tree / "etc", tree / "usr/share" / name
    for path in (control, etc, share):
        path.mkdir(parents=True)
    said = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "A <a@example.com>"}
    said |= {"Description": "a game server"} | {key.replace("_", "-"): value for key, value in fields.items()}
    (control / "control").write_text("".join(f"{key}: {value}\n" for key, value in said.items()))
    (control / "conffiles").write_text(f"/etc/{name}.conf\n")
    (etc / f"{name}.conf").write_text(f"default of {version}\n")
    (share / "VERSION").write_text(f"{version}\n")
    for script, text in scripts.items():
        (control / script).write_text(f"#!/bin/sh\nset -e\n{text}\n")
        (control / script).chmod(0o755)
    built = folder / "bucket" / f"{name}_{version}.deb"
    built.parent.mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, built], check=True, capture_output=True)
    return built


@dataclass
class Machine:
    """A root directory with a dpkg of its own, and a fleet on it."""

    folder: Path
    bucket: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.folder / "bucket")

    @property
    def prefix(self) -> Path:
        return self.folder / "host"

    @property
    def root(self) -> Path:
        return self.prefix / "srv/mm"

    def package(self, version: str, name: str = "mm", source: str = "", **more: Any) -> Artifact:
        built = build_package(self.folder, version, name=name, scripts=more.pop("scripts", {}), **more)
        pin = hashlib.sha256(built.read_bytes()).hexdigest()
        key = source or f"s3://builds/{built.name}"
        return Artifact(name=name, version=version, format="deb", source=key, to=None, sha256=pin)

    def release(self, *packages: Artifact, **values: Any) -> Release:
        components = {f"package/{one.name}": one.version for one in packages}
        components |= {f"sha256/{one.name}": one.sha256 for one in packages}
        config = None
        if values:
            config = ConfigFile(
                component="config/mm", to="mm.yaml", format="yaml", values=values, digest=sha256(values)
            )
            components["config/mm"] = config.digest
        return Release(
            digest=sha256(components),
            commit="c0ffee" + "0" * 34,
            version=packages[0].version,
            components=components,
            artifacts=packages,
            config=config,
            lifecycle=Lifecycle(root="/srv/mm", run=Run(unit="mm.service"), health=Health(tcp="localhost:80")),
        )

    def agent(self) -> Installation:
        """As a freshly started agent has it."""
        means = Means(s3=lambda: self.bucket, secrets=lambda: None, dpkg_root=self.prefix)
        return Installation(self.root, means)

    def install(self, release: Release) -> Installation:
        agent = self.agent()
        agent.stage(release, Event())
        agent.activate(release.id)
        return agent

    def state(self, name: str = "mm") -> str:
        """What dpkg says, asked without the agent."""
        argv = ["dpkg-query", f"--admindir={self.prefix}/var/lib/dpkg", "--show", "--showformat"]
        argv += ["${db:Status-Status} ${Version}", name]
        asked = subprocess.run(argv, check=False, capture_output=True, text=True)
        return asked.stdout

    def is_at(self, release: Release, agent: Installation) -> bool:
        """dpkg, the files, the link and the agent agree."""
        version = release.version
        assert (f"installed {version}", version) == (self.state(), self.file("usr/share/mm/VERSION"))
        return (release.id, release.components) == (agent.current(), agent.observe())

    def file(self, inner: str) -> str:
        return (self.prefix / inner).read_text().strip()

    def start(self, name: str, lives: int = 0) -> "subprocess.Popen[bytes]":
        """An agent of its own process that activates a release; it kills itself before its n-th step on the disk."""
        return subprocess.Popen([sys.executable, "-c", AGENT, str(self.root), str(self.prefix), name, str(lives)])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(deb, "LOOK", 0.05)
    return Machine(tmp_path)


def test_a_package_is_installed_upgraded_and_rolled_back(machine: Machine) -> None:
    own = subprocess.run(["dpkg-query", "--show"], capture_output=True, text=True, check=True).stdout
    old, new = (
        machine.release(machine.package("1.0"), mode="fast"),
        machine.release(machine.package("1.1"), mode="slow"),
    )

    agent = machine.install(old)
    assert ("installed 1.0", "1.0", old.components) == (
        machine.state(),
        machine.file("usr/share/mm/VERSION"),
        agent.observe(),
    )
    agent.stage(new, Event())
    assert ("installed 1.0", old.components) == (machine.state(), agent.observe())
    agent.activate(new.id)
    assert ("installed 1.1", "1.1", new.components) == (
        machine.state(),
        machine.file("usr/share/mm/VERSION"),
        agent.observe(),
    )
    shutil.rmtree(machine.bucket.folder)
    agent.activate(old.id)

    assert ("installed 1.0", "1.0", "default of 1.0") == (
        machine.state(),
        machine.file("usr/share/mm/VERSION"),
        machine.file("etc/mm.conf"),
    )
    assert (old.id, old.components, 2) == (agent.current(), agent.observe(), machine.bucket.downloads)
    assert own == subprocess.run(["dpkg-query", "--show"], capture_output=True, text=True, check=True).stdout


def test_what_people_changed_in_etc_stays(machine: Machine) -> None:
    machine.install(machine.release(machine.package("1.0")))
    (machine.prefix / "etc/mm.conf").write_text("ours\n")

    machine.install(machine.release(machine.package("1.1")))

    assert ("installed 1.1", "ours") == (machine.state(), machine.file("etc/mm.conf"))


def test_a_package_whose_script_fails_is_put_back_at_once_and_its_words_are_told(machine: Machine) -> None:
    old = machine.release(machine.package("1.0"))
    bad = machine.release(machine.package("1.2", scripts={"postinst": "echo no database >&2; exit 3"}))
    agent = machine.install(old)
    agent.stage(bad, Event())

    with pytest.raises(Trouble, match=r"dpkg ended with 1 for mm 1\.2: .* exit status 3") as caught:
        agent.activate(bad.id)

    assert Blame.UNHEALTHY == caught.value.blame
    assert "no database" in caught.value.log
    assert ("installed 1.0", old.id, old.components) == (machine.state(), agent.current(), agent.observe())


def test_a_first_package_that_fails_leaves_no_release_and_claims_nothing(machine: Machine) -> None:
    bad = machine.release(machine.package("1.2", scripts={"postinst": "exit 3"}))

    with pytest.raises(Trouble):
        machine.install(bad)

    assert ("half-configured 1.2", None, {}) == (machine.state(), machine.agent().current(), machine.agent().observe())
    good = machine.release(machine.package("1.3"))
    assert good.components == machine.install(good).observe()


def test_where_going_back_fails_too_both_are_told_and_the_next_call_mends_it(machine: Machine) -> None:
    stubborn = {"preinst": '[ ! -e "$DPKG_ROOT/stubborn" ]'}
    old = machine.release(machine.package("1.0", scripts=stubborn))
    bad = machine.release(machine.package("1.2", scripts={"postinst": 'touch "$DPKG_ROOT/stubborn"; exit 3'}))
    agent = machine.install(old)
    agent.stage(bad, Event())

    with pytest.raises(Trouble, match=r"mm 1\.2: .*; going back to 1\.0 failed as well: "):
        agent.activate(bad.id)
    assert {} == agent.observe()
    (machine.prefix / "stubborn").unlink()
    machine.agent().activate(old.id)

    assert ("installed 1.0", old.components) == (machine.state(), agent.observe())


@pytest.mark.parametrize("moment", ["preinst", "postinst", "prerm", "postrm"])
@pytest.mark.parametrize("way", ["on", "back"])
def test_an_agent_killed_together_with_its_dpkg_is_mended_either_way(machine: Machine, moment: str, way: str) -> None:
    scripts = {moment: DIES_ONCE.format(whom='$PPID $(cat "$DPKG_ROOT/agent")')}
    old = machine.release(machine.package("1.0", scripts=scripts))
    new = machine.release(machine.package("1.1", scripts=scripts))
    agent = machine.install(old)
    agent.stage(new, Event())
    (machine.prefix / "armed").touch()

    assert -signal.SIGKILL == machine.start(new.id).wait(30)
    assert not (machine.prefix / "armed").exists()
    seen = agent.observe().get("package/mm")
    assert machine.state() == f"installed {seen}" if seen else not machine.state().startswith("installed")
    again, wanted = machine.agent(), new if way == "on" else old
    again.activate(wanted.id)

    assert machine.is_at(wanted, again)
    assert not (machine.root / "releases/.activating").exists()


@pytest.mark.parametrize("way", ["on", "back"])
def test_an_agent_killed_at_any_step_of_activating_is_mended_either_way(machine: Machine, way: str) -> None:
    old, new = machine.release(machine.package("1.0"), mode="old"), machine.release(machine.package("1.1"), mode="new")
    wanted = new if way == "on" else old
    machine.install(old).stage(new, Event())
    for lives in range(1, 100):
        ended = machine.start(new.id, lives).wait(30)
        if ended == 0:
            break
        assert -signal.SIGKILL == ended
        agent = machine.agent()
        assert agent.current() in {old.id, new.id}
        assert machine.state() == f"installed {agent.observe()['package/mm']}"
        agent.activate(wanted.id)
        assert machine.is_at(wanted, agent)
        agent.activate(old.id)
    assert lives > 8


@pytest.mark.parametrize("moment", ["preinst", "postinst", "prerm", "postrm"])
def test_where_dpkg_alone_is_killed_the_old_package_is_put_back(machine: Machine, moment: str) -> None:
    scripts = {moment: DIES_ONCE.format(whom="$PPID")}
    old = machine.release(machine.package("1.0", scripts=scripts))
    new = machine.release(machine.package("1.1", scripts=scripts))
    agent = machine.install(old)
    agent.stage(new, Event())
    (machine.prefix / "armed").touch()

    with pytest.raises(Trouble, match="dpkg was ended by signal 9"):
        agent.activate(new.id)
    assert machine.is_at(old, agent)
    agent.activate(new.id)

    assert machine.is_at(new, agent)


@pytest.mark.parametrize("way", ["on", "back"])
def test_an_agent_killed_in_the_middle_of_dpkg_is_followed_by_one_that_waits_and_mends(
    machine: Machine, way: str
) -> None:
    waits = 'if [ -p "$DPKG_ROOT/pipe" ]; then touch "$DPKG_ROOT/waiting"; read line < "$DPKG_ROOT/pipe"; fi'
    old, new = (
        machine.release(machine.package("1.0")),
        machine.release(machine.package("1.1", scripts={"postinst": waits})),
    )
    agent = machine.install(old)
    agent.stage(new, Event())
    os.mkfifo(machine.prefix / "pipe")
    child = machine.start(new.id)
    until((machine.prefix / "waiting").exists)
    child.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == child.wait(10)
    assert {} == agent.observe()

    wanted, again = new if way == "on" else old, machine.agent()
    mending = Thread(target=again.activate, args=(wanted.id,))
    mending.start()  # the dpkg of the dead agent lives and holds the lock
    (machine.prefix / "pipe").rename(machine.prefix / "pipe.old")
    (machine.prefix / "pipe.old").write_text("go on\n")
    mending.join(30)

    assert machine.is_at(wanted, again)


def test_a_database_that_somebody_else_locks_for_long_is_trouble_of_the_road(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = machine.release(machine.package("1.0")), machine.release(machine.package("1.1"))
    agent = machine.install(old)
    agent.stage(new, Event())
    monkeypatch.setattr(deb, "LOCKED_WITHIN", 0.1)

    with (machine.prefix / "var/lib/dpkg/lock-frontend").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        with pytest.raises(Trouble, match="lock was locked by another process") as caught:
            agent.activate(new.id)

    assert (Blame.TRANSIENT, old.components["package/mm"]) == (caught.value.blame, agent.observe()["package/mm"])


def test_another_file_of_the_same_version_is_installed_again(machine: Machine) -> None:
    first = machine.release(machine.package("1.0"))
    agent = machine.install(first)
    shutil.rmtree(machine.folder / "mm-1.0")
    second = machine.release(machine.package("1.0", scripts={"postinst": 'touch "$DPKG_ROOT/second"'}))
    agent.stage(second, Event())
    assert not (machine.prefix / "second").exists()

    agent.activate(second.id)
    (machine.prefix / "second").unlink()
    agent.activate(second.id)

    assert not (machine.prefix / "second").exists()  # and not once more
    assert second.components == agent.observe()


def test_a_version_that_somebody_else_installed_is_shown(machine: Machine) -> None:
    old, other = machine.release(machine.package("1.0")), machine.package("1.4")
    agent = machine.install(old)
    by_hand = Installation(
        machine.folder / "by-hand", Means(s3=lambda: machine.bucket, secrets=lambda: None, dpkg_root=machine.prefix)
    )
    release = machine.release(other)
    by_hand.stage(release, Event())
    by_hand.activate(release.id)

    assert {"package/mm": "1.4"} == agent.observe()
    agent.activate(old.id)
    assert old.components == agent.observe()


def test_packages_that_need_each_other_are_installed_in_the_order_that_they_need(machine: Machine) -> None:
    parts = machine.package("1.0", Depends="libmm (= 2.0)"), machine.package("2.0", name="libmm")
    release = machine.release(*parts)

    agent = machine.install(release)

    assert ("installed 1.0", "installed 2.0") == (machine.state(), machine.state("libmm"))
    assert release.components == agent.observe()


def test_a_package_that_needs_what_is_not_there_is_refused(machine: Machine) -> None:
    with pytest.raises(Trouble, match="dependency problems") as caught:
        machine.install(machine.release(machine.package("1.0", Depends="nothing-such")))

    assert Blame.REFUSED == caught.value.blame


@pytest.mark.parametrize(
    ("built", "asked", "sentence"),
    [
        ({"version": "1.1"}, {"version": "1.0"}, r"says that it is mm 1\.1, and mm 1\.0 was asked for"),
        ({"version": "1.0", "name": "nn"}, {"name": "mm"}, r"says that it is nn 1\.0"),
        ({"version": "1.0", "Architecture": "s390x"}, {}, r"is for s390x, which this host is not"),
    ],
)
def test_a_package_that_is_not_what_was_asked_for_is_refused_before_anything_changes(
    machine: Machine, built: dict[str, str], asked: dict[str, str], sentence: str
) -> None:
    wrong = machine.package(**built)
    said = {"name": wrong.name, "version": wrong.version} | asked
    wrong = Artifact(format="deb", source=wrong.source, to=None, sha256=wrong.sha256, **said)

    with pytest.raises(Trouble, match=sentence) as caught:
        machine.agent().stage(machine.release(wrong), Event())

    assert (Blame.REFUSED, (), "") == (caught.value.blame, machine.agent().held(), machine.state())


def test_what_is_no_package_is_refused(machine: Machine) -> None:
    machine.bucket.folder.mkdir()
    (machine.bucket.folder / "x.deb").write_bytes(b"no package")
    pin = hashlib.sha256(b"no package").hexdigest()
    wrong = Artifact(name="mm", version="1.0", format="deb", source="s3://builds/x.deb", to=None, sha256=pin)

    with pytest.raises(Trouble, match=r"mm is no Debian package: .*dpkg-deb: error"):
        machine.agent().stage(machine.release(wrong), Event())


def until(holds: Any) -> None:
    """Wait for a condition, at most 30 s."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def test_a_script_that_says_something_after_its_agent_was_killed_goes_through(machine: Machine) -> None:
    """What it writes to is not the agent's."""
    waits = (
        'touch "$DPKG_ROOT/waiting"; while [ ! -e "$DPKG_ROOT/go" ]; do sleep 0.05; done; echo configuring; echo more'
    )
    new = machine.release(machine.package("1.1", scripts={"postinst": waits}))
    machine.agent().stage(new, Event())
    child = machine.start(new.id)
    until((machine.prefix / "waiting").exists)
    child.kill()
    assert -signal.SIGKILL == child.wait(10)

    (machine.prefix / "go").touch()

    until(lambda: machine.state() == "installed 1.1")
