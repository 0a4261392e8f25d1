"""GitHub, and GitHub Enterprise Server: its dialect, and its sign-in as an App."""

from adapters.forges.github.auth import AppSignIn
from adapters.forges.github.dialect import GitHub, checked_repository

__all__ = [
    "AppSignIn",
    "GitHub",
    "checked_repository",
]
