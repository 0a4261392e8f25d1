"""Who we are at GitLab: a personal, project or group access token. A CI job's token may set no statuses."""

from adapters.forges.hosted import Reveal, TokenSignIn


def token_sign_in(token: Reveal, *, reference: str) -> TokenSignIn:
    """See `TokenSignIn`. Raises `Unreadable`."""
    return TokenSignIn(token, reference=reference, header=lambda value: ("PRIVATE-TOKEN", value))
