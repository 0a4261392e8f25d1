"""Building a release in a folder of its own: artifacts fetched or copied, config rendered, everything proven."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from adapters.agent_protocol.orders import Artifact, ConfigFile, Release
from fairlead_agent.artifacts import Artifacts
from fairlead_agent.config_text import mode_of, rendered
from fairlead_agent.drivers.protocol import Driver
from fairlead_agent.durable import copy_file, digest_of, write_new
from fairlead_agent.manifests import Manifest, are_proven, component_of, make_place
from fairlead_agent.trouble import Interrupted
from fairlead_agent.unpacking import FOLDER

Proofs = Mapping[str, str]
Held = Callable[[], Iterator[tuple[Path, Manifest]]]  # the releases on disk, newest first


def build(
    release: Release, into: Path, *, artifacts: Artifacts, drivers: Mapping[str, Driver], held: Held, stop: Event
) -> dict[str, Proofs]:
    """The release's artifacts in a folder: by component, path to proof. Raises `Trouble`, `Interrupted`, OSError."""
    proofs: dict[str, Proofs] = {}
    for artifact in release.artifacts:
        found = copied(artifact, into, held, stop)
        if found is None:
            file = artifacts.fetch(artifact, stop)
            found = drivers[artifact.format].stage(artifact, file, into, stop)
        proofs[component_of(artifact)] = found
    return proofs


def copied(artifact: Artifact, into: Path, held: Held, stop: Event) -> Proofs | None:
    """The same artifact out of another release, each file read and verified again; None: none has it unchanged.

    Copied, for whoever writes to a file of one release must not write to another's.
    """
    for folder, manifest in held():
        if _what(artifact) not in {_what(one) for one in manifest.release.artifacts}:
            continue
        proofs = manifest.proofs.get(component_of(artifact), {})
        if proofs and are_proven(folder, proofs):
            _copy(folder, proofs, into, stop)
            return proofs
    return None


def write_config(config: ConfigFile, into: Path, secrets: Callable[[], Any], owner: os.stat_result) -> Proofs:
    """The rendered file, given to that owner where the agent may do so. Raises `Trouble`, OSError."""
    place = make_place(into, config.to)
    write_new(place, rendered(config, secrets), mode_of(config))
    if os.geteuid() == 0:
        os.chown(place, owner.st_uid, owner.st_gid)
    return {config.to: digest_of(place)}


def _what(artifact: Artifact) -> tuple[str, str, str | None, str]:
    """What decides about the files of an artifact in a release's folder."""
    return artifact.name, artifact.format, artifact.to, artifact.sha256


def _copy(folder: Path, proofs: Proofs, into: Path, stop: Event) -> None:
    for inner, proof in proofs.items():
        if stop.is_set():
            raise Interrupted
        if proof == FOLDER and (into / inner).is_dir():
            continue
        place = make_place(into, inner)
        if proof == FOLDER:
            place.mkdir()
            place.chmod(0o755)
        elif proof.startswith("-> "):
            os.symlink(proof.removeprefix("-> "), place)  # noqa: PTH211 exactly as it was
        else:
            copy_file(folder / inner, place)
