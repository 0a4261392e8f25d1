"""What trigger deploys need before the first one: a pair of keys, and the plumbing in AWS."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fairlead.commands.opening import CONFIG, mirror_of, reaching_git, settings_of
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, progress, say, table

if TYPE_CHECKING:
    from desired_state.model import Fleet
    from fairlead.settings import Settings

OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
ENVIRONMENTS = typer.Option(None, "--env", metavar="ENV", help="Only this environment; may be repeated.")
DRY_RUN = typer.Option(False, "--dry-run", help="Say what would be done, and do nothing.")
REMOVE_TOPICS = typer.Option(
    False, "--remove-topics", help="Remove the topics of fleets that no repository declares any more."
)
AS_CONTROLLER = typer.Option(
    False, "--as-controller", help="Assume the environments' roles, as the controller does; else you are yourself."
)
KEY_ID = typer.Option(..., "--key-id", metavar="ID", help="The name under which hosts know the key, such as 2026-11.")
WRITE = typer.Option(..., "--write", metavar="FOLDER", help="Where the two files go.")

app = typer.Typer(no_args_is_help=True, help="Prepare trigger deploys: keys, and the plumbing in AWS.")


@app.command()
def setup(
    env: list[str] | None = ENVIRONMENTS,
    dry_run: bool = DRY_RUN,
    as_controller: bool = AS_CONTROLLER,
    remove_topics: bool = REMOVE_TOPICS,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Make buckets, topics, queues and subscriptions of trigger fleets, where they are missing."""
    from fairlead import wiring

    declared: set[str] = set()
    fleets = list(_trigger_fleets(settings_of(config), declared))
    environments = _chosen(fleets, env or [])
    gone_but = declared if remove_topics else None
    with progress("looking at what is there ..."), _reaching_aws():
        steps = [asdict(step) for step in wiring.lay(fleets, environments, as_controller, dry_run, gone_but)]
    _report(steps, dry_run, output)


def _trigger_fleets(settings: "Settings", declared: set[str]) -> "Iterator[Fleet]":
    """Those that are sound at the head of each repository; what is wrong with others is for `validate` to say.

    The names of all, of any type and broken or not, are added to `declared`.
    """
    from fairlead import wiring

    if not settings.repositories:
        raise Refused("no repository is set up: add [[repositories]] with name and url to fairlead.toml")
    for chosen in settings.repositories:
        with mirror_of(settings, chosen) as mirror, reaching_git(), progress(f"reading {chosen.name} ..."):
            desired = wiring.parser().parse(mirror.tree(mirror.fetch().sha).under(chosen.path))
        declared |= desired.declared
        broken = sorted(desired.declared - set(desired.fleets))
        if broken:
            typer.echo(f"left out, because their files are wrong: {', '.join(broken)}", err=True)
        yield from wiring.reporting(desired.fleets.values())


def _chosen(fleets: "Sequence[Fleet]", named: Sequence[str]) -> list[str]:
    known = sorted({fleet.environment.name for fleet in fleets})
    for name in named:
        if name not in known:
            raise Refused(_no_environment(name, known))
    return list(dict.fromkeys(named)) or known


def _no_environment(name: str, known: Sequence[str]) -> str:
    there = f"there {'are' if len(known) > 1 else 'is'} {', '.join(known)}" if known else "no environment has one"
    return f"--env {name}: no such environment with a fleet of type trigger; {there}"


@contextmanager
def _reaching_aws() -> Iterator[None]:
    from reconciler.ports import Unreadable

    try:
        yield
    except Unreadable as trouble:
        raise Refused(str(trouble), ExitCode.UNREACHABLE) from trouble


def _report(steps: Sequence[dict[str, Any]], dry_run: bool, output: Output) -> None:
    counts = Counter(step["did"] for step in steps)
    if output is Output.JSON:
        json_document({"dry_run": dry_run, "steps": steps, "counts": dict(counts)})
        return
    done = [step for step in steps if step["did"] != "kept"]
    if done:
        table(
            ("done" if not dry_run else "to do", "what", "name", "region"),
            [(step["did"], step["kind"], step["name"], step["region"]) for step in done],
        )
        say()
    for note in filter(None, (step["note"] for step in steps)):
        say(note)
    would = "would be " if dry_run else ""
    if not steps:
        say("there is no fleet of type trigger: nothing to make")
        return
    told = (f"{number} {would * (did != 'kept')}{did}" for did, number in sorted(counts.items()))
    say(f"{count(len(steps), 'thing')}: {', '.join(told)}")


@app.command()
def keys(key_id: str = KEY_ID, write: Path = WRITE, output: Output = OUTPUT) -> None:
    """Make a pair of keys for orders, and say where each half goes. The private half is never shown."""
    from fairlead import wiring

    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", key_id) is None:
        raise Refused(f"--key-id {key_id}: use up to 60 letters, digits and . - _, such as 2026-11")
    public, private = wiring.new_keys(key_id)
    folder = write.absolute()
    files = {folder / f"{key_id}.key": (private, 0o600), folder / f"{key_id}.pub": (public, 0o644)}
    _write(files)
    secret = next(iter(files))
    if output is Output.JSON:
        json_document({"key_id": key_id, "private": str(secret), "public": public})
        return
    say(f"wrote {secret}, which is secret, and {secret.with_suffix('.pub').name} beside it\n")
    say("the controller, in fairlead.toml:\n")
    say(f"[signing]\nkey_id = {json.dumps(key_id)}\nkey = {json.dumps(f'file:{secret}')}\n")
    say("every host, in agent.yaml:\n")
    say(f"keys: {{{json.dumps(key_id)}: {json.dumps(public)}}}")


def _write(files: dict[Path, tuple[str, int]]) -> None:
    """New files only: a key that is in use must not be lost."""
    there = [path for path in files if path.exists()]
    if there:
        raise Refused(f"{there[0]} is there already and is left as it is: say another --key-id")
    made: list[Path] = []
    try:
        for path, (text, mode) in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
                made.append(path)
                file.write(f"{text}\n")
    except OSError as error:
        for path in made:  # half a pair is of no use, and would keep the id from being used
            path.unlink()
        raise Refused(f"the keys cannot be written: {error}") from error
