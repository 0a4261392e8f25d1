"""Who we are at Gitea: an access token of a user."""

from adapters.forges.hosted import Reveal, TokenSignIn


def token_sign_in(token: Reveal, *, reference: str) -> TokenSignIn:
    """See `TokenSignIn`. Raises `Unreadable`."""
    return TokenSignIn(token, reference=reference, header=lambda value: ("Authorization", f"token {value}"))
