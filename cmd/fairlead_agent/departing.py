"""Out of the target groups for good: the host is about to go."""

from dataclasses import replace
from threading import Event

from adapters.agent_protocol.orders import Drain
from fairlead_agent.balancer import Balancer
from fairlead_agent.journal import Journal
from fairlead_agent.log import Log
from fairlead_agent.trouble import Trouble


def depart(journal: Journal, balancer: Balancer, drain: Drain | None, stop: Event, log: Log) -> bool:
    """Leave, and wait until no connection is left, at most as long as the drain allows; whether that is done.

    The groups are written down where the disk takes it: a spot instance that is stopped comes back, and enters again.
    Raises `Interrupted`.
    """
    if drain is None:
        return True
    try:
        groups = {**journal.memory.left, **balancer.attached(drain)}
        remembered = replace(journal.memory, left=groups)
        try:
            journal.write(remembered)
        except Trouble:
            journal.imagine(remembered)
        balancer.leave(groups)
        if not balancer.wait_drained(groups, drain.within, stop):
            log("drained-late", within=drain.within)
    except Trouble as trouble:
        log("not-drained", why=trouble.message)
        return False
    log("departed", groups=len(groups))
    return True
