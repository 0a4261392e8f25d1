"""The measurements as a table for people, as JSON for what compares runs, and as Markdown for docs/performance.md."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measurement import Limit, Measurement, Verdict

COLUMNS = 100
NOT_BUILT = ("list page, 10,000 fleets: not measured, there are no pages yet",)


def close(
    measured: Sequence[Measurement], broken: Mapping[str, str], machine: Mapping[str, str], json_file: Path
) -> int:
    """Print the table and write the JSON; gives the exit code of the run."""
    show(measured, broken, machine, sys.stdout)
    write(json_file, measured, broken, machine)
    page = json_file.with_suffix(".md")
    page.write_text("\n".join(markdown(measured)) + "\n", encoding="utf-8")
    print(f"the same as JSON: {json_file}, and for a page: {page}")
    return int(fails(measured, broken))


def show(measured: Sequence[Measurement], broken: Mapping[str, str], machine: Mapping[str, str], out: Any) -> None:
    """Print everything. `broken` is why a row could not be measured, by its name."""
    console = Console(file=out, width=COLUMNS, highlight=False, soft_wrap=False)
    for name, value in machine.items():
        console.print(f"{name:>14}  {value}", markup=False)
    console.print(table(measured))
    for line in (*closing(measured, broken), *NOT_BUILT):
        console.print(line, markup=False)


def table(measured: Iterable[Measurement]) -> Table:
    """One line a measurement."""
    drawn = Table(show_lines=True, width=COLUMNS)
    for column, ratio in (("what", 32), ("measured", 30), ("budget", 23), ("", 10)):
        drawn.add_column(column, ratio=ratio, overflow="fold")
    for each in measured:
        colour = {Verdict.WITHIN: "green", Verdict.OVER: "red"}.get(each.verdict, "")
        drawn.add_row(
            "\n".join([each.name, *_dim(each.conditions), *_dim(*each.notes)]),
            "\n".join([f"{name}: {number(value)}" for name, value in each.values.items()] + [*_dim(each.beside)]),
            "\n".join(f"{limit}{' (ratio)' if limit.ratio else ''}" for limit in each.limits) or "none",
            f"[{colour}]{each.verdict}[/]" if colour else str(each.verdict),
        )
    return drawn


def markdown(measured: Iterable[Measurement]) -> Iterable[str]:
    """The table for a page."""
    yield "| what | measured | budget | |"
    yield "|---|---|---|---|"
    for each in measured:
        values = ", ".join(f"{name} {number(value)}" for name, value in each.values.items())
        limits = ", ".join(map(str, each.limits)) or "none"
        yield f"| **{each.name}**<br>{each.conditions} | {values} | {limits} | {each.verdict} |"


def _dim(*lines: str) -> Iterable[str]:
    return (f"[dim]{line.replace('[', chr(92) + '[')}[/dim]" for line in lines if line)


def number(value: float) -> str:
    """Three digits that mean something, with thousands apart."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def closing(measured: Iterable[Measurement], broken: Mapping[str, str]) -> Iterable[str]:
    """What is over budget, whether that fails the run, and what could not be measured."""
    for each in measured:
        for limit in each.limits:
            if not limit.is_met(each.values):
                yield f"{'OVER, fails the run' if limit.ratio else 'over'}: {each.name}: {_excess(limit, each)}"
    yield from (f"NOT MEASURED, fails the run: {name}: {why}" for name, why in broken.items())


def _excess(limit: Limit, each: Measurement) -> str:
    found = each.values.get(limit.value)
    return f"{limit}, measured {'nothing' if found is None else number(found)}"


def fails(measured: Iterable[Measurement], broken: Mapping[str, str]) -> bool:
    """True when a ratio is over its limit, or a row could not be measured. Times over budget fail nothing."""
    return bool(broken) or any(each.fails for each in measured)


def write(path: Path, measured: Iterable[Measurement], broken: Mapping[str, str], machine: Mapping[str, str]) -> None:
    """The JSON file; its folder is made."""
    rows = [{**asdict(each), "verdict": each.verdict, "fails": each.fails} for each in measured]
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": dict(machine), "measurements": rows, "broken": dict(broken)}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def from_plain(found: Mapping[str, Any]) -> Measurement:
    """What `asdict` made of a measurement."""
    limits = tuple(Limit(**limit) for limit in found["limits"])
    return Measurement(**{**found, "limits": limits, "notes": tuple(found["notes"])})
