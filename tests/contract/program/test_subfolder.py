"""A desired state that lies in a folder of its repository (`[[repositories]] path`)."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from adapters.feeds.repositories import Repositories, Source
from adapters.ledger.store import open_ledger
from desired_state.mirror import Mirror
from fairlead import wiring
from fairlead.cli import app


def moved(desired: Any, files: dict[str, str]) -> str:
    """The example moved into ops/fleets, beside an application's own files."""
    gone: dict[str, str | None] = dict.fromkeys(files)
    return desired.change({**gone, **{f"ops/fleets/{path}": text for path, text in files.items()}, "app.py": "\n"})


def test_the_feed_reads_the_folder_and_sees_who_set_what(tmp_path: Path, desired: Any, files: Any, clock: Any) -> None:
    first = moved(desired, files)
    bumped = desired.change({"ops/fleets/environments/prod/checkout.yaml": 'version: "1.4.2"\n', "app.py": "#\n"})
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    ledger.add(["repository:main"])
    (due,) = ledger.claim("repository", 1, timedelta(minutes=10))
    with Mirror(tmp_path / "mirror", desired.url) as mirror:
        source = Source(mirror=mirror, parser=wiring.parser(), folder="ops/fleets")
        Repositories(ledger, {"main": source}, clock, timedelta(seconds=30)).run("main", due.lease)
    known = ledger.known("main")
    ledger.close()

    assert known is not None
    assert bumped == known.settings["prod/checkout"].commit
    assert first == known.settings["prod/basket"].commit


def test_bump_and_rollback_write_into_the_folder(tmp_path: Path, desired: Any, files: Any) -> None:
    moved(desired, files)
    config = tmp_path / "fairlead.toml"
    config.write_text(
        f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\npath = "ops/fleets"\n'
    )

    def run(*args: str) -> Any:
        done = CliRunner().invoke(app, [*args, "--config", str(config), "-o", "json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    bumped = run("bump", "checkout", "1.4.2", "--env", "prod")["commit"]
    assert "1.4.2" in desired.clone.git(
        "show", f"{fetched(desired, bumped)}:ops/fleets/environments/prod/checkout.yaml"
    )
    back = run("rollback", "prod/checkout")["commit"]
    assert "1.4.1" in desired.clone.git("show", f"{fetched(desired, back)}:ops/fleets/environments/prod/checkout.yaml")


def fetched(desired: Any, commit: str) -> str:
    desired.clone.git("fetch", "--quiet", "origin", "main")
    return commit
