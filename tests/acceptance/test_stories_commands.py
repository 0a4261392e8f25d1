"""What people type, beside a controller that deploys: each command ends as the deploy ends."""

from typing import Any

import pytest

STAGING, PROD = "staging/shop", "prod/shop"
WAIT = ("--wait", "--timeout", "10m")


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    story = begin_story(make_repository(dict.fromkeys((STAGING, PROD), "1.4.0")))
    story.start()
    story.wait_said(story.world.checkout.head, STAGING, "success")
    story.wait_said(story.world.checkout.head, PROD, "success")
    return story


@pytest.mark.long
def test_a_version_goes_to_staging_is_promoted_comes_back_and_is_held(story: Any) -> None:
    code, bumped = story.fairlead("bump", "shop", "1.5.0", "--env", "staging", *WAIT)
    assert (0, "success") == (code, bumped["result"])
    assert "1.5.0 on 1/1 units" in bumped["results"][0]["message"]

    code, promoted = story.fairlead("promote", "shop", "--from", "staging", "--to", "prod", *WAIT)
    assert (0, "prod/shop: 1.4.0 -> 1.5.0") == (code, promoted["message"])

    code, back = story.fairlead("rollback", PROD, *WAIT)
    assert (0, "prod/shop: 1.5.0 -> 1.4.0") == (code, back["message"])
    assert "1.4.0" in back["results"][0]["message"]

    code, asleep = story.fairlead("suspend", PROD, "--reason", "a look", *WAIT)
    assert (0, "suspend prod/shop") == (code, asleep["message"])

    code, held = story.fairlead("bump", "shop", "1.6.0", "--env", "prod", "--wait", "--timeout", "20s")
    assert (12, "held") == (code, held["result"])
    assert held["results"][0]["message"].startswith("Suspended: a look")

    code, _ = story.fairlead("resume", PROD)
    assert 0 == code
    code, there = story.fairlead("bump", "shop", "1.6.0", "--env", "prod", *WAIT)
    assert (0, None, held["commit"]) == (code, there["commit"], there["changes"][0]["stands"])
    assert "success" == there["result"]
