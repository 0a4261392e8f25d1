"""What the pages promise of the order in which words leave is what the outbox does."""

from pathlib import Path

from adapters.ledger.statuses import ROLL_UP_AFTER, ROLL_UPS_APART
from fairlead.settings import ForgeSettings
from reconciler.outbox import FIRST_OF_A_CROWD, FLEETS_A_COMMIT, GIVING_WAY

PLAIN = " ".join((Path(__file__).parents[2] / "docs" / "forges.md").read_text().split())


def test_the_numbers_of_the_page_are_the_code_s() -> None:
    assert (20, 5) == (FLEETS_A_COMMIT, FIRST_OF_A_CROWD)
    assert "sets more than 20 fleets is told by its roll-up" in PLAIN
    assert "first five of these go at once, the others a second later" in PLAIN
    assert (1, 10) == (GIVING_WAY.total_seconds(), ROLL_UPS_APART.total_seconds())
    assert "pending roll-up goes before final words once in ten seconds" in PLAIN


def test_a_roll_up_is_made_before_those_that_give_way_to_it_come_again() -> None:
    assert ROLL_UP_AFTER < GIVING_WAY


def test_the_page_tells_of_each_place_that_may_answer() -> None:
    choices = ForgeSettings.model_fields["answer_on"].annotation.__args__  # type: ignore[union-attr]

    assert [] == [each for each in choices if f"| `{each}` |" not in PLAIN]
