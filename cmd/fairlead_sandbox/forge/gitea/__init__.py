"""The dialect of Gitea, which Forgejo speaks too."""

from fairlead_sandbox.forge.gitea.speaking import Gitea

__all__ = ["Gitea"]
