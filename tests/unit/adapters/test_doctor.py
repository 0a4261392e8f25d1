"""The doctor's sentences, clocks and exit codes, without a world."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.doctor.clocks import judged
from adapters.doctor.files import readable_by_others
from adapters.doctor.findings import About, Finding, Verdict, together
from adapters.doctor.ledger import LedgerLook
from fairlead.commands.doctor import code_of
from fairlead.exit_codes import ExitCode
from reconciler.ports import Unreadable

ABOUT = About(check="clock", name="gate")


class Clock:
    """It stands."""

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(0, "ok"), (5, "ok"), (-5, "ok"), (6, "warning"), (-60, "warning"), (61, "trouble"), (-61, "trouble")],
)
def test_a_clock_is_judged_by_how_far_it_is(seconds: int, verdict: str) -> None:
    assert verdict == judged(ABOUT, timedelta(seconds=seconds)).verdict


def test_a_clock_says_which_way_it_is_wrong() -> None:
    assert "this host is 90 s ahead" == judged(ABOUT, timedelta(seconds=90)).seen
    assert "this host is 90 s behind" == judged(ABOUT, timedelta(seconds=-90)).seen


@pytest.mark.parametrize(
    ("sentence", "seen", "fix"),
    [
        ("cannot read it: AWS throttled; wait", "cannot read it: AWS throttled", "wait"),
        ("no such host: check the address", "no such host", "check the address"),
        ("it broke", "it broke", "see what it says, and ask again"),
    ],
)
def test_a_sentence_with_its_fix_is_taken_apart(sentence: str, seen: str, fix: str) -> None:
    found = ABOUT.failed(Unreadable(sentence))

    assert (seen, fix, True) == (found.seen, found.fix, found.unreachable)


def said(verdict: Verdict, *, unreachable: bool = False) -> Finding:
    return Finding(check="x", about="y", verdict=verdict, seen="z", unreachable=unreachable)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], ExitCode.OK),
        ([said(Verdict.OK), said(Verdict.WARNING), said(Verdict.SKIPPED)], ExitCode.OK),
        ([said(Verdict.OK), said(Verdict.TROUBLE)], ExitCode.FOUND),
        ([said(Verdict.TROUBLE), said(Verdict.TROUBLE, unreachable=True)], ExitCode.UNREACHABLE),
    ],
)
def test_the_worst_finding_is_the_exit_code(findings: list[Finding], code: ExitCode) -> None:
    assert code == code_of(findings)


def test_checks_that_run_at_the_same_time_are_told_in_their_order() -> None:
    found = together([lambda: [said(Verdict.OK)], list, lambda: [said(Verdict.TROUBLE), said(Verdict.WARNING)]])

    assert ["ok", "trouble", "warning"] == [each.verdict for each in found]


@pytest.mark.parametrize(("mode", "whose"), [(0o600, ""), (0o640, "its group"), (0o644, "everybody on this host")])
def test_who_else_reads_a_file(tmp_path: Path, mode: int, whose: str) -> None:
    file = tmp_path / "secret"
    file.touch()
    file.chmod(mode)

    assert whose == readable_by_others(file)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://db/fairlead", "mysql cannot keep the ledger"),
        ("sqlite:///:memory:", "would be lost with the process"),
        ("nonsense", "cannot be read"),
    ],
)
def test_an_address_that_is_no_ledger_is_trouble(url: str, said: str) -> None:
    (found,) = LedgerLook(url, Clock(), connections=4).check()

    assert (Verdict.TROUBLE, True) == (found.verdict, said in found.seen)


def test_a_file_that_is_no_ledger_is_trouble(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"this is not a database, and it is long enough to be taken for one" * 20)

    (found,) = LedgerLook(f"sqlite:///{file}", Clock(), connections=4).check()

    assert found.unreachable
    assert [file] == list(tmp_path.iterdir())
