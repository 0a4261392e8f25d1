"""A budget that is checked wrongly is worse than none: what passes, what fails the run, what only is told."""

import json
import math
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import main
from tests.benchmarks.measurement import Limit, Measurement, Verdict, exponent, percentile
from tests.benchmarks.report import close, from_plain, number

MACHINE = {"processor": "an abacus"}


def measured(value: float, **limit: object) -> Measurement:
    return Measurement(
        name="a row",
        conditions="here",
        values={"it": value},
        limits=(Limit(value="it", **limit),),  # type: ignore[arg-type]
    )


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]

    assert [percentile(values, share) for share in (0.0, 0.5, 0.8, 0.81, 0.99, 1.0)] == [1.0, 3.0, 4.0, 5.0, 5.0, 5.0]


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 1.3, 2.0])
def test_an_exponent_is_the_power_by_which_cost_grows(power: float) -> None:
    costs = {size: 7.0 * size**power for size in (1_000, 10_000, 100_000)}

    assert exponent(costs) == pytest.approx(power)


@pytest.mark.parametrize("costs", [{}, {1000: 1.0}, {1000: 1.0, 10_000: 0.0}])
def test_an_exponent_of_too_little_is_an_error(costs: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="two sizes"):
        exponent(costs)


@pytest.mark.parametrize(
    ("value", "limit", "verdict"),
    [
        (1.0, {"most": 1.0}, Verdict.WITHIN),
        (1.01, {"most": 1.0}, Verdict.OVER),
        (2000.0, {"least": 2000.0}, Verdict.WITHIN),
        (1999.0, {"least": 2000.0}, Verdict.OVER),
        (5.0, {"least": 1.0, "most": 4.0}, Verdict.OVER),
        (math.nan, {"most": 1.0}, Verdict.OVER),
    ],
)
def test_a_limit_is_met_or_not(value: float, limit: dict[str, float], verdict: Verdict) -> None:
    assert measured(value, **limit).verdict == verdict


def test_a_value_that_was_not_measured_meets_no_limit() -> None:
    row = Measurement(name="a row", conditions="", values={}, limits=(Limit(value="it", most=1, ratio=True),))

    assert (row.verdict, row.fails) == (Verdict.OVER, True)


def test_a_row_without_a_budget_has_no_verdict() -> None:
    assert Measurement(name="a row", conditions="", values={"it": 1e9}).verdict == Verdict.NONE


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (measured(2.0, most=1.0, ratio=True), 1),
        (measured(1.0, most=1.0, ratio=True), 0),
        (measured(2.0, most=1.0), 0),
    ],
    ids=["a ratio over budget", "a ratio within", "a time over budget"],
)
def test_the_exit_code_of_a_run(row: Measurement, code: int, tmp_path: Path) -> None:
    assert close([row], {}, MACHINE, tmp_path / "bench.json") == code


def test_a_row_that_could_not_be_measured_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = close([measured(1.0, most=1.0)], {"push": "exit code 1: it fell over"}, MACHINE, tmp_path / "bench.json")

    assert code == 1
    assert "NOT MEASURED, fails the run: push: exit code 1: it fell over" in capsys.readouterr().out


def test_the_table_says_what_is_over_and_what_it_is_measured_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    close([measured(1234.5, most=1000.0, ratio=True)], {}, MACHINE, tmp_path / "bench.json")
    shown = capsys.readouterr().out

    assert "OVER, fails the run: a row: it ≤ 1000, measured 1,234" in shown
    assert "an abacus" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 100


def test_the_json_holds_all_that_the_table_does(tmp_path: Path) -> None:
    row = measured(2.0, most=1.0, ratio=True)
    close([row], {"push": "why"}, MACHINE, tmp_path / "build" / "bench.json")
    document = json.loads((tmp_path / "build" / "bench.json").read_text())
    (found,) = document["measurements"]

    assert (document["machine"], document["broken"]) == (MACHINE, {"push": "why"})
    assert (found.pop("verdict"), found.pop("fails")) == ("OVER", True)
    assert from_plain(found) == row


def test_the_page_has_a_line_for_each_measurement(tmp_path: Path) -> None:
    close([measured(2.0, most=1.0)], {}, MACHINE, tmp_path / "bench.json")
    lines = (tmp_path / "bench.md").read_text().splitlines()

    assert lines[2:] == ["| **a row**<br>here | it 2 | it ≤ 1 | OVER |"]


def test_a_row_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rows", "nonsense"]) == 2
    assert "there is no row nonsense; the rows are poll, commit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (3.14159, "3.14"), (0.0421, "0.0421"), (354.4, "354"), (130278.4, "130,278")]
)
def test_numbers_keep_the_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text
