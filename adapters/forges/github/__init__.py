"""GitHub, and GitHub Enterprise Server: statuses on commits."""

from adapters.forges.github.answers import Trouble
from adapters.forges.github.auth import AppAuth, Auth, TokenAuth
from adapters.forges.github.forge import GitHub
from adapters.forges.github.transport import BadAddress, Transport, checked_api, checked_repository

__all__ = [
    "AppAuth",
    "Auth",
    "BadAddress",
    "GitHub",
    "TokenAuth",
    "Transport",
    "Trouble",
    "checked_api",
    "checked_repository",
]
