"""GitHub's dialect, as an Enterprise Server speaks it."""

from fairlead_sandbox.forge.github.speaking import GitHub

__all__ = ["GitHub"]
