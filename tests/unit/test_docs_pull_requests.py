"""What the page of pull requests promises is what the code does: its numbers, its states, its example."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.feeds import pull_choice, pull_plans, pulls
from desired_state import pull_mirror
from desired_state.changes import Change, Effect
from desired_state.model import Environment, Fleet, Package
from fairlead.settings import ForgeSettings
from fairlead.wiring.pulls import LEAST
from reconciler import outlook, plan_comment
from reconciler.merge_plan import MergePlan
from reconciler.outlook import Outlook
from reconciler.plan_words import GOES_BACK
from reconciler.reasons import Reason
from reconciler.record import State
from reconciler.work import Hold

PAGE = (Path(__file__).parents[2] / "docs" / "pull-requests.md").read_text()
PLAIN = " ".join(PAGE.split())
BEFORE = Fleet(
    name="prod/checkout",
    environment=Environment(name="prod", account="123456789012", regions=("us-east-1",)),
    service="checkout",
    components={"package/checkout": "1.4.2"},
    packages=(Package(name="checkout", version="1.4.2"),),
    deploy_type="spinnaker",
    deploy={},
    target_digest="a",
    spec_digest="a",
    identity_digest="a",
)
AFTER = replace(
    BEFORE,
    components={"package/checkout": "1.4.1"},
    packages=(Package(name="checkout", version="1.4.1"),),
    target_digest="b",
)


@pytest.mark.parametrize(
    "promise",
    [
        f"more than {pulls.PATIENCE:g} seconds",
        f"Freezes of the next {outlook.SOON.days} days",
        f"the median of the fleet's last {outlook.ROLLOUTS} finished deploys",
        f"Above {plan_comment.MANY} changed fleets rows say less",
        f"at most {plan_comment.LONGEST:,} bytes",
        f"more than {pull_plans.FILES:,} files",
        f"more than {pull_plans.BYTES // 1024 // 1024} MiB",
        f"At most {pull_plans.LOOKS} fleets are asked for in one pass",
        f"The newest {pull_choice.MOST} open pull requests of the repository itself are planned",
        f"Of other repositories the newest {pull_choice.THEIRS} are, and at most {pull_choice.EACH} of one author",
        f"of those {pulls.AT_ONCE} in one pass",
        f"On the next {pull_choice.TOLD} the status says that they are not",
        f"though not twice in {LEAST.total_seconds():g} seconds",
        f"`not planned: only the newest {pull_choice.MOST} open pull requests are`",
        f"ends after {pull_mirror.THEIRS.seconds:g} seconds or {pull_mirror.THEIRS.file // 1024**2} MiB",
        f"outgrows its branch by {pull_mirror.ROOM // 1024**2} MiB",
        "`forge.plans = false` turns it off",
    ],
)
def test_a_number_of_the_page_is_the_code_s(promise: str) -> None:
    assert promise in PLAIN


def test_plans_are_on_until_somebody_turns_them_off() -> None:
    assert ForgeSettings().plans


def test_every_state_is_on_the_page() -> None:
    table = PAGE.partition("| state | when |")[2].partition("\n\n")[0]

    assert sorted(state.value for state in State) == sorted(re.findall(r"^\| `(\w+)` \|", table, re.M))


def test_the_example_is_what_is_said() -> None:
    until = datetime(2026, 12, 1, 6, tzinfo=UTC)
    freeze = Hold(reason=Reason.FREEZE_WINDOW, message="cup until 2026-12-01 06:00 UTC: no deploys", until=until)
    seen = Outlook(
        units=2,
        waves=("1 unit, soak 5 min", "1 unit"),
        holds=(freeze,),
        takes=timedelta(minutes=6),
        rollouts=5,
    )
    plan = MergePlan(
        head="4f2a9c1" + "0" * 33,
        branch="main",
        changes=(Change(fleet="prod/checkout", effect=Effect.DEPLOY, before=BEFORE, after=AFTER),),
        fleets=4,
        environments=("staging", "prod"),
        outlooks={"prod/checkout": seen},
    )
    (shown,) = re.findall(r"^```text\n(.*?)\n```$", PAGE, re.M | re.S)

    assert shown == plan_comment.comment(plan)
    assert GOES_BACK in shown


def test_every_sentence_to_act_on_is_one_that_is_said() -> None:
    said = "".join(Path(module.__file__).read_text() for module in (pulls, pull_plans, pull_choice))
    quoted = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("| the status says | do |")[2], re.M)
    said = said.replace("{pull.base}", "main")
    begins = [re.split(r" \.\.\.|\d", sentence)[0] for sentence in quoted]

    assert 7 == len(quoted)
    assert [] == [sentence for sentence in begins if sentence not in said]
