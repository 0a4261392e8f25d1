"""Cases of saving a pipeline and of going back: how Fairlead ends in each, and how a naive client does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from adapters.clock import ManualClock, SystemClock
from adapters.gate.client import Gate as Client
from adapters.pipelines.building import Wanted
from adapters.pipelines.comparing import Wishes, compare
from adapters.pipelines.writing import End, Writer
from fairlead_sandbox.gate.rolling_back import rollback_pipeline
from reconciler.work import Kind, Release, Standing

OLD, NEW, BOTH = "1.4.1", "1.4.2", "1.4.1+1.4.2"
EAST, WEST = "us-east-1", "eu-west-1"
SAVED = "saved"
BACK = {"restore": "RESTORE", "disable": "DISABLE", "region": "REGION", "fairleadKey": "FAIRLEAD_KEY"}


def written(side: Any) -> End:
    """What Fairlead says of a save."""
    clock = ManualClock(SystemClock().now())
    configs = Client(side.gate.url).configs
    writer = Writer(lambda url: configs, clock, pause=lambda seconds: clock.advance(timedelta(seconds=seconds)))
    wanted = Wanted(
        repository="deploys",
        fleet=f"prod/{side.application}",
        purpose="deploy",
        gate=side.gate.url,
        application=side.application,
        name=SAVED,
        content={"application": side.application, "name": SAVED, "parameterConfig": [], "stages": []},
    )
    (change,) = compare([wanted], writer.found([wanted]), Wishes())
    return writer.write(change, Wishes()).end


def count_of(side: Any) -> int:
    """How many pipelines of the saved name there are."""
    return sum(each["name"] == SAVED for each in side.gate.pipelines.of(side.application))


def test_a_save_that_is_answered_400_and_succeeds_later(
    make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    """Gate gives up on Orca's task, and the task goes on."""
    ours, theirs = make_side(), make_side()
    for side in (ours, theirs):
        side.gate.faults.on("save_times_out", reads=2, times=1, application=side.application)

    assert (End.WRITTEN, 1) == (written(ours), count_of(ours))

    assert "success" == naive(theirs).save(SAVED)  # it saved twice
    for _ in range(2):
        Client(theirs.gate.url).configs.of(theirs.application)
    assert 2 == count_of(theirs)


def test_a_naive_saver_that_does_not_repeat_reports_a_failure_of_what_is_there(
    make_side: Callable[..., Any], naive: Any
) -> None:
    side = make_side()
    side.gate.faults.on("save_times_out", reads=1, times=1, application=side.application)

    assert "failed" == naive(side).save(SAVED, tries=1)

    Client(side.gate.url).configs.of(side.application)
    assert 1 == count_of(side)


def test_a_rollback_that_succeeded_and_skipped_a_region(
    make_side: Callable[..., Any], fairlead: Any, naive: Any
) -> None:
    ours, theirs = (make_side(regions=(EAST, WEST), by_region=True) for _ in range(2))
    for side in (ours, theirs):
        side.gate.pipelines.save(rollback_pipeline(side.application, "rollback", side.regions))
        side.post(NEW)
        side.finish()
        assert NEW == side.runs()
    settings = {"rollback": {"pipeline": "rollback", "parameters": BACK}}
    ours.gate.faults.on("deploys_nothing", region=WEST, times=1)

    assert {EAST: ["success"], WEST: ["failed", "success"]} == {
        region: rolled_back(fairlead(ours), region, settings) for region in ours.regions
    }
    assert OLD == ours.runs()

    theirs.gate.faults.on("deploys_nothing", region=WEST, times=1)
    sure = naive(theirs)
    told = {"RESTORE": f"{theirs.cluster}-v000", "DISABLE": f"{theirs.cluster}-v001"}

    assert ["success"] * 2 == [sure.rolled_back({**told, "REGION": region}) for region in theirs.regions]
    assert BOTH == theirs.runs()


def rolled_back(client: Any, region: str, settings: dict[str, Any]) -> list[str]:
    """How the attempts of going back to the old version in a region ended."""
    said: list[str] = []
    while said[-1:] != ["success"]:
        intent = client.intent(OLD, attempt=len(said) + 1, unit=region)
        fleet = replace(intent.fleet, deploy={**intent.fleet.deploy, **settings})
        intent = replace(intent, fleet=fleet, kind=Kind.ROLLBACK, failed=len(said))
        standing = Standing(target=Release(fleet=fleet, setting_commit=intent.setting_commit))
        snapshots = client.deployer.refresh(fleet, (), {})
        (outcome,) = client.deployer.start([intent], standing, snapshots, client.lease)
        said.append({"SUCCEEDED": "success"}.get(client.follow(outcome).phase.name, "failed"))
        assert len(said) <= 3
    return said
