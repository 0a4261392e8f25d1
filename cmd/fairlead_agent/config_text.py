"""A release's configuration as the file that the service reads."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from adapters.agent_protocol.config_text import render
from adapters.agent_protocol.orders import ConfigFile
from adapters.agent_protocol.reports import Blame
from fairlead_agent.secrets import SECRET, Secrets
from fairlead_agent.trouble import Trouble

_SURROGATE = re.compile("[\ud800-\udfff]")
OPEN = 0o644
PRIVATE = 0o600


def rendered(config: ConfigFile, secrets: Callable[[], Any]) -> bytes:
    """The file's bytes, secrets in their places. Raises `Trouble`."""
    values = Secrets(secrets).resolved(config.values)
    if _SURROGATE.search(render(values, "json")):
        raise Trouble(Blame.REFUSED, f"{config.component} holds half of a surrogate pair, which no file can hold")
    return render(values, config.format).encode("utf-8")


def mode_of(config: ConfigFile) -> int:
    """Who may read it: everybody, or where a secret is in it, its owner."""
    return PRIVATE if _holds_secret(config.values) else OPEN


def _holds_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return SECRET in value or any(_holds_secret(inner) for inner in value.values())
    return isinstance(value, list | tuple) and any(_holds_secret(inner) for inner in value)
