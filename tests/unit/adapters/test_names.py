"""Server group names, both ways: taken apart by frigga's rule, and made as Clouddriver makes them."""

import pytest

from adapters.aws.names import Name, cluster_name, cluster_of, is_cluster, neighbours, next_name, parsed, push_of

READ = [  # name, app, stack, detail, sequence
    ("app", "app", "", "", None),
    ("app-v000", "app", "", "", 0),
    ("app-v003", "app", "", "", 3),
    ("app-prod", "app", "prod", "", None),
    ("app-prod-v003", "app", "prod", "", 3),
    ("app-prod-v999", "app", "prod", "", 999),
    ("app-prod-blue-v010", "app", "prod", "blue", 10),
    ("app-prod-blue-eu-v1000", "app", "prod", "blue-eu", 1000),
    ("app-prod-v12345", "app", "prod", "", 12345),
    ("app-prod-v123456", "app", "prod", "", 123456),
    ("app--canary-v012", "app", "", "canary", 12),
    ("app--canary", "app", "", "canary", None),
    ("app--canary-eu-v001", "app", "", "canary-eu", 1),
    ("my_app.x-prod-v001", "my_app.x", "prod", "", 1),
    ("app-v003-v004", "app", "v003", "", 4),  # one push is the last part; what stands before is a stack
    ("app-prod-c0us-v001", "app", "prod", "c0us", 1),  # labelled variables are a part of the cluster
    ("app-prod-blue-c0us-d0test-v001", "app", "prod", "blue-c0us-d0test", 1),
    ("app--w0B-z0east1d-v007", "app", "", "w0B-z0east1d", 7),
    ("app-prod-1.2~rc^1-v001", "app", "prod", "1.2~rc^1", 1),
    # no push: too few digits, too many, or no v
    ("x-prod-v01", "x", "prod", "v01", None),
    ("app-prod-v1", "app", "prod", "v1", None),
    ("app-prod-v1234567", "app", "prod", "v1234567", None),
    ("app-prod-003", "app", "prod", "003", None),
    ("app-prod-V003", "app", "prod", "V003", None),
    ("app-prod-v00a", "app", "prod", "v00a", None),
    ("app-prodv003", "app", "prodv003", "", None),
]
WRONG = [
    "",
    " ",
    "-",
    "-prod",
    "-prod-v001",
    "-v001",
    "app prod",
    "app/prod",
    "app-pröd",
    "app-${x}",
    "app-prod-v001\n",
]
WRONG += ["app~x-prod-v001", "app-pr~od-v001", "app+x", "app:prod-v001", "app-prod-v٠٠١ x"]


@pytest.mark.parametrize(("name", "app", "stack", "detail", "sequence"), READ)
def test_a_name_is_taken_apart(name: str, app: str, stack: str, detail: str, sequence: int | None) -> None:
    assert Name(app=app, stack=stack, detail=detail, sequence=sequence) == parsed(name)


@pytest.mark.parametrize("name", WRONG)
def test_what_frigga_cannot_read_is_no_name(name: str) -> None:
    assert (None, False) == (parsed(name), is_cluster(name))


@pytest.mark.parametrize(("name", "app", "stack", "detail", "sequence"), READ)
def test_the_parts_make_the_cluster_again(name: str, app: str, stack: str, detail: str, sequence: int | None) -> None:
    assert cluster_of(name) == cluster_name(app, stack, detail)
    assert is_cluster(name) == (sequence is None)


@pytest.mark.parametrize(
    ("oldest_first", "name"),
    [
        ([], "app-prod-v000"),
        (["app-prod-v000"], "app-prod-v001"),
        (["app-prod-v041", "app-prod-v042"], "app-prod-v043"),
        (["app-prod-v042", "app-prod-v007"], "app-prod-v008"),  # of the one created last, not the highest
        (["app-prod-v998", "app-prod-v999"], "app-prod-v000"),
        (["app-prod-v000", "app-prod-v999"], "app-prod-v001"),  # v000 is taken
        (["app-prod-v003", "app-prod-v001", "app-prod-v002", "app-prod-v000"], "app-prod-v004"),
        (["app-prod-v000", "app-prod-v002", "app-prod-v001"], "app-prod-v003"),
        (["app-prod-v1000"], "app-prod-v001"),
        (["app-prod-v123456"], "app-prod-v457"),
        (["app-prod"], "app-prod-v000"),  # a group without a push has no number
        (["app-prod-v004", "app-prod"], "app-prod-v005"),
    ],
)
def test_the_next_name_follows_the_group_created_last(oldest_first: list[str], name: str) -> None:
    assert name == next_name("app-prod", oldest_first)


def test_where_every_number_is_taken_the_next_is_said_all_the_same() -> None:
    every = [f"app-v{number:03d}" for number in range(1000)]

    assert "app-v000" == next_name("app", every)


@pytest.mark.parametrize(
    ("name", "said"), [("app-prod-v003", "v003"), ("app-prod-v1000", "v1000"), ("app-prod", "app-prod")]
)
def test_people_call_a_group_by_its_push(name: str, said: str) -> None:
    assert said == push_of(name)


def test_neighbours_wrap_at_a_thousand() -> None:
    assert ("app-v998", "app-v999", "app-v000") == neighbours("app", 999, 1)
