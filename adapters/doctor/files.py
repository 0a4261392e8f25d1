"""Secrets in files: who else on this host may read them."""

import grp
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from adapters.doctor.findings import About, Finding

CREDENTIALS = Path("/run/credentials")  # systemd's LoadCredential: its group bits are the mask of an access list


def check_references(references: Iterable[tuple[str, str, str]]) -> Iterator[Finding]:
    """Each `(setting, reference, trouble)`: `env:NAME` or `file:/path`, and why it cannot be read, or an empty text."""
    for setting, reference, trouble in references:
        about = About(check="settings", name=setting)
        kind, _, name = reference.partition(":")
        if trouble:
            yield about.trouble(trouble, f"make {reference} hold the secret, readable for the user that runs Fairlead")
        elif kind == "file" and (others := readable_by_others(Path(name))):
            yield about.warning(f"{name} may be read by {others[0]}", others[1])
        else:
            yield about.ok(f"{reference} is there")


def check_settings(file: str, warnings: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """The file itself was read; `warnings` are `(seen, fix)`."""
    about = About(check="settings", name=file)
    yield from (about.warning(seen, fix) for seen, fix in warnings)
    if not warnings:
        yield about.ok("every key is known")


def readable_by_others(path: Path) -> tuple[str, str] | None:
    """Who that is, and the fix; None where nobody else reads it, or only our own group, as `root:fairlead 0640` says.

    No fix takes the file from whoever runs Fairlead: it is not always the user that asks.
    """
    if path.is_relative_to(CREDENTIALS):
        return None
    found = path.stat()
    ours = found.st_gid in {os.getegid(), *os.getgroups()}
    if found.st_mode & stat.S_IROTH:
        alone = found.st_uid == os.geteuid() and ours
        mode = f"chmod 600 {path}" if alone else f"chmod 640 {path}, with the group of the user that runs Fairlead"
        return "everybody on this host", mode
    if found.st_mode & stat.S_IRGRP and not ours:
        return f"its group, {_group(found.st_gid)}", f"chgrp {path} to the group of the user that runs Fairlead"
    return None


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
