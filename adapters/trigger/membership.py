"""Which instances count: those that are about to go do not any more, those that boot do not yet. Pure.

The states are those of an Auto Scaling group's instances (Amazon EC2 Auto Scaling User Guide, "Amazon EC2 Auto Scaling
instance lifecycle"). In `Pending:Wait` an instance waits for its launch lifecycle hook; in `Warmed:*` it is in a warm
pool; in `Standby` a person has taken it out of service to look into it.
"""

from datetime import UTC, datetime, timedelta

from adapters.trigger.feeds import NOTHING, Seen

BOOT = timedelta(minutes=10)  # allowed to a fresh instance before its silence counts
_GOING = ("Terminat", "Warmed:Terminat", "EnteringStandby", "Standby")
_COMING = ("Pending", "Warmed:")


def leaves(host: Seen, silent_after: timedelta) -> str:
    """Why the host counts no more, in words; empty: it stays.

    Its own word holds while it is heard, and not for ever: what said so and is silent may be there still, and ill. Its
    group's word holds as long as EC2 shows it.
    """
    said = str((host.report or NOTHING).get("leaving") or "")
    if said and _is_fresh(host, silent_after):
        return said
    return f"its Auto Scaling group has it {host.lifecycle}" if host.lifecycle.startswith(_GOING) else ""


def _is_fresh(host: Seen, silent_after: timedelta) -> bool:
    sent = (host.report or NOTHING).get("sent")
    if sent is None or host.reports_read_at is None:
        return True
    return host.reports_read_at - datetime.fromisoformat(str(sent)).astimezone(UTC) <= silent_after


def boots(host: Seen, now: datetime, *, healthy: bool) -> bool:
    """It serves nobody yet: its group still waits for it, or it is young and nothing was ever healthy on it.

    One that has a last good release served before: when it is not healthy now, something is wrong with it.
    """
    if host.lifecycle.startswith(_COMING):
        return True
    was_good = bool((host.report or NOTHING).get("last_good"))
    if healthy or was_good or not host.launched:
        return False
    return now - datetime.fromisoformat(host.launched).astimezone(UTC) < BOOT
