"""`file`: one file under its own name, like a jar beside its configuration. `archive`: a tar or zip file, unpacked.

Both live in the release's folder alone, so the switch of the link activates them and takes them back.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event

from adapters.agent_protocol.orders import Artifact
from fairlead_agent.manifests import make_place
from fairlead_agent.unpacking import unpack

_PROGRAMS = (b"#!", b"\x7fELF")


class _InTheFolder:
    reaches_out = False

    def activate(self, artifacts: Sequence[Artifact], folder: Path) -> None:
        """The switch is all."""

    def rollback(self, artifacts: Sequence[Artifact], folder: Path) -> None:
        """The switch is all."""

    def current(self, artifact: Artifact, is_unchanged: Callable[[], bool]) -> str | None:
        """The version that was staged, while nobody has touched it."""
        return artifact.version if is_unchanged() else None


class FileDriver(_InTheFolder):
    """Formats of one file."""

    def stage(self, artifact: Artifact, file: Path, folder: Path, stop: Event) -> Mapping[str, str]:
        """At `to`, else under the package's name. S3 knows no modes: what begins as a program is executable."""
        inner = artifact.to or artifact.name
        place = make_place(folder, inner)
        with file.open("rb") as content:
            is_program = content.read(4).startswith(_PROGRAMS)
        file.chmod(0o755 if is_program else 0o644)
        file.rename(place)
        return {inner: artifact.sha256}


class ArchiveDriver(_InTheFolder):
    """Formats of many files."""

    def stage(self, artifact: Artifact, file: Path, folder: Path, stop: Event) -> Mapping[str, str]:
        """Unpacked at `to`, else at the top of the folder. The archive itself is not kept."""
        proofs = unpack(file, folder, artifact.to, stop)
        file.unlink()
        return proofs
