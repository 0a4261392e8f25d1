"""What is to become of this instance, as its metadata service says: a spot notice, the end that its group wants.

The rules: "Spot Instance interruption notices" (`spot/instance-action`, there two minutes before), "EC2 instance
rebalance recommendations" and "Retrieve the target lifecycle state through instance metadata", Amazon's user guides.
"""

import json
from dataclasses import dataclass

from fairlead_agent.metadata import Metadata, Silent
from fairlead_agent.settings import Settings

DATA = "latest/meta-data"
SPOT = f"{DATA}/spot/instance-action"
REBALANCE = f"{DATA}/events/recommendations/rebalance"
TARGET = f"{DATA}/autoscaling/target-lifecycle-state"
GROUP = f"{DATA}/tags/instance/aws:autoscaling:groupName"
ENDING = ("Terminated", "Warmed:Terminated")
_SHOWN = 60  # characters of what comes from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What was said last. Empty texts: nothing."""

    leaving: str = ""  # why the host is about to go, and when where that is known
    advice: str = ""  # AWS would rather replace it; nothing follows from that
    target: str = ""  # the state that its Auto Scaling group wants it in

    @property
    def ends(self) -> bool:
        """Its group ends it: a terminating hook may wait."""
        return self.target in ENDING


def read_notice(metadata: Metadata) -> Notice:
    """What stands there now. Raises `metadata.Silent`."""
    spot, target = metadata.get(SPOT), metadata.get(TARGET) or ""
    reasons = [_spot(spot)] if spot is not None else []
    reasons += ["its Auto Scaling group ends it"] if target in ENDING else []
    advised = metadata.get(REBALANCE)
    return Notice(
        leaving="; ".join(reasons),
        advice=_advice(advised) if advised is not None else "",
        target=target[:_SHOWN],
    )


def group_of(settings: Settings, metadata: Metadata) -> tuple[str | None, str]:
    """The name of the host's Auto Scaling group, by the settings, else by its tags; or why it is not known."""
    try:
        found = settings.group or metadata.get(GROUP)
    except Silent as silent:
        return None, str(silent)
    return found, "the metadata service shows no tag aws:autoscaling:groupName; set `group`, or allow tags in metadata"


def _spot(text: str) -> str:
    said = _object(text)
    return f"a spot notice: AWS is to {said.get('action', 'end')} it at {said.get('time', 'any moment')}"


def _advice(text: str) -> str:
    return f"AWS recommends since {_object(text).get('noticeTime', 'lately')} to replace it: it may get a spot notice"


def _object(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value)[:_SHOWN] for key, value in found.items()} if isinstance(found, dict) else {}
