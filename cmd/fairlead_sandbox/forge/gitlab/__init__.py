"""GitLab's dialect, version 4 of its API."""

from fairlead_sandbox.forge.gitlab.speaking import GitLab

__all__ = ["GitLab"]
