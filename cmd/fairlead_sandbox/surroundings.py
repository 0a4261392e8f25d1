"""Keeps the machine's own settings out of the world: no account, no proxy, no other repository. It imports nothing that
reads them: moto looks for an AWS profile as soon as it is imported.
"""

import os
import shutil
from pathlib import Path

LOOPBACK = "127.0.0.1,localhost"
_STRANGE = ("GIT_", "AWS_", "FAIRLEAD_")


def inherited() -> dict[str, str]:
    """This process's environment without what would lead a child to another repository, account or settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_STRANGE)}
    return {**kept, "no_proxy": LOOPBACK, "NO_PROXY": LOOPBACK}


def stay_here() -> None:
    """Let this process, too, see the world and no other. Raises FileNotFoundError where git is not installed."""
    if shutil.which("git") is None:
        raise FileNotFoundError("git is not on the PATH; install it: the sandbox serves a real repository")
    kept = inherited()
    os.environ.clear()
    os.environ.update(kept)


def check_empty(folder: Path) -> None:
    """Raises FileExistsError for a folder that holds something already."""
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds something already; name a folder that is new or empty")
