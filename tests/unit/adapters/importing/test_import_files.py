"""The files: whatever others named, they say what they mean; on the disk they stand whole or not at all."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.importing.emitting import scalar, text_of
from adapters.importing.placing import NotEmpty, Outside, check_empty, place
from desired_state.trees import MemoryTree
from fairlead import wiring

FILES = {"fairlead.yaml": "a\n", "services/x.yaml": "b\n", "README.md": "c\n"}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=30))
def test_every_text_is_read_back_as_that_text(text: str) -> None:
    assert text == yaml.safe_load(f"key: {scalar(text)}\n")["key"]


@pytest.mark.parametrize("text", ["1.10", "20261101", "yes", "NO", "null", "1e3", "0x1f", "1_000", "12:30", "~", "*a"])
def test_what_yaml_reads_differently_is_quoted(text: str) -> None:
    assert text == yaml.safe_load(f"key: {scalar(text)}\n")["key"]


words = st.text(max_size=12) | st.sampled_from(
    ["prod", "${x}", "{region}", "{service}", "a: b", "# c", "environment", "1.10", "- x", "../../x", "/x", "a/b"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=words, service=words, environment=words, version=words, parameter=words)
def test_whatever_others_named_what_is_written_is_sound(
    make: Any, name: str, service: str, environment: str, version: str, parameter: str
) -> None:
    made = make()
    made.group("shop-prod-v001", made.baked("shop", version))
    made.pipeline(name, {"application": "shop", "stack": "prod"}, parameter, f"{parameter}VERSION")
    made.host("i-a", service=service, environment=environment)
    made.told("i-a", f"{environment}/{service}", **{service: version})

    found = made.conclude()

    state = wiring.parser().parse(MemoryTree(dict(found.files)))
    assert not found.files or not state.errors
    assert {one.fleet: _meant(one.deploy) for one in found.fleets} == {
        name: _meant(fleet.deploy) for name, fleet in state.fleets.items()
    }
    assert all(re.fullmatch(r"[A-Za-z0-9-]+(/[a-z0-9-]+){0,2}[.](yaml|md)", path) for path in found.files)


def _meant(deploy: Any) -> Any:
    return [deploy.get(key) for key in ("root", "select", "run", "health", "application", "pipeline", "parameters")]


def test_a_question_stands_over_the_value_that_it_asks_of() -> None:
    tree = {"package": "x", "deploy": {"type": "t", "select": {"cluster": "c"}}}

    assert """\
# Found.
# QUESTION: why?
package: x
deploy:
  type: t
  # QUESTION: which?
  select: {cluster: c}
""" == text_of(tree, {("deploy", "select", "other"): ["which?"], ("nowhere",): ["why?"]}, ["Found."])


def test_nothing_that_others_wrote_ends_a_comment(shop: Any) -> None:
    shop.pipelines["shop"][0]["name"] = "x\ndeploy: {type: trigger}\r\x85\u2028y: z"
    shop.pipeline("other", {"application": "shop", "stack": "prod"}, "VERSION", "FAIRLEAD_KEY")

    found = shop.conclude()

    assert not wiring.parser().parse(MemoryTree(dict(found.files))).errors
    assert {"package", "deploy"} == set(yaml.safe_load(found.files["services/shop.yaml"]))


def test_what_the_parser_refuses_is_left_out_and_the_rest_stays(shop: Any) -> None:
    shop.group("evil-prod-v001", shop.baked("evil", "1.0.0"))
    shop.pipeline("${evil}", {"application": "evil", "stack": "prod"}, "VERSION", "FAIRLEAD_KEY")

    found = shop.conclude()

    assert ["prod/shop"] == [one.fleet for one in found.fleets]
    (left,) = found.left_out
    assert left.what == "cluster evil-prod in us-east-1"
    assert left.why.startswith("its file would be refused: ")
    assert "cluster evil-prod" in found.files["README.md"]


def test_what_the_parser_does_not_declare_is_left_out(games: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that nothing reads is a warning to the parser, and no fleet to a controller."""
    games.host("i-z", service="lobby", environment="prod")
    games.told("i-z", "prod/deep/lobby", lobby="1.0.0")
    monkeypatch.setattr("adapters.importing.hosts.is_fleet", lambda name: True)

    found = games.conclude()

    assert ["prod/matchmaker"] == [one.fleet for one in found.fleets]
    assert "environments/prod/deep/lobby.yaml" not in found.files
    assert "its files would declare no fleet prod/deep/lobby" in [one.why for one in found.left_out]


