"""A table of real git histories, and the commit that set each fleet's present target."""

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from desired_state.history import ABSENT, BROKEN, LOOKBACK, Reading, find_settings
from desired_state.mirror import Mirror
from desired_state.model import Revision, Setting

Story = Any
Expected = dict[str, str]  # fleet: "commit" or "commit < reverted reverted"
REVERTS = re.compile(r"This reverts commit ([0-9a-f]{40})")


class Reader:
    """A fleet's digest: the version lines of its own file, its config and the shared service file."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.asked: list[tuple[str, str]] = []

    def read(self, commit: str, fleets: Collection[str]) -> Mapping[str, Reading]:
        self.asked += [(commit, fleet) for fleet in fleets]
        return {fleet: self._reading(commit, fleet) for fleet in fleets}

    def reverted_by(self, revision: Revision) -> frozenset[str]:
        sides = [*revision.parents[1:], f"^{revision.parents[0]}"] if len(revision.parents) > 1 else []
        messages = [revision, *(self.mirror.messages(*sides) if sides else [])]
        return frozenset(sha for message in messages for sha in REVERTS.findall(message.body))

    def _reading(self, commit: str, fleet: str) -> Reading:
        inputs = [f"{fleet}.yaml", f"{fleet}.config.yaml", "shared.yaml"]
        own, *others = [self._text(commit, path) for path in inputs]
        version = None if own is None else re.search(r"^version: (.*)$", own, re.MULTILINE)
        said = [re.findall(r"^version: .*$", text or "", re.MULTILINE) for text in others]
        digest = ABSENT if own is None else BROKEN if version is None else f"{version[1]} {said}"
        return Reading(digest=digest, inputs=frozenset(inputs))

    def _text(self, commit: str, path: str) -> str | None:
        entry = self.mirror.tree(commit).entries().get(path)
        return self.mirror.read(entry.blob).decode() if entry else None


def found(
    story: Story, mirror: Mirror, known_head: str | None = None, known: Mapping[str, Setting] | None = None
) -> tuple[dict[str, Setting], Reader]:
    head = mirror.fetch().sha
    reader = Reader(mirror)
    fleets = [path.removesuffix(".yaml") for path in mirror.tree(head).entries() if re.fullmatch(r"[ab]\.yaml", path)]
    with contextlib.closing(mirror.first_parents(head)) as walk:
        settings = find_settings(
            walk, reader.read, fleets, reverted_by=reader.reverted_by, known_head=known_head, known=known
        )
    return settings, reader


def told(story: Story, settings: Mapping[str, Setting]) -> Expected:
    names = {sha: name for name, sha in story.commits.items()}
    return {
        fleet: " < ".join([names[setting.commit], *filter(None, [" ".join(names[sha] for sha in setting.reverts)])])
        for fleet, setting in settings.items()
    }


HISTORIES: list[tuple[str, Callable[[Story], None], Expected]] = []


def history(**expected: str) -> Callable[[Callable[[Story], None]], Callable[[Story], None]]:
    def register(tell: Callable[[Story], None]) -> Callable[[Story], None]:
        HISTORIES.append((tell.__name__, tell, expected))
        return tell

    return register


@history(a="root", b="root")
def root_commit_alone(story: Story) -> None:
    story.commit("root", a="1", b="1")


@history(a="two", b="root")
def bump_on_the_branch(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("two", a="2")


@history(a="merge", b="root")
def merge_of_a_pull_request(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("pr")
    story.commit("side one", a="2")
    story.commit("side two", a="3")
    story.on("main")
    story.merge("merge", "pr")


@history(a="merge a", b="merge b")
def two_pull_requests_merged_in_turn(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("first")
    story.commit("side a", a="2")
    story.branch("second", "root")
    story.commit("side b", b="2")
    story.on("main")
    story.merge("merge a", "first")
    story.merge("merge b", "second")


@history(a="squash", b="root")
def squash_merge(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("pr")
    story.commit("side one", a="2")
    story.commit("side two", a="3")
    story.on("main")
    story.git("merge", "--quiet", "--squash", "pr")
    story.commit("squash")


@history(a="rebased a", b="rebased b")
def rebase_merge(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("pr")
    story.commit("side a", a="2")
    story.commit("side b", b="2")
    story.on("main")
    story.commit("main moves", other="x")
    story.on("pr")
    story.git("rebase", "--quiet", "main")
    story.on("main")
    story.git("merge", "--quiet", "--ff-only", "pr")
    story.commits["rebased b"] = story.git("rev-parse", "HEAD")
    story.commits["rebased a"] = story.git("rev-parse", "HEAD~1")


@history(a="undo < two", b="root")
def revert(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("two", a="2")
    story.revert("undo", "two")


@history(a="redo < undo")
def revert_of_a_revert(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.revert("undo", "two")
    story.revert("redo", "undo")


@history(a="again < redo")
def revert_of_a_revert_of_a_revert(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.revert("undo", "two")
    story.revert("redo", "undo")
    story.revert("again", "redo")


@history(a="by hand < two")
def rollback_by_hand_to_the_same_value(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.commit("by hand", a="1")


@history(a="back < three two")
def rollback_over_two_versions(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.commit("three", a="3")
    story.commit("back", a="1")


@history(a="back < five four three two")
def rollback_to_the_fifth_run_before(story: Story) -> None:
    for version, name in enumerate(["one", "two", "three", "four", "five"], start=1):
        story.commit(name, a=str(version))
    story.commit("back", a="1")


@history(a="back")
def rollback_further_than_runs_are_looked_at(story: Story) -> None:
    for version, name in enumerate(["one", "two", "three", "four", "five", "six"], start=1):
        story.commit(name, a=str(version))
    story.commit("back", a="1")


@history(a="undo merge < merge", b="root")
def revert_of_a_merge(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("pr")
    story.commit("side", a="2")
    story.on("main")
    story.merge("merge", "pr")
    story.revert("undo merge", "merge", "--mainline=1")


@history(a="merge undo < two", b="root")
def revert_merged_as_a_pull_request(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("two", a="2")
    story.branch("pr")
    story.revert("undo", "two")
    story.on("main")
    story.merge("merge undo", "pr")


@history(a="undo < two")
def revert_of_one_commit_below_another(story: Story) -> None:
    """The target never stood before (new config, old version); the message says what it undid."""
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.commit("configure", **{"a.config": "7"})
    story.revert("undo", "two")


@history(a="merge undo < two")
def revert_below_another_merged_as_a_pull_request(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.commit("configure", **{"a.config": "7"})
    story.branch("pr")
    story.revert("undo", "two")
    story.on("main")
    story.merge("merge undo", "pr")


@history(a="four", b="three")
def several_changes_in_one_push(story: Story) -> None:
    story.commit("one", a="1", b="1")
    story.commit("two", a="2")
    story.commit("three", b="2")
    story.commit("four", a="3")


@history(a="restored < bad")
def back_and_forth_in_one_push(story: Story) -> None:
    story.commit("good", a="1")
    story.commit("bad", a="2")
    story.commit("restored", a="1")


@history(a="main b", b="join")
def criss_cross_merges(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("pr")
    story.commit("side b", b="2")
    story.on("main")
    story.commit("main b", a="2")
    story.on("pr")
    story.merge("side takes main", "main")
    story.on("main")
    story.merge("join", "pr~1")
    story.on("pr")
    story.git("merge", "--quiet", "--no-ff", "--message", "x", "main")
    story.on("main")
    story.merge("join again", "pr")


@history(a="octopus", b="octopus")
def octopus_merge(story: Story) -> None:
    story.commit("root", a="1", b="1", c="1")
    for branch in ("a", "b", "c"):
        story.branch(f"pr-{branch}", "root")
        story.commit(f"side {branch}", **{branch: "2"})
    story.on("main")
    story.merge("octopus", "pr-a", "pr-b", "pr-c")


@history(a="back", b="root")
def renamed_to_another_fleet_and_back(story: Story) -> None:
    story.commit("root", a="1", b="9")
    story.git("mv", "a.yaml", "c.yaml")
    story.commit("away")
    story.git("mv", "c.yaml", "a.yaml")
    story.commit("back")


@history(b="rename")
def renamed_to_another_fleet(story: Story) -> None:
    story.commit("root", a="1")
    story.git("mv", "a.yaml", "b.yaml")
    story.commit("rename")


@history(a="root", b="root")
def mode_change_only(story: Story) -> None:
    story.commit("root", a="1", b="1")
    (story.folder / "a.yaml").chmod(0o755)
    story.commit("mode")


@history(a="root", b="root")
def commit_that_touches_nothing(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("empty")


@history(a="root", b="root")
def commit_that_changes_a_comment(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("comment", a="# checked\nversion: 1\n")


@history(a="configure", b="root")
def change_of_configuration(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("configure", **{"a.config": "7"})


@history(a="share", b="share")
def change_of_the_service(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("bump", a="2")
    story.commit("share", shared="1")


@history(a="late merge", b="newer")
def side_branch_with_older_dates(story: Story) -> None:
    """Dates lie: the merged commit is older than what main had meanwhile, and main's clock ran backwards."""
    story.commit("root", a="1", b="1")
    story.branch("old")
    story.commit("old side", a="2")
    story.on("main")
    story._minute = 600
    story.commit("newer", b="2")
    story._minute = 3
    story.merge("late merge", "old")


