"""What a host remembers: written before it acts, whole or the step before it, and never in the way."""

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.agent_protocol.orders import release_document
from adapters.agent_protocol.reports import Blame, Work, WorkState
from fairlead_agent import durable
from fairlead_agent.journal import FORMAT, Journal, Memory
from fairlead_agent.running import Ran
from fairlead_agent.trouble import Trouble

FLEET = "prod/matchmaker"
WORK = Work(key="c:d:a2", version="2.3.1", attempt=2, state=WorkState.WORKING, stage="draining")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prod_matchmaker.json"


def fresh(folder: Path) -> Journal:
    """As a freshly started agent has it."""
    journal = Journal(folder, FLEET)
    journal.load()
    return journal


def everything(host: Any) -> Memory:
    return Memory(
        sequence=42,
        rejected=("e" * 64, "f" * 64),
        base="0123456789abcdef",
        root="/srv/mm",
        ran=Ran(release="0123456789abcdef", boot="2782feec", pid=4711, began=1_000_017),
        last_good_root="/srv/old",
        meaning="m" * 64,
        expires=datetime(2026, 12, 24, 6, 0, 0, 123456, tzinfo=UTC),
        work=replace(WORK, message="ümläut", blame=Blame.UNHEALTHY, rolled_back_to="2.3.0", log="a\nb"),
        release=host.release(host.file("1.0"), config=host.config(mode="fast", size=[1, None, 0.5])),
        failed_at="checking",
        touched="rolling-back",
        last_good="0123456789abcdef",
        last_good_version="2.3.0",
        left={"arn:aws:x": (80, 81), "arn:aws:y": ()},
    )


def test_everything_is_remembered(tmp_path: Path, host: Any) -> None:
    memory = everything(host)
    Journal(tmp_path, FLEET).write(memory)

    found = fresh(tmp_path)

    assert (memory, "") == (found.memory, found.lost)
    assert memory.release is not None
    assert found.memory.release is not None
    assert release_document(memory.release) == release_document(found.memory.release)
    assert 0o600 == (tmp_path / "prod_matchmaker.json").stat().st_mode & 0o777


def test_a_host_that_never_did_anything_remembers_nothing(tmp_path: Path) -> None:
    journal = fresh(tmp_path)

    assert (Memory(), "") == (journal.memory, journal.lost)
    assert [] == list(tmp_path.iterdir())


def test_two_fleets_have_two_memories(tmp_path: Path) -> None:
    Journal(tmp_path, FLEET).write(Memory(sequence=1))
    Journal(tmp_path, "prod/lobby").write(Memory(sequence=2))

    assert 1 == fresh(tmp_path).memory.sequence


def test_it_is_on_the_disk_before_the_call_returns_and_the_step_before_beside_it(tmp_path: Path, path: Path) -> None:
    journal = Journal(tmp_path, FLEET)
    for sequence in (1, 2, 3):
        journal.write(Memory(sequence=sequence))
        assert sequence == json.loads(path.read_bytes())["sequence"]

    assert 2 == json.loads(path.with_suffix(".before").read_bytes())["sequence"]


@pytest.mark.parametrize("torn", [b"", b"{", b'{"format": "fairlead/journal/v1", "seq', b"\0" * 4096, b"[]", b"null"])
def test_where_the_file_is_torn_the_step_before_is_read(tmp_path: Path, path: Path, torn: bytes) -> None:
    journal = Journal(tmp_path, FLEET)
    journal.write(Memory(sequence=1))
    journal.write(Memory(sequence=2))
    path.write_bytes(torn)

    found = fresh(tmp_path)
    assert 1 == found.memory.sequence
    assert found.lost.endswith("; the step before it was read")
    found.write(Memory(sequence=3))

    assert torn == path.with_suffix(".broken").read_bytes()
    assert (3, "") == (fresh(tmp_path).memory.sequence, fresh(tmp_path).lost)
    assert 1 == json.loads(path.with_suffix(".before").read_bytes())["sequence"]


def test_where_both_are_torn_the_memory_is_lost_which_is_said_as_long_as_the_agent_lives(
    tmp_path: Path, path: Path
) -> None:
    for name in (path, path.with_suffix(".before")):
        name.write_bytes(b"torn")

    found = fresh(tmp_path)
    assert Memory() == found.memory
    found.write(Memory(sequence=7))

    assert f"{path} cannot be read" in found.lost
    assert b"torn" == path.with_suffix(".broken").read_bytes()
    assert (7, "") == (fresh(tmp_path).memory.sequence, fresh(tmp_path).lost)


def test_an_equal_memory_is_written_over_a_torn_file(tmp_path: Path, path: Path) -> None:
    path.write_bytes(b"torn")
    found = fresh(tmp_path)

    found.write(found.memory)

    assert "" == fresh(tmp_path).lost


