"""A plan as Markdown: the one comment on a pull request, and `fairlead plan -o markdown`. Pure.

Whatever a file or a pull request holds stands in code spans (`markdown.py`). Identical rows are one, failing ones come
first, and the whole stays under what every forge takes, with a sentence on what was left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from desired_state.changes import Change, Effect
from desired_state.model import Fleet
from reconciler.markdown import code, link
from reconciler.merge_plan import MergePlan
from reconciler.outlook import Outlook
from reconciler.plan_images import image_lines
from reconciler.plan_words import HELD, MEANING, count, direction, expectation, headline, hold_text, reach
from reconciler.work import Hold

LONGEST = 60_000  # bytes; GitHub takes 65,536 characters, GitLab 1,000,000, and a marker of the forge's is added
MANY = 40  # changed fleets; above, rows say less, so that more of them are the same
NAMES = 5  # fleets of a row that are named
SENTENCES = 4  # differences of a fleet that are told
PROBLEMS = 30
LARGE = 2_000  # values of a fleet above which it is not compared value by value
HEADER = ("| fleet | version | what happens |", "|---|---|---|")

Compared = Callable[[Change], str]  # where the application's own changes between the two versions are shown; or ""


def no_comparison(_: Change) -> str:
    """Where nobody can show it."""
    return ""


def comment(plan: MergePlan, compared: Compared = no_comparison, title: str = "") -> str:
    """The whole comment."""
    page = _Page(LONGEST)
    page.add([f"### Fairlead plan: {code(plan.refused) if plan.refused else title or headline(plan)}"])
    page.add(["", *_opening(plan)])
    page.add(_problems(plan))
    left_out = _tables(page, plan, compared)
    if left_out:
        shown = "`fairlead plan` in a clone shows all"
        page.end(["", f"_{count(left_out, 'fleet')} more did not fit here: {shown}._"])
    return page.text()


class _Page:
    """Lines, as long as there is room for them. A little is kept for the last sentence."""

    def __init__(self, room: int) -> None:
        self._room = room - 200
        self._lines: list[str] = []

    def add(self, lines: Sequence[str]) -> bool:
        """All of them or, where they do not fit, none."""
        size = sum(len(line.encode()) + 1 for line in lines)
        if size > self._room:
            return False
        self._room -= size
        self._lines += lines
        return True

    def end(self, lines: Sequence[str]) -> None:
        self._lines += lines

    def text(self) -> str:
        return "\n".join(self._lines)


def _opening(plan: MergePlan) -> Iterator[str]:
    if plan.branch and plan.changes:
        yield f"Merging `{plan.head[:7]}` into {code(plan.branch)} changes {reach(plan)}."
    if plan.outside:
        yield ""
        yield "_It comes from another repository: only what the files of this one say is told here._"
    if plan.unseen:
        yield ""
        yield f"_Not looked at: units and holds of {count(plan.unseen, 'fleet')}._"
    if plan.unasked and not plan.outside:
        yield ""
        yield f"_Not checked: the AMIs or artifacts of {count(plan.unasked, 'fleet')}._"


def _problems(plan: MergePlan) -> list[str]:
    lines = [f"- {code(str(problem))}" for problem in plan.problems[:PROBLEMS]]
    if len(plan.problems) > PROBLEMS:
        lines.append(f"- and {len(plan.problems) - PROBLEMS} more")
    errors = len(plan.errors)
    what = f"{count(errors, 'error')} that it would bring" if errors else "To be looked at"
    found = ["", f"**{what}**", "", *lines] if lines else []
    if plan.earlier:
        are = "is" if plan.earlier == 1 else "are"
        found += ["", f"_Without it there {are} {count(plan.earlier, 'error')} already._"]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Fleets of one environment of which the same is to be told."""

    fleets: tuple[str, ...]
    version: str
    lines: tuple[str, ...]

    def text(self) -> str:
        named = ", ".join(code(fleet) for fleet in self.fleets[:NAMES])
        more = f" and {len(self.fleets) - NAMES} more" if len(self.fleets) > NAMES else ""
        return f"| {named}{more} | {self.version} | {'<br>'.join(self.lines)} |"


