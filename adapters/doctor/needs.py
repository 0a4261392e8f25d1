"""What Fairlead needs beside IAM, for these fleets: Gate's applications, roads through the network, grants."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from adapters.doctor import permissions
from adapters.doctor.permissions import with_agents
from adapters.doctor.pipelines import called_by
from adapters.ledger.dialects import hosts_of, parse_url
from desired_state.model import Environment, Fleet

PORTS = {"https": 443, "http": 80, "ssh": 22}
READ_BY_CONTROLLER = ("sts", "autoscaling", "ec2")
READ_FOR_AGENTS = ("elasticloadbalancing", "s3", "sns", "sqs")
OWN = "the controller's own identity"

Row = dict[str, Any]


def accounts(fleets: Sequence[Fleet], controller: str) -> Iterator[Row]:
    """One identity in one account each, with its environments and policies."""
    by_identity: dict[tuple[str, str | None], list[Fleet]] = defaultdict(list)
    for fleet in fleets:
        by_identity[fleet.environment.account, fleet.environment.role].append(fleet)
    for (account, role), those in sorted(by_identity.items(), key=str):
        acting = permissions.acting(those)
        yield {
            "account": account,
            "identity": role or OWN,
            "environments": sorted({fleet.environment.name for fleet in those}),
            "read_only": permissions.reading(those),
            "acting": acting if acting["Statement"] else None,
            "doctor": permissions.looking(those, [role or controller]),
            "importing": permissions.importing(those),
            "trust": permissions.trusting(controller) if role else None,
        }


def of_hosts(fleets: Sequence[Fleet]) -> Iterator[Row]:
    """One instance profile an environment."""
    by_environment: dict[str, list[Fleet]] = defaultdict(list)
    for fleet in with_agents(fleets):
        by_environment[fleet.environment.name].append(fleet)
    for name, those in sorted(by_environment.items()):
        policy = permissions.hosts(those)
        yield {"environment": name, "account": those[0].environment.account, "policy": policy}


def of_gates(fleets: Iterable[Fleet]) -> Iterator[Row]:
    """Each Gate with the applications, and the pipelines that are called."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for fleet in fleets:
        if fleet.deploy_type == "spinnaker":
            for called in called_by(fleet):
                found[fleet.environment.spinnaker["url"].rstrip("/")][called.application].add(called.pipeline)
    for url, applications in sorted(found.items()):
        yield {
            "url": url,
            "permissions": ["READ", "EXECUTE"],
            "applications": {name: sorted(pipelines) for name, pipelines in sorted(applications.items())},
        }


def of_ledger(url: str, connections: int) -> Row:
    """Who may do what in PostgreSQL; a file needs only its folder. Raises `LedgerError`."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "postgresql":
        return {"engine": "sqlite", "file": parsed.database, "sql": [], "connections": 0}
    database, user = parsed.database or "fairlead", parsed.username or "fairlead"
    return {
        "engine": "postgresql",
        "file": None,
        "sql": [
            f'GRANT CONNECT ON DATABASE "{database}" TO "{user}";',
            f'GRANT USAGE, CREATE ON SCHEMA public TO "{user}";',
        ],
        "connections": connections,
    }


def roads(fleets: Sequence[Fleet], servers: Mapping[str, str], listen: str) -> Iterator[Row]:
    """Which addresses must be reachable: `from`, `to`, `why`. `servers` are URLs by what they are."""
    environments = {fleet.environment.name: fleet.environment for fleet in fleets}.values()
    for what, url in servers.items():
        yield from (_road("controller", address, what) for address in _addresses(url))
    for url in sorted({one.spinnaker["url"] for one in environments if one.spinnaker.get("url")}):
        yield from (_road("controller", address, "Gate") for address in _addresses(url))
    agents = with_agents(fleets)
    services = READ_BY_CONTROLLER + (READ_FOR_AGENTS if agents else ())
    yield from _to_aws("controller", services, environments)
    asked = ("s3", "sqs", *(("elasticloadbalancing",) if list(permissions.target_groups(agents)) else ()))
    secrets = ("secretsmanager",) if list(permissions.secret_arns(agents)) else ()
    yield from _to_aws("hosts", asked + secrets, [fleet.environment for fleet in agents])
    if listen:
        yield _road("the forge, Prometheus, people", listen, "webhooks, metrics, health")


def _to_aws(where: str, services: Iterable[str], environments: Iterable[Environment]) -> Iterator[Row]:
    regions = sorted({region for environment in environments for region in environment.regions})
    for region in regions:
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        yield from (_road(where, f"{service}.{region}.{suffix}:443", "AWS") for service in services)


def _road(where: str, to: str, why: str) -> Row:
    return {"from": where, "to": to, "why": why}


def _addresses(url: str) -> list[str]:
    """`host:port`, of a ledger perhaps several; none for what lies on this machine, or cannot be read."""
    if url.startswith("postgresql"):
        usual = parse_url(url).query.get("port", "5432")
        return [host if _has_port(host) else f"{host}:{usual}" for host in hosts_of(parse_url(url))]
    if "://" not in url:
        user, mark, rest = url.partition("@")
        return [f"{rest.partition(':')[0]}:22"] if mark and ":" in rest and "/" not in user else []
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return []
    return [f"{parts.hostname}:{port}"] if parts.hostname and port else []


def _has_port(host: str) -> bool:
    return host.rpartition("]")[2].count(":") == 1
