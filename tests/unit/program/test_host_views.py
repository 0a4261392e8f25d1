"""Where a host stands, for people: what needs one comes first."""

import pytest

from fairlead.commands.host_views import HostState, _state
from reconciler.hosts import HostFacts


@pytest.mark.parametrize(("silent", "state"), [(True, HostState.SILENT), (False, HostState.LEAVING)])
def test_a_silent_host_needs_a_person_even_where_its_last_word_was_that_it_leaves(
    silent: bool, state: HostState
) -> None:
    host = HostFacts(id="i-1", region="us-east-1", zone="us-east-1a", leaving="a spot notice", silent=silent)

    assert state is _state(host, False, False, False)
