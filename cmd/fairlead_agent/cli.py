"""The command `fairlead-agent`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

from fairlead_agent.agent import Agent, CannotStart, Surroundings, agent_version, alone
from fairlead_agent.belonging import Belonging, Taken
from fairlead_agent.checking import findings
from fairlead_agent.clock import HostClock
from fairlead_agent.cloud import Cloud
from fairlead_agent.identity import Unknown, identify
from fairlead_agent.itself import launched
from fairlead_agent.log import Lines
from fairlead_agent.settings import PATH, BadSettings, read_settings

WELL, NOT_THERE, BAD = 0, 1, 2  # exit codes: as asked; not where it should be; it could not start


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit code: 0 well, 1 not where it should be, 2 it could not start."""
    asked = _parser().parse_args(arguments)
    try:
        around = _surroundings(asked)
        return _check(around) if asked.command == "check" else _run(around, once=asked.once)
    except (BadSettings, Unknown, CannotStart) as error:
        print(f"fairlead-agent: {error}", file=sys.stderr)
        return BAD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fairlead-agent", description="Carries out trigger deploys on this host.")
    parser.add_argument("--version", action="version", version=f"fairlead-agent {agent_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run until it is told to end")
    run.add_argument("--once", action="store_true", help="look once, converge, report, and end")
    run.add_argument("--report-only", action="store_true", help="report and touch nothing")
    check = commands.add_parser("check", help="say whether it could work here")
    for each in (run, check):
        each.add_argument("--config", type=Path, default=PATH, metavar="FILE", help=f"the settings ({PATH})")
    return parser


def _surroundings(asked: argparse.Namespace) -> Surroundings:
    settings = read_settings(asked.config)
    identity = identify(settings)
    clock = HostClock()
    return Surroundings(
        settings=settings,
        identity=identity,
        cloud=Cloud(identity.region),
        clock=clock,
        log=Lines(clock),
        report_only=getattr(asked, "report_only", False),
        itself=launched(os.environ, agent_version()),
    )


def _run(around: Surroundings, *, once: bool) -> int:
    with alone(around.settings.state):
        around = _claimed(around)
        agent = Agent(around)
        ending = around.itself.leaving if once else Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ending.set())
        if once:
            return WELL if agent.run_once(ending) else NOT_THERE
        agent.run(ending)
        if agent.taken:
            raise CannotStart(agent.taken)
        return WELL


def _claimed(around: Surroundings) -> Surroundings:
    """The same with a state that is this instance's. Raises `CannotStart`."""
    settings = around.settings
    belonging = Belonging(settings.state, around.identity.host, settings.heartbeat, Event().wait)
    try:
        anew = belonging.take()
    except Taken as taken:
        raise CannotStart(str(taken)) from None
    except OSError as error:
        raise CannotStart(f"cannot use {settings.state} as state: {error.strerror}") from None
    if anew:
        around.log("begins-anew", why=anew)
    return replace(around, begun_anew=anew, belonging=belonging)


def _check(around: Surroundings) -> int:
    well = True
    for is_well, said in findings(around.settings, around.identity, around.cloud, around.clock):
        print(f"{'ok ' if is_well else 'BAD'} {said}")
        well = well and is_well
    return WELL if well else NOT_THERE
