"""Which repository a folder is of, by the address that its git names as `origin`."""

import re
import subprocess
from pathlib import Path

from fairlead.exit_codes import Refused

LONGEST = 300
_REMOTE = re.compile(r"(?:[a-z+]+://)?(?:[^/@]*@)?(?P<host>[^/:@]+)(?::[0-9]+(?=/))?[:/]+(?P<path>[^?#]+)")


def repository_of(folder: Path, said: str | None) -> str:
    """`git.example.com/payments/deploys`, with `//FOLDER` where the folder is not the root; `said` goes before.

    Without sign-in, scheme, port and `.git`, so that all clones of a repository have one name. Raises `Refused` where
    nobody says it.
    """
    if said is not None:
        if not (0 < len(said) <= LONGEST and said.isprintable() and said == said.strip()):
            raise Refused(f"--repository: write a name of 1 to {LONGEST} characters, without spaces around it")
        return said
    name = name_of(_git(folder, "config", "--get", "remote.origin.url"))
    if not name:
        raise Refused(
            f"{folder}: nobody knows of which repository it is, and pipelines are marked with that: run it in a clone "
            "that has a remote `origin`, or say --repository NAME, the same every time"
        )
    inner = _git(folder, "rev-parse", "--show-prefix").strip("/")
    return f"{name}//{inner}"[:LONGEST] if inner else name[:LONGEST]


def name_of(url: str) -> str:
    """An address as a name; empty for a folder on this machine, which is no name elsewhere."""
    found = None if url.startswith((".", "/", "~", "file:")) else _REMOTE.fullmatch(url.strip())
    path = found["path"].strip("/").removesuffix(".git") if found else ""
    return f"{found['host'].lower()}/{path}" if found and path else ""


def _git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
