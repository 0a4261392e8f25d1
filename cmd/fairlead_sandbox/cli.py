"""The command `fairlead-sandbox`."""

import signal
import sys
import tempfile
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from fairlead_sandbox.surroundings import check_empty, stay_here

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A whole world on one machine: AWS, Spinnaker's Gate, a forge and hosts with agents, to try Fairlead on.",
)


@app.command()
def up(
    folder: Annotated[Path | None, typer.Option(help="Where its files go; left out: a new temporary folder.")] = None,
) -> None:
    """Run the world until Ctrl-C."""
    _make_room(folder)
    from fairlead_sandbox.world import EXAMPLE_HOSTS, World, WorldSettings

    console = Console()
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    place = folder or Path(tempfile.mkdtemp(prefix="fairlead-sandbox-"))
    hosts = sum(EXAMPLE_HOSTS.values())
    console.print(f"starting AWS, Gate, a forge and {hosts} hosts with agents ...")
    with World(place, WorldSettings(boot_seconds=0.5, hosts=EXAMPLE_HOSTS, forge="token")) as world:
        one = world.hosts("staging/matchmaker")[0].id
        welcome = _welcome(world.folder, world.gate.url, world.git.url(world.repository), one)
        console.print(welcome, highlight=False, soft_wrap=True)
        while not ended.wait(0.5):  # a signal that another thread receives does not wake this one
            pass


@app.command("demo")
def play_demo(
    keep: Annotated[bool, typer.Option("--keep", help="Stay up after the stories, until Ctrl-C.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where its files go; left out: a new temporary folder.")] = None,
) -> None:
    """Play five stories on a world of its own, with a real controller and agents: exit code 0 when all happened."""
    _make_room(folder)
    from fairlead_sandbox.demo.command import demo

    raise typer.Exit(demo(folder, keep=keep))


def _make_room(folder: Path | None) -> None:
    """Before anything of AWS is imported: it reads the environment while it is."""
    stay_here()
    if folder is not None:
        check_empty(folder)


def _welcome(folder: Path, gate: str, repository: str, host: str) -> str:
    return f"""
[bold]The world is up.[/bold] Its files are in {folder}

  repository  {repository}
  gate        {gate}
  hosts       {folder}/hosts: an agent, a service and a log each

In another shell:

  set -a; . {folder}/world.env; set +a
  fairlead controller                                      # converge it
  fairlead status                                          # look at it

Then change something:

  git clone {repository} desired && cd desired && git checkout -b mine
                                    # edit environments/staging/checkout.yaml, commit, git push origin mine
  ada="Authorization: Bearer $FORGE_TOKEN"                 # the forge speaks GitHub's dialect
  curl -H "$ada" $FORGE/pulls -d '{{"head": "mine", "base": "main", "title": "My change"}}'
  curl -H "$ada" -X PUT $FORGE/pulls/1/merge
  curl -H "$ada" $FORGE/commits/main/status                # what Fairlead says on it

What happens by Spinnaker, or to it:

  curl -X POST {gate}/sandbox/change-by-hand \\
       -d '{{"cluster": "checkout-staging", "region": "us-east-1", "version": "1.3.9"}}'
  curl -X PUT {gate}/sandbox/faults -d '{{"kind": "unhealthy_version", "version": "1.5.0"}}'
  curl -X PUT {gate}/sandbox/faults -d '{{"kind": "error_after_accepting", "times": 1}}'
  curl -X DELETE {gate}/sandbox/faults
  curl {gate}/sandbox/log           # every request that Gate received

What happens by agents, or to them (`behaviour` may be unhealthy, never_starts, slow, sickens, dies, stubborn):

  curl -X POST {gate}/sandbox/build -d '{{"service": "matchmaker", "version": "2.4.0"}}'
                                    # then bump environments/staging/matchmaker.yaml to it
  curl -X POST {gate}/sandbox/build \\
       -d '{{"service": "matchmaker", "version": "2.5.0", "behaviour": "unhealthy"}}'
  curl -X POST {gate}/sandbox/make-sick -d '{{"host": "{host}"}}'      # and make-well
  curl -X POST {gate}/sandbox/kill-agent -d '{{"host": "{host}"}}'     # and start-agent
  tail -f {folder}/hosts/*/agent.log

Ctrl-C ends it.
"""


def main() -> None:
    """The entry point. Trouble with the machine is one sentence and exit code 1."""
    try:
        app()
    except OSError as error:
        print(f"fairlead-sandbox: {error}", file=sys.stderr)
        sys.exit(1)
