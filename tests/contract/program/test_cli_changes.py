"""bump and rollback: commits pushed to a real git server, as a person's command makes them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import app

CHECKOUT = "environments/prod/checkout.yaml"


@pytest.fixture
def run(tmp_path: Path, desired: Any) -> Any:
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(config)])

    return invoke


def bumped(desired: Any, *versions: str) -> list[str]:
    return [desired.change({CHECKOUT: f"version: {version}\n"}, f"to {version}") for version in versions]


def at_head(desired: Any, path: str = CHECKOUT) -> str:
    desired.clone.git("fetch", "--quiet", "origin", "main")
    return str(desired.clone.git("show", f"FETCH_HEAD:{path}"))


def test_a_bump_is_one_commit_that_changes_one_line(run: Any, desired: Any) -> None:
    desired.change({CHECKOUT: "# asked for by the payments team\nversion: 1.4.1  # see the wiki\n"})

    done = run("bump", "checkout", "1.4.2", "--env", "prod", "-o", "json")

    said = json.loads(done.stdout)
    assert 0 == done.exit_code
    assert {"commit", "fleets", "message", "changes"} == set(said)
    assert (desired.clone.head(), ["prod/checkout"]) == (said["commit"], said["fleets"])
    assert "# asked for by the payments team\nversion: 1.4.2  # see the wiki" == at_head(desired)


def test_a_bump_of_two_environments_is_one_commit(run: Any, desired: Any) -> None:
    before = desired.clone.head()

    run("bump", "checkout", "1.4.2", "--env", "staging", "--env", "prod", "--message", "the fix for carts")

    assert "version: 1.4.2" == at_head(desired)
    assert "version: 1.4.2" == at_head(desired, "environments/staging/checkout.yaml")
    assert before == desired.clone.git("rev-parse", "FETCH_HEAD^")
    assert "the fix for carts" in desired.clone.git("log", "-1", "--format=%B", "FETCH_HEAD")


def test_a_bump_says_the_commit_and_what_will_happen(run: Any, desired: Any) -> None:
    done = run("bump", "checkout", "1.4.2", "--env", "prod")

    first, second = done.stdout.splitlines()
    assert f"pushed {desired.clone.head()[:7]}: prod/checkout: 1.4.1 -> 1.4.2" == first
    assert "follow it with fairlead status prod/checkout" in second


def test_several_services_are_one_commit(run: Any, desired: Any) -> None:
    before = desired.clone.head()

    done = run("bump", "checkout=1.4.2", "basket=2.0.0", "--env", "staging", "--env", "prod")

    assert 0 == done.exit_code
    assert "version: 1.4.2" == at_head(desired)
    assert "version: 2.0.0" == at_head(desired, "environments/staging/basket.yaml")
    assert before == desired.clone.git("rev-parse", "FETCH_HEAD^")


def test_the_author_is_who_asked_and_the_command_stands_in_a_trailer(
    run: Any, desired: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "ada@example.com")

    run("bump", "checkout", "1.4.2", "--env", "prod")

    at_head(desired)
    said = desired.clone.git("log", "-1", "--format=%an <%ae> %cn <%ce> %(trailers:separator=;)", "FETCH_HEAD")
    assert "Ada <ada@example.com> Fairlead <fairlead@localhost> Fairlead-Command: bump" == said


def test_a_signing_key_of_the_settings_signs(run: Any, desired: Any, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    (tmp_path / "allowed").write_text(f"us@example.com {key.with_suffix('.pub').read_text()}")
    with (tmp_path / "fairlead.toml").open("a") as config:
        config.write(f'[commits]\nemail = "us@example.com"\nsigning_key = "file:{key}"\n')

    assert 0 == run("bump", "checkout", "1.4.2", "--env", "prod").exit_code

    at_head(desired)
    allowed = f"gpg.ssh.allowedSignersFile={tmp_path / 'allowed'}"
    assert "G us@example.com" == desired.clone.git("-c", allowed, "log", "-1", "--format=%G? %GS", "FETCH_HEAD")


def test_a_signing_key_that_is_not_there_is_told_before_anything_is_pushed(
    run: Any, desired: Any, tmp_path: Path
) -> None:
    head = desired.clone.head()
    with (tmp_path / "fairlead.toml").open("a") as config:
        config.write(f'[commits]\nsigning_key = "file:{tmp_path / "nowhere"}"\n')

    done = run("bump", "checkout", "1.4.2", "--env", "prod")

    assert (2, head) == (done.exit_code, desired.clone.head())
    assert "is not there: set that variable, or write that file" in done.stderr


def test_the_same_bump_again_pushes_nothing_and_is_well(run: Any, desired: Any) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod")
    head = desired.clone.head()

    done = run("bump", "checkout", "1.4.2", "--env", "prod", "-o", "json")

    assert (0, None) == (done.exit_code, json.loads(done.stdout)["commit"])
    assert head == desired.clone.head()


def test_a_bump_pins_an_artifact(run: Any, desired: Any) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod", "--sha256", f"checkout={'AB' * 32}")

    assert "ab" * 32 in at_head(desired)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("chekout", "1.4.2", "--env", "prod"), "prod/chekout is not known: is it prod/checkout"),
        (("checkout", "1.4.2", "--env", "prod", "--sha256", "checkout"), "--sha256 checkout: write PACKAGE=HEX"),
        (("checkout", "--env", "prod"), "say SERVICE VERSION, such as checkout 1.4.2, or pairs"),
        (("checkout=1.4.2", "basket", "--env", "prod"), "say SERVICE VERSION"),
        (("checkout=1", "checkout=2", "--env", "prod"), "checkout is named twice"),
        (("checkout=1", "basket=2", "--env", "prod", "--package", "x"), "--package and --sha256 go with one service"),
        (("checkout", "1.4.2", "--env", "../prod"), "'../prod/checkout' is no fleet"),
        (("checkout", "1.4.2", "--env", "--upload-pack=x"), "--upload-pack=x/checkout is not known"),
        (("checkout", "$(reboot)", "--env", "prod"), "prod/checkout could not be read after it"),
        (("checkout", "1.4.2", "--env", "prod", "--message", "fairlead-command: promote"), "--message: no line may"),
        (("checkout", "a b", "--env", "prod"), "'a b' is no version: write one without spaces, such as 1.4.2"),
        (
            ("checkout", "1.4.2", "--env", "prod", "--message", f"Ours.\n This reverts commit {'a' * 40}."),
            "--message: no line may begin with `This reverts commit`",
        ),
        (("checkout", "1.4.2", "--env", "prod", "--message", "caf\udce9"), "--message: this is not UTF-8 text"),
        (("checkout", "1.4.2", "--env", "prod", "--wait", "--timeout", "soon"), "--timeout soon: must be a duration"),
        (("checkout", "1.4.2", "--env", "prod", "--repository", "other"), "no repository is called 'other'"),
    ],
)
def test_a_bump_that_cannot_be_is_one_sentence(run: Any, desired: Any, args: Any, sentence: str) -> None:
    head = desired.clone.head()

    done = run("bump", *args)

    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"fairlead: {sentence}")
    assert 1 == done.stderr.count("\n")
    assert head == desired.clone.head()


def test_a_repository_that_is_down_exits_3(run: Any, desired: Any) -> None:
    desired.server.faults.refuse_with = 503

    done = run("bump", "checkout", "1.4.2", "--env", "prod")

    assert (3, "") == (done.exit_code, done.stdout)
    assert "cannot be reached" in done.stderr


def test_a_rollback_goes_to_what_was_told_before_and_names_the_commit_it_reverts(run: Any, desired: Any) -> None:
    _, bad = bumped(desired, "1.4.2", "1.4.3")
    desired.change({"README.md": "not about fleets\n"})

    done = run("rollback", "prod/checkout", "-o", "json")

    assert 0 == done.exit_code
    assert {"commit", "fleets", "message", "changes"} == set(json.loads(done.stdout))
    assert "version: 1.4.2" == at_head(desired)
    assert f"This reverts commit {bad}." in desired.clone.git("log", "-1", "--format=%B", "FETCH_HEAD")


def test_the_same_rollback_again_does_not_bring_the_bad_version_back(run: Any, desired: Any) -> None:
    bumped(desired, "1.4.2", "1.4.3")
    first = json.loads(run("rollback", "prod/checkout", "-o", "json").stdout)

    done = run("rollback", "prod/checkout", "-o", "json")

    said = json.loads(done.stdout)
    assert (0, None, first["commit"]) == (done.exit_code, said["commit"], said["changes"][0]["stands"])
    assert "version: 1.4.2" == at_head(desired)
    assert "prod/checkout was rolled back already: nothing was pushed; --to goes further back" == said["message"]


def test_the_same_rollback_of_a_commit_again_names_the_one_that_took_it_back(run: Any, desired: Any) -> None:
    (bad,) = bumped(desired, "2.0.0")
    first = json.loads(run("rollback", "--commit", bad, "-o", "json").stdout)

    said = json.loads(run("rollback", "--commit", bad, "-o", "json").stdout)

    assert (None, first["commit"]) == (said["commit"], said["changes"][0]["stands"])
    assert ["prod/checkout"] == said["fleets"]


def test_a_rollback_of_a_merged_rollback_is_none(run: Any, desired: Any) -> None:
    """A pull request's merge commit sets the fleet back; the command's own commit is on its side."""
    bumped(desired, "1.4.2", "1.4.3")
    run("rollback", "prod/checkout")
    ours = desired.clone.head()
    desired.clone.git("fetch", "--quiet", "origin", "main")
    desired.clone.git("reset", "--quiet", "--hard", f"{ours}^")
    desired.clone.git("merge", "--quiet", "--no-ff", "-m", "Merge pull request #7", ours)
    desired.clone.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")

    done = run("rollback", "prod/checkout")

    assert (0, "version: 1.4.2") == (done.exit_code, at_head(desired))


def test_what_a_shared_file_changed_is_not_set_back_and_that_is_said(run: Any, desired: Any) -> None:
    shared = (desired.clone.folder / "services" / "checkout.yaml").read_text()
    quicker = shared.replace("package: checkout", "packages: {checkout: {sha256: " + "ab" * 32 + "}}")
    bad = desired.change({"services/checkout.yaml": quicker, "environments/prod/basket.yaml": "version: 2.0.0\n"})

    alone = run("rollback", "prod/checkout")
    both = run("rollback", "--commit", bad, "-o", "json")

    told = f"cannot be set back alone: {bad[:7]} changed a file that is shared with others"
    assert (1, True) == (alone.exit_code, f"prod/checkout {told}" in alone.stderr)
    assert (0, ["prod/basket"]) == (both.exit_code, json.loads(both.stdout)["fleets"])
    assert f"prod/checkout, staging/checkout {told}" in both.stderr


def test_a_rollback_passes_over_a_broken_state(run: Any, desired: Any) -> None:
    bumped(desired, "1.4.2", "1.10", "1.4.3")

    run("rollback", "prod/checkout")

    assert "version: 1.4.2" == at_head(desired)


def test_a_rollback_to_a_version_finds_it_in_history(run: Any, desired: Any) -> None:
    bumped(desired, "1.4.2", "1.4.3", "1.4.4")

    run("rollback", "prod/checkout", "--to", "1.4.2")

    assert "version: 1.4.2" == at_head(desired)


def test_a_rollback_to_a_commit_takes_its_state(run: Any, desired: Any) -> None:
    commits = bumped(desired, "1.4.2", "1.4.3", "1.4.4")

    run("rollback", "prod/checkout", "--to", commits[1][:10])

    assert "version: 1.4.3" == at_head(desired)


def test_a_rollback_of_a_commit_takes_back_only_fleets_still_on_it(run: Any, desired: Any) -> None:
    both = {CHECKOUT: "version: 2.0.0\n", "environments/prod/basket.yaml": "version: 2.0.0\n"}
    bad = desired.change(both)
    bumped(desired, "2.0.1")

    done = run("rollback", "--commit", bad, "-o", "json")

    assert ["prod/basket"] == json.loads(done.stdout)["fleets"]
    assert "version: 1.4.1" == at_head(desired, "environments/prod/basket.yaml")
    assert "version: 2.0.1" == at_head(desired)


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        ((), 2, "say either a fleet, ENV/SERVICE, or --commit SHA"),
        (("prod/checkout", "--commit", "abc"), 2, "say either a fleet, ENV/SERVICE, or --commit SHA"),
        (("--commit", "abc", "--to", "1"), 2, "--to goes with a fleet"),
        (("prod/checkout",), 2, "prod/checkout was told nothing else before "),
        (("prod/checkout", "--to", "9.9.9"), 2, "prod/checkout never was at 9.9.9: fairlead bump sets a version"),
        (("prod/nothing",), 2, "prod/nothing is not known: "),
        (("--commit", "abcdef1"), 3, "there is no commit 'abcdef1'"),
    ],
)
def test_a_rollback_that_cannot_be_is_one_sentence(run: Any, args: Any, code: int, sentence: str) -> None:
    done = run("rollback", *args)

    assert (code, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"fairlead: {sentence}")
    assert 1 == done.stderr.count("\n")


def test_a_commit_that_no_fleet_is_on_any_more_is_not_rolled_back(run: Any, desired: Any) -> None:
    first, _ = bumped(desired, "1.4.2", "1.4.3")

    done = run("rollback", "--commit", first)

    assert 1 == done.exit_code
    assert f"fairlead: no fleet is still on {first[:7]}: nothing to roll back\n" == done.stderr
