"""The agents' half of the stories: `prod/matchmaker`, a jar and its config on eight long-lived instances."""

from fairlead_sandbox.builds import Behaviour
from fairlead_sandbox.demo.checks import all_ready, noted, said
from fairlead_sandbox.demo.host_checks import admitted, answer, downloaded, one_failed, restarted, touched, went_back
from fairlead_sandbox.demo.stage import TRIGGER, Stage
from fairlead_sandbox.demo.story import Expectation, Track
from fairlead_sandbox.world import EXAMPLE_HOSTS
from reconciler.record import State

FLEET, SERVICE = "prod/matchmaker", "matchmaker"
OLD, GOOD, BAD = "2.3.1", "2.4.0", "2.5.0"
HOSTS = sum(count for fleets, count in EXAMPLE_HOSTS.items() if FLEET in fleets.split("+"))
HALF = HOSTS // 2  # services/matchmaker.yaml has waves of 1, 50 % and 100 %
SOAK = 2.0  # seconds, as services/matchmaker.yaml says
COUNT = 4  # fleets


# ── what is done ─────────────────────────────────────────────────────────────────────────────────────────────────


def bump(stage: Stage) -> str:
    """The good version: CI has uploaded it."""
    stage.upload(SERVICE, GOOD)
    stage.listen()
    return stage.merge_bump("trigger-bump", FLEET, GOOD)


def bump_to_bad(stage: Stage) -> str:
    """The version that runs and answers 503."""
    stage.upload(SERVICE, BAD, Behaviour.UNHEALTHY)
    stage.listen()
    return stage.merge_bump("trigger-bad", FLEET, BAD)


def revert_bad(stage: Stage) -> str:
    """Take the bad one back."""
    stage.listen()
    return stage.merge_revert("trigger-revert", of="trigger-bad")


def revert_good(stage: Stage) -> str:
    """Take the good one back, too."""
    stage.listen()
    return stage.merge_revert("trigger-back", of="trigger-bump")


def change(stage: Stage) -> str:
    """Let one host run the release that it keeps."""
    stage.listen()
    return f"switched {stage.switch_by_hand(FLEET)}"


# ── what has to be seen ──────────────────────────────────────────────────────────────────────────────────────────

OPENING = Track(
    by=TRIGGER,
    does="start an agent on each host",
    act=lambda stage: f"{sum(host.agent_running for host in stage.world.hosts())} agents run",
    expects=(
        Expectation(what=f"{COUNT} fleets are found and in sync", check=all_ready(COUNT, TRIGGER), timed=True),
        Expectation(what="success on the commit", check=said("first", FLEET, State.SUCCESS, "already there")),
        Expectation(what="nothing was deployed", check=touched(FLEET, 0)),
        Expectation(what=f"{HOSTS} hosts serve {OLD}", check=answer(FLEET, OLD, HOSTS)),
    ),
    outcome=f"{COUNT} fleets in sync",
)

BUMP = Track(
    by=TRIGGER,
    does=f"merge a bump of {FLEET} to {GOOD}",
    act=bump,
    expects=(
        Expectation(what="one host first", check=admitted(FLEET, GOOD, 1)),
        Expectation(what="after the soak, half of them", check=admitted(FLEET, GOOD, HALF, after=1, soak=SOAK)),
        Expectation(what="then the rest", check=admitted(FLEET, GOOD, HOSTS, after=HALF)),
        Expectation(what=f"{HOSTS} hosts serve {GOOD}, healthy", check=answer(FLEET, GOOD, HOSTS), timed=True),
        Expectation(
            what="success on the commit",
            check=said("trigger-bump", FLEET, State.SUCCESS, f"{GOOD} on {HOSTS}/{HOSTS} units"),
        ),
        Expectation(what="each host downloaded it", check=downloaded(FLEET, HOSTS)),
    ),
    outcome=f"{HOSTS}/{HOSTS} hosts at {GOOD}",
)

FAILURE = Track(
    by=TRIGGER,
    does=f"merge a bump to {BAD}, a sick version",
    act=bump_to_bad,
    expects=(
        Expectation(what="one host tries it: not healthy", check=one_failed(FLEET)),
        Expectation(what="that host goes back by itself", check=went_back(FLEET, GOOD)),
        Expectation(what="tried again, fails again", check=one_failed(FLEET, times=2)),
        Expectation(what=f"{BAD} is put into quarantine", check=noted(FLEET, "quarantined", BAD)),
        Expectation(what=f"{HOSTS} hosts serve {GOOD}, healthy", check=answer(FLEET, GOOD, HOSTS), timed=True),
        Expectation(
            what="failure on the commit",
            check=said("trigger-bad", FLEET, State.FAILURE, f"{BAD} failed", f"rolled back to {GOOD}"),
        ),
        Expectation(what=f"the other {HOSTS - 1} never touched it", check=touched(FLEET, 1)),
        Expectation(what="nor downloaded it", check=downloaded(FLEET, 1)),
    ),
    outcome=f"stopped at 1/{HOSTS} hosts",
)

REVERT = Track(
    by=TRIGGER,
    does="merge a revert of the bad commit",
    act=revert_bad,
    expects=(
        Expectation(
            what="the revert says what it reverts",
            check=said("trigger-revert", FLEET, State.SUCCESS, f"rolled back to {GOOD}", "reverts {trigger-bad}"),
            timed=True,
        ),
        Expectation(
            what="the reverted commit says by what",
            check=said("trigger-bad", FLEET, State.FAILURE, f"rolled back to {GOOD}", "reverted by {trigger-revert}"),
        ),
        Expectation(what="the quarantine is lifted", check=noted(FLEET, "quarantine-lifted", BAD)),
        Expectation(what=f"{HOSTS} hosts serve {GOOD}, untouched", check=touched(FLEET, 0)),
    ),
    outcome="both commits say so",
)

BACK = Track(
    by=TRIGGER,
    does=f"merge a revert of the bump to {GOOD}",
    act=revert_good,
    expects=(
        Expectation(what=f"{HOSTS} hosts serve {OLD}, healthy", check=answer(FLEET, OLD, HOSTS), timed=True),
        Expectation(
            what="the revert says so",
            check=said("trigger-back", FLEET, State.SUCCESS, f"rolled back to {OLD}", f"on {HOSTS}/{HOSTS} units"),
        ),
        Expectation(what="from what hosts keep: no download", check=downloaded(FLEET, 0)),
    ),
    outcome=f"{HOSTS}/{HOSTS} hosts at {OLD}",
)

DRIFT = Track(
    by=TRIGGER,
    does=f"switch a host of {FLEET} to {GOOD}",
    act=change,
    expects=(
        Expectation(what="the drift is seen", check=noted(FLEET, "rollout-started", "heal")),
        Expectation(what=f"healed: {HOSTS} hosts serve {OLD}", check=answer(FLEET, OLD, HOSTS), timed=True),
        Expectation(what="its commit says so", check=said("trigger-back", FLEET, State.SUCCESS, OLD, "drift healed")),
        Expectation(what=f"that host ran {GOOD}, then {OLD}", check=restarted(FLEET, GOOD, OLD)),
        Expectation(what=f"the other {HOSTS - 1} were left alone", check=touched(FLEET, 1, changed=True)),
    ),
    outcome=f"1/{HOSTS} hosts healed",
)
