"""No word for a whole fleet makes hosts begin that others deployed to."""

from types import SimpleNamespace
from typing import Any

from adapters.trigger.feeds import seen_hosts
from adapters.trigger.strangers import spared, strangers
from reconciler.work import Release, Standing


def standing(made: SimpleNamespace, **changes: Any) -> Standing:
    release = Release(fleet=made.fleet(), setting_commit="c" * 40)
    said: dict[str, Any] = {"target": release, "base": release, "admitted": None, "attempts": {}, "rejected": ()}
    return Standing(**{**said, **changes})


def hosts(made: SimpleNamespace, **reports: Any) -> list[Any]:
    named = {name.replace("_", "-"): report for name, report in reports.items()}
    return list(seen_hosts(made.fleet(), made.snapshots(named)))


def test_who_runs_something_and_never_anything_of_ours_is_a_stranger(made: SimpleNamespace) -> None:
    found = hosts(
        made,
        i_1=made.report(last_good="2.3.0"),
        i_2=made.report(last_good="", sequence=7),
        i_3=made.report(last_good="", running=False, healthy=False),
        i_4=made.report(last_good="", report_only=True),
    )

    assert strangers(found) == {"i-2", "i-4"}


def test_an_order_for_all_comes_to_name_those_that_are_ours_and_has_no_base(made: SimpleNamespace) -> None:
    found = hosts(made, i_1=made.report(last_good="2.3.0"), i_2=made.report(last_good=""))

    said = spared(standing(made), found)

    assert (said.admitted, said.base) == (frozenset({"i-1"}), None)


def test_strangers_that_are_not_admitted_are_given_no_base(made: SimpleNamespace) -> None:
    found = hosts(made, i_1=made.report(last_good=""), i_2=made.report(last_good=""))
    wave = standing(made, admitted=frozenset({"i-1"}))

    said = spared(wave, found)

    assert (said.admitted, said.base) == (frozenset({"i-1"}), None)
    assert spared(standing(made, admitted=frozenset({"i-1", "i-2"})), found).base is not None


def test_a_fleet_of_our_own_is_spoken_to_as_a_whole(made: SimpleNamespace) -> None:
    found = hosts(made, i_1=made.report(last_good="2.3.0"), i_2=made.report(last_good="2.3.0"))
    whole = standing(made)

    assert spared(whole, found) == whole
