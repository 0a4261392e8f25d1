"""Where secrets are that are neither in a file nor in the environment."""

from adapters.aws.stored_secrets import stored_secret
from fairlead.settings import SettingsError
from reconciler.ports import Unreadable


def stored(reference: str) -> str:
    """The secret that `aws-sm:<reference>` names. Raises `SettingsError`."""
    try:
        return stored_secret(reference)
    except Unreadable as trouble:
        raise SettingsError(str(trouble)) from None
