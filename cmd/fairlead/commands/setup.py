"""setup --print: every credential and permission that these repositories and settings need. It makes nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from fairlead.commands.opening import CONFIG, mirror_of, reaching_git, settings_of
from fairlead.commands.running import usable
from fairlead.exit_codes import Refused
from fairlead.rendering import Output, json_document, progress, say, table

if TYPE_CHECKING:
    from desired_state.model import Fleet
    from fairlead.settings import ForgeSettings, RepositorySettings, Settings

OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
PRINT = typer.Option(False, "--print", help="Print it; this command can do nothing else.")
CONTROLLER = typer.Option(
    "arn:aws:iam::CONTROLLER-ACCOUNT:role/CONTROLLER-ROLE",
    "--controller",
    metavar="ARN",
    help="The controller's own identity, which the environments' roles are to trust.",
)
DEFAULT_FOLDER = "/etc/fairlead"


def setup(
    printed: bool = PRINT,
    controller: str = CONTROLLER,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Say every credential, permission and road that Fairlead needs, the read-only tier apart."""
    if not printed:
        raise Refused("say --print: this command prints what is needed, and makes nothing")
    settings = settings_of(config)
    if not settings.repositories:
        raise Refused("no repository is set up: add [[repositories]] with name and url to fairlead.toml")
    found = _declared(settings)
    fleets = [fleet for each in found.values() for fleet in each.fleets]
    proposing = {name: each.proposing for name, each in found.items()}
    with usable():
        needed = needs(settings, fleets, controller, proposing)
    if output is Output.JSON:
        json_document(needed)
    else:
        _say(needed)


