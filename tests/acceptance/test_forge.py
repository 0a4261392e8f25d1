"""A real controller beside a forge that speaks GitHub's dialect: what is said there ends right, whatever happens."""

import re
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from fairlead_sandbox.forge import Outage
from fairlead_sandbox.world import World

FLEET, CONTEXT = "prod/checkout", "fairlead/prod/checkout"


def merge(world: World, version: str) -> str:
    """A pull request that bumps the fleet, merged on the forge; gives the merge commit."""
    checkout, branch = world.checkout, f"bump-{version}"
    checkout.pull()
    with checkout.on_branch(branch):
        checkout.commit(f"Bump {FLEET} to {version}", {f"environments/{FLEET}.yaml": f"version: {version}\n"})
    return world.forge_half.person.merge(branch, f"Bump {FLEET} to {version}").commit


def words(world: World) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """What took effect on the forge, in its order: commit and context to states and descriptions."""
    found = defaultdict(list)
    for entry in world.forge.log.successes("/statuses/"):
        commit = entry.path.rpartition("/")[2]
        found[commit, entry.body["context"]].append((entry.body["state"], entry.body["description"]))
    return found


@pytest.mark.parametrize(("sign_in", "login"), [("token", "fairlead"), ("app", "fairlead[bot]")])
def test_statuses_of_a_merged_pull_request_stand_on_its_merge_commit(
    make_world: Callable[..., World], start: Callable[..., Any], wait_for_status: Any, sign_in: str, login: str
) -> None:
    world = make_world(forge=sign_in)
    start(world)
    wait_for_status(world, world.checkout.head, "success")
    commit = merge(world, "1.4.1")

    wait_for_status(world, commit, "success", text=r"1\.4\.1 on 2/2 units")

    said = words(world)
    assert "pending" == said[commit, CONTEXT][0][0]
    assert {login} == {entry.login for entry in world.forge.log.successes("/statuses/")}
    assert [] == [key for key, texts in said.items() if any(a == b for a, b in pairwise(texts))]


def test_the_forges_own_webhook_starts_a_deploy_and_no_poll_does(
    make_world: Callable[..., World],
    start: Callable[..., Any],
    wait_until: Any,
    wait_for_status: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "It's a Secret to Everybody")
    world = make_world(forge="token", poll_interval="1h", sweep_interval="1h", listen="127.0.0.1:0")
    settings = world.config.read_text().replace(
        'type = "github"\n', 'type = "github"\nwebhook_secrets = ["env:HOOK_SECRET"]\n'
    )
    world.config.write_text(settings)
    controller = start(world)
    listening = wait_until(lambda: re.search(r'"address": "([^"]+)"', controller.said()), "the server listens", 60)
    world.forge_half.person.add_webhook(f"http://{listening[1]}/hooks/github", "It's a Secret to Everybody")
    wait_for_status(world, world.checkout.head, "success")

    commit = merge(world, "1.4.1")

    wait_for_status(world, commit, "success", text=r"1\.4\.1 on 2/2 units")


@pytest.mark.parametrize("outage", [Outage.RESET, Outage.BAD_GATEWAY, Outage.LOGIN_PAGE])
def test_an_outage_delays_statuses_and_stops_no_deploy(
    make_world: Callable[..., World],
    start: Callable[..., Any],
    wait_until: Any,
    wait_for_status: Any,
    outage: Outage,
) -> None:
    world = make_world(forge="token")
    start(world)
    wait_for_status(world, world.checkout.head, "success")
    commit = merge(world, "1.4.1")
    world.forge.faults.outage = outage
    cluster = world.fleets[FLEET].cluster
    wait_until(lambda: world.versions(cluster, "eu-west-1") == {"1.4.1"}, "the second region at 1.4.1", 90)
    world.forge.faults.outage = Outage.NONE

    wait_for_status(world, commit, "success", text=r"1\.4\.1 on 2/2 units")


def test_a_status_whose_answer_was_lost_is_said_again_and_ends_right(
    make_world: Callable[..., World], start: Callable[..., Any], wait_for_status: Any
) -> None:
    world = make_world(forge="token")
    start(world)
    wait_for_status(world, world.checkout.head, "success")
    commit = merge(world, "1.4.1")
    world.forge.faults.lost_answers = 2

    wait_for_status(world, commit, "success", text=r"1\.4\.1 on 2/2 units")

    assert 2 == sum(entry.cut for entry in world.forge.log.all())
