"""GitLab, on gitlab.com or one's own: its dialect and its sign-in."""

from adapters.forges.gitlab.dialect import GitLab, checked_repository
from adapters.forges.gitlab.sign_in import token_sign_in

__all__ = ["GitLab", "checked_repository", "token_sign_in"]
