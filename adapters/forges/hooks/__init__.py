"""What the webhooks of all forges have in common: who may speak for which repository, repeats, and the hint."""

from adapters.forges.hooks.dialect import About, Dialect, Event, Headers
from adapters.forges.hooks.places import Place, Refused
from adapters.forges.hooks.webhook import Hint, Ignored, Webhook

__all__ = ["About", "Dialect", "Event", "Headers", "Hint", "Ignored", "Place", "Refused", "Webhook"]
