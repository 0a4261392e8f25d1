"""What every driver does."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Protocol

from adapters.agent_protocol.orders import Artifact


class Driver(Protocol):
    """One format of package. `folder` is a release's own; the switch of the link is not a driver's business."""

    reaches_out: bool  # activating changes something outside of the release's folder, which the switch does not cover

    def stage(self, artifact: Artifact, file: Path, folder: Path, stop: Event) -> Mapping[str, str]:
        """Put the verified `file` into a folder that is not in use yet; `file` may be moved there.

        Gives what is where: path below `folder` to its proof (`unpacking`). Raises `Trouble`, `Interrupted`, OSError.
        """
        ...

    def activate(self, artifacts: Sequence[Artifact], folder: Path) -> None:
        """Install the artifacts of one release on the host. May be called again. Raises `Trouble`."""
        ...

    def rollback(self, artifacts: Sequence[Artifact], folder: Path) -> None:
        """As `activate`, for a release that was active before, out of what was kept. Raises `Trouble`."""
        ...

    def current(self, artifact: Artifact, is_unchanged: Callable[[], bool]) -> str | None:
        """The version that is installed now, when `artifact` is of the active release. None: it cannot be told.

        `is_unchanged` proves the artifact's files in the release's folder.
        """
        ...
