"""A state folder is one instance's: another one's memory is put aside, and a shared folder is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead_agent.belonging import Belonging, Taken


def nobody(_: float) -> None:
    """Nothing happens while it waits."""


@pytest.fixture
def claim(tmp_path: Path) -> Callable[..., Belonging]:
    def make(host: str, wait: Callable[[float], object] = nobody) -> Belonging:
        return Belonging(tmp_path, host, 60.0, wait)

    return make


def test_a_fresh_folder_becomes_the_instances(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    assert "" == claim("i-1").take()
    assert {"host": "i-1", "count": 1, "every": 5.0} == json.loads((tmp_path / "host").read_text())


def test_the_same_instance_goes_on_without_waiting(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    claim("i-1").take()
    (tmp_path / "number").write_text("1001")

    def never(_: float) -> None:
        raise AssertionError("it waited")

    assert "" == claim("i-1", never).take()
    assert "1001" == (tmp_path / "number").read_text()


def test_a_memory_from_before_this_file_was_there_is_kept(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    (tmp_path / "number").write_text("1001")

    assert "" == claim("i-1").take()
    assert (tmp_path / "number").exists()


def test_a_copy_of_another_instances_disk_begins_anew(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    claim("i-1").take()
    (tmp_path / "fleets").mkdir()
    (tmp_path / "fleets" / "prod_mm.json").write_text("{}")
    (tmp_path / "lock").touch()

    said = claim("i-2").take()

    assert "its memory was that of i-1, of which this disk was copied; it begins anew" == said
    assert {"lock", "host", "of-i-1"} == {path.name for path in tmp_path.iterdir()}
    assert "{}" == (tmp_path / "of-i-1" / "fleets" / "prod_mm.json").read_text()
    assert "" == claim("i-2").take()


def test_only_the_newest_memory_that_was_put_aside_is_kept(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    for host in ("i-1", "i-2", "i-3"):
        claim(host).take()
        (tmp_path / "number").write_text(host)

    assert ["of-i-2"] == [path.name for path in tmp_path.glob("of-*")]
    assert "i-2" == (tmp_path / "of-i-2" / "number").read_text()


def test_putting_aside_that_was_cut_off_is_gone_on_with(
    claim: Callable[..., Belonging], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim("i-1").take()
    for name in ("fleets", "number"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    moves, move = list[Path](), Path.replace

    def once(self: Path, target: Path) -> Path:
        moves.append(self)
        if len(moves) > 1:
            raise OSError("cut off")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(OSError, match="cut off"):
        claim("i-2").take()
    monkeypatch.undo()

    assert claim("i-2").take()
    assert {"fleets", "number"} == {path.name for path in (tmp_path / "of-i-1").iterdir()}
    assert {"host", "of-i-1"} == {path.name for path in tmp_path.iterdir()}


def test_what_is_not_the_agents_stays_where_it_is(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    claim("i-1").take()
    (tmp_path / "number").write_text("1001")
    (tmp_path / "of-importance").mkdir()
    (tmp_path / "of-importance" / "ledger.db").write_text("precious")
    (tmp_path / "postgres").mkdir()
    (tmp_path / "of-a-file").write_text("also")

    claim("i-2").take()

    assert {"host", "of-i-1", "of-importance", "of-a-file", "postgres"} == {path.name for path in tmp_path.iterdir()}
    assert "precious" == (tmp_path / "of-importance" / "ledger.db").read_text()
    assert ["number"] == [path.name for path in (tmp_path / "of-i-1").iterdir()]


def test_a_folder_in_which_another_one_counts_is_refused(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    first = claim("i-1")
    first.take()

    with pytest.raises(Taken, match=r"is used by i-1 as well; give each host a state of its own, on its own disk"):
        claim("i-2", lambda _: first.beat()).take()

    assert "i-1" == json.loads((tmp_path / "host").read_text())["host"]
    first.beat()


def test_who_lost_its_folder_is_told_at_its_next_beat(claim: Callable[..., Belonging]) -> None:
    first = claim("i-1")
    first.take()
    claim("i-2").take()  # the folder was too slow to show that the first one lives

    with pytest.raises(Taken, match="is used by i-2 as well"):
        first.beat()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"host": "i-9"}',
        '{"host": "i-9", "count": "x", "every": 1}',
        '{"host": "i-9", "count": Infinity, "every": 1}',
    ],
)
def test_a_torn_file_is_nobodys(claim: Callable[..., Belonging], tmp_path: Path, text: str) -> None:
    (tmp_path / "host").write_text(text)

    assert "" == claim("i-1").take()


@pytest.mark.parametrize("every", ["-Infinity", "Infinity", "NaN", "0", "-3"])
def test_a_pace_that_nobody_counts_at_leaves_the_other_one_its_time(
    claim: Callable[..., Belonging], tmp_path: Path, every: str
) -> None:
    (tmp_path / "host").write_text(f'{{"host": "i-9", "count": 1, "every": {every}}}')
    waited = list[float]()

    claim("i-1", waited.append).take()

    assert 12.5 == sum(waited)


def test_a_disk_that_takes_nothing_ends_nobody(claim: Callable[..., Belonging], tmp_path: Path) -> None:
    first = claim("i-1")
    first.take()
    (tmp_path / ".host.new").mkdir()

    first.beat()

    assert 1 == json.loads((tmp_path / "host").read_text())["count"]
