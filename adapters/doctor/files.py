"""Secrets in files: who else on this host may read them."""

import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from adapters.doctor.findings import About, Finding


def check_references(references: Iterable[tuple[str, str, str]]) -> Iterator[Finding]:
    """Each `(setting, reference, trouble)`: `env:NAME` or `file:/path`, and why it cannot be read, or an empty text."""
    for setting, reference, trouble in references:
        about = About(check="settings", name=setting)
        kind, _, name = reference.partition(":")
        if trouble:
            yield about.trouble(trouble, f"make {reference} hold the secret, readable for the user that runs Fairlead")
        elif kind == "file" and (whose := readable_by_others(Path(name))):
            yield about.warning(f"{name} may be read by {whose}", f"chmod 600 {name}")
        else:
            yield about.ok(f"{reference} is there")


def check_settings(file: str, warnings: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """The file itself was read; `warnings` are `(seen, fix)`."""
    about = About(check="settings", name=file)
    yield from (about.warning(seen, fix) for seen, fix in warnings)
    if not warnings:
        yield about.ok("every key is known")


def readable_by_others(path: Path) -> str:
    """`its group`, `everybody`, or an empty text for a file that is its owner's alone."""
    mode = path.stat().st_mode
    if mode & stat.S_IROTH:
        return "everybody on this host"
    return "its group" if mode & stat.S_IRGRP else ""
