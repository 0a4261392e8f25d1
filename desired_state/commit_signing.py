"""Signatures on our own commits, with a key that is given and never with what a user's git is set up with.

An SSH key signs through `ssh-keygen` (git-config(1), `gpg.format`; git 2.34 or newer), an OpenPGP key through `gpg` in
a home of its own. The key is in a file that only we can read, for as long as one commit takes.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from desired_state.git_errors import GitRefused

_GPG = ("gpg", "--batch", "--no-tty", "--quiet")
_PATIENCE = 30.0  # seconds for gpg


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Signer:
    """The text of a private key without a passphrase: an SSH key, or an OpenPGP key in ASCII armor."""

    key: str

    @property
    def is_openpgp(self) -> bool:
        """Which of the two it is."""
        return "BEGIN PGP PRIVATE KEY BLOCK" in self.key

    @contextlib.contextmanager
    def at_hand(self) -> Iterator[Mapping[str, str]]:
        """The variables that let `git commit-tree -S` sign. Raises `GitRefused`: the key cannot be used."""
        if not self.is_openpgp and "PRIVATE KEY-----" not in self.key:
            raise GitRefused("commits.signing_key is no private key: give an SSH key, or an OpenPGP key in ASCII armor")
        with tempfile.TemporaryDirectory(prefix="fairlead-sign-") as home:  # made with mode 0700
            if not self.is_openpgp:
                yield _ssh(Path(home), self.key)
                return
            try:
                yield _openpgp(home, self.key)
            finally:
                _run("gpgconf", "--homedir", home, "--kill", "all")


def _ssh(home: Path, key: str) -> Mapping[str, str]:
    file = home / "key"
    file.touch(mode=0o600)
    file.write_text(f"{key.strip()}\n")
    return {
        "GIT_CONFIG_PARAMETERS": _parameters({"gpg.format": "ssh", "user.signingKey": str(file)}),
        "SSH_ASKPASS_REQUIRE": "never",
        "SSH_AUTH_SOCK": "",
    }


def _openpgp(home: str, key: str) -> Mapping[str, str]:
    done = _run(*_GPG, "--homedir", home, "--import", given=f"{key.strip()}\n")
    if done is None or done.returncode:
        raise GitRefused("commits.signing_key cannot be imported: is gpg installed, and the key a private one?")
    listing = _run(*_GPG, "--homedir", home, "--with-colons", "--list-secret-keys")
    prints = [line.split(":")[9] for line in listing.stdout.splitlines() if line.startswith("fpr:")] if listing else []
    if not prints:
        raise GitRefused("commits.signing_key holds no private key: export it with gpg --armor --export-secret-keys")
    return {
        "GIT_CONFIG_PARAMETERS": _parameters({"gpg.format": "openpgp", "user.signingKey": prints[0]}),
        "GNUPGHOME": home,
    }


def _run(*args: str, given: str | None = None) -> "subprocess.CompletedProcess[str] | None":
    environment = {key: value for key, value in os.environ.items() if key != "GPG_TTY"}
    try:
        return subprocess.run(
            args, input=given, capture_output=True, text=True, check=False, timeout=_PATIENCE, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _parameters(config: Mapping[str, str]) -> str:
    """As git passes `-c` on to itself: each `key=value` in single quotes."""
    return " ".join(f"'{key}={value}'" for key, value in config.items())
