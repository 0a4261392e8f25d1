"""Random histories of random fleets, through the real pass on a virtual clock."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from desired_state.model import OnFailure
from tests.unit.reconciler.histories import EVENTS, History, Plot

HEAVY = int(os.environ.get("HYPOTHESIS_HISTORIES", "5000"))
FEW = 150
SHARES = st.integers(1, 8) | st.sampled_from(["10%", "25%", "34%", "50%", "100%"])


@st.composite
def deploys(draw):
    """What a fleet's file may say of waves and limits."""
    shares = sorted(draw(st.lists(st.integers(1, 99), max_size=3)))
    soaks = st.sampled_from(["0m", "0m", "1m", "5m"])
    first = [{"hosts": draw(st.integers(1, 3)), "soak": draw(soaks)}] if draw(st.booleans()) else []
    waves = [*first, *({"hosts": f"{share}%", "soak": draw(soaks)} for share in shares)]
    deploy = {"waves": [*waves, {"hosts": "100%", "soak": draw(soaks)}]} if draw(st.booleans()) else {}
    optional = {
        "max_unavailable": SHARES,
        "min_healthy": st.integers(1, 8) | st.sampled_from(["10%", "50%", "90%"]),
        "failure_threshold": st.integers(0, 4) | st.sampled_from(["10%", "30%"]),
        "progress_deadline": st.sampled_from(["10m", "30m"]),
    }
    return deploy | {key: draw(values) for key, values in optional.items() if draw(st.booleans())}


PLOTS = st.builds(
    Plot,
    hosts=st.sampled_from([*range(1, 13), *range(14, 41, 2)]),
    deploy=deploys(),
    retries=st.integers(0, 2),
    on_failure=st.sampled_from([OnFailure.ROLLBACK, OnFailure.ROLLBACK, OnFailure.HOLD]),
    events=st.lists(
        st.tuples(st.sampled_from(EVENTS), st.integers(0, 999), st.sampled_from([0, 20, 60, 60, 180, 600])),
        min_size=3,
        max_size=16,
    ).map(tuple),
)
LIVED = {"histories": 0, "passes": 0, "starts": 0}


def live(plot):
    history = History(plot)
    try:
        history.run()
    except AssertionError as broken:
        broken.add_note("\n".join(history.story))
        raise
    LIVED["histories"] += 1
    LIVED["passes"] += history.passes
    LIVED["starts"] += history.starts


@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(PLOTS)
def test_whatever_happens_to_a_fleet_what_must_hold_holds(plot):
    live(plot)


@pytest.mark.long
def test_it_holds_in_thousands_of_histories():
    @settings(
        max_examples=HEAVY,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(PLOTS)
    def thousands(plot):
        live(plot)

    thousands()
    print(f"{LIVED['histories']} histories, {LIVED['passes']} passes, {LIVED['starts']} hosts started")
    assert LIVED["histories"] >= HEAVY
