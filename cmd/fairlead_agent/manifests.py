"""What a release's folder holds: written into it as `.fairlead.json`, and proven against it.

A manifest has the release as the order said it, and for every file of ours its proof (`unpacking`): the SHA-256 of a
file, where a link leads, that a folder is one. What a service writes beside them is its own business.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.agent_protocol.fields import Fields, Malformed
from adapters.agent_protocol.orders import Artifact, Release, release_document
from adapters.agent_protocol.places import OURS
from adapters.agent_protocol.reading import read_release
from adapters.agent_protocol.reports import Blame
from fairlead_agent.durable import digest_of, is_folder, make_folder, write_whole
from fairlead_agent.trouble import Trouble
from fairlead_agent.unpacking import FOLDER

FORMAT = "fairlead/manifest/v1"
NAME = f"{OURS}.json"
_PRIVATE = 0o600  # it has hashes of files with secrets in them, which could be guessed from those


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A release and what was staged of it: by component, path below the folder to proof."""

    release: Release
    proofs: Mapping[str, Mapping[str, str]]


def component_of(artifact: Artifact) -> str:
    """The component that an artifact is (DESIGN 1)."""
    return f"package/{artifact.name}"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it whole. Raises OSError."""
    said = {"format": FORMAT, "release": release_document(manifest.release), "proofs": manifest.proofs}
    write_whole(folder / NAME, json.dumps(said, default=dict).encode(), _PRIVATE)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a release's folder. Raises `Trouble` where it is missing or broken."""
    try:
        fields = Fields(json.loads((folder / NAME).read_bytes()), "manifest")
        if fields.text("format", 60) != FORMAT:
            raise Malformed(f"its format is not {FORMAT}")
        release = read_release(fields.mapping("release"))
        proofs = {component: _proofs(each) for component, each in fields.mapping("proofs").items()}
    except (OSError, ValueError, RecursionError) as error:
        said = f"the release in {folder} is not whole: {getattr(error, 'strerror', None) or error}"
        raise Trouble(Blame.TRANSIENT, said) from None
    if folder.name.strip(".").partition(".")[0] != release.id:
        raise Trouble(Blame.TRANSIENT, f"the release in {folder} is another one, {release.id}")
    return Manifest(release=release, proofs=proofs)


class Manifests:
    """Those of the folders of one root. Each is read again only when it was written: an idle host reads nothing."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], Manifest]] = {}

    def read(self, folder: Path) -> Manifest:
        """As `read_manifest`."""
        try:
            found = (folder / NAME).stat()
        except OSError:
            return read_manifest(folder)  # which says what is wrong
        key = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        known = self._known.get(folder)
        if known is None or known[0] != key:
            known = self._known[folder] = (key, read_manifest(folder))
        return known[1]

    def forget(self, folder: Path) -> None:
        """The folder is gone, and an agent lives through many releases."""
        self._known.pop(folder, None)


def _proofs(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        raise Malformed("its proofs must be maps of texts")
    return value


def make_place(folder: Path, inner: str) -> Path:
    """A path below `folder` at which nothing is yet, its parents made. Raises `Trouble` (REFUSED), OSError."""
    path = folder
    for part in inner.split("/")[:-1]:
        path = path / part
        if not os.path.lexists(path):
            make_folder(path)
        if not is_folder(path):
            raise Trouble(Blame.REFUSED, f"two parts of the release are at one place: {inner}")
    if os.path.lexists(folder / inner):
        raise Trouble(Blame.REFUSED, f"two parts of the release are at one place: {inner}")
    return folder / inner


def are_proven(folder: Path, proofs: Mapping[str, str]) -> bool:
    """Whether all of it is as it was staged. Reads every file."""
    return all(_is_proven(folder / inner, proof) for inner, proof in proofs.items())


def _is_proven(path: Path, proof: str) -> bool:
    try:
        mode = path.lstat().st_mode
        if proof == FOLDER:
            return stat.S_ISDIR(mode)
        if proof.startswith("-> "):
            return stat.S_ISLNK(mode) and f"-> {os.readlink(path)}" == proof  # noqa: PTH115 exactly
        return stat.S_ISREG(mode) and digest_of(path) == proof
    except OSError:
        return False


class Proven:
    """Remembers what was proven for as long as no file has another inode, time or size: an idle host reads nothing."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[bytes, bool]] = {}

    def holds(self, folder: Path, component: str, proofs: Mapping[str, str]) -> bool:
        """As `are_proven`, for one component."""
        before = _surface(folder, proofs)
        known = self._known.get(folder / component)
        if known is not None and known[0] == before:
            return known[1]
        found = are_proven(folder, proofs)
        self._known[folder / component] = (before, found)
        return found

    def forget(self, folder: Path) -> None:
        """The folder is gone, and an agent lives through many releases."""
        self._known = {path: known for path, known in self._known.items() if folder not in path.parents}


def _surface(folder: Path, proofs: Mapping[str, str]) -> bytes:
    """What changes when a file is changed or replaced, without reading it."""
    surface = hashlib.blake2b(digest_size=16)
    for inner in proofs:
        try:
            found = os.lstat(folder / inner)
            said = f"{inner}\0{found.st_ino} {found.st_mode} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n"
        except OSError:
            said = f"{inner}\0-\n"
        surface.update(said.encode())
    return surface.digest()
