"""Where a service's own code is: which tag a version has there, and what is said where it has none."""

from dataclasses import replace

import pytest

from adapters.ledger.codec import FLEET
from desired_state.model import Severity, Source

SERVICE = "services/checkout.yaml"


@pytest.fixture
def with_source(declare, design_files):
    """Parse the example tree with these lines at the end of the service's file."""

    def parse(lines, **files):
        return declare({SERVICE: f"{design_files[SERVICE]}\n{lines}\n", **files})

    return parse


def line_of(design_files, needle, lines):
    text = f"{design_files[SERVICE]}\n{lines}\n"
    return 1 + text[: text.index(needle)].count("\n")


def test_a_version_has_a_tag_in_the_services_own_repository(with_source):
    fleet = with_source('source: {repository: acme/checkout, tag: "v{version}"}').fleets["prod/checkout"]
    assert Source(repository="acme/checkout", tag="v{version}") == fleet.source
    assert f"refs/tags/v{fleet.version}" == fleet.tag


def test_where_the_code_is_changes_nothing_that_runs(with_source, declare):
    before = declare().fleets["prod/checkout"]
    after = with_source('source: {repository: acme/checkout, tag: "v{version}"}').fleets["prod/checkout"]

    assert before == replace(after, source=None)
    assert "source" not in FLEET.encode(before).partition('"deploy"')[2].partition('"owner"')[2]
    assert after == FLEET.decode(FLEET.encode(after))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("source: {repository: acme/checkout}", '"tag" is missing; add tag: the tag of a version, like "v{version}"'),
        ('source: {tag: "v{version}"}', '"repository" is missing'),
        ('source: {repository: checkout, tag: "v{version}"}', "like acme/checkout"),
        ('source: {repository: "https://git.example.com/a/b", tag: "{version}"}', "like acme/checkout"),
        ("source: {repository: acme/checkout, tag: v1}", "must hold {version}"),
        ('source: {repository: acme/../user, tag: "{version}"}', "like acme/checkout"),
        ('source: {repository: acme/checkout, tag: "v{region}"}', "the placeholder {region} is not known here"),
        ('source: {repository: acme/checkout, tag: "v {version}"}', "the name of a tag"),
    ],
)
def test_what_is_wrong_is_said_at_its_line(with_source, design_files, lines, said):
    state = with_source(lines)
    told = [str(problem) for problem in state.errors]
    line = line_of(design_files, lines, lines)
    assert any(text.startswith(f"{SERVICE}:{line}:") and said in text for text in told), told


@pytest.mark.parametrize("version", ["1:1.4.2-1", "1.4.2~beta", "1.4.2..1"])
def test_a_version_that_git_cannot_name_deploys_and_is_warned_of(with_source, version):
    state = with_source(
        'source: {repository: acme/checkout, tag: "v{version}"}',
        **{"environments/prod/checkout.yaml": f'version: "{version}"\n'},
    )
    warned = [problem for problem in state.problems if problem.severity is Severity.WARNING]

    assert "" == state.fleets["prod/checkout"].tag
    assert 1 == sum("no tag can be named after" in problem.message for problem in warned)
    assert all(problem.file == SERVICE for problem in warned)


@pytest.mark.parametrize("name", ["v1.lock", ".v1", "a//b", "v1.", "a/.b", "v@{1", "v1/"])
def test_no_ref_is_made_that_git_would_refuse(name):
    assert "" == Source(repository="acme/checkout", tag="{version}").ref(name)
