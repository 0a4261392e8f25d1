"""Refs move: webhooks hear of each branch and tag, and open pull requests follow their heads."""

from collections.abc import Iterator
from contextlib import contextmanager

from fairlead_sandbox.forge.bare import ABSENT
from fairlead_sandbox.forge.hosted import Change, Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.pulls import Moved


@contextmanager
def moving(hosted: Hosted, who: Identity) -> Iterator[None]:
    """Whoever moves refs in here is alone; what moved is told afterwards."""
    with hosted.bare.lock:
        before = hosted.bare.refs()
        yield
        after = hosted.bare.refs()
        for ref in sorted(before.keys() | after.keys()):
            old, new = before.get(ref, ABSENT), after.get(ref, ABSENT)
            if old != new:
                _tell(hosted, Moved(ref=ref, before=old, after=new), who)


def _tell(hosted: Hosted, moved: Moved, who: Identity) -> None:
    for event, payload in hosted.voice.pushed(hosted, moved, who):
        hosted.webhooks.send(event, payload)
    if not moved.branch or moved.after == ABSENT:
        return
    for pull in hosted.pulls.absorb(moved, who):
        hosted.announce(pull, Change(kind="merged"), who)
    for base in (hosted, hosted.others.get(hosted.parent)):
        if base is not None:
            fork = "" if base is hosted else hosted.full_name
            for pull, old in base.pulls.follow(fork, moved.branch):
                base.announce(pull, Change(kind="pushed", before=old), who)
