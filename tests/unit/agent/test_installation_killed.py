"""A real process is killed at every step that it takes on the disk; then it is the old or the new, never between.

Each test forks a child that is to do one piece of work and sends itself SIGKILL before its n-th step, for every n until
it comes through. A step is a call by which the disk changes or is made to keep what changed.
"""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adapters.agent_protocol.orders import Release
from fairlead_agent import durable

STEPS = (
    "rename",
    "replace",
    "fsync",
    "symlink",
    "link",
    "unlink",
    "rmdir",
    "mkdir",
    "chmod",
    "fchmod",
    "chown",
    "write",
)
MOST = 400


def dies(work: Callable[[], None], number: int) -> bool:
    """Whether a child that does the work was killed before its n-th step; False: it came through."""
    child = os.fork()
    if child == 0:
        try:
            _be_mortal(number)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the child failed at step {number}"
    return os.WIFSIGNALED(status)


def _be_mortal(number: int) -> None:
    left = number

    def mortal(real: Any) -> Any:
        def step(*call: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*call, **named)

        return step

    for name in STEPS:
        setattr(os, name, mortal(getattr(os, name)))


def deaths(host: Any, work: Callable[[Any], None], prepare: Callable[[Any], None]) -> Iterator[Any]:
    """The host after each death of the work, prepared anew before each."""
    for number in range(1, MOST):
        durable.remove(host.root)
        prepare(host)
        if not dies(lambda: work(host), number):
            assert number > 8, "the work has hardly a step"
            return
        yield host.installation()
    raise AssertionError(f"it still dies after {MOST} steps")


@pytest.fixture
def old(host: Any, make_tar: Any) -> Release:
    files = host.archive("1.0", make_tar({"bin/run": b"old", "same": b"same"}))
    return host.release(host.file("1.0"), files, config=host.config(mode="old"))  # type: ignore[no-any-return]


@pytest.fixture
def new(host: Any, make_tar: Any, old: Release) -> Release:
    """Its archive is other, its file the old one."""
    files = host.archive("1.1", make_tar({"bin/run": b"new", "lib/more": b"more"}))
    return host.release(old.artifacts[0], files, config=host.config(mode="new"))  # type: ignore[no-any-return]


def stage(host: Any, release: Release) -> None:
    host.installation().stage(release, host.stop)


def test_killed_while_staging_the_old_one_runs_and_the_new_one_can_still_be_staged(
    host: Any, old: Release, new: Release
) -> None:
    for found in deaths(host, lambda host: stage(host, new), lambda host: host.install(old)):
        assert (old.id, old.components) == (found.current(), found.observe())
        for name in found.held():
            assert found.release(name) in (old, new)

        found.stage(new, host.stop)
        found.activate(new.id)
        assert (new.id, new.components) == (found.current(), host.installation().observe())
        found.prune([old.id])
        assert {old.id, new.id} == {path.name for path in (host.root / "releases").iterdir()}


@pytest.mark.parametrize("way", ["on", "back"])
def test_killed_while_activating_it_is_the_old_or_the_new_one(host: Any, old: Release, new: Release, way: str) -> None:
    def prepare(host: Any) -> None:
        host.install(old).stage(new, host.stop)

    seen = set()
    for found in deaths(host, lambda host: _often(host, [new.id, old.id, new.id]), prepare):
        now = {old.id: old, new.id: new}[found.current()]
        assert now.components == found.observe()
        seen.add(now.id)

        wanted = new if way == "on" else old
        found.activate(wanted.id)
        assert (wanted.id, wanted.components) == (found.current(), host.installation().observe())
    assert {old.id, new.id} == seen


def _often(host: Any, names: list[str]) -> None:
    for name in names:
        host.installation().activate(name)


def test_killed_at_its_first_activation_there_is_nothing_or_the_new_one(host: Any, new: Release) -> None:
    def work(host: Any) -> None:
        stage(host, new)
        host.installation().activate(new.id)

    for found in deaths(host, work, lambda host: None):
        assert found.observe() in ({}, new.components)
        assert (found.current() is None) == (found.observe() == {})

        work(host)
        assert (new.id, new.components) == (found.current(), host.installation().observe())


def test_killed_while_healing_it_can_still_be_healed(host: Any, old: Release) -> None:
    def prepare(host: Any) -> None:
        host.install(old)
        host.here("app/bin/run").write_bytes(b"edited")
        host.here("etc/matchmaker.yaml").unlink()

    def work(host: Any) -> None:
        stage(host, old)
        host.installation().activate(old.id)

    for found in deaths(host, work, prepare):
        assert old.id == found.current()
        assert set(found.observe().items()) <= set(old.components.items())

        work(host)
        assert old.components == found.observe() == host.installation().observe()
        found.prune([])
        assert [old.id] == [path.name for path in (host.root / "releases").iterdir()]


def test_killed_while_pruning_what_has_a_name_is_whole(host: Any, old: Release, new: Release) -> None:
    def prepare(host: Any) -> None:
        host.install(old)
        host.install(new)
        host.s3.downloads.clear()

    for found in deaths(host, lambda host: host.installation().prune([]), prepare):
        assert new.components == found.observe()
        for name in found.held():
            found.stage(found.release(name), host.stop)
        assert [] == host.s3.downloads  # all of them were whole

        found.prune([])
        assert [new.id] == [path.name for path in (host.root / "releases").iterdir()]
