"""validate, plan and schemas: over folders and real clones, as a person runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import app


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def folder(tmp_path: Path, files: dict[str, str]) -> Path:
    root = tmp_path / "desired"
    write(root, files)
    return root


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


# ── validate ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sound_folder_is_counted_and_exits_0(folder: Path) -> None:
    done = run("validate", folder)

    assert (0, "4 fleets sound\n", "") == (done.exit_code, done.stdout, done.stderr)


def test_each_problem_is_one_line_with_its_place_and_exits_1(folder: Path) -> None:
    write(folder, {"environments/prod/checkout.yaml": "version: 1.10\n"})

    done = run("validate", folder)

    assert 1 == done.exit_code
    first, last = done.stdout.splitlines()
    assert first.startswith("environments/prod/checkout.yaml:1:10: ")
    assert '"1.10"' in first
    assert "3 fleets sound, 1 broken, 1 error" == last


def test_validate_as_json_has_the_documented_keys(folder: Path) -> None:
    write(folder, {"environments/prod/checkout.yaml": "version: 1.10\n"})

    said = json.loads(run("validate", folder, "-o", "json").stdout)

    assert {"fleets", "errors", "warnings", "problems"} == set(said)
    assert {"file", "line", "column", "severity", "message", "fleets"} == set(said["problems"][0])
    assert (3, 1, ["prod/checkout"]) == (said["fleets"], said["errors"], said["problems"][0]["fleets"])


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = run("validate", tmp_path / "nowhere")

    assert (2, "") == (done.exit_code, done.stdout)
    assert f"fairlead: {tmp_path / 'nowhere'}: there is no such folder; name the one that holds fairlead.yaml\n" == (
        done.stderr
    )


# ── plan ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plan_of_the_newest_commit_of_main_is_against_its_first_parent(desired: Any) -> None:
    desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})

    done = run("plan", "--repository", desired.clone.folder)

    assert 0 == done.exit_code
    assert "prod/checkout  1.4.1 → 1.4.2  (deploys)" in done.stdout.splitlines()
    assert "    wave 1: regions us-east-1, soak 5m" in done.stdout.splitlines()


def test_a_plan_of_a_branch_is_against_where_it_left_main(desired: Any) -> None:
    start = desired.clone.head()
    desired.change({"environments/prod/basket.yaml": "version: 7.0.0\n"})
    clone = desired.clone
    clone.git("checkout", "--quiet", "-b", "bump", start)
    write(clone.folder, {"environments/staging/checkout.yaml": "version: 1.4.2\n"})
    clone.git("commit", "--quiet", "--all", "--message", "one")
    write(clone.folder, {"environments/staging/basket.yaml": "version: 1.4.2\n"})
    clone.git("commit", "--quiet", "--all", "--message", "two")

    said = json.loads(run("plan", "--repository", clone.folder, "-o", "json").stdout)

    assert start == said["base"]
    assert ["staging/basket", "staging/checkout"] == [change["fleet"] for change in said["changes"]]
    assert 2 == said["unchanged"]


def test_a_plan_of_the_first_commit_adds_everything(desired: Any) -> None:
    said = json.loads(run("plan", "--repository", desired.clone.folder, "-o", "json").stdout)

    assert None is said["base"]
    assert ["added"] * 4 == [change["effect"] for change in said["changes"]]


def test_a_plan_reads_commits_and_not_the_work_tree(desired: Any) -> None:
    desired.change({"README.md": "nothing of ours\n"})
    write(desired.clone.folder, {"environments/prod/checkout.yaml": "version: [\n"})

    done = run("plan", "--repository", desired.clone.folder)

    assert 0 == done.exit_code
    assert done.stdout.endswith("no fleet changes\n")


def test_a_plan_with_errors_exits_1_and_shows_them(desired: Any) -> None:
    desired.change({"environments/prod/checkout.yaml": "version: 1.10\n"})

    done = run("plan", "--repository", desired.clone.folder)

    assert 1 == done.exit_code
    assert "prod/checkout  1.4.1  (cannot be read; keeps its last good spec)" in done.stdout.splitlines()
    assert "environments/prod/checkout.yaml:1:10: " in done.stdout


def test_explain_says_where_each_value_was_written(desired: Any) -> None:
    said = json.loads(
        run("plan", "--repository", desired.clone.folder, "--explain", "--fleet", "staging/basket", "-o", "json").stdout
    )

    values = said["explain"]["staging/basket"]
    assert ["staging/basket"] == list(said["explain"])
    assert {"value": "1.4.1", "from": "environments/staging/basket.yaml:1:10"} == values["version"]
    assert "services/basket.yaml:2:10" in {value["from"] for value in values.values()}


def test_a_plan_as_markdown_is_a_table(desired: Any) -> None:
    desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})

    said = run("plan", "--repository", desired.clone.folder, "-o", "markdown").stdout

    assert said.startswith("### Fairlead plan: ")
    assert "| `prod/checkout` | `1.4.1` → `1.4.2` |" in said


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--head", "nowhere"), "'nowhere' names no commit of "),
        (("--base", "--output"), "'--output' names no commit of "),
        (("--fleet", "prod/nothing"), "prod/nothing is declared neither at the base nor at the head"),
        (("--fleet", "prod"), "'prod' is no fleet: write ENV/SERVICE, such as prod/checkout"),
    ],
)
def test_what_a_plan_cannot_find_is_one_sentence(desired: Any, args: tuple[str, ...], sentence: str) -> None:
    done = run("plan", "--repository", desired.clone.folder, *args)

    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"fairlead: {sentence}")
    assert 1 == done.stderr.count("\n")


def test_a_folder_without_git_says_so(folder: Path) -> None:
    done = run("plan", "--repository", folder)

    assert 2 == done.exit_code
    assert f"fairlead: {folder} is no git repository: run this inside a clone, or name one with --repository\n" == (
        done.stderr
    )


def test_a_shallow_clone_says_what_is_missing(desired: Any, tmp_path: Path) -> None:
    desired.change({"environments/prod/checkout.yaml": "version: 1.4.2\n"})
    shallow = tmp_path / "shallow"
    desired.clone.git("clone", "--quiet", "--depth=1", desired.url, str(shallow))

    done = run("plan", "--repository", shallow)

    assert 2 == done.exit_code
    assert "the clone is shallow" in done.stderr


# ── schemas ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_schemas_are_written_one_file_each(tmp_path: Path) -> None:
    done = run("schemas", "--write", tmp_path / "schemas", "-o", "json")

    said = json.loads(done.stdout)
    assert said["files"] == sorted(path.name for path in (tmp_path / "schemas").iterdir())
    assert all(json.loads((tmp_path / "schemas" / name).read_text())["$schema"] for name in said["files"])


def test_schemas_print_the_same_documents(tmp_path: Path) -> None:
    run("schemas", "--write", tmp_path)

    printed = json.loads(run("schemas").stdout)

    assert printed == {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
