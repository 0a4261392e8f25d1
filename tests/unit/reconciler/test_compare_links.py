"""The application's own changes, as each forge shows them."""

import pytest

from desired_state.changes import Change, Effect
from desired_state.model import Source
from reconciler.compare_links import between, source_links
from reconciler.reviews import Pull
from tests.unit.reconciler.conftest import make_fleet


def pull(url: str) -> Pull:
    return Pull(number=7, head="ab" * 20, base="main", branch="topic", title="", author="", url=url, outside=False)


@pytest.mark.parametrize(
    ("url", "own", "address"),
    [
        (
            "https://github.com/acme/desired/pull/7",
            "acme/desired",
            "https://github.com/acme/checkout/compare/v1.4.1...v1.4.2",
        ),
        (
            "https://example.com/git/acme/desired/pulls/7",
            "acme/desired",
            "https://example.com/git/acme/checkout/compare/v1.4.1...v1.4.2",
        ),
        (
            "https://gitlab.example.com/acme/ops/desired/-/merge_requests/7",
            "acme/ops/desired",
            "https://gitlab.example.com/acme/checkout/-/compare/v1.4.1...v1.4.2",
        ),
        ("https://github.com/other/place/pull/7", "acme/desired", ""),
        ("javascript:alert(1)/acme/desired/pull/7", "acme/desired", ""),
        ("", "", ""),
    ],
)
def test_two_tags_are_compared_where_the_pull_request_is(url: str, own: str, address: str) -> None:
    assert address == between(pull(url), own, "acme/checkout", "refs/tags/v1.4.1", "refs/tags/v1.4.2")


@pytest.mark.parametrize(
    ("project", "before", "after"),
    [
        ("acme/checkout", "", "v2"),
        ("acme/checkout", "v1", ""),
        ("acme/checkout", "v1", "v1"),
        ("checkout", "v1", "v2"),
        ("../checkout", "v1", "v2"),
        ("acme/check out", "v1", "v2"),
        ("acme/x)[y](z", "v1", "v2"),
    ],
)
def test_what_is_no_comparison_has_no_address(project: str, before: str, after: str) -> None:
    url = "https://github.com/acme/desired/pull/7"

    assert "" == between(pull(url), "acme/desired", project, before, after)


SOURCE = Source(repository="acme/checkout", tag="v{version}")


@pytest.mark.parametrize(
    ("was", "now", "address"),
    [
        (SOURCE, SOURCE, "https://github.com/acme/checkout/compare/v1.4.1...v1.4.2"),
        (None, None, ""),
        (None, SOURCE, ""),
        (SOURCE, Source(repository="evil/checkout", tag="v{version}"), ""),
    ],
)
def test_a_source_that_stood_there_before_is_linked(was: Source | None, now: Source | None, address: str) -> None:
    before, after = make_fleet("1.4.1", source=was), make_fleet("1.4.2", source=now)
    change = Change(fleet=before.name, effect=Effect.DEPLOY, before=before, after=after)

    assert address == source_links("acme/desired")(pull("https://github.com/acme/desired/pull/7"), change)
