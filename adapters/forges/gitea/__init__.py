"""Gitea, and Forgejo, which speaks as Gitea does: their dialect and their sign-in."""

from adapters.forges.gitea.dialect import Gitea, checked_repository
from adapters.forges.gitea.sign_in import token_sign_in

__all__ = ["Gitea", "checked_repository", "token_sign_in"]
