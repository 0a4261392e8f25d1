"""One budget for one credential, however many repositories, replicas and mediums spend it."""

from typing import Any

import pytest

from reconciler.record import Medium, State


def words(say: Any, count: int, **more: Any) -> Any:
    return say.waiting(*(say.status(context=f"fairlead/prod/s{number}", **more) for number in range(count)))


def test_repositories_of_one_credential_share_its_budget(bench: Any, say: Any) -> None:
    here, elsewhere = bench.forge(), bench.forge(repository="acme/other")

    assert 10 == sum(each.delivered for each in here.deliver(say.lease(), words(say, 10), bench.clock.now()))

    waits = elsewhere.deliver(say.lease(), words(say, 3), bench.clock.now())
    assert [(False, False)] * 3 == [(each.delivered, each.tried) for each in waits]
    assert 10 == len(bench.github.requests)


@pytest.mark.parametrize("medium", [Medium.COMMENT, Medium.DEPLOYMENT])
def test_other_mediums_spend_the_same_budget(bench: Any, say: Any, medium: Medium) -> None:
    forge = bench.forge()
    forge.deliver(say.lease(), words(say, 10), bench.clock.now())
    other = words(say, 2, medium=medium, state=State.PENDING, body="# Plan", commit="pull/7")

    told = forge.deliver(say.lease(), other, bench.clock.now())

    assert [False, False] == [each.delivered for each in told]
    assert 10 == len(bench.github.counted)
