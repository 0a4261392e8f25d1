"""The text of suspend files: what is wished is there, and all else stays as people wrote it."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from desired_state.documents import plain, read
from desired_state.git_errors import GitRefused
from desired_state.model import Suspension
from desired_state.suspending import suspended

PATH = "environments/prod/suspend.yaml"
END = datetime(2099, 12, 1, 8, tzinfo=UTC)
LOOK = Suspension(reason="a look", until=END)


@pytest.mark.parametrize(
    "reason", ["a look", 'it\'s "quoted": # no comment', "yes", "1.10", "naïve ☃", "{a: b}", "\\n"]
)
def test_a_new_file_reads_the_same_in_every_yaml(reason: str) -> None:
    text = suspended("", Suspension(reason=reason, until=END, regions=("eu-west-1", "us-east-1")), PATH)

    expected = {"reason": reason, "until": "2099-12-01T08:00:00Z", "regions": ["eu-west-1", "us-east-1"]}
    document = read(text.encode(), PATH)
    assert document.root is not None
    assert expected == plain(document.root) == yaml.safe_load(text)


def test_line_ends_and_comments_stay() -> None:
    text = "# ask Ada\r\nreason: 'a look'  # of hers\r\n"

    assert f'{text}until: "2099-12-01T08:00:00Z"\r\n' == suspended(text, LOOK, PATH).replace('"a look"', "'a look'")


def test_what_is_no_longer_wished_goes() -> None:
    text = "reason: a look\nuntil: 2099-12-01T08:00:00Z\nregions: [eu-west-1]\n"

    assert "reason: a look\n" == suspended(text, Suspension(reason="a look"), PATH)


@pytest.mark.parametrize(
    ("later", "slack", "same"),
    [(0, 0, True), (1, 0, False), (299, 300, True), (301, 300, False), (-1, 300, False)],
)
def test_an_end_a_little_later_may_be_the_same(later: int, slack: int, same: bool) -> None:
    text = suspended("", LOOK, PATH)
    wished = Suspension(reason="a look", until=END + timedelta(seconds=later))

    assert same == (text == suspended(text, wished, PATH, slack))


def test_a_file_that_is_no_map_is_written_anew() -> None:
    assert suspended("", LOOK, PATH) == suspended("- a list\n", LOOK, PATH)


@pytest.mark.parametrize("text", ["reason: [\n", "reason: a\nreason: b\n"])
def test_a_file_that_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(GitRefused, match=f"{PATH}: this is no YAML that can be edited"):
        suspended(text, LOOK, PATH)
