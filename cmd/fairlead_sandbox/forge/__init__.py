"""A forge that speaks the dialect of GitHub, GitLab or Gitea, on real repositories, with accounts and webhooks."""

from fairlead_sandbox.forge.faults import Burst, Faults, Outage
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.identities import App, Identity
from fairlead_sandbox.forge.limits import Limits
from fairlead_sandbox.forge.person import Merged, Person, Said
from fairlead_sandbox.forge.server import Forge

__all__ = ["App", "Burst", "Faults", "Forge", "Hosted", "Identity", "Limits", "Merged", "Outage", "Person", "Said"]
