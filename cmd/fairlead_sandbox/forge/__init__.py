"""A forge that speaks GitHub's dialect: pull requests, statuses, webhooks, accounts, on real repositories."""

from fairlead_sandbox.forge.faults import Faults, Outage
from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.identities import App, Identity
from fairlead_sandbox.forge.limits import Limits
from fairlead_sandbox.forge.person import Merged, Person, Said
from fairlead_sandbox.forge.server import Forge

__all__ = ["App", "Faults", "Forge", "Hosted", "Identity", "Limits", "Merged", "Outage", "Person", "Said"]