def needs(
    settings: "Settings", fleets: "Sequence[Fleet]", controller: str, proposing: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The whole document. `proposing`: by repository, the environments that commands change by pull requests."""
    from fairlead.wiring import looking

    return {
        **looking.needs(settings, fleets, controller),
        "repositories": [_repository(each, proposing.get(each.name, ())) for each in settings.repositories],
        "files": list(_files(settings)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """Of one repository, what is sound at its head."""

    fleets: "tuple[Fleet, ...]"
    proposing: Sequence[str]  # environments that commands change by pull requests


def _declared(settings: "Settings") -> dict[str, _Declared]:
    """By repository. Mirrors are made elsewhere: the controller's are its own."""
    from adapters.doctor.repositories import by_pull_request
    from fairlead import wiring

    found = {}
    for chosen in settings.repositories:
        with TemporaryDirectory(prefix="fairlead-setup-") as scratch:
            away = settings.model_copy(update={"state": Path(scratch)})
            with mirror_of(away, chosen) as mirror, reaching_git(), progress(f"reading {chosen.name} ..."):
                parser, tree = wiring.parser(), mirror.tree(mirror.fetch().sha).under(chosen.path)
                desired = parser.parse(tree)
                fleets = tuple(desired.fleets.values())
                proposing = by_pull_request(parser, tree, fleets)
                found[chosen.name] = _Declared(fleets=fleets, proposing=proposing)
        if desired.broken:
            typer.echo(f"left out, because their files are wrong: {', '.join(sorted(desired.broken))}", err=True)
    return found


def _repository(repository: "RepositorySettings", proposing: Sequence[str]) -> dict[str, Any]:
    forge = repository.forge
    found: dict[str, Any] = {"name": repository.name, "url": repository.url, "signs_in": repository.auth.mode}
    if forge.is_hosted:
        branches = f"push to branches fairlead/*, by `auth` of whoever runs commands for {', '.join(proposing)}"
        pushes = [branches] if proposing else []
        needed = [
            "read (fetch), by `auth`",
            *pushes,
            *_rights(forge),
            "a webhook, with a secret of forge.webhook_secrets",
        ]
        return {**found, "forge": forge.type, "repository": forge.repository, "permissions": needed}
    needed = [
        "read (fetch)",
        f"push to refs/notes/fairlead, and to no branch (the commands push {repository.branch} as whoever runs them)",
    ]
    return {**found, "forge": "git_notes", "repository": None, "permissions": needed}


def _rights(forge: "ForgeSettings") -> list[str]:
    """What the token, or the App, of `forge.auth` needs, in the forge's own words."""
    planned = "for plans on them" if forge.plans else "where commands open them"
    deployments = {
        "github": ["Deployments: read and write"],
        "gitlab": ["the right to deploy to protected environments"],
    }
    needed = {
        "github": [
            "Commit statuses: read and write",
            f"Pull requests: read and write, {planned}",
            *(f"Contents: read, Commit statuses: read and write, in {each}" for each in forge.sources),
        ],
        "gitlab": [
            "scope api, role Developer, or Maintainer where the branch is protected",
            *(f"role Developer in {each}" for each in forge.sources),
        ],
        "gitea": [
            "scope write:repository, of a user with write access",
            *(["scopes write:issue and read:user, for plans on pull requests"] if forge.plans else []),
            *(f"write access to {each}" for each in forge.sources),
        ],
    }[forge.type]
    further = deployments.get(forge.type, []) if forge.deployments else []
    return [f"{each} (`forge.auth`)" for each in [*needed, *further]]


def _files(settings: "Settings") -> Iterator[dict[str, str]]:
    """What lies on the controller's host, and whose it is."""
    from fairlead.commands.doctor import references

    def row(path: str, owner: str, mode: str, why: str) -> dict[str, str]:
        return {"path": path, "owner": owner, "mode": mode, "why": why}

    yield row(f"{DEFAULT_FOLDER}/fairlead.toml", "root:fairlead", "0640", "the settings")
    yield row(str(settings.state), "fairlead:fairlead", "0700", "the ledger (where it is SQLite) and the mirrors")
    for name, reference in references(settings):
        kind, _, where = reference.partition(":")
        if kind == "file":
            yield row(where, "fairlead:fairlead", "0400", name)
        else:
            yield row(f"{DEFAULT_FOLDER}/environment", "root:root", "0600", f"{name}, as {where}=...")


# ── as text ──


def _say(needed: Mapping[str, Any]) -> None:
    _say_aws(needed)
    _title("Gate")
    for gate in needed["gates"]:
        say(f"{gate['url']}, signed in by {gate['signs_in']}: {' and '.join(gate['permissions'])} on the applications")
        for name, pipelines in gate["applications"].items():
            say(f"  {name}: {', '.join(pipelines)}")
    _title("Repositories")
    for each in needed["repositories"]:
        say(f"{each['name']}: {each['url']}, signed in by {each['signs_in']}, statuses by {each['forge']}")
        for permission in each["permissions"]:
            say(f"  {permission}")
    _title("Ledger")
    _say_ledger(needed["ledger"])
    _title("Network")
    table(("from", "to", "why"), [(row["from"], row["to"], row["why"]) for row in needed["network"]])
    _title("Files of the controller")
    table(
        ("path", "owner", "mode", "why"),
        [(row["path"], row["owner"], row["mode"], row["why"]) for row in needed["files"]],
    )


def _say_aws(needed: Mapping[str, Any]) -> None:
    own = needed["controller"]
    if own is not None:
        _title("AWS: the controller's own identity")
        _say_policy("to assume the roles of the environments", own)
    for each in needed["accounts"]:
        _title(f"AWS account {each['account']}: {each['identity']} ({', '.join(each['environments'])})")
        _say_policy("read-only tier: enough for `fairlead controller --observe-only`", each["read_only"])
        if each["acting"]:
            _say_policy("acting tier: on top, from the day it may act", each["acting"])
        else:
            say("acting tier: nothing more, Spinnaker acts\n")
        _say_policy("for `fairlead doctor`, optional", each["doctor"])
        _say_policy("for `fairlead import`, by itself", each["importing"])
        if each["trust"]:
            _say_policy("trust policy of the role", each["trust"])
    for each in needed["hosts"]:
        _title(f"AWS account {each['account']}: instance profile of hosts in {each['environment']}")
        _say_policy("the agent", each["policy"])


def _say_ledger(ledger: Mapping[str, Any]) -> None:
    if ledger["engine"] == "sqlite":
        say(f"SQLite in {ledger['file']}: its folder must be the user's that runs Fairlead, on a local disk")
        return
    say("PostgreSQL; CREATE is needed whenever a new version brings the schema up to date:")
    for line in ledger["sql"]:
        say(f"  {line}")
    say(f"each process opens up to {ledger['connections']} connections (`ledger_connections`)")


def _title(text: str) -> None:
    say(f"\n== {text}")


def _say_policy(what: str, policy: Mapping[str, Any]) -> None:
    from adapters.doctor.permissions import LARGEST

    say(f"{what}:\n{json.dumps(policy, indent=2)}\n")
    if len(json.dumps(policy, separators=(",", ":"))) > LARGEST:
        say(f"this is more than the {LARGEST} characters that IAM takes in one policy: attach it in parts\n")


COMMANDS = (setup,)
