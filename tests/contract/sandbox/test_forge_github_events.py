"""The sandbox's forge tells of pull requests as GitHub does."""

import hashlib
import hmac
from typing import Any


def test_what_happens_to_a_pull_request_is_told(github: Any, receiver: Any) -> None:
    config = {"url": receiver.url, "content_type": "json", "secret": "s3cret"}
    github("POST", "/hooks", {"name": "web", "events": ["pull_request"], "config": config})
    first = github.branch("bump", {"fleet.yaml": "version: 3\n"})
    github("POST", "/pulls", {"head": "bump", "base": "main", "title": "Bump to 3"})
    second = github.branch("bump", {"fleet.yaml": "version: 4\n"})
    github("PATCH", "/pulls/1", {"title": "Bump to 4"})
    github("PATCH", "/pulls/1", {"state": "closed"})
    github("PATCH", "/pulls/1", {"state": "open"})
    merged = github("PUT", "/pulls/1/merge").json()["sha"]

    ping, *got = [receiver.next() for _ in range(7)]
    assert "ping" == ping.headers["x-github-event"]
    assert {"pull_request"} == {each.headers["x-github-event"] for each in got}
    told = [each.json for each in got]
    actions = ["opened", "synchronize", "edited", "closed", "reopened", "closed"]
    assert actions == [each["action"] for each in told]
    assert (first, second, second) == (told[1]["before"], told[1]["after"], told[1]["pull_request"]["head"]["sha"])
    assert {"title": {"from": "Bump to 3"}} == told[2]["changes"]
    assert [False, True] == [told[at]["pull_request"]["merged"] for at in (3, 5)]
    tried, made = (told[at]["pull_request"]["merge_commit_sha"] for at in (3, 5))
    assert (merged, None) == (made, github.hosted.bare.resolve(tried))  # what was tried is on no branch
    digest = hmac.new(b"s3cret", got[0].body, hashlib.sha256).hexdigest()
    assert f"sha256={digest}" == got[0].headers["x-hub-signature-256"]


def test_a_push_from_a_fork_is_told_to_its_parent_alone_as_a_pull_request(github: Any, receiver: Any) -> None:
    config = {"url": receiver.url, "content_type": "json"}
    github("POST", "/hooks", {"name": "web", "events": ["push", "pull_request"], "config": config})
    assert "ping" == receiver.next().headers["x-github-event"]
    old, clone = github.fork("mallory", {"evil": "1\n"})
    github("POST", "/pulls", {"head": "mallory:change", "base": "main", "title": "Hi"})
    clone.commit("more", {"evil": "2\n"})
    clone.git("push", "--quiet", "origin", "change")

    opened, pushed = receiver.next(), receiver.next()
    assert ("opened", "synchronize") == (opened.json["action"], pushed.json["action"])
    assert (old, clone.head) == (pushed.json["before"], pushed.json["after"])
    assert "mallory" == pushed.json["sender"]["login"]
