"""docs/ledger.md says what the code does: limits, waits, retention, and the first step after a restore."""

import re
from pathlib import Path

import pytest

from adapters.ledger import finishing, listener, patience, queue, retention, server
from reconciler import loop

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (r"the connection, after (\d+) s for each host", server.REACHING["connect_timeout"]),
        (r"a network that is \| the connection, after (\d+) s", server.LIMITS["tcp_user_timeout"].rstrip("s")),
        (r"a proxy before it \| the connection, after (\d+) s", f"{patience.PATIENCE:g}"),
        (r"that which listens, after at most (\d+) s", f"{2 * listener.PROBE_SECONDS:g}"),
        (r"has not asked for names for (\d+) s", f"{loop.SILENCE:g}"),
        (r"by the server, after (\d+) s", server.LIMITS["idle_in_transaction_session_timeout"].rstrip("s")),
        (r"who waits for its rows waits up to (\d+) s", server.LIMITS["lock_timeout"].rstrip("s")),
        (r"that statement, after (\d+) s", server.LIMITS["statement_timeout"].rstrip("s")),
        (r"gets none within (\d+) s", str(server.POOL_SECONDS)),
        (r"they also look every (\d+) s", f"{finishing.RARE_POLL:g}"),
    ],
)
def test_the_page_says_the_time_limits(said: str, known: str) -> None:
    assert [known] == re.findall(said, PAGE)


def test_both_ends_give_up_a_silent_connection_after_the_same_time() -> None:
    assert int(server.REACHING["tcp_user_timeout"]) == 1000 * int(server.LIMITS["tcp_user_timeout"].rstrip("s"))


def test_we_wait_longer_than_the_server_lets_a_statement_run() -> None:
    assert int(server.LIMITS["statement_timeout"].rstrip("s")) + 10 <= patience.PATIENCE


def test_who_waits_for_a_lock_outwaits_a_process_that_stands_still() -> None:
    seconds = {name: int(limit.rstrip("s")) for name, limit in server.LIMITS.items()}

    assert seconds["idle_in_transaction_session_timeout"] < seconds["lock_timeout"] < seconds["statement_timeout"]


def test_the_page_says_how_often_others_are_asked() -> None:
    assert (0.5, 30.0) == (queue.POLL, loop.AWAY_CAP.total_seconds())
    assert "every half second while they" in " ".join(PAGE.split())
    assert "after a second at first and half a minute at most" in PAGE


def test_the_page_says_how_long_rows_are_kept() -> None:
    kept = [line for line in (retention.__doc__ or "").splitlines() if line.startswith("|")]

    assert "\n".join(kept) in PAGE
