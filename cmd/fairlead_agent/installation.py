"""One fleet's releases on this host: staged beside each other, switched by one symbolic link.

    <root>/releases/<id>/          the files of a release, and `.fairlead.json`, its manifest
    <root>/current -> releases/<id>

A release is staged under a temporary name and renamed when it is whole, so a folder with a release's name is whole.
What is said of it is proven each time: by the hashes of its files, and by dpkg. Nothing is remembered beside the disk.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from adapters.agent_protocol.orders import Artifact, Release, release_document
from adapters.agent_protocol.reports import Blame
from fairlead_agent.artifacts import Artifacts
from fairlead_agent.commands import Runner, run
from fairlead_agent.drivers import drivers
from fairlead_agent.durable import (
    is_folder,
    lay_over,
    make_folder,
    remove,
    switch_link,
    sync_folder,
    sync_tree,
    write_whole,
)
from fairlead_agent.manifests import NAME, Manifest, Manifests, Proven, component_of, write_manifest
from fairlead_agent.premises import OUR_ID, Premises
from fairlead_agent.staging import build, write_config
from fairlead_agent.trouble import Trouble, on_disk

_HALF = re.compile(r"\.[0-9a-f]{16}\.(new|ready|gone)")  # a release on its way in or out
_SWEPT = frozenset({"..activating.new", ".downloads"})
_PROVEN = ("package/", "sha256/", "config/")  # components that stand for files; others are the release's own word
_MARK = ".activating"  # stands while packages outside of the folders may be of another release than the link


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What an installation reaches the world with. The clients are botocore's, asked for when they are needed."""

    s3: Callable[[], Any]
    secrets: Callable[[], Any]  # secretsmanager
    run: Runner = run
    dpkg_root: Path | None = None  # a root directory of its own for dpkg (--root); None: this machine
    fleet: str = ""  # whose root it is, from the first release on; empty: nobody is kept out
    fits: Callable[[Release, Path], None] = lambda _release, _root: None  # raises `Trouble` where it cannot run there


