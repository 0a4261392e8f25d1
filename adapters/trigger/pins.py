"""The SHA-256 of every artifact of a release: from the fleet file, else as pinned before, else resolved once from S3.

A target keeps the pins that it began with: they are taken over from the present order for as long as it names the same
artifact, so that an object that is replaced under a version's name harms nobody.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from adapters.agent_protocol.orders import Order, Release
from adapters.aws.checksums import Checksums, NoObject
from adapters.trigger.releases import release_of, source_of
from desired_state.model import Digest, Package
from reconciler import work

Known = dict[tuple[Digest, str, str, str | None], str]


class Pins:
    """Makes orders' releases. Remembers what it read, in this process only."""

    def __init__(self) -> None:
        self._checksums = Checksums()

    def pinned(self, s3: Any, release: work.Release, present: Order | None) -> Release:
        """The release with every artifact pinned. Raises `NoObject`, `Unreadable`."""
        known = _known(present)
        digest = release.target_digest
        return release_of(
            release, {package.name: self._pin(s3, package, digest, known) for package in release.fleet.packages}
        )

    def _pin(self, s3: Any, package: Package, digest: Digest, known: Known) -> str:
        source = source_of(package)
        pin = package.sha256 or known.get((digest, package.name, package.version, source))
        if pin is not None:
            return pin
        if source is None:
            raise NoObject(f"nobody knows the bytes of package {package.name} {package.version}; add its sha256")
        return self._checksums.sha256(s3, source)


def _known(present: Order | None) -> Known:
    releases = (present.target, present.base) if present is not None else ()
    return dict(_pins_of(release for release in releases if release is not None))


def _pins_of(releases: Iterable[Release]) -> Iterator[tuple[tuple[Digest, str, str, str | None], str]]:
    for release in releases:
        for artifact in release.artifacts:
            yield (release.digest, artifact.name, artifact.version, artifact.source), artifact.sha256
