"""What counts as a change: digests over canonical JSON, so that the same meaning has the same digest everywhere.

Canonical JSON here: keys sorted, no spaces, UTF-8 without escapes, no NaN or infinity. SHA-256, small hexadecimal.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from desired_state.model import Component, Digest, Environment, Package, Version

REASON_CHARACTERS = 12


def canonical(value: Any) -> bytes:
    """The one way to write a value of maps with text keys, lists and scalars.

    Raises `ValueError` for NaN and infinities, and `TypeError` for what JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest(value: Any) -> Digest:
    """The SHA-256 of the value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


def config_digest(values: Mapping[str, Any], destination: str, format_: str) -> Digest:
    """Over what is written on the host, where, and how."""
    return digest({"values": values, "to": destination, "format": format_})


def redeploy_version(reason: str) -> Version:
    """The version of the component `redeploy`: a new reason is a new version."""
    return hashlib.sha256(reason.encode("utf-8")).hexdigest()[:REASON_CHARACTERS]


def target_digest(components: Mapping[Component, Version]) -> Digest:
    """Over what runs, and nothing else."""
    return digest(dict(components))


def spec_digest(
    target: Digest, deploy_type: str, deploy: Mapping[str, Any], packages: tuple[Package, ...] = ()
) -> Digest:
    """Over the target and how it gets there: the type, its settings but the waves, and its artifacts."""
    artifacts = {package.name: [package.format, package.source, package.destination] for package in packages}
    settings = {key: value for key, value in deploy.items() if key != "waves"}
    return digest({"target": target, "type": deploy_type, "deploy": settings, "artifacts": artifacts})


def identity_digest(environment: Environment, deploy_type: str, select: Any) -> Digest:
    """Over which machines these are. The role is left out: another role reaches the same fleet."""
    return digest(
        {
            "account": environment.account,
            "regions": sorted(environment.regions),
            "type": deploy_type,
            "select": select,
        }
    )


def clash_digest(environment: Environment, select: Any) -> Digest:
    """Equal for two fleets of one account that select the same machines, whatever their regions."""
    return digest({"account": environment.account, "select": select})
