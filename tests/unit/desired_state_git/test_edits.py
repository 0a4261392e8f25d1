"""A version is changed in place: the rest of a file stays as people wrote it."""

import pytest
import yaml

from desired_state.edits import Edit, apply, declared_version, quoted
from desired_state.git_errors import GitRefused

PATH = "environments/prod/checkout.yaml"
BEFORE = "# ours\nredeploy:   'again'   # why\n\nversion: {}   # the version\nservice:  checkout\n"


@pytest.mark.parametrize(
    ("old", "version", "new"),
    [
        ("1.4.1", "1.4.2", "1.4.2"),
        ('"1.4.1"', "1.4.2", '"1.4.2"'),
        ("'1.4.1'", "1.4.2", "'1.4.2'"),
        ("1.4.1", "1.10", '"1.10"'),
        ("1.4.1", "20261101", '"20261101"'),
        ("1.4.1", "1e3", '"1e3"'),
        ("1.4.1", "yes", '"yes"'),
        ("1.4.1", "null", '"null"'),
        ("1.4.1", "0x1f", '"0x1f"'),
        ("1.4.1", "0o17", '"0o17"'),
        ("1.4.1", "12:30:45", '"12:30:45"'),
        ("1.4.1", "2026-11-01", '"2026-11-01"'),
        ("1.4.1", "1_000", '"1_000"'),
        ("1.4.1", "2:1.4.2-1~deb12u1+b1", '"2:1.4.2-1~deb12u1+b1"'),
        ("1.4.1", "1.4.2-1~deb12u1+b1", "1.4.2-1~deb12u1+b1"),
        ("1.4.1", "a#b'", '"a#b\'"'),
        ("'1.4.1'", "a'b", '"a\'b"'),
    ],
)
def test_only_the_version_changes(old: str, version: str, new: str) -> None:
    after = apply(Edit(version=version), BEFORE.format(old), PATH)

    assert BEFORE.format(new) == after
    assert version == yaml.safe_load(after)["version"] == declared_version(after, PATH)


@pytest.mark.parametrize("text", ["version: 1.4.1\r\nredeploy: x\r\n", "---\nversion: 1.4.1", "{version: 1.4.1}\n"])
def test_line_ends_marks_and_flow_stay(text: str) -> None:
    assert text.replace("1.4.1", "1.4.2") == apply(Edit(version="1.4.2"), text, PATH)


def test_a_byte_order_mark_stays() -> None:
    assert "\ufeffversion: 1.4.2\n" == apply(Edit(version="1.4.2"), "\ufeffversion: 1.4.1\n", PATH)


def test_what_is_there_already_is_left_alone() -> None:
    assert BEFORE.format("'1.10'") == apply(Edit(version="1.10"), BEFORE.format("'1.10'"), PATH)


def test_a_number_that_looks_like_the_version_becomes_a_string() -> None:
    assert BEFORE.format('"1.10"') == apply(Edit(version="1.10"), BEFORE.format("1.10"), PATH)


def test_one_package_of_several_is_changed() -> None:
    text = "versions:\n  api: 1.0.0  # a\n  web: 2.0.0\n"

    assert text.replace("2.0.0", "2.0.1") == apply(Edit(version="2.0.1", package="web"), text, PATH)
    with pytest.raises(GitRefused, match="declares versions by package: name one of api, web"):
        apply(Edit(version="2.0.1"), text, PATH)
    with pytest.raises(GitRefused, match="name one of api, web"):
        apply(Edit(version="2.0.1", package="none"), text, PATH)


def test_the_only_package_needs_no_name() -> None:
    assert "versions: {api: 2.0.0}\n" == apply(Edit(version="2.0.0"), "versions: {api: 1.0.0}\n", PATH)


def test_pins_are_written() -> None:
    after = apply(Edit(version="2", sha256={"checkout": "ab12"}), BEFORE.format("1.4.1"), PATH)

    assert {"redeploy": "again", "version": "2", "service": "checkout", "sha256": {"checkout": "ab12"}} == (
        yaml.safe_load(after)
    )
    assert "# the version" in after
    assert "# ours" in after
    assert "'again'" in after


def test_pins_of_another_version_are_taken_out() -> None:
    text = "version: 1.0.0  # kept\nsha256: {checkout: ab12}\nredeploy: why\n"

    assert "version: 1.0.1  # kept\nredeploy: why\n" == apply(Edit(version="1.0.1"), text, PATH)
    assert text == apply(Edit(version="1.0.0"), text, PATH)


def test_pins_of_other_packages_stay() -> None:
    text = "versions:\n  api: 1.0.0\n  web: 1.0.0\nsha256:\n  api: aa\n  web: bb\n"

    after = apply(Edit(version="1.0.1", package="api", sha256={"api": "cc"}), text, PATH)

    assert "versions:\n  api: 1.0.1\n  web: 1.0.0\nsha256:\n  api: cc\n  web: bb\n" == after


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("redeploy: x\n", f"{PATH} declares no version: add a line such as `version: 1.4.2`"),
        ("- a\n", f"{PATH} holds no mapping"),
        ("", f"{PATH} holds no mapping"),
        ("version: [1]\n", f"{PATH}:1: the version is no plain value"),
        ("version:\n", f"{PATH}:2: the version is no plain value"),
        ("version: 1\n  bad: [\n", f"{PATH}:2:"),
    ],
)
def test_a_file_that_cannot_be_edited_is_told(text: str, words: str) -> None:
    with pytest.raises(GitRefused) as caught:
        apply(Edit(version="1.4.2"), text, PATH)

    assert words in str(caught.value)


@pytest.mark.parametrize("version", ["", "1 2", "1\n2", "${x}", "\x00"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(GitRefused, match="is no version: write one without spaces"):
        apply(Edit(version=version), "version: 1\n", PATH)


@pytest.mark.parametrize("version", ["1.4.2", "v1", "1.4.2-rc1", "main.7f3a"])
def test_a_version_that_reads_as_a_string_stays_bare(version: str) -> None:
    assert version == quoted(version)


def test_pins_keep_the_line_ends_of_comments() -> None:
    text = "# ours\r\nversion: 1.4.1  # as tested\r\n\r\n# later\r\nredeploy: x\r\n"

    written = apply(Edit(version="1.4.2", sha256={"checkout": "ab" * 32}), text, PATH)

    assert f"{text.replace('1.4.1', '1.4.2')}sha256:\r\n  checkout: {'ab' * 32}\r\n" == written
