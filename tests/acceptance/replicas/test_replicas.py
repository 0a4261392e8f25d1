"""Controllers that die, sleep and wake while 200 of 500 fleets are bumped, and a ledger's server that restarts twice.

Judged by the others' logs: every deploy was begun once at Gate and once on each host, and every word that the forge
shows on a commit is the right one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
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
        self.pipelines = frozenset(estate.world.fleets.spinnaker_names())
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
    """`retries: 0`: nothing has a second attempt, so what began twice was begun by two who each thought it theirs."""
    assert [] == [key for key, times in estate.keys().items() if times > 1], "two executions for one key"
    begun = Counter(estate.world.starts())
    assert {} == {each: times for each, times in begun.items() if times > 1}, "a deploy began twice"
    versions = estate.world.versions
    expected = {(name, NEW, where) for name in bump.good for where in versions(name)}
    assert expected == {each for each in begun if each[0] in bump.good}
    assert set() == {each[0] for each in begun} & set(bump.rest), "a fleet that nobody bumped was deployed"
    for name in bump.sick:
        tried = Counter(version for fleet, version, _ in begun if fleet == name)
        # a pipeline brings the last good version back; a host that fails is back by itself, its neighbour never left
        assert ({SICK: 1, FIRST: 1} if name in bump.pipelines else {SICK: 1}) == tried, name


def assert_orders_follow_each_other(estate: Any) -> None:
    """S3's log: the sequences of each fleet's orders rise, and none was written over by a loser of a race."""
    newest: dict[str, int] = {}
    for write in estate.world.aws.objects.writes:
        order = parse_order(write.body)
        assert newest.get(write.key, 0) < order.sequence, (
            f"{write.key} went from {newest[write.key]} to {order.sequence}"
        )
        newest[write.key] = order.sequence


def assert_words_are_right(estate: Any, bump: Bump, first: str, commit: str, harms: int) -> None:
    """Every context of every commit, and every word that was ever written there."""
    written = estate.written()
    newest = {place: words[-1] for place, words in written.items()}
    truths = estate.truths()
    assert {place: truths.get(place) for place in newest} == newest, "the forge shows another word than the newest"
    failed = {(commit, f"fairlead/{name}") for name in bump.sick}
    rest = {(each, context) for each in (first, commit) for context in ("fairlead/prod", "fairlead/validate")}
    assert {} == {place: words for place, words in written.items() if place not in failed | rest}
    assert failed | rest == newest.keys()
    assert {"failure"} == {newest[place][0] for place in failed}
    assert {"success"} == {newest[place][0] for place in rest - {(commit, "fairlead/prod")}}
    state, text = newest[commit, "fairlead/prod"]
    assert ("failure", "190/200 fleets done, 10 failed") == (state, text[:30])
    assert {} == {place: words for place, words in written.items() if "error" in {state for state, _ in words}}
    for place, words in written.items():
        again = Counter(word for word, before in zip(words[1:], words, strict=False) if word == before)
        assert not again or max(again.values()) <= harms, f"{place} was told the same again and again: {again}"


def live_through(estate: Any, wait: Callable[..., Any], chaos: Any, restarts: Sequence[Callable[[], None]]) -> None:
    """Bump 200, do harm until the forge shows the end of it, then judge the logs."""
    first = estate.world.head
    wait(lambda: in_sync(estate, first), "500 fleets in sync", LONG)
    before = estate.written()
    bump = Bump(estate)
    commit = bump.merge()
    harms = list(zip((0.2, 0.6), restarts, strict=False))

    def meanwhile() -> None:
        if harms and (done := bump.done) >= harms[0][0]:
            assert done < 1
            assert estate.in_flight, "nothing was under way when the ledger's server restarted"
            harms.pop(0)[1]()

    chaos.meanwhile = meanwhile
    wait(lambda: estate.in_flight, "the first deploy", LONG)
    while not (bump.converged and told(estate, bump, commit)):
        chaos.act()
        assert chaos.acts.total() < 150, f"{bump.done:.0%} of the good ones are there\n{estate.said()}"
    wait(lambda: estate.truths().items() >= {p: w[-1] for p, w in estate.written().items()}.items(), "the last words")
    estate.end()
    assert [] == harms
    assert chaos.at_work["killed"]
    assert chaos.at_work["stopped"]
    assert bump.converged
    assert_each_deploy_began_once(estate, bump)
    assert_orders_follow_each_other(estate)
    assert_words_are_right(estate, bump, first, commit, chaos.acts.total() + len(restarts))
    after = {place: words[len(before.get(place, [])) :] for place, words in estate.written().items()}
    assert {"success"} >= {state for place in after if place[0] == first for state, _ in after[place]}


def test_four_controllers_on_one_postgresql_that_restarts_twice(
    make_estate: Any, make_chaos: Any, wait_until: Callable[..., Any]
) -> None:
    with Postgres() as postgres:
        estate = make_estate(postgres.url)
        estate.add_controllers(4)
        crash = partial(postgres.restart, how=IMMEDIATE)
        live_through(estate, wait_until, make_chaos(estate), [postgres.restart, crash])


def test_one_controller_on_sqlite(make_estate: Any, make_chaos: Any, wait_until: Callable[..., Any]) -> None:
    estate = make_estate()
    estate.add_controllers(1)
    live_through(estate, wait_until, make_chaos(estate), [])