@pytest.mark.parametrize(
    "change",
    [
        {"format": "fairlead/journal/v2"},
        {"format": 1},
        {"sequence": -1},
        {"sequence": True},
        {"sequence": float("nan")},
        {"sequence": 2**60},
        {"expires": "yesterday"},
        {"work": []},
        {"work": {"key": "", "version": "", "attempt": 1, "state": "done"}},
        {"release": {"digest": "x"}},
        {"release": []},
        {"left": {"arn": [80, "81"]}},
        {"left": {"arn": [[]]}},
        {"left": []},
        {"touched": 7},
        {"last_good": "\0"},
        {"failed_at": "\ud800"},
    ],
)
def test_what_no_agent_of_this_version_wrote_is_kept_aside(tmp_path: Path, path: Path, change: Any) -> None:
    Journal(tmp_path, FLEET).write(Memory(sequence=5, work=WORK))
    document = {**json.loads(path.read_bytes()), **change}
    path.write_text(json.dumps(document))

    found = fresh(tmp_path)
    found.write(Memory(sequence=6))

    assert found.lost
    assert json.dumps(document) == path.with_suffix(".broken").read_text()
    assert 6 == fresh(tmp_path).memory.sequence


def test_content_that_is_too_deep(tmp_path: Path, path: Path) -> None:
    path.write_bytes(b'{"format": ' + b"[" * 100_000)

    assert fresh(tmp_path).lost


@pytest.mark.parametrize("said", ["nul \0 here", "half \ud800 of a pair", "x" * 200_000])
def test_whatever_a_command_printed_can_be_read_again(tmp_path: Path, said: str) -> None:
    journal = Journal(tmp_path, FLEET)
    journal.write(Memory(sequence=3, work=replace(WORK, message=said, log=said)))
    journal.write(Memory(sequence=4, work=replace(WORK, message=said, log=said)))

    found = fresh(tmp_path)

    assert (4, "") == (found.memory.sequence, found.lost)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "fleets"
    folder.touch()
    journal = fresh(folder)

    with pytest.raises(Trouble, match=r"cannot write down the next step in .*: Not a directory") as told:
        journal.write(Memory(sequence=1))

    assert (Blame.TRANSIENT, 0) == (told.value.blame, journal.memory.sequence)


def test_a_file_that_is_a_folder_is_moved_aside(tmp_path: Path, path: Path) -> None:
    path.mkdir()
    found = fresh(tmp_path)

    found.write(Memory(sequence=1))

    assert "Is a directory" in found.lost
    assert 1 == fresh(tmp_path).memory.sequence


FULL = """
import sys
from pathlib import Path
from fairlead_agent.journal import Journal, Memory
from fairlead_agent.trouble import Trouble
journal = Journal(Path(sys.argv[1]), "prod/matchmaker")
journal.load()
try:
    journal.write(Memory(sequence=2, meaning="m" * 4000))
except Trouble as trouble:
    print(trouble.blame, trouble.message, journal.memory.sequence)
"""


def test_where_the_disk_takes_nothing_the_old_memory_stays(tmp_path: Path) -> None:
    """RLIMIT_FSIZE plays the full disk, in a process of its own."""
    Journal(tmp_path, FLEET).write(Memory(sequence=1))

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    told = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        preexec_fn=full,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "transient cannot write down the next step in" in told
    assert told.endswith(" 1\n")
    assert (1, "") == (fresh(tmp_path).memory.sequence, fresh(tmp_path).lost)


def test_what_was_only_imagined_is_written_as_soon_as_the_disk_takes_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FLEET)
    journal.write(Memory(sequence=1))
    journal.imagine(Memory(sequence=2))
    assert (2, 1) == (journal.memory.sequence, fresh(tmp_path).memory.sequence)

    journal.write(Memory(sequence=2))

    assert 2 == fresh(tmp_path).memory.sequence


def test_going_back_to_what_is_written_forgets_what_was_imagined(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FLEET)
    journal.write(Memory(sequence=1))
    journal.imagine(Memory(sequence=2))

    journal.write(Memory(sequence=1))

    assert 1 == journal.memory.sequence


@pytest.mark.parametrize("step", ["link", "replace", "fsync"])
def test_ended_at_any_step_of_writing_one_of_both_is_whole(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, FLEET)
    journal.write(Memory(sequence=1))
    journal.write(Memory(sequence=2))

    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr({"link": os, "fsync": durable.os, "replace": Path}[step], step, ended)
        with pytest.raises(KeyboardInterrupt):
            journal.write(Memory(sequence=3))

    found = fresh(tmp_path)
    assert (2, "") == (found.memory.sequence, found.lost)
    found.write(Memory(sequence=4))
    assert 4 == fresh(tmp_path).memory.sequence


def test_its_format_is_named(tmp_path: Path, path: Path) -> None:
    Journal(tmp_path, FLEET).write(Memory(sequence=1))

    assert FORMAT == json.loads(path.read_bytes())["format"]


@pytest.mark.parametrize("suffix", [".json", ".before", ".broken", ".spare"])
def test_a_folder_in_its_place_is_set_aside(tmp_path: Path, path: Path, suffix: str) -> None:
    for number in range(1, 3):
        fresh(tmp_path).write(Memory(sequence=number))
    place = path.with_suffix(suffix)
    durable.remove(place)
    (place / "inner").mkdir(parents=True)
    if suffix == ".broken":
        path.write_text("{")

    for number in range(3, 6):
        fresh(tmp_path).write(Memory(sequence=number))

    assert 5 == fresh(tmp_path).memory.sequence
    assert all(each.is_file() for each in (path, path.with_suffix(".before")))
