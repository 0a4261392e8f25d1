"""What a command that changed desired state says at its end: what was pushed, what was there, what became of it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import typer

from fairlead.commands.desk import Desk, Done, Way
from fairlead.commands.following import Result, Verdict, follow, worst
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, json_document, say

WAIT = typer.Option(False, "--wait", help="Follow what becomes of it, and exit by the result.")
TIMEOUT = typer.Option("15m", "--timeout", metavar="DURATION", help="With --wait: how long, such as 90s, 15m or 2h.")
CODES = {
    Verdict.SUCCESS: ExitCode.OK,
    Verdict.FAILURE: ExitCode.DEPLOY_FAILED,
    Verdict.ERROR: ExitCode.DEPLOY_ERROR,
    Verdict.UNKNOWN: ExitCode.DEPLOY_ERROR,
    Verdict.HELD: ExitCode.DEPLOY_HELD,
    Verdict.TIMEOUT: ExitCode.TIMED_OUT,
}


def waiting(wait: bool, timeout: str) -> timedelta | None:
    """How long to wait; None: not at all. Refuses what is no duration."""
    from desired_state.durations import parse_duration

    try:
        span = parse_duration(timeout)
    except ValueError as error:
        raise Refused(f"--timeout {timeout}: {error}") from error
    return span if wait else None


def conclude(found: Desk, done: Sequence[Done], output: Output, within: timedelta | None) -> None:
    """Say what was done and, with a time to wait, what becomes of it. Raises `typer.Exit` by that."""
    if output is Output.TEXT:
        for each in done:
            _say(each, mixed=len({one.how for one in done}) > 1, waits=within is not None)
    results = follow(found, done, within) if within is not None else None
    if output is Output.JSON:
        json_document(_document(done, results))
    elif results is not None:
        for result in results:
            say(f"{result.scope}: {result.verdict}: {result.message}")
    if results:
        raise typer.Exit(CODES[worst(results)])


def _say(done: Done, *, mixed: bool, waits: bool) -> None:
    environments = ", ".join(dict.fromkeys(scope.partition("/")[0] for scope in done.scopes))
    begin = f"{environments} ({'by a pull request' if done.how is Way.PULL_REQUEST else 'by a commit'}): " * mixed
    if done.commit is None:
        there = f" ({done.stands[:7]} says so)" if done.stands else ""
        say(f"{begin}{done.message}{there}")
        return
    if done.pull is not None:
        say(f"{begin}{done.commit[:7]} is on {done.branch}: {done.message}")
        say(f"pull request #{done.pull.number}: {done.pull.url}")
        return
    say(f"{begin}pushed {done.commit[:7]}: {done.message}")
    if not waits:
        names = ", ".join(done.scopes)
        say(f"Fairlead converges {names} when it sees the commit; follow it with fairlead status {done.scopes[0]}")


def _document(done: Sequence[Done], results: Sequence[Result] | None) -> dict[str, Any]:
    direct = next((each for each in done if each.how is Way.COMMIT), None)
    document: dict[str, Any] = {
        "commit": direct.commit if direct else None,
        "fleets": [scope for each in done for scope in each.scopes],
        "message": "; ".join(each.message for each in done),
        "changes": [_facts(each) for each in done],
    }
    if results is not None:
        told = [{**_plain(result)} for result in results]
        document |= {"result": worst(results) if results else None, "results": told}
    return document


def _facts(done: Done) -> dict[str, Any]:
    pull = {"number": done.pull.number, "url": done.pull.url} if done.pull else None
    return {
        "how": done.how,
        "fleets": list(done.scopes),
        "message": done.message,
        "branch": done.branch,
        "commit": done.commit,
        "stands": done.stands,
        "pull": pull,
    }


def _plain(result: Result) -> dict[str, Any]:
    keys = ("scope", "commit", "verdict", "message", "url")
    return {key: getattr(result, key) for key in keys}
