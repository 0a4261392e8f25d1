"""Which way an attempt goes, where a server group is on its way out."""

from types import SimpleNamespace
from typing import Any

import pytest

from adapters.aws.baked import Baked, ImageMissing
from adapters.gate.lanes import Lane, choose, still_beside
from adapters.gate.settings import settings_of
from desired_state.model import Fleet
from reconciler.work import Intent, Kind

GOING = "Delete in progress"
DEPLOY = {
    "rollback": {
        "pipeline": "rollback-prod",
        "parameters": {"restore": "RESTORE", "disable": "DISABLE", "region": "REGION", "fairleadKey": "FAIRLEAD_KEY"},
    }
}


def nowhere(fleet: Fleet, region: str, cluster: str) -> Baked:
    raise ImageMissing(f"{fleet.name} {region} {cluster}")


def intent(made: SimpleNamespace) -> Intent:
    found: Intent = made.intent(made.fleet("1.4.1", deploy=DEPLOY), kind=Kind.ROLLBACK)
    return found


def chosen(made: SimpleNamespace, *groups: dict[str, Any]) -> Lane:
    wanted = intent(made)
    return choose(wanted, settings_of(wanted.fleet), made.body(*groups), nowhere)


def old(made: SimpleNamespace, push: int, **changes: Any) -> dict[str, Any]:
    group: dict[str, Any] = made.group(push, desired=0, enabled=False, launch_image="ami-1.4.1", **changes)
    return group


def bad(made: SimpleNamespace, push: int, **changes: Any) -> dict[str, Any]:
    group: dict[str, Any] = made.group(push, made.instance(push, "ami-1.4.2"), desired=1, **changes)
    return group


@pytest.mark.parametrize(
    ("going", "lane"),
    [
        ((), Lane(restore="checkout-prod-v002", disable="checkout-prod-v004")),
        ((2,), Lane(restore="checkout-prod-v001", disable="checkout-prod-v004")),
        ((4,), Lane(restore="checkout-prod-v002", disable="checkout-prod-v003")),
        ((1, 2), Lane()),
    ],
)
def test_a_group_that_is_being_deleted_is_neither_restored_nor_disabled(
    made: SimpleNamespace, going: tuple[int, ...], lane: Lane
) -> None:
    status = {push: {"status": GOING} for push in going}
    olds = [old(made, push, **status.get(push, {})) for push in (1, 2)]
    bads = [bad(made, push, **status.get(push, {})) for push in (3, 4)]

    assert lane == chosen(made, *olds, *bads)


def test_a_group_that_is_being_deleted_is_not_waited_for_beside_the_restored_one(made: SimpleNamespace) -> None:
    lane, wanted = Lane(restore="checkout-prod-v002", disable="checkout-prod-v003"), intent(made)
    back = made.group(2, made.instance(2, "ami-1.4.1"), desired=1)

    def beside(**changes: Any) -> str:
        body = made.body(back, bad(made, 3, enabled=False), bad(made, 4, **changes))
        return still_beside(lane, wanted, settings_of(wanted.fleet), body)

    assert ("v002 is back; v004 still in service beside it: disabled next", "") == (beside(), beside(status=GOING))
