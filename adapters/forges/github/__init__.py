"""GitHub, and GitHub Enterprise Server: its dialect, its sign-in as an App, and the webhook of pushes."""

from adapters.forges.github.auth import AppSignIn
from adapters.forges.github.dialect import GitHub, checked_repository
from adapters.forges.github.webhook import Hint, Ignored, Place, Refused, Webhook

__all__ = [
    "AppSignIn",
    "GitHub",
    "Hint",
    "Ignored",
    "Place",
    "Refused",
    "Webhook",
    "checked_repository",
]
