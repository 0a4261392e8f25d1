"""Whose a root is: one fleet's, of one agent."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.agent_protocol.reports import Blame
from fairlead_agent.identity import Identity
from fairlead_agent.installation import Installation, Means
from fairlead_agent.itself import Itself
from fairlead_agent.premises import LOCK
from fairlead_agent.reach import Reach
from fairlead_agent.settings import Rehearsal
from fairlead_agent.trouble import Trouble

OTHER_AGENT = """
import sys
from pathlib import Path
from types import SimpleNamespace
from fairlead_agent.premises import Premises
held = Premises(Path(sys.argv[1]), sys.argv[2])
held.check()
print("held", flush=True)
sys.stdin.read()
"""


def here(host: Any, fleet: str = "prod/matchmaker", inner: str = "") -> Installation:
    return Installation(host.root / inner, Means(s3=lambda: host.s3, secrets=lambda: host.secrets, fleet=fleet))


def everything(host: Any) -> Any:
    found = {path: path.lstat() for path in host.root.rglob("*")}
    return {path: (each.st_ino, each.st_mtime_ns, each.st_ctime_ns) for path, each in found.items()}


def refused(host: Any, installation: Installation) -> str:
    """Every step is refused, and nothing is touched."""
    release = host.release(host.file("9.0"))
    before = everything(host)
    said = set()
    for step in (lambda: installation.stage(release, host.stop), lambda: installation.activate(release.id)):
        with pytest.raises(Trouble) as caught:
            step()
        assert Blame.REFUSED == caught.value.blame
        said.add(caught.value.message)
    with suppress(Trouble):  # where there is nothing yet
        installation.prune(())
    assert before == everything(host)
    (sentence,) = said
    return sentence


def deployed(host: Any, installation: Installation, version: str = "1.0") -> Any:
    release = host.release(host.file(version))
    installation.stage(release, host.stop)
    installation.activate(release.id)
    return release


def test_two_fleets_with_one_root_do_not_meet(host: Any) -> None:
    ours = here(host)
    release = deployed(host, ours)

    sentence = refused(host, here(host, "prod/lobby"))

    assert "is used for prod/matchmaker, by an agent that runs" in sentence
    assert "give each fleet one agent and a root of its own" in sentence
    assert release.components == ours.observe()


def test_a_root_stays_its_fleets_while_no_agent_runs(host: Any) -> None:
    deployed(host, here(host))

    sentence = refused(host, here(host, "prod/lobby"))

    assert (
        f"is the root of prod/matchmaker; give prod/lobby a root of its own, or remove {host.root / LOCK}" in sentence
    )
    (host.root / LOCK).unlink()
    assert deployed(host, here(host, "prod/lobby")).components


def test_two_agents_with_one_fleet_do_not_meet(host: Any) -> None:
    argv = [sys.executable, "-c", OTHER_AGENT, str(host.root), "prod/matchmaker"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    assert other.stdout is not None
    assert b"held\n" == other.stdout.readline()

    mine = here(host)
    assert "is used for prod/matchmaker, by an agent that runs" in refused(host, mine)

    other.kill()
    other.communicate()
    assert deployed(host, mine).components == mine.observe()


def test_an_agent_takes_what_was_its_own_as_soon_as_it_is_there(host: Any) -> None:
    fresh = here(host)
    fresh.claim()
    assert not host.root.exists()  # it makes none
    deployed(host, fresh)
    del fresh

    again = here(host)
    again.claim()

    assert "by an agent that runs" in refused(host, here(host))
    assert again.observe()


def test_one_installation_may_work_again_and_again(host: Any) -> None:
    ours = here(host)
    deployed(host, ours)
    release = deployed(host, ours, "1.1")
    (host.root / LOCK).unlink()  # somebody tidies up

    again = deployed(host, ours, "1.2")

    ours.prune(())
    assert (again.id,) == ours.held() != (release.id,)
    assert "prod/matchmaker\n" == (host.root / LOCK).read_text()


def test_a_root_below_another_fleets_is_refused(host: Any) -> None:
    deployed(host, here(host))

    sentence = refused(host, here(host, "prod/lobby", "releases/lobby"))

    assert "is inside of" in sentence
    assert "the root of prod/matchmaker; give it one beside that" in sentence


@pytest.mark.parametrize("kind", ["link", "folder", "hard link", "pipe"])
def test_a_lock_that_is_not_the_agents_is_left_alone(host: Any, kind: str) -> None:
    victim, lock = host.folder / "victim", host.root / LOCK
    victim.write_text("rows")
    host.root.mkdir(parents=True)
    if kind == "link":
        lock.symlink_to(victim)
    elif kind == "folder":
        lock.mkdir()
    elif kind == "hard link":
        os.link(victim, lock)
    else:
        os.mkfifo(lock)

    assert f"{lock} is no file of the agent's; remove it" == refused(host, here(host))
    assert "rows" == victim.read_text()


def test_a_root_is_the_agents_alone_by_a_file_that_only_it_reads(host: Any) -> None:
    deployed(host, here(host))

    assert 0o600 == Path(host.root / LOCK).stat().st_mode & 0o777


def test_an_agent_keeps_its_fleets_apart_and_takes_their_roots_when_it_begins(host: Any) -> None:
    def reach(fleet: str) -> Reach:
        identity = Identity(host="i-0123456789abcdef0", region="us-east-1")
        cloud: Any = SimpleNamespace(client=lambda _: host.s3)
        return Reach(Rehearsal(prefix=host.folder), cloud, identity, fleet, Itself(version="1"), lambda *_, **__: None)

    ours, others = reach("prod/matchmaker"), reach("prod/lobby")
    deployed(host, ours("/srv/matchmaker").installation)
    refused(host, others("/srv/matchmaker").installation)
    del ours, others

    again = reach("prod/matchmaker")
    again("/srv/matchmaker")

    assert "by an agent that runs" in refused(host, here(host))
