"""A Gate that is gone for a while: every fleet that needs it says the same, and what goes back goes first then."""

from typing import Any

import pytest

BACK, FIRST, OTHERS, CALM = "staging/back", "staging/first", ("staging/third", "staging/fourth"), "staging/calm"


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    """All fleets deployed and at rest, one of them at a version that is about to be reverted."""
    files = make_repository(dict.fromkeys((BACK, FIRST, *OTHERS, CALM), "1.4.0"))
    story = begin_story(files, lease="6s", request_timeout="3s")
    story.start()
    story.wait_said(story.world.checkout.head, "staging", "success", "5/5 fleets done")
    return story


def test_fleets_are_held_with_one_sentence_and_a_revert_goes_first_when_gate_returns(story: Any) -> None:
    world = story.world
    bad = world.bump(BACK, "1.5.0")
    story.wait_said(bad, BACK, "success", "1.5.0 on 1/1 units")
    world.gate.go_away()
    where = world.gate.url.removeprefix("http://")

    alone = world.bump(FIRST, "1.5.0")
    told = story.wait_said(alone, FIRST, "pending", f"GateUnreachable: Gate at {where} does not answer since ")
    bumps = world.merge("bump two", {f"environments/{name}.yaml": 'version: "1.5.0"\n' for name in OTHERS})
    revert = world.revert(bad)
    for commit, name in [(bumps, OTHERS[0]), (bumps, OTHERS[1]), (revert, BACK)]:
        story.wait(lambda commit=commit, name=name: story.said(commit, name), f"{name} is spoken of")
        story.wait(lambda name=name: story.reason(name) == "GateUnreachable", f"{name} is held")

    sentences = {story.record(name).memory.status.message for name in (FIRST, *OTHERS, BACK)}
    assert told.description.removeprefix("GateUnreachable: ") in sentences
    assert 1 == len(sentences)
    assert (1, 0) == (len(story.starts(BACK)), sum(len(story.starts(name)) for name in OTHERS))
    assert [] == [one.intent.key for name in (*OTHERS, BACK) for one in story.record(name).work]
    assert "Succeeded" == story.reason(CALM)

    world.gate.come_back()

    story.wait_said(revert, BACK, "success", "rolled back to 1.4.0")
    for commit, name in [(alone, FIRST), (bumps, OTHERS[0]), (bumps, OTHERS[1])]:
        story.wait_said(commit, name, "success", "1.5.0 on 1/1 units")
        assert 1 == len(story.starts(name))
    began = {name: story.starts(name)[-1]["number"] for name in (BACK, *OTHERS)}
    assert BACK == min(began, key=lambda name: began[name])
