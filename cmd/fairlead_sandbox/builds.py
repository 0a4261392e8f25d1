"""Builds of played services: what a CI would leave in S3, for the artifacts that a trigger fleet's service names.

A `file` is a zip that the host's python runs, as a JVM runs a jar. An `archive` is a tar.gz of `<service>.pyz`,
`VERSION` and `assets/`. A `deb` holds one file. The same build has the same bytes wherever it is made.
"""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from fairlead_sandbox.aws import Aws
from fairlead_sandbox.example import Artifact, TriggerFleet

_PROGRAM = Path(__file__).parent / "played" / "service.py"


class Behaviour(StrEnum):
    """How a build behaves on every host. `after` is seconds since its process began."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"  # runs, and answers 503
    NEVER_STARTS = "never_starts"  # ends with 1 at once
    SLOW = "slow"  # answers 503 until `after`
    SICKENS = "sickens"  # healthy until `after`, then answers 503
    DIES = "dies"  # healthy until `after`, then its process ends
    STUBBORN = "stubborn"  # healthy, and deaf to SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One version of a service, uploaded."""

    service: str
    version: str
    behaviour: Behaviour
    sha256: Mapping[str, str]  # by package, 64 small hexadecimal characters
    addresses: Mapping[str, str]  # by package, s3://bucket/key


def upload(
    aws: Aws, fleet: TriggerFleet, version: str, behaviour: Behaviour = Behaviour.HEALTHY, *, after: float = 2.0
) -> Build:
    """Make the fleet's artifacts of this version and put them where its service says. Replaces what was there."""
    said = {"service": fleet.service, "version": version, "behaviour": behaviour, "after": after}
    sums, addresses = {}, {}
    for artifact in fleet.artifacts:
        content = _content(artifact, said)
        address = artifact.source.replace("{version}", version)
        bucket, key = urlsplit(address).netloc, urlsplit(address).path.lstrip("/")
        make_bucket(aws, bucket)
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256")
        sums[artifact.name], addresses[artifact.name] = hashlib.sha256(content).hexdigest(), address
    return Build(service=fleet.service, version=version, behaviour=behaviour, sha256=sums, addresses=addresses)


def make_bucket(aws: Aws, name: str) -> None:
    """Create a bucket unless there is one."""
    client = aws.client("s3")
    if name not in {each["Name"] for each in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=name)


def program_in(artifact: Artifact, service: str) -> str | None:
    """Where the program is, below the release's folder; None where the artifact is another one's."""
    if artifact.name != service:
        return None
    return artifact.to if artifact.format == "file" else f"{artifact.to}/{service}.pyz"


def _content(artifact: Artifact, said: Mapping[str, object]) -> bytes:
    if artifact.format == "deb":
        return debian_package(artifact.name, str(said["version"]))
    if artifact.name != said["service"]:
        return f"{artifact.name} {said['version']}\n".encode()
    return _program(said) if artifact.format == "file" else _archive(said)


def _program(said: Mapping[str, object]) -> bytes:
    """A zip with a `__main__.py`."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, text in (("__main__.py", _PROGRAM.read_text(encoding="utf-8")), ("build.json", json.dumps(said))):
            archive.writestr(zipfile.ZipInfo(name), text)  # of 1980, so that the bytes are the same each time
    return written.getvalue()


def debian_package(name: str, version: str, *, postinst: str = "") -> bytes:
    """A package with one file, `/usr/share/<name>/VERSION`; `postinst` is shell. The format: deb(5)."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.com>\n"
    said = {"./control": (f"{control}Description: played\n".encode(), 0o644)}
    if postinst:
        said["./postinst"] = (f"#!/bin/sh\n{postinst}\n".encode(), 0o755)
    data = {f"./usr/share/{name}/VERSION": (f"{version}\n".encode(), 0o644)}
    parts = {"debian-binary": b"2.0\n", "control.tar.gz": _packed(said), "data.tar.gz": _packed(data)}
    return b"!<arch>\n" + b"".join(_ar_member(part, content) for part, content in parts.items())


def _ar_member(name: str, content: bytes) -> bytes:
    """The format: ar(5)."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return head + content + b"\n" * (len(content) % 2)


def _packed(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A tar.gz of files with their folders: content and mode by path."""
    written = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for folder in sorted({str(parent) for path in files for parent in Path(path).parents}):
            member = tarfile.TarInfo(f"./{folder}" if folder != "." else ".")
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for path, (content, mode) in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def _archive(said: Mapping[str, object]) -> bytes:
    written = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in _members(said):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def _members(said: Mapping[str, object]) -> Iterator[tuple[str, bytes]]:
    yield f"{said['service']}.pyz", _program(said)
    yield "VERSION", f"{said['version']}\n".encode()
    yield "assets/motd.txt", f"Welcome to {said['service']} {said['version']}.\n".encode()
