"""Whether the artifacts of a version are there, before anybody deploys it."""

from collections.abc import Iterator

from adapters.aws.checksums import NoObject, find
from adapters.aws.sessions import Sessions
from adapters.trigger.releases import source_of
from desired_state.model import Fleet, Package
from reconciler.ports import Unreadable


def artifacts_of(fleet: Fleet, sessions: Sessions) -> Iterator[dict[str, str]]:
    """`{region, account, state, ami, message, what}` for each artifact that lies in S3: found, missing or unknown.

    One HEAD request each, with what the controller signs in with there. Nothing for packages that hosts have from apt.
    """
    environment = fleet.environment
    place = {"region": environment.regions[0], "account": environment.account, "ami": "", "what": "artifact"}
    for package in fleet.packages:
        if address := _address(package):
            try:
                client = sessions.client(
                    "s3", environment.regions[0], role=environment.role, account=environment.account
                )
                find(client, address)
                yield {**place, "state": "found", "message": f"{package.name} {package.version} is there"}
            except NoObject as missing:
                yield {**place, "state": "missing", "message": str(missing)}
            except Unreadable as trouble:
                yield {**place, "state": "unknown", "message": str(trouble)}


def _address(package: Package) -> str:
    """Empty where it is in no bucket, or where the bucket itself is named after the version."""
    source = package.source or ""
    bucket = source.removeprefix("s3://").partition("/")[0]
    return (source_of(package) or "") if source.startswith("s3://") and "{" not in bucket else ""
