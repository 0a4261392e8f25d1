"""What is looked for, and how often: requests of a large account are not free."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.agent_protocol.orders import Drain
from fairlead_agent.observing import ALL_GROUPS_EVERY, GROUPS_EVERY, Observer

LONGEST = 1.2  # an interval is stretched by a fifth at most


@pytest.mark.parametrize(("is_named", "pause"), [(True, GROUPS_EVERY), (False, ALL_GROUPS_EVERY)])
def test_the_groups_of_a_host_that_rests_are_looked_for_rarely(
    field: Any, clock: Any, said: Any, is_named: bool, pause: float
) -> None:
    drain = Drain(groups=tuple(field.groups.inside) if is_named else None)
    release = field.release("1.0", drain=drain)
    field.begin(release)
    observer, asked = Observer(field.fleet, clock, said), list[Drain]()
    attached = field.hands.balancer.attached

    def counted(drain: Drain) -> Any:
        asked.append(drain)
        return attached(drain)

    field.hands.balancer.attached = counted

    def look() -> tuple[str, ...]:
        groups: tuple[str, ...] = observer.look(field.hands, None, field.journal.memory, field.stop).groups
        return groups

    first = look()
    clock.advance(0.7 * pause)
    assert (first, 1) == (look(), len(asked))
    clock.advance(0.5 * pause * LONGEST)
    assert (first, 2) == (look(), len(asked))
    observer.forget_groups()
    assert (first, 3) == (look(), len(asked))
    assert bool(first)


def test_groups_that_could_not_be_looked_for_are_asked_for_again_soon(field: Any, clock: Any, said: Any) -> None:
    field.begin(field.release("1.0", drain=None))
    release = field.release("1.0", drain=Drain(groups=None))
    field.host.install(release)
    observer = Observer(field.fleet, clock, said)
    field.groups.away = {"DescribeTargetGroups"}
    memory = field.journal.memory
    observer.look(field.hands, None, replace(memory, release=release), field.stop)
    field.groups.away.clear()
    clock.advance(GROUPS_EVERY * LONGEST)

    found = observer.look(field.hands, None, replace(memory, release=release), field.stop)

    assert "groups-unknown" in said.events
    assert found.groups
