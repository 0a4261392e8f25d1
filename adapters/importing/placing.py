"""The repository onto the disk: into a new folder or an empty one, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath


class NotEmpty(Exception):
    """There is something in the folder. The message is a sentence that names it."""


class Outside(Exception):
    """A file would lie elsewhere, or be hidden. The message is a sentence that names it."""


def check_empty(folder: Path) -> None:
    """It is not there, or there is nothing in it but `.git`. Raises `NotEmpty`, OSError."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise NotEmpty(f"{folder} is no folder; name a new one, or an empty one, with --into")
    there = sorted(each.name for each in folder.iterdir() if each.name != ".git") if folder.exists() else []
    if there:
        raise NotEmpty(
            f"{folder} holds {there[0]} already, and nothing is written over; name an empty folder with --into"
        )


def place(files: Mapping[str, str], folder: Path) -> None:
    """Write the files beside the folder, then move them.

    Raises `NotEmpty`, `Outside`, OSError; then nothing is left there.
    """
    _check_inside(files)
    check_empty(folder)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for path, text in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text, encoding="utf-8")
        if folder.exists():
            _move_into(made, folder)
        else:
            made.chmod(0o777 & ~_umask())
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_inside(paths: Iterable[str]) -> None:
    """Names in paths come from what others wrote. They were judged before; what was missed there ends here."""
    for path in paths:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or any(part.startswith(".") for part in parts):
            raise Outside(f"the file {path!r} does not belong into a repository of ours; nothing was written")


def _move_into(made: Path, folder: Path) -> None:
    """One by one, as `.git` stays; what makes it a repository of ours comes last."""
    moved: list[Path] = []
    try:
        for each in sorted(made.iterdir(), key=lambda path: (path.name == "fairlead.yaml", path.name)):
            each.rename(folder / each.name)
            moved.append(folder / each.name)
    except OSError:
        for each in moved:
            with suppress(OSError):
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        raise


def _umask() -> int:
    """Of this process; it can only be asked by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
