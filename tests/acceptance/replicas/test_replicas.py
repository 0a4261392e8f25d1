"""Controllers that die, sleep and wake while 200 of 500 fleets are bumped, and a ledger's server that restarts twice.

Judged by the others' logs: every deploy was begun once at Gate and once on each host, and every word that the forge
shows on a commit is the right one.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from adapters.agent_protocol.reading import parse_order
from fairlead_sandbox.postgres import IMMEDIATE, Postgres

LONG = 400.0  # seconds in which a phase must have settled
NEW, SICK, FIRST = "1.1.0", "6.6.6", "1.0.0"
pytestmark = pytest.mark.heavy


class Bump:
    """One commit: 95 fleets of each type to a good version, and five of each to a sick one."""

    def __init__(self, estate: Any) -> None:
        names = [*estate.world.fleets.spinnaker_names()[:100], *estate.world.fleets.trigger_names()[:100]]
        self.estate = estate
        self.sick = [*names[:5], *names[100:105]]
        self.good = [name for name in names if name not in self.sick]
        self.rest = [name for name in estate.world.names if name not in names]
        estate.world.spoil("*", SICK)

    def merge(self) -> str:
        files = {f"environments/{name}.yaml": f'version: "{NEW}"\n' for name in self.good}
        files |= {f"environments/{name}.yaml": f'version: "{SICK}"\n' for name in self.sick}
        return str(self.estate.world.merge("Bump 200 fleets", files.items()))

    @property
    def done(self) -> float:
        """Which part of the good ones runs the new version."""
        return 1 - len(self.estate.off(self.good, NEW)) / len(self.good)

    @property
    def converged(self) -> bool:
        off = self.estate.off
        return not (off(self.good, NEW) or off(self.sick, FIRST) or off(self.rest, FIRST))


def in_sync(estate: Any, commit: str) -> bool:
    estate.check_alive()
    return bool(estate.words(commit).get("fairlead/prod", ("", ""))[0] == "success")


def told(estate: Any, bump: Bump, commit: str) -> bool:
    """The forge shows the end of it."""
    estate.check_alive()
    words = estate.words(commit)
    failed = {f"fairlead/{name}" for name in bump.sick}
    return failed <= words.keys() and words.get("fairlead/prod", ("",))[0] == "failure" and not estate.open_words()


def assert_each_deploy_began_once(estate: Any, bump: Bump) -> None:
    assert [] == [key for key, times in estate.keys().items() if times > 1], "two executions for one key"
    begun = Counter(estate.world.starts())
    versions = estate.world.versions
    expected = {(name, NEW, where) for name in bump.good for where in versions(name)}
    assert expected == {each for each in begun if each[1] == NEW}
    assert [] == [each for each, times in begun.items() if times > 1 and each[1] == NEW], "a good deploy began twice"
    assert [] == [each for each in begun if each[0] in bump.rest], "a fleet that nobody bumped was deployed"
    assert {SICK} >= {version for name, version, _ in begun if name in bump.sick and version != FIRST}


def assert_orders_follow_each_other(estate: Any) -> None:
    """S3's log: the sequences of each fleet's orders rise, and none was written over by a loser of a race."""
    newest: dict[str, int] = {}
    for write in estate.world.aws.objects.writes:
        order = parse_order(write.body)
        assert newest.get(write.key, 0) < order.sequence, (
            f"{write.key} went from {newest[write.key]} to {order.sequence}"
        )
        newest[write.key] = order.sequence


def assert_words_are_right(estate: Any, bump: Bump, commit: str) -> None:
    words = estate.words(commit)
    assert ("failure", "190/200 fleets done, 10 failed") == (words["fairlead/prod"][0], words["fairlead/prod"][1][:30])
    assert {f"fairlead/{name}" for name in bump.sick} == {
        context for context, (state, _) in words.items() if state == "failure" and context.count("/") == 2
    }
    assert "success" == words["fairlead/validate"][0]
    assert [] == estate.open_words()


def live_through(estate: Any, wait: Callable[..., Any], chaos: Any, at_half: Callable[[], None]) -> None:
    """Bump 200, do harm until they run what they should, then let everything settle and judge the logs."""
    first = estate.world.head
    wait(lambda: in_sync(estate, first), "500 fleets in sync", LONG)
    bump = Bump(estate)
    commit = bump.merge()
    harms = [0.2, 0.6]
    while not bump.converged:
        chaos.act()
        estate.check_alive()
        if harms and bump.done >= harms[0]:
            harms.pop(0)
            at_half()
        assert sum(chaos.acts.values()) < 150, f"{bump.done:.0%} of the good ones are there\n{estate.said()}"
    while harms:
        harms.pop()
        at_half()
    wait(lambda: told(estate, bump, commit), f"the last word on {commit[:7]}: {estate.words(commit)}", LONG)
    estate.end()
    assert chaos.acts["killed"]
    assert chaos.acts["stopped"]
    assert bump.converged
    assert_each_deploy_began_once(estate, bump)
    assert_orders_follow_each_other(estate)
    assert_words_are_right(estate, bump, commit)


def test_four_controllers_on_one_postgresql_that_restarts_twice(
    make_estate: Any, make_chaos: Any, wait_until: Callable[..., Any]
) -> None:
    with Postgres() as postgres:
        estate = make_estate(postgres.url)
        estate.add_controllers(4)
        ways = [{}, {"how": IMMEDIATE}]  # politely, then as if it had crashed
        live_through(estate, wait_until, make_chaos(estate), lambda: postgres.restart(**ways.pop(0)))


def test_one_controller_on_sqlite(make_estate: Any, make_chaos: Any, wait_until: Callable[..., Any]) -> None:
    estate = make_estate()
    estate.add_controllers(1)
    live_through(estate, wait_until, make_chaos(estate), lambda: None)
