"""The public keys that orders may be signed with now: written in the settings, or read where those point.

A file is read at every look, a secret every few minutes, so a key comes and goes without a restart. What is not there
is not trusted; only a Secrets Manager that does not answer leaves what it said last. Whether a key is missing because
nobody trusts it, or because its source could not be read just now, is told apart by `trouble`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import yaml

from adapters.agent_protocol.reports import Blame
from adapters.agent_protocol.signing import BadKey, public_key
from fairlead_agent.clock import Clock, jittered
from fairlead_agent.cloud import Cloud
from fairlead_agent.log import Log
from fairlead_agent.secrets import SECRET, Secrets
from fairlead_agent.trouble import Trouble

ASKED_EVERY = 300.0  # seconds, of Secrets Manager
KINDS = ("file", "env", "aws-sm")
LARGEST = 64 * 1024  # characters


class Keyring:
    """Call it for the keys by key id, base64, each of them usable. `keys` are texts or references, or one reference to
    all of them as YAML. Safe to share between threads."""

    def __init__(self, keys: Mapping[str, str] | str, cloud: Cloud, clock: Clock, log: Log) -> None:
        self._keys = keys
        self._cloud = cloud
        self._clock = clock
        self._log = log
        self._stored: dict[str, tuple[float, Any]] = {}  # until when it counts, and what was said
        self._troubles: dict[str, str] = {}
        self._unread = ""
        self._lock = Lock()

    def __call__(self) -> Mapping[str, str]:
        """Those that are valid now. Raises nothing: what cannot be read is told in the log and is no key."""
        with self._lock:
            self._unread = ""
            said = self._told(self._keys) if isinstance(self._keys, str) else self._keys
            if isinstance(said, str):
                said = self._parsed(said)
            found = {str(name): self._told(str(value)) for name, value in said.items()} if said else {}
            return {name: str(text).strip() for name, text in found.items() if self._is_key(name, text)}

    @property
    def trouble(self) -> str:
        """Why keys may be missing that are to be trusted, at the last call; empty: every source gave its own."""
        return self._unread

    def _parsed(self, text: str) -> Mapping[str, Any]:
        try:
            found = yaml.safe_load(text[:LARGEST])
        except yaml.YAMLError:
            found = None
        is_map = isinstance(found, Mapping) and bool(found)
        self._tell("keys", "" if is_map else "what `keys` points to is no map of ids and keys")
        return found if is_map else {}

    def _told(self, value: str) -> Any:
        """A reference's content, or the value itself; None where there is none."""
        kind, _, name = value.partition(":")
        if kind not in KINDS:
            return value
        try:
            said = self._read(kind, name)
            self._tell(value, "" if said is not None else f"{value} is not there")
        except (OSError, ValueError) as error:
            self._tell(value, f"{value} cannot be read: {getattr(error, 'strerror', '') or type(error).__name__}")
            return None
        except Trouble as trouble:
            self._tell(value, trouble.message)
            return None
        return said

    def _read(self, kind: str, name: str) -> Any:
        if kind == "file":
            return _of_file(name)
        return os.environ.get(name) if kind == "env" else self._of_store(name)

    def _of_store(self, name: str) -> Any:
        until, said = self._stored.get(name, (0.0, None))
        if name in self._stored and self._clock.monotonic() < until:
            return said
        try:
            said = Secrets(lambda: self._cloud.client("secretsmanager")).resolved({SECRET: f"aws-sm:{name}"})
        except Trouble as trouble:
            if trouble.blame is not Blame.TRANSIENT or name not in self._stored:
                self._stored.pop(name, None)
                raise
            self._tell(f"aws-sm:{name}", trouble.message)
        self._stored[name] = (self._clock.monotonic() + jittered(ASKED_EVERY), said)
        return said

    def _is_key(self, name: str, text: Any) -> bool:
        if text is None:
            return False
        try:
            public_key(str(text))
        except BadKey as bad:
            self._tell(f"key {name}", f"the key {name} is left out: {bad}")
            return False
        self._tell(f"key {name}", "")
        return True

    def _tell(self, what: str, trouble: str) -> None:
        """Once, until it changes."""
        self._unread = self._unread or trouble
        if trouble and self._troubles.get(what) != trouble:
            self._log("key-unusable", why=trouble)
        self._troubles[what] = trouble


def _of_file(name: str) -> str:
    with Path(name).open(encoding="utf-8") as file:
        return file.read(LARGEST)
