"""Hosts that run what others deployed: nothing that is said of a whole fleet may make them all begin at once. Pure.

An order that admits everybody, or that names a base, speaks to hosts whose turn has not come. A host on which something
runs, and on which nothing of ours was ever healthy, is spoken to by its name only.
"""

from collections.abc import Collection
from dataclasses import replace

from adapters.trigger.feeds import Seen
from reconciler.observed import UnitId
from reconciler.work import Standing


def strangers(hosts: Collection[Seen]) -> frozenset[UnitId]:
    """Hosts that report something running and no release of ours to go back to; those that only report among them."""
    return frozenset(
        host.id
        for host in hosts
        if host.report is not None and host.report.get("running") and not host.report.get("last_good")
    )


def spared(standing: Standing, hosts: Collection[Seen]) -> Standing:
    """The same standing, said so that strangers are not meant unless they are admitted by name."""
    strange = strangers(hosts)
    if standing.admitted is None and strange:
        known = frozenset(host.id for host in hosts) - strange
        return replace(standing, admitted=known, base=None)
    if standing.admitted is not None and strange - standing.admitted:
        return replace(standing, base=None)
    return standing
