"""The page of the protocol is what the code reads: its examples, its lists of fields, reasons, names and limits."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.agent_protocol import addresses, canonical, fields, hints, orders, reading, reports
from adapters.agent_protocol.orders import assignment_of
from adapters.agent_protocol.reading import Trust, own_order, read_order
from adapters.agent_protocol.refusals import RefusalReason
from adapters.agent_protocol.reports import Blame, Refusal, Step, WorkState, read_report
from adapters.agent_protocol.signing import SIGNED_AS, SIGNED_AS_2, signing_key
from fairlead_agent import stages

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agent-protocol.md").read_text()
VECTORS = json.loads((ROOT / "tests" / "data" / "agent_protocol" / "orders.json").read_text())
JSON = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.M | re.S)]
SECOND = next(each["document"] for each in VECTORS["orders"] if "hooks and a step" in each["name"])
EXAMPLES = {block["format"].split("/")[1]: block for block in JSON}


def table(header: str) -> list[list[str]]:
    """The body rows of the table whose first cell is `header`."""
    body = PAGE[PAGE.index(f"\n| {header} |") :].partition("\n\n")[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body]


def code(cell: str) -> str:
    return cell.strip("` ")


def test_every_example_is_read_by_the_real_readers() -> None:
    assert {"order", "hint", "report"} == set(EXAMPLES)
    assert len(JSON) == 3
    trust = Trust(fleet="prod/matchmaker", keys={VECTORS["key_id"]: VECTORS["public_key"]})
    order = read_order(json.dumps(EXAMPLES["order"]).encode(), trust, datetime.fromisoformat(VECTORS["now"]))
    report = read_report(json.dumps(EXAMPLES["report"]))
    hint = hints.read_hint(json.dumps(EXAMPLES["hint"]))

    assert hint is not None
    assert report.work is not None
    assignment = assignment_of(order, report.host)
    assert assignment is not None
    assert (assignment.key, assignment.attempt) == (report.work.key, report.work.attempt)
    assert (order.fleet, order.sequence) == (report.fleet, report.sequence) == (hint.fleet, hint.sequence)
    assert order.expires == report.expires
    assert order.base is not None
    assert order.base.version == report.work.rolled_back_to
    assert addresses.order_key(order.fleet) == hint.key


def test_the_example_of_an_order_is_the_first_vector() -> None:
    key = signing_key(VECTORS["key_id"], VECTORS["private_key"])

    assert EXAMPLES["order"] == VECTORS["orders"][0]["document"]
    assert own_order(json.dumps(EXAMPLES["order"]).encode(), key).meaning == VECTORS["orders"][0]["meaning"]


def signed_by_the_page() -> bytes:
    """The four steps of the page, in other words than the code's."""
    body = {name: value for name, value in EXAMPLES["order"].items() if name != "signature"}
    return b"fairlead/order/v1\n" + json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_the_lines_of_the_second_format_are_those_of_a_vector_and_all_that_is_new_in_it() -> None:
    hooks, before = re.findall(r'^"(?:hooks|before)": (\{.+\})$', PAGE, re.M)
    new = {name for name in SECOND if name not in EXAMPLES["order"]}

    assert {**SECOND["target"]["hooks"]} == json.loads(hooks)
    assert SECOND["before"] == json.loads(before)
    assert ({"before"}, {"hooks"}) == (new, {*SECOND["target"]} - {*EXAMPLES["order"]["target"]})
    assert orders.FORMAT_2 == SECOND["format"]
    assert f"or `{SIGNED_AS_2.decode().strip()}` where that is its format" in PAGE


def test_the_signature_is_made_as_the_page_says() -> None:
    key = signing_key(VECTORS["key_id"], VECTORS["private_key"])
    signature = key.private.sign(signed_by_the_page())

    assert f"`{SIGNED_AS.decode().strip()}` and a newline" in PAGE
    assert EXAMPLES["order"]["signature"] == base64.b64encode(signature).decode()


