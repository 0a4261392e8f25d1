"""Mirrors of repositories out of the settings, and what they sign in with."""

from typing import TypeVar

from desired_state.git_command import GitAuth
from desired_state.git_errors import GitRefused
from desired_state.mirror import Mirror
from fairlead.settings import RepositorySettings, SecretReference, Settings, SettingsError

AnyMirror = TypeVar("AnyMirror", bound=Mirror)


def mirror(settings: Settings, repository: RepositorySettings) -> Mirror:
    """The bare mirror of one repository, in the state folder. Raises `SettingsError`."""
    return mirror_at(Mirror, settings, repository, f"{repository.name}.git")


def mirror_at(kind: type[AnyMirror], settings: Settings, repository: RepositorySettings, folder: str) -> AnyMirror:
    """The same in a folder of its own. Raises `SettingsError`."""
    auth = repository.auth
    try:
        return kind(
            settings.state / "repositories" / folder,
            repository.url,
            branch=repository.branch,
            auth=GitAuth(kind=auth.mode, user=auth.user, secret_value=secret(auth.mode, auth.secret)),
        )
    except GitRefused as refusal:
        raise SettingsError(f"repository {repository.name}: {refusal}") from None


def secret(mode: str, reference: str | None) -> str:
    if mode == "bearer":
        return SecretReference(reference or "env:").reveal_token()
    return SecretReference(reference).reveal() if reference else ""