def test_environments_of_two_accounts_are_left_out_together(shop: Any) -> None:
    from dataclasses import replace

    from adapters.importing.facts import Rules
    from adapters.importing.repository import conclude

    here = shop.site
    there = replace(here, account=replace(here.account, id="210987654321"))
    rules = Rules(gate="https://gate.example.com")

    found = conclude([here, there], rules, wiring.parser())

    assert {} == found.files
    assert {"prod is found in the accounts 123456789012 and 210987654321: import each of them alone"} == {
        one.why for one in found.left_out
    }


def test_the_readme_tells_what_is_next_and_what_is_not_there(games: Any) -> None:
    games.host("i-z", Name="|pipe|")

    readme = games.conclude().files["README.md"]

    assert "`fairlead adopt prod`" in readme
    assert "| `prod/matchmaker` | trigger | 2.3.1 |" in readme
    assert "instances i-z" in readme


def test_nothing_that_others_wrote_is_a_link_or_a_picture_in_the_readme(games: Any) -> None:
    games.host("i-z", service="![x](https://example.com/seen)", environment="prod")

    readme = games.conclude().files["README.md"]

    assert r"service=!\[x\](https://example.com/seen)" in readme


def test_notes_of_the_read_are_kept(shop: Any) -> None:
    shop.notes = ("there is no queue",)

    assert ("there is no queue",) == shop.conclude().notes


# ── onto the disk ────────────────────────────────────────────────────────────────────────────────────────────────────


def written(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.mark.parametrize("made", ["nothing", "empty", "git"])
def test_a_new_or_empty_folder_is_filled(tmp_path: Path, made: str) -> None:
    folder = tmp_path / "some" / "desired"
    if made != "nothing":
        folder.mkdir(parents=True)
    if made == "git":
        (folder / ".git").mkdir()

    place(FILES, folder)

    assert FILES == written(folder)
    assert ["desired"] == [each.name for each in folder.parent.iterdir()], "nothing else is left beside it"


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine")

    with pytest.raises(NotEmpty, match=r"holds mine\.yaml already"):
        place(FILES, tmp_path)

    assert {"mine.yaml": "mine"} == written(tmp_path)


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize(
    "path", ["/etc/x", "../x", "services/../../x", "services/..", ".git/hooks/pre-commit", "a/.x", "", ".", "//x"]
)
def test_nothing_is_written_anywhere_else(tmp_path: Path, path: str, made: bool) -> None:
    folder = tmp_path / "a" / "desired"
    if made:
        folder.mkdir(parents=True)

    with pytest.raises(Outside, match="does not belong into a repository of ours; nothing was written"):
        place({**FILES, path: "x"}, folder)

    assert [] == [each for each in tmp_path.rglob("*") if each.is_file()]


def test_a_file_and_a_link_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")

    for name in ("file", "link"):
        with pytest.raises(NotEmpty, match="is no folder"):
            check_empty(tmp_path / name)


def test_a_disk_that_takes_only_some_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, folder = os.rename, tmp_path / "desired"
    folder.mkdir()

    def rename(source: Any, target: Any, **more: Any) -> None:
        if Path(target).name == "services":
            raise OSError(28, "No space left on device")
        real(source, target, **more)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="No space"):
        place(FILES, folder)

    assert {} == written(folder)
    assert ["desired"] == [each.name for each in tmp_path.iterdir()]