def parts() -> Iterator[tuple[str, dict[str, Any]]]:
    order, report = EXAMPLES["order"], EXAMPLES["report"]
    target = order["target"]
    yield "order", order
    yield "release", target
    yield "artifact", target["artifacts"][0]
    yield "config", target["config"]
    yield "run", target["run"]
    yield "health", target["health"]
    yield "drain", target["drain"]
    yield "hint", EXAMPLES["hint"]
    yield "report", report
    yield "work", report["work"]
    refused = Refusal(reason="OrderTampered", message="", sequence=7)
    yield "refusal", json.loads(_with(refused=refused))["refused"]
    yield "step", json.loads(_with(before=Step(key="b:a:before:a1", state=WorkState.DONE)))["before"]
    yield "hooks", SECOND["target"]["hooks"]
    yield "hook", SECOND["target"]["hooks"]["pre"]
    yield "before", SECOND["before"]


def _with(**said: Any) -> str:
    from dataclasses import replace

    return replace(read_report(json.dumps(EXAMPLES["report"])), **said).text()


@pytest.mark.parametrize(("name", "document"), list(parts()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_table_of_fields_has_every_field(name: str, document: dict[str, Any]) -> None:
    article = "an" if name[0] in "ao" else "a"

    assert sorted(document) == sorted(code(row[0]) for row in table(f"field of {article} {name}"))


def test_the_examples_have_every_field_that_the_code_writes() -> None:
    key = signing_key(VECTORS["key_id"], VECTORS["private_key"])
    order = own_order(json.dumps(EXAMPLES["order"]).encode(), key)

    assert key.sign(order.document()) == EXAMPLES["order"]
    assert json.loads(read_report(json.dumps(EXAMPLES["report"])).text()) == EXAMPLES["report"]


def test_every_reason_to_refuse_is_told_with_a_remedy() -> None:
    rows = table("reason")

    assert sorted(RefusalReason) == sorted(code(row[0]) for row in rows)
    assert all(len(row) == 3 and row[2] for row in rows)


def test_the_values_of_state_and_blame_are_told() -> None:
    told = {code(row[0]): row[2] for row in table("field of a work")}

    assert set(WorkState) == set(re.findall(r"`([a-z]+)`", told["state"]))
    assert {*Blame} == {"", *re.findall(r"`([a-z]+)`", told["blame"])}


def test_the_stages_of_a_host_are_those_of_the_code() -> None:
    drawing = PAGE[PAGE.index("(fresh)") :].partition("```")[0]
    named = {value for name, value in vars(stages).items() if name.isupper() and isinstance(value, str)}

    assert 9 == len(named)
    assert [] == [stage for stage in named if stage not in drawing]


def test_the_formats_are_those_of_the_code() -> None:
    rows = {code(row[0]): code(row[1]) for row in table("document")}

    assert {"order": orders.FORMAT, "hint": hints.FORMAT, "report": reports.FORMAT} == rows


def test_the_names_are_derived_as_the_page_says() -> None:
    templates = [code(row[1]) for row in table("what") if row[1].startswith("`")]
    named = [code(row[2]) for row in table("what") if row[1].startswith("`")]
    host = "i-0123456789abcdef0"

    assert templates == [
        addresses.order_key("<env>/<service>"),
        addresses.topic_name("<env>/<service>"),
        addresses.agent_queue_name("<instance id>"),
        addresses.reports_queue_name("<env>"),
    ]
    assert named == [
        addresses.order_key("prod/matchmaker"),
        addresses.topic_name("prod/matchmaker"),
        addresses.agent_queue_name(host),
        addresses.reports_queue_name("prod"),
    ]


def test_the_limits_are_those_of_the_code() -> None:
    limits = PAGE[PAGE.index("## Limits") :]
    told = [int(number.replace(",", "")) for number in re.findall(r"\| ([\d,]+) [a-z]+ \|", limits)]

    assert told == [
        reading.LARGEST,
        reports.LARGEST,
        hints.LARGEST,
        canonical.DEEPEST,
        fields.LONGEST,
        fields.MOST,
        reading.COMPONENTS,
        reading.SKEW.total_seconds(),
    ]
    assert f"{reports.LOG_TAIL:,} characters" in PAGE
    assert f"{reports.SAID:,} characters and names at {reports.SHOWN}" in PAGE
    assert f"{orders.LEAP:,} above all others" in PAGE
    assert f"after {orders.LIFETIME.days // 2} days" in PAGE
