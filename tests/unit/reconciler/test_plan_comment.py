"""The comment on a pull request: what it says, and what nobody's text can make it say."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired_state.changes import Change, Effect, describe
from desired_state.model import Config, Environment, Fleet, Freeze, Package, Problem, Severity, Suspension
from reconciler.markdown import code, link
from reconciler.merge_plan import MergePlan
from reconciler.outlook import Outlook
from reconciler.plan_comment import LONGEST, comment
from reconciler.plan_words import headline, reach, word_of
from reconciler.reasons import Reason
from reconciler.record import State
from reconciler.work import Hold

HEAD = "ab" * 20
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def fleet(name: str = "prod/checkout", version: str = "1.4.1", **facts: Any) -> Fleet:
    environment = Environment(name=name.partition("/")[0], account="123456789012", regions=("us-east-1",))
    made = Fleet(
        name=name,
        environment=environment,
        service=name.partition("/")[2],
        components={"package/checkout": version},
        packages=(Package(name="checkout", version=version),),
        deploy_type="memory",
        deploy={},
        target_digest=version,
        spec_digest=version,
        identity_digest="here",
    )
    return replace(made, **facts)


def bump(name: str = "prod/checkout", before: str = "1.4.1", after: str = "1.4.2", **facts: Any) -> Change:
    return Change(
        fleet=name, effect=Effect.DEPLOY, before=fleet(name, before, **facts), after=fleet(name, after, **facts)
    )


def plan(*changes: Change, **facts: Any) -> MergePlan:
    told = {"environments": ("staging", "prod"), "fleets": 40, "head": HEAD, "branch": "main"}
    return MergePlan(**({"changes": changes} | told | facts))


def row(text: str, name: str = "prod/checkout") -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
    return found


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_begins_with_what_changes_and_how_far_it_reaches() -> None:
    outlook = Outlook(units=12)
    said = comment(plan(bump(), outlooks={"prod/checkout": outlook})).splitlines()

    assert "### Fairlead plan: 1 fleet changes: it deploys" == said[0]
    assert "Merging `abababa` into `main` changes 1 of 40 fleets in 1 of 2 environments; 12 units." == said[2]


def test_units_that_are_not_known_are_told_apart() -> None:
    known = {"prod/checkout": Outlook(units=3), "prod/basket": Outlook()}

    assert "2 of 40 fleets in 1 of 2 environments; 3 units on 1 fleet; others are not known" == reach(
        plan(bump(), bump("prod/basket"), outlooks=known)
    )


def test_a_row_tells_waves_holds_and_how_long_it_takes() -> None:
    freeze = Hold(reason=Reason.FREEZE_WINDOW, message="cup: no deploys", until=datetime(2026, 12, 1, 6, tzinfo=UTC))
    outlook = Outlook(
        units=3,
        waves=("1 unit, soak 5 min", "2 units"),
        holds=(freeze,),
        notes=("all units run it already",),
        takes=timedelta(minutes=6, seconds=10),
        rollouts=5,
    )

    said = row(comment(plan(bump(), outlooks={"prod/checkout": outlook})))

    assert (
        "| `prod/checkout` | `1.4.1` → `1.4.2` | deploys"
        "<br>held, FreezeWindow: `cup: no deploys`, clears 2026-12-01 06:00 UTC"
        "<br>`all units run it already`"
        "<br>`3 units in 2 waves`<br>`wave 1: 1 unit, soak 5 min`<br>`wave 2: 2 units`"
        "<br>`takes about 6 min 10 s: the median of its last 5 rollouts`"
        "<br>`components.package/checkout: 1.4.1 → 1.4.2`"
    ).replace("<br>`components.package/checkout: 1.4.1 → 1.4.2`", "") in said


def test_a_fleet_without_a_past_has_no_history_yet() -> None:
    said = row(comment(plan(bump(), outlooks={"prod/checkout": Outlook(units=3)})))

    assert "<br>`how long it takes: no history yet`" in said


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("1.4.2", "1.4.1", "**goes back to an earlier version**"),
        ("blue", "red", "**whether that is an earlier version is not known**"),
    ],
)
def test_a_downgrade_is_told(before: str, after: str, sentence: str) -> None:
    assert sentence in row(comment(plan(bump(before=before, after=after))))


def test_a_later_version_is_nothing_to_be_told() -> None:
    assert "earlier version" not in comment(plan(bump()))


def test_the_application_s_own_changes_are_linked() -> None:
    said = comment(plan(bump()), lambda change: "https://forge.example.com/acme/checkout/compare/v1.4.1...v1.4.2")

    assert "`1.4.1` → `1.4.2` ([changes](https://forge.example.com/acme/checkout/compare/v1.4.1...v1.4.2))" in row(said)


def test_environments_come_in_order_and_what_fails_comes_first() -> None:
    broken = Change(fleet="prod/zebra", effect=Effect.BROKEN, before=fleet("prod/zebra"), after=None)

    said = comment(plan(bump("prod/apple"), broken, bump("staging/apple")))

    assert ["staging/apple", "prod/zebra", "prod/apple"] == re.findall(r"^\| `([^`]+)`", said, re.M)
    assert said.index("#### `staging`") < said.index("#### `prod`")


def test_fleets_of_which_the_same_is_to_be_told_share_a_row() -> None:
    changes = [bump(f"prod/s{number:03}", service="checkout") for number in range(300)]

    said = comment(plan(*changes))

    rows = [line for line in said.splitlines() if line.startswith("| `")]
    assert 1 == len(rows)
    assert rows[0].startswith("| `prod/s000`, `prod/s001`, `prod/s002`, `prod/s003`, `prod/s004` and 295 more |")


def test_what_does_not_fit_is_counted() -> None:
    changes = [bump(f"prod/s{number:05}", after=f"1.{number}") for number in range(3_000)]

    said = comment(plan(*changes))

    shown = len(re.findall(r"^\| `prod/", said, re.M))
    assert 300 < shown < 3_000
    assert len(said.encode()) <= LONGEST
    assert f"_{3_000 - shown} fleets more did not fit here" in said.splitlines()[-1]


def test_missing_images_and_unasked_fleets_are_told() -> None:
    image = {"fleet": "prod/checkout", "region": "us-east-1", "account": "123456789012", "state": "missing"}

    said = comment(plan(bump(), images=({**image, "message": "no AMI of checkout 1.4.2"},), unasked=2))

    assert "`image in us-east-1 (account 123456789012): no AMI of checkout 1.4.2`" in row(said)
    assert "_Not checked: the AMIs or artifacts of 2 fleets._" in said


def test_fleets_that_nobody_looked_at_are_counted() -> None:
    assert "_Not looked at: units and holds of 7 fleets._" in comment(plan(bump(), unseen=7))


def test_a_freeze_over_very_many_services_is_one_row() -> None:
    freeze = Freeze(name="cup", reason="no deploys", begins=NOW, ends=NOW)
    names = [f"prod/s{number}" for number in range(300)]
    frozen = [
        Change(fleet=name, effect=Effect.POLICY, before=fleet(name), after=fleet(name, freezes=(freeze,)))
        for name in names
    ]

    assert 1 == comment(plan(*frozen)).count("| `prod/")


def test_a_fleet_too_large_is_not_compared_value_by_value() -> None:
    values = {f"key{number}": number for number in range(3_000)}
    config = Config(destination="x.yaml", format="yaml", values=values, digest="a")
    after = replace(bump().after or fleet(), config=config)

    said = comment(plan(replace(bump(), after=after)))

    assert "too large to be compared value by value" in row(said)


# ── the status ───────────────────────────────────────────────────────────────────────────────────────────────────


def problem(message: str = "wrong", **facts: Any) -> Problem:
    return Problem(file="services/checkout.yaml", line=3, column=1, message=message, **facts)


@pytest.mark.parametrize(
    ("facts", "state", "text"),
    [
        ({}, State.SUCCESS, "no fleet changes"),
        ({"refused": "conflicts with main in a"}, State.ERROR, "conflicts with main in a"),
        (
            {"problems": (problem(fleets=("prod/a", "prod/b")), problem("worse"))},
            State.FAILURE,
            "2 fleets would stall: services/checkout.yaml:3:1: wrong (+1 more)",
        ),
        ({"problems": (problem(),)}, State.FAILURE, "services/checkout.yaml:3:1: wrong"),
        ({"problems": (problem(severity=Severity.WARNING),)}, State.SUCCESS, "no fleet changes"),
        ({"changes": (bump(), bump("staging/x"))}, State.SUCCESS, None),
    ],
)
def test_the_status_is_one_line(facts: dict[str, Any], state: State, text: str | None) -> None:
    word = word_of(plan(**facts))

    assert state is word.state
    assert word.text == (text or "2 fleets: prod/checkout 1.4.1 -> 1.4.2, staging/x 1.4.1 -> 1.4.2")


def test_the_status_of_very_many_is_cut() -> None:
    word = word_of(plan(*(bump(f"prod/s{number}") for number in range(300))))

    assert len(word.text) <= 140
    assert word.text.startswith("300 fleets: prod/s0 1.4.1 -> 1.4.2, ")


def test_the_headline_counts_deploys() -> None:
    policy = Change(fleet="prod/x", effect=Effect.POLICY, before=fleet(), after=fleet(owner="shop"))

    assert "2 fleets change: none deploys" == headline(plan(policy, policy))
    assert "2 fleets change: 1 deploys" == headline(plan(policy, bump()))
    assert "1 fleet changes: it does not deploy" == headline(plan(policy))


REMOVED = Change(fleet="prod/x", effect=Effect.REMOVED, before=fleet(), after=None)
BROKEN = Change(fleet="prod/x", effect=Effect.BROKEN, before=fleet(), after=None)
ELSEWHERE = Change(fleet="prod/x", effect=Effect.SPEC, before=fleet(), after=fleet(identity_digest="there"))


@pytest.mark.parametrize(
    ("changes", "state", "text"),
    [
        ((REMOVED,) * 4, State.SUCCESS, "4 fleets change: none deploys, 4 are removed"),
        ((REMOVED,), State.SUCCESS, "1 fleet changes: it is removed"),
        ((ELSEWHERE,), State.SUCCESS, "1 fleet changes: it does not deploy, and needs approval"),
        ((ELSEWHERE, REMOVED), State.SUCCESS, "2 fleets change: none deploys, 1 is removed, 1 needs approval"),
        (
            (bump(), ELSEWHERE, REMOVED),
            State.SUCCESS,
            "1 fleet (and 1 is removed, 1 needs approval, 1 changed without a deploy): prod/checkout 1.4.1 -> 1.4.2",
        ),
        ((bump(), BROKEN), State.FAILURE, "1 fleet would stall: prod/x cannot be read"),
    ],
)
def test_the_status_says_what_weighs_more_than_a_deploy(changes: Any, state: State, text: str) -> None:
    assert (state, text) == (word_of(plan(*changes)).state, word_of(plan(*changes)).text)


def test_a_suspension_is_told_without_what_it_does_not_say() -> None:
    suspended = Suspension(reason="cup", file="environments/prod/suspend.yaml")

    assert ["suspension: none → reason cup"] == describe(fleet(), fleet(suspension=suspended))


# ── hostile text ─────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "@acme/owners look",
    "](https://evil.example.com)",
    "![x](https://evil.example.com/x.png)",
    "<img src=x onerror=alert(1)>",
    "<!-- fairlead plan -->",
    "`` ` @team ` ``",
    "a\n/close\n\n# heading",
    "a\r\n/merge",
    "x | @team | <b>y</b> |",
    "x \\| @team",
    "ends in \\",
    "https://evil.example.com/@team",
    "fixes #12",
    "\u202e reversed @team",
    "<details><summary>x",
    "</td></table><script>",
    "$`@team`$",
    "[[_TOC_]] :tada:",
    "```\n@team\n```",
    "\x1b]8;;https://evil.example.com\x07x",
]


def outside_of_code(text: str) -> str:
    """What Markdown would interpret: every code span taken out, each of which ends in its own line."""
    return "\n".join(re.sub(r"`[^`\n]*`", "", line) for line in text.splitlines())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text: str) -> None:
    name = "prod/checkout"
    bad = fleet(
        name,
        text,
        service=text,
        owner=text,
        deploy={"waves": [{"hosts": text}], text: text},
        freezes=(Freeze(name=text, reason=text, begins=NOW, ends=NOW),),
    )
    change = Change(fleet=name, effect=Effect.DEPLOY, before=fleet(name, "1.0"), after=bad)
    hold = Hold(reason=Reason.SUSPENDED, message=text)
    image = {"fleet": name, "region": text, "account": text, "state": "missing", "message": text}
    said = comment(
        plan(
            change,
            branch=text,
            images=(image,),
            outlooks={name: Outlook(units=1, waves=(text,), holds=(hold,), notes=(text,))},
            problems=(replace(problem(text), file=text, fleets=(text,)),),
        )
    )

    rest = outside_of_code(said)
    harmful = ("@", "<!", "evil", "](", "<img", "<b>", "script", "team", "#12", "\x1b")
    assert [] == [each for each in harmful if each in rest]
    assert [] == re.findall(r"^\s*/", said, re.M)
    assert "<!--" not in said
    assert [] == re.findall(r"@\w", said)
    assert {"<br>"} >= set(re.findall(r"<[^>]*>", rest))
    assert all(line.count("|") == 4 for line in said.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_one_line_of_a_status(text: str) -> None:
    word = word_of(plan(problems=(replace(problem(text), file=text),)))

    assert word.text.isprintable()
    assert len(word.text) <= 140


@given(st.text(alphabet=st.characters() | st.sampled_from("`|@<!->\\\n/ "), max_size=400))
def test_no_text_ends_its_span_or_begins_anything(text: str) -> None:
    shown = code(text)

    assert re.fullmatch(r"`[^`|\n]+`", shown)
    assert shown.replace("\u2060", "").isprintable()
    assert [] == [each for each in ("<!", "-->") if each in shown]
    assert re.search(r"@\w", shown) is None


def test_a_span_is_never_empty_and_never_endless() -> None:
    assert "` `" == code("")
    assert 302 == len(code("x" * 5_000))


def test_an_address_cannot_end_its_link() -> None:
    assert "[changes](https://a.example.com/x%29%20%5By%5D%28z%7C%3C%3E%22%60)" == link(
        "changes", 'https://a.example.com/x) [y](z|<>"`'
    )