def _tables(page: _Page, plan: MergePlan, compared: Compared) -> int:
    """Environment by environment; gives how many fleets found no room."""
    left_out = 0
    for environment, rows in _rows(plan, compared).items():
        begin = ["", f"#### {code(environment)}", "", *HEADER]
        for row in rows:
            if page.add([*begin, row.text()]):
                begin = []
            else:
                left_out += len(row.fleets)
    return left_out


def _rows(plan: MergePlan, compared: Compared) -> Mapping[str, list[_Row]]:
    order = {environment: place for place, environment in enumerate(plan.environments)}
    changes = sorted(plan.changes, key=lambda one: order.get(one.fleet.partition("/")[0], len(order)))
    short, failing = len(changes) > MANY, plan.stalled | plan.lacking
    found: dict[str, dict[Any, list[str]]] = {}
    for change in changes:
        sound = change.effect is not Effect.BROKEN and change.fleet not in failing
        service = "" if short else _service(change)
        what = (sound, service, _version(change, compared), tuple(_lines(plan, change, short=short)))
        found.setdefault(change.fleet.partition("/")[0], {}).setdefault(what, []).append(change.fleet)
    return {environment: list(_sorted(rows)) for environment, rows in found.items()}


def _sorted(rows: Mapping[Any, list[str]]) -> Iterator[_Row]:
    """What fails first, and then by service."""
    for (_, _, version, lines), fleets in sorted(rows.items(), key=lambda item: (item[0][:2], item[1])):
        yield _Row(fleets=tuple(fleets), version=version, lines=lines)


def _service(change: Change) -> str:
    fleet = change.after or change.before
    return fleet.service if fleet else change.fleet.partition("/")[2]


def _version(change: Change, compared: Compared) -> str:
    before, after = change.versions
    if before == after or change.effect is Effect.BROKEN:
        return code(before) if before else ""
    shown = " → ".join(code(each) if each else "nothing" for each in (before, after))
    address = compared(change)
    return f"{shown} ({link('changes', address)})" if address else shown


def _lines(plan: MergePlan, change: Change, *, short: bool) -> Iterator[str]:
    outlook = plan.outlooks.get(change.fleet, Outlook(waves=tuple(change.waves)))
    yield MEANING[change.effect]
    if back := direction(change):
        yield f"**{back}**"
    if change.identity_changed and not outlook.holds:
        yield HELD
    yield from (_hold(hold) for hold in outlook.holds)
    yield from (code(note) for note in outlook.notes)
    yield from (code(line) for line in image_lines(plan.images if not short else plan.doubtful, change.fleet))
    if short:
        return
    history = change.fleet in plan.outlooks and not plan.outside
    yield from (code(line) for line in expectation(change, outlook, history=history))
    yield from _differences(change)


def _hold(hold: Hold) -> str:
    clears = hold_text(hold)
    return f"held, {hold.reason}: {code(hold.message)}" + (f", {clears}" if clears else "")


def _differences(change: Change) -> Iterator[str]:
    if change.before is None or change.after is None or change.effect is Effect.BROKEN:
        return
    if max(_size(change.before), _size(change.after)) > LARGE:
        yield "too large to be compared value by value"
        return
    sentences = change.sentences
    yield from (code(sentence) for sentence in sentences[:SENTENCES])
    if len(sentences) > SENTENCES:
        yield f"and {count(len(sentences) - SENTENCES, 'more difference')}"


def _size(fleet: Fleet) -> int:
    """Values in it, as far as `LARGE` of them."""
    rest: list[Any] = [fleet.deploy, fleet.config.values if fleet.config else None]
    seen = 0
    while rest and seen <= LARGE:
        value = rest.pop()
        seen += 1
        if isinstance(value, Mapping):
            rest += value.values()
        elif isinstance(value, list | tuple):
            rest += value
    return seen