class Installation:
    """One fleet on this host. `root` is where its releases are, already below the prefix of a rehearsal.

    Everything may be called again after a crash at any point, and mends what was left. Not for two threads at once.
    """

    def __init__(self, root: Path, means: Means) -> None:
        self._root = root
        self._releases = root / "releases"
        self._link = root / "current"
        self._premises = Premises(root, means.fleet)
        self._comes_again = False  # what was downloaded for a release that could not be staged yet
        self._means = means
        self._drivers = drivers(means.run, means.dpkg_root)
        self._artifacts = Artifacts(self._releases / ".downloads", means.s3, means.run)
        self._proven = Proven()
        self._manifests = Manifests()

    def current(self) -> str | None:
        """The id of the active release; None: there is none, or `current` is not of our making."""
        try:
            folder, _, name = str(self._link.readlink()).rpartition("/")
        except OSError:
            return None
        return name if folder == "releases" and OUR_ID.fullmatch(name) and (self._releases / name).is_dir() else None

    def held(self) -> tuple[str, ...]:
        """The ids of the releases on disk, the one staged last last. Each was whole when it got its name."""
        found = []
        for manifest in self._releases.glob(f"*/{NAME}"):
            if OUR_ID.fullmatch(manifest.parent.name):
                found.append((manifest.stat().st_mtime_ns, manifest.parent.name))
        return tuple(name for _, name in sorted(found))

    def release(self, release_id: str) -> Release:
        """What a release on disk is, out of its manifest. Raises `Trouble` where that is missing or broken."""
        return self._manifests.read(self._releases / release_id).release

    def folder(self, release_id: str) -> Path:
        """Where a staged release lies now; one that was built anew waits beside the one that it will replace."""
        ready = self._releases / f".{release_id}.ready"
        return ready if (ready / NAME).exists() else self._releases / release_id

    def observe(self) -> Mapping[str, str]:
        """What is installed now, by component: of the active release what is proven, of debs what dpkg says.

        A package or config that was changed is left out; a deb of another version shows that version. Nothing is proven
        without a manifest. Reads files only when their inode, size or times changed since the last look.
        """
        manifest = self._current_manifest()
        if manifest is None:
            return {}
        release, known = manifest.release, manifest.release.components
        found = {name: known[name] for name in known if not name.startswith(_PROVEN)}
        for artifact in release.artifacts:
            found |= self._package(artifact, manifest)
        config = release.config
        if config and self._is_unchanged(manifest, config.component):
            found[config.component] = known.get(config.component, config.digest)
        return found

    def stage(self, release: Release, stop: Event) -> None:
        """Download, verify, unpack, resolve secrets, render. Nothing that runs is touched.

        What another release on disk already has is copied from there, verified again. A release that is on disk and
        was changed since is built anew beside itself; `activate` puts it in place. Raises `Trouble`, and `Interrupted`
        when `stop` was set; what was downloaded until then is used the next time, unless it was pruned.
        """
        self._comes_again = False
        try:
            self._stage(release, stop)
        except Trouble as trouble:
            self._comes_again = trouble.blame is Blame.TRANSIENT
            raise

    def _stage(self, release: Release, stop: Event) -> None:
        with on_disk(f"stage {release.version} in {self._root}"):
            self._premises.check()
            self._means.fits(release, self._root)
            if self._is_staged(release):
                return
            unfinished = self._releases / f".{release.id}.new"
            remove(unfinished)
            make_folder(unfinished)
            proofs = self._build(release, unfinished, stop)
            write_manifest(unfinished, Manifest(release=release, proofs=proofs))
            sync_tree(unfinished)
            self._settle(unfinished, release.id)
            remove(self._releases / ".downloads")

    def activate(self, release_id: str) -> None:
        """Make a staged release the current one; also the way back. Nothing is written when it is that already.

        Packages outside of the folders come first, the link last. Where a package cannot be installed, those of the
        release that was current are put back, as far as that is possible. Raises `Trouble`: UNHEALTHY where a package's
        own scripts fail, TRANSIENT where the release on disk is broken (`stage` mends it) or the disk is full.
        """
        with on_disk(f"activate {release_id} in {self._root}"):
            self._premises.check()
            self._put_in_place(release_id)
            manifest = self._manifests.read(self._releases / release_id)
            self._install(manifest)
            if self.current() != release_id:
                switch_link(self._link, f"releases/{release_id}")
            self._unmark()

    def prune(self, keep: Collection[str]) -> None:
        """Remove all releases but the current one and those named, and what was left half-built. Raises `Trouble`.

        Only what is ours by its name, and by its manifest. Downloads stay where staging is to be tried again.
        """
        kept = {*keep, self.current()} | ({".downloads"} if self._comes_again else set())
        with on_disk(f"prune {self._releases}"):
            if not os.path.lexists(self._releases):
                return
            self._premises.check()
            for path in sorted(self._releases.iterdir()):
                if path.name not in kept and _is_ours(path):
                    self._take_away(path)
            remove(self._root / ".current.new")

    def claim(self) -> None:
        """Keep others out of a root that was this fleet's before. Raises `Trouble`."""
        with on_disk(f"use {self._root}"):
            self._premises.claim_again()

    # Staging

    def _is_staged(self, release: Release) -> bool:
        """Whether a whole and unchanged one is there. The release's other settings are brought up to date."""
        for folder in (self._releases / f".{release.id}.ready", self._releases / release.id):
            manifest = self._manifest_in(folder)
            if manifest is None or not all(
                self._proven.holds(folder, component, proofs) for component, proofs in manifest.proofs.items()
            ):
                continue
            if release_document(manifest.release) != release_document(release):
                write_manifest(folder, replace(manifest, release=release))
            return True
        return False

    def _build(self, release: Release, into: Path, stop: Event) -> Mapping[str, Mapping[str, str]]:
        means, config = self._means, release.config
        proofs = build(release, into, artifacts=self._artifacts, drivers=self._drivers, held=self._newest, stop=stop)
        if config is not None:
            known = self._link / config.to  # a service that does not run as root keeps its file, or has the root
            owner = (known if known.exists() else self._root).stat()
            proofs[config.component] = write_config(config, into, means.secrets, owner)
        return proofs

    def _newest(self) -> Iterator[tuple[Path, Manifest]]:
        for name in reversed(self.held()):
            folder = self._releases / name
            manifest = self._manifest_in(folder)
            if manifest is not None:
                yield folder, manifest

    def _settle(self, unfinished: Path, name: str) -> None:
        """Give a whole folder its name; beside a changed one of that name it waits for `activate`."""
        folder, ready = self._releases / name, self._releases / f".{name}.ready"
        remove(ready)
        unfinished.rename(ready if os.path.lexists(folder) else folder)
        sync_folder(self._releases)

    # Activating

    def _put_in_place(self, name: str) -> None:
        """Move what was built anew over what was changed, file by file, the manifest last."""
        folder, ready = self._releases / name, self._releases / f".{name}.ready"
        if not (ready / NAME).exists():
            return
        if not os.path.lexists(folder):
            ready.rename(folder)
            return
        lay_over(ready, folder, last=NAME)
        sync_tree(folder)
        remove(ready)

    def _install(self, manifest: Manifest) -> None:
        """What the switch does not cover: packages that are not yet what the manifest says."""
        before = self._current_manifest()
        due = [each for each in manifest.release.artifacts if self._is_due(each, before)]
        for form in sorted({artifact.format for artifact in due}):
            write_whole(self._releases / _MARK, manifest.release.id.encode())
            some = [artifact for artifact in due if artifact.format == form]
            try:
                self._drivers[form].activate(some, self._releases / manifest.release.id)
            except Trouble as trouble:
                self._go_back(some, before, trouble)
                raise

    def _is_due(self, artifact: Artifact, before: Manifest | None) -> bool:
        driver = self._drivers[artifact.format]
        if not driver.reaches_out:
            return False
        installed = {each.sha256 for each in before.release.artifacts} if before else set()
        is_there = artifact.sha256 in installed and not self._is_marked()
        return not is_there or driver.current(artifact, lambda: True) != artifact.version

    def _go_back(self, failed: Sequence[Artifact], before: Manifest | None, trouble: Trouble) -> None:
        """Put back the packages of the release that the link still points to; `trouble` says where that failed."""
        names = {artifact.name for artifact in failed}
        old = [each for each in before.release.artifacts if each.name in names] if before else []
        if before is None or not old:
            return
        try:
            self._drivers[failed[0].format].rollback(old, self._releases / before.release.id)
        except Trouble as second:
            trouble.message += f"; going back to {before.release.version} failed as well: {second.message}"
            return
        self._unmark()

    def _unmark(self) -> None:
        if self._is_marked():
            (self._releases / _MARK).unlink()
            sync_folder(self._releases)

    # Observing

    def _package(self, artifact: Artifact, manifest: Manifest) -> Mapping[str, str]:
        """The components of one package. What dpkg calls the same version may be another file until the mark goes."""
        known, component, pin = manifest.release.components, component_of(artifact), f"sha256/{artifact.name}"
        driver = self._drivers[artifact.format]
        version = driver.current(artifact, partial(self._is_unchanged, manifest, component))
        if version != artifact.version:
            return {component: version} if version else {}
        found = {component: known.get(component, version)}
        if pin in known and not (driver.reaches_out and self._is_marked()):
            found[pin] = known[pin]
        return found

    def _is_unchanged(self, manifest: Manifest, component: str) -> bool:
        folder, proofs = self._releases / manifest.release.id, manifest.proofs.get(component, {})
        return bool(proofs) and self._proven.holds(folder, component, proofs)

    def _is_marked(self) -> bool:
        return (self._releases / _MARK).exists()

    def _current_manifest(self) -> Manifest | None:
        """None also where it is broken."""
        name = self.current()
        return self._manifest_in(self._releases / name) if name is not None else None

    def _manifest_in(self, folder: Path) -> Manifest | None:
        try:
            return self._manifests.read(folder)
        except Trouble:
            return None

    def _take_away(self, path: Path) -> None:
        """Under another name first: what has a release's name is whole."""
        self._proven.forget(path)
        self._manifests.forget(path)
        if OUR_ID.fullmatch(path.name):
            gone = path.with_name(f".{path.name}.gone")
            remove(gone)
            path.rename(gone)
            path = gone
        remove(path)


def _is_ours(path: Path) -> bool:
    if OUR_ID.fullmatch(path.name):
        return is_folder(path) and (path / NAME).is_file()
    return path.name in _SWEPT or _HALF.fullmatch(path.name) is not None