@history(a="evil", b="evil")
def merge_that_changes_something_itself(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("pr")
    story.commit("side", b="2")
    story.on("main")
    story.git("merge", "--quiet", "--no-ff", "--no-commit", "pr")
    story.commit("evil", a="3")


@history(a="root")
def broken_then_fixed_to_the_same(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("break", a="versoin\n")
    story.commit("fix", a="1")


@history(a="fix")
def broken_then_fixed_to_another(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("break", a="versoin\n")
    story.commit("break more", a="nothing\n")
    story.commit("fix", a="2")


@history(a="first good")
def broken_from_the_beginning(story: Story) -> None:
    story.commit("root", a="nothing\n")
    story.commit("first good", a="1")
    story.commit("break", a="nothing\n")
    story.commit("good again", a="1")


@history(a="two")
def broken_at_the_head(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.commit("break", a="nothing\n")


@history(a="fixed < two")
def rolled_back_through_a_broken_commit(story: Story) -> None:
    story.commit("root", a="1")
    story.commit("two", a="2")
    story.commit("break", a="nothing\n")
    story.commit("fixed", a="1")


@history(a="added again", b="root")
def deleted_then_added_again(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("delete", a=None)
    story.commit("added again", a="1")


@history(a="new two", b="root")
def rewritten_history(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.commit("two", a="2")
    story.git("reset", "--quiet", "--hard", story.commits["root"])
    story.commit("other", other="x")
    story.commit("new two", a="2")


@history(a="foxtrot", b="side")
def merge_where_main_is_the_second_parent(story: Story) -> None:
    story.commit("root", a="1", b="1")
    story.branch("pr")
    story.commit("side", b="2")
    story.on("main")
    story.commit("two", a="2")
    story.on("pr")
    story.merge("foxtrot", "main")
    story.git("branch", "--force", "main", "pr")


@pytest.mark.parametrize(("tell", "expected"), [case[1:] for case in HISTORIES], ids=[case[0] for case in HISTORIES])
def test_the_setting_commit_of_a_history(
    tell: Callable[[Story], None], expected: Expected, story: Story, tmp_path: Path
) -> None:
    tell(story)

    with Mirror(tmp_path / "mirror", str(story.folder)) as mirror:
        assert expected == told(story, found(story, mirror)[0])


@pytest.mark.parametrize("tell", [case[1] for case in HISTORIES], ids=[case[0] for case in HISTORIES])
def test_what_was_known_at_an_earlier_head_changes_nothing(
    tell: Callable[[Story], None], story: Story, tmp_path: Path
) -> None:
    tell(story)

    with Mirror(tmp_path / "mirror", str(story.folder)) as mirror:
        whole, _ = found(story, mirror)
        head = mirror.fetch().sha
        chain = [revision for revision, _ in mirror.first_parents(head)]
        for earlier in {chain[1 % len(chain)], chain[len(chain) // 2]}:
            story.git("branch", "--force", "earlier", earlier.sha)
            with Mirror(tmp_path / "mirror", str(story.folder), "earlier") as past:
                known, _ = found(story, past)
            assert whole == found(story, mirror, earlier.sha, known)[0]


def test_digests_are_asked_only_under_commits_that_touch_a_fleet(story: Story, tmp_path: Path) -> None:
    story.commit("root", a="1", b="1")
    for number in range(5):
        story.commit(f"other {number}", other=f"x{number}")
    below = story.commits["other 4"]
    head = story.commit("two", a="2")

    with Mirror(tmp_path / "mirror", str(story.folder)) as mirror:
        _, reader = found(story, mirror)

    assert {(head, "a"), (head, "b"), (below, "a")} == set(reader.asked)


def test_with_a_known_head_only_what_changed_is_followed(story: Story, tmp_path: Path) -> None:
    story.commit("root", a="1", b="1")
    story.commit("b two", b="2")
    with Mirror(tmp_path / "mirror", str(story.folder)) as mirror:
        known, _ = found(story, mirror)
        before = story.commits["b two"]
        head = story.commit("a two", a="2")
        settings, reader = found(story, mirror, before, known)

    assert {"a": "a two", "b": "b two"} == told(story, settings)
    assert {(head, "a"), (head, "b"), (before, "a")} == set(reader.asked)


def test_a_known_setting_of_another_digest_is_not_believed(story: Story, tmp_path: Path) -> None:
    story.commit("root", a="1")
    head = story.commit("two", a="2")
    with Mirror(tmp_path / "mirror", str(story.folder)) as mirror:
        wrong = {"a": Setting(commit=story.commits["root"], target_digest="of an older Fairlead")}
        settings, _ = found(story, mirror, head, wrong)

    assert {"a": "two"} == told(story, settings)


def test_the_oldest_commit_seen_counts_where_the_walk_ends_early(story: Story, tmp_path: Path) -> None:
    story.commit("root", a="1")
    story.commit("second", other="x")
    head = story.commit("third", other="y")
    with Mirror(tmp_path / "mirror", str(story.folder)) as mirror:
        mirror.fetch()
        with contextlib.closing(mirror.first_parents(head)) as walk:
            settings = find_settings(walk, Reader(mirror).read, ["a"], limit=2)

    assert {"a": "second"} == told(story, settings)


def test_what_was_reverted_is_looked_for_in_a_bounded_part_of_history() -> None:
    """Told without git: a walk of many commits between the setting commit and the one it undid."""
    versions = {0: "1", 1: "2"}

    def seen(between: int) -> tuple[Setting, int]:
        numbers = range(between + 2, -1, -1)
        walked: list[int] = []

        def walk() -> Iterator[tuple[Revision, frozenset[str]]]:
            for number in numbers:
                walked.append(number)
                parents = (str(number - 1),) if number else ()
                touches = number in {0, 1, between + 2}
                when = datetime(2026, 1, 1, tzinfo=UTC)
                revision = Revision(sha=str(number), parents=parents, author="", committed_at=when, subject="")
                yield revision, frozenset({"a.yaml"} if touches else set())

        def read(commit: str, _: Collection[str]) -> dict[str, Reading]:
            digest = "1" if int(commit) == between + 2 else versions.get(int(commit), "2")
            return {"a": Reading(digest=digest, inputs=frozenset({"a.yaml"}))}

        return find_settings(walk(), read, ["a"])["a"], len(walked)

    near, _ = seen(LOOKBACK - 2)
    far, walked = seen(10 * LOOKBACK)

    assert (str(LOOKBACK), ("1",)) == (near.commit, near.reverts)
    assert (str(10 * LOOKBACK + 2), ()) == (far.commit, far.reverts)
    assert walked <= LOOKBACK + 2
