"""The doctor's sentences, clocks and exit codes, without a world."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.doctor.clocks import judged
from adapters.doctor.files import readable_by_others
from adapters.doctor.findings import About, Finding, Verdict, together
from adapters.doctor.ledger import LedgerLook
from adapters.ledger.dialects import hosts_of, parse_url
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


def test_a_check_with_a_defect_is_a_finding_and_the_others_are_told() -> None:
    def broken() -> list[Finding]:
        raise AttributeError("canary")

    first, second = together([broken, lambda: [said(Verdict.OK)]])

    assert (Verdict.TROUBLE, Verdict.OK) == (first.verdict, second.verdict)
    assert first.seen.startswith("this check failed: AttributeError at test_doctor.py:")
    assert ("report it, with this line", True) == (first.fix, "broken" in first.about)
    assert "canary" not in first.seen


@pytest.mark.parametrize(("mode", "whose"), [(0o600, None), (0o640, None), (0o644, "everybody on this host")])
def test_who_else_reads_a_file(tmp_path: Path, mode: int, whose: str | None) -> None:
    file = tmp_path / "secret"
    file.touch()
    file.chmod(mode)

    found = readable_by_others(file)

    assert whose == (found and found[0])
    assert found is None or f"chmod 600 {file}" == found[1]


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")


@ROOT_ONLY
def test_a_group_that_is_not_ours_is_named_and_no_fix_takes_the_file_from_whoever_runs_fairlead(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.touch()
    os.chown(file, 0, 65533)
    file.chmod(0o640)
    grouped = readable_by_others(file)
    file.chmod(0o644)
    opened = readable_by_others(file)

    assert ("its group, 65533", f"chgrp {file} to the group of the user that runs Fairlead") == grouped
    assert opened is not None
    assert f"chmod 640 {file}, with the group of the user that runs Fairlead" == opened[1]


@ROOT_ONLY
def test_a_file_of_another_user_is_never_to_be_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.touch()
    os.chown(file, 65533, os.getegid())
    file.chmod(0o644)

    found = readable_by_others(file)

    assert found is not None
    assert "600" not in found[1]


def test_what_systemd_hands_over_is_not_looked_at() -> None:
    assert readable_by_others(Path("/run/credentials/fairlead.service/signing-key")) is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://db/fairlead", "mysql cannot keep the ledger"),
        ("sqlite:///:memory:", "would be lost with the process"),
        ("nonsense", "cannot be read"),
        ("postgresql+psycopg://u:canary@h1:1,h2:2/x?target_session_attrs=read-write", "cannot be read"),
        ("postgresql+psycopg://u:canary@h1:port/x", "cannot be read"),
        ("postgresql+psycopg2://u:canary@h1/x", "the driver of postgresql+psycopg2 is not installed"),
        ("postgresql+nope://u:canary@h1/x", "the driver of postgresql+nope is not installed"),
    ],
)
def test_an_address_that_is_no_ledger_is_trouble(url: str, said: str) -> None:
    (found,) = LedgerLook(url, Clock(), connections=4).check()

    assert (Verdict.TROUBLE, True, False) == (found.verdict, said in found.seen, found.unreachable)
    assert "canary" not in found.seen + found.fix


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql+psycopg://u:p@db/x", ["db"]),
        ("postgresql+psycopg://u:p#w@db:6432/x", ["db:6432"]),
        ("postgresql+psycopg://u:p@[::1]:6432/x", ["[::1]:6432"]),
        (
            "postgresql+psycopg://u:p@/x?host=h1:5432&host=h2:5433&target_session_attrs=read-write",
            ["h1:5432", "h2:5433"],
        ),
        ("postgresql+psycopg://u:p@/x?host=/run/postgresql", []),
        ("postgresql+psycopg://u:p@/x", []),
    ],
)
def test_the_hosts_of_a_ledger(url: str, hosts: list[str]) -> None:
    assert hosts == hosts_of(parse_url(url))


def test_a_file_that_is_no_ledger_is_trouble(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(b"this is not a database, and it is long enough to be taken for one" * 20)

    (found,) = LedgerLook(f"sqlite:///{file}", Clock(), connections=4).check()

    assert found.unreachable
    assert [file] == list(tmp_path.iterdir())
