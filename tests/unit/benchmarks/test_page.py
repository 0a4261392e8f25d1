"""The page on performance names what is measured, and nothing else."""

import re
from pathlib import Path

from tests.benchmarks.rows import ROWS
from tests.benchmarks.scale import SCALES

PAGE = (Path(__file__).parents[3] / "docs" / "performance.md").read_text()


def test_the_page_tells_every_row() -> None:
    assert list(ROWS) == re.findall(r"^\| `([a-z]+)` \|", PAGE, re.M)


def test_the_page_names_only_scales_and_rows_that_are_there() -> None:
    rows = {name for found in re.findall(r"ROWS=([a-z,]+)", PAGE) for name in found.split(",")}

    assert rows <= set(ROWS)
    assert set(re.findall(r"SCALE=([a-z]+)", PAGE)) <= set(SCALES)


def test_the_sizes_that_the_page_speaks_of_are_those_that_are_measured() -> None:
    assert (SCALES["small"].fleets, max(SCALES["full"].sizes)) == (10_000, 100_000)
