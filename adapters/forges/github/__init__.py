"""GitHub, and GitHub Enterprise Server: statuses on commits, and the webhook of pushes."""

from adapters.forges.github.answers import Trouble
from adapters.forges.github.auth import AppAuth, Auth, TokenAuth
from adapters.forges.github.forge import GitHub
from adapters.forges.github.transport import BadAddress, Transport, checked_api, checked_repository
from adapters.forges.github.webhook import Hint, Ignored, Place, Refused, Webhook

__all__ = [
    "AppAuth",
    "Auth",
    "BadAddress",
    "GitHub",
    "Hint",
    "Ignored",
    "Place",
    "Refused",
    "TokenAuth",
    "Transport",
    "Trouble",
    "Webhook",
    "checked_api",
    "checked_repository",
]
