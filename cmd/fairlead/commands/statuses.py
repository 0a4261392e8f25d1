"""What stands on a commit and what became of it; and telling it anew."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from desired_state.model import Sha
from fairlead.commands.opening import CONFIG, Store, opened, settings_of
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, say, table
from reconciler.mending import Fate, Told, derived
from reconciler.record import CommitStatus, Medium

COMMIT = typer.Argument(..., metavar="SHA", help="The commit; its first 7 characters are enough.")
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
REPOSITORY = typer.Option(None, "--repository", metavar="NAME", help="Only what is said in this repository.")
DRY_RUN = typer.Option(False, "--dry-run", help="Say what would be told anew, and change nothing.")
_FEW = 7  # characters of a commit that name it
_PLACE = re.compile(r"[0-9a-f]{7,64}|refs/\S+|pull/[0-9]+")
_SETTLED = frozenset({Fate.DELIVERED, Fate.LEFT_OUT})

app = typer.Typer(no_args_is_help=True, help="What is said on commits: show it, and tell it anew.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Where something is said of one commit."""

    repository: str
    commit: Sha
    places: Sequence[Told]


@app.command()
def show(
    commit: str = COMMIT,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """What should stand on a commit, and what the forge has of it: told, waiting and why, or refused."""
    with opened(settings_of(config)) as store:
        found = _found(store, commit, repository)
    if output is Output.JSON:
        json_document(
            {"commit": found[0].commit, "places": [_json(each, told) for each in found for told in each.places]}
        )
    else:
        _say(found)
    if not all(told.fate in _SETTLED for each in found for told in each.places):
        raise typer.Exit(ExitCode.FOUND)


@app.command()
def repair(
    commit: str = COMMIT,
    repository: str | None = REPOSITORY,
    dry_run: bool = DRY_RUN,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Derive again what a commit should say, and tell all of it anew, also what was refused. Safe to repeat."""
    from fairlead import wiring

    with opened(settings_of(config)) as store:
        found = _found(store, commit, repository)
        news = [_derived(store, each, wiring.clock().now()) for each in found]
        told = 0
        for each, words in zip(found, news, strict=True):
            told += len(each.places) if dry_run else store.tell_anew(each.repository, each.commit, words)
    changes = [word for words in news for word in words]
    if output is Output.JSON:
        document = {"commit": found[0].commit, "dry_run": dry_run, "told_anew": told}
        json_document({**document, "changed": [_word(word) for word in changes]})
        return
    for word in changes:
        say(f"{word.context}: {word.state}, {word.description}")
    would = "would be" if dry_run else "are"
    say(f"{count(told, 'word')} on {found[0].commit[:12]} {would} told anew; fairlead statuses show says how far it is")


def _found(store: Store, text: str, repository: str | None) -> Sequence[Spoken]:
    """The one commit of that name, in every repository (or this one) where something is said of it."""
    beginning = text.lower() if re.fullmatch(r"[0-9A-Fa-f]+", text) else text
    if not _PLACE.fullmatch(beginning):
        raise Refused(f"{text!r} is no commit: write at least {_FEW} characters of its id")
    places = [each for each in store.spoken_on(beginning) if repository in (None, each[0])]
    commits = sorted({commit for _, commit in places if commit == beginning} or {commit for _, commit in places})
    if not commits:
        raise Refused(f"nothing is said of {text}: is it a commit that sets versions, or the head?", ExitCode.FOUND)
    if len(commits) > 1:
        raise Refused(
            f"{text} begins {len(commits)} commits: write more of {', '.join(each[:12] for each in commits[:3])}"
        )
    return [
        Spoken(repository=name, commit=commit, places=store.told(name, commit))
        for name, commit in places
        if commit in commits
    ]


def _derived(store: Store, spoken: Spoken, now: datetime) -> Sequence[CommitStatus]:
    """What changes by deriving it again; nothing where the ledger does not know the repository."""
    known = store.known(spoken.repository)
    if known is None:
        return ()
    said = store.statuses(spoken.repository, commits=[spoken.commit])
    words = derived(spoken.commit, known.head, store.fleets(spoken.repository), said, now)
    stands = {word.context: (word.state, word.description) for word in said}
    return [word for word in words if stands.get(word.context) != (word.state, word.description)]


# ── for people ───────────────────────────────────────────────────────────────────────────────────────────────────


def _say(found: Sequence[Spoken]) -> None:
    rows = [
        [told.status.context, _where(told), told.status.state, told.fate, _when(told), told.status.description]
        for each in found
        for told in each.places
    ]
    table(["context", "where", "state", "fate", "since", "says"], rows)
    for each in found:
        for told in each.places:
            if told.why and told.fate in {Fate.WAITING, Fate.REFUSED}:
                say(f"{told.status.context} on {_where(told)}: {told.why}")


def _where(told: Told) -> str:
    """`commit`, `head abc1234 of #7`, `comment`, `acme/checkout refs/tags/v1.4.2`."""
    status = told.status
    if told.said_for:
        return f"head {status.commit[:_FEW]}" + (f" of #{told.pull}" if told.pull else "")
    if status.project:
        return f"{status.project} {status.commit if '/' in status.commit else status.commit[:_FEW]}"
    return "commit" if status.medium is Medium.STATUS else str(status.medium)


def _when(told: Told) -> str:
    """When the forge took it; when it is tried next."""
    if told.fate is Fate.WAITING:
        return f"until {told.next_try:%Y-%m-%d %H:%M:%SZ}" if told.next_try else f"{told.said_at:%Y-%m-%d %H:%M:%SZ}"
    return f"{told.delivered_at if told.is_delivered and told.delivered_at else told.said_at:%Y-%m-%d %H:%M:%SZ}"


def _json(spoken: Spoken, told: Told) -> dict[str, Any]:
    return {
        "repository": spoken.repository,
        "where": _where(told),
        **_word(told.status),
        "fate": told.fate,
        "why": told.why,
        "said_at": told.said_at,
        "delivered_at": told.delivered_at,
        "next_try": told.next_try if told.fate is Fate.WAITING else None,
        "attempts": told.attempts,
        "pull": told.pull,
    }


def _word(status: CommitStatus) -> dict[str, Any]:
    return {
        "commit": status.commit,
        "project": status.project,
        "medium": status.medium,
        "context": status.context,
        "state": status.state,
        "description": status.description,
    }
