"""Checks of hosts: asked of the services that run there, of the agents' own logs, and of what S3 handed out."""

from collections.abc import Sequence
from datetime import datetime

from fairlead_sandbox.demo.agents import ACTIVATING, DONE, FAILED, ROLLED_BACK, STEPS, AgentLine
from fairlead_sandbox.demo.checks import Check, Seen, Sight


def answer(fleet: str, version: str, count: int) -> Check:
    """The service answers 200 on so many hosts, which are all that the fleet has, and says this version."""

    def check(sight: Sight) -> Seen:
        said = {host.id: host.service(fleet) or {} for host in sight.stage.world.hosts(fleet)}
        well = [host for host, each in said.items() if (each.get("version"), each.get("status")) == (version, 200)]
        rest = [f"{host} {each.get('version', 'silent')}" for host, each in said.items() if host not in well]
        words = f"{len(well)} of {len(said)} hosts answer 200 with {version}" + (
            f"; not: {', '.join(rest)}" * bool(rest)
        )
        return Seen(so=len(well) == len(said) == count, words=words)

    return check


def admitted(fleet: str, version: str, count: int, after: int = 0, soak: float = 0.0) -> Check:
    """So many hosts are done with a version, and those past the first `after` began `soak` seconds after these.

    With `after` 0 it is the first wave: one host, alone.
    """

    def check(sight: Sight) -> Seen:
        lines = [line for line in sight.stage.steps(fleet) if line.version == version]
        began, done = _first(lines, ACTIVATING), _first(lines, DONE)
        if len(done) < count:
            return Seen(so=False, words=f"{len(done)} hosts healthy at {version}")
        if after == 0:
            return _alone(began, done, next(line.host for line in lines if line.event == DONE))
        pause = (began[after] - done[after - 1]).total_seconds()
        took = (done[count - 1] - began[after]).total_seconds()
        words = f"{after} → {count} hosts; began {pause:.1f} s after those before, took {took:.1f} s"
        return Seen(so=pause >= soak, words=words)

    return check


def _alone(began: Sequence[datetime], done: Sequence[datetime], host: str) -> Seen:
    so = len(began) == 1 or began[1] > done[0]
    words = f"{host} alone, healthy after {(done[0] - began[0]).total_seconds():.1f} s"
    return Seen(so=so, words=words if so else f"a second host began {began[1]:%H:%M:%S}, before the first was done")


def _first(lines: Sequence[AgentLine], event: str) -> list[datetime]:
    """When each host did this for the first time, in the order of time."""
    found: dict[str, datetime] = {}
    for line in lines:
        if line.event == event:
            found.setdefault(line.host, line.at)
    return sorted(found.values())


def one_failed(fleet: str, times: int = 1) -> Check:
    """One host, always the same one, found the new version unhealthy so often."""

    def check(sight: Sight) -> Seen:
        failed = [line for line in sight.stage.steps(fleet) if line.event == FAILED]
        hosts = sorted({line.host for line in failed})
        words = f"{', '.join(hosts)}: {failed[-1].facts.get('why', '')}" if failed else "no host failed"
        return Seen(so=len(failed) >= times and len(hosts) == 1, words=words)

    return check


def went_back(fleet: str, version: str) -> Check:
    """The host that failed is back on this version, by itself."""

    def check(sight: Sight) -> Seen:
        lines = sight.stage.steps(fleet)
        failed = next((line for line in lines if line.event == FAILED), None)
        back = next((line for line in lines if (line.event, line.version) == (ROLLED_BACK, version)), None)
        if failed is None or back is None or back.host != failed.host:
            return Seen(so=False, words="no host went back")
        return Seen(
            so=True, words=f"{back.host} runs {version} again after {(back.at - failed.at).total_seconds():.1f} s"
        )

    return check


def touched(fleet: str, count: int, *, changed: bool = False) -> Check:
    """Since the deed so many hosts took a step, and the others none but to read the order.

    With `changed` it has to be the host that was changed by hand.
    """

    def check(sight: Sight) -> Seen:
        hosts = sight.stage.world.hosts(fleet)
        found = sorted({line.host for line in sight.stage.steps(fleet) if line.event in STEPS})
        words = f"in the agents' own logs {len(hosts) - len(found)} of {len(hosts)} took no step"
        words += f", {_hosts(found)} did" * bool(found)
        return Seen(so=len(found) == count and (not changed or found == [sight.stage.changed_host]), words=words)

    return check


def restarted(fleet: str, *versions: str) -> Check:
    """The host that was changed by hand started these versions last, as its service wrote."""

    def check(sight: Sight) -> Seen:
        log = sight.stage.world.host(sight.stage.changed_host).service_log(fleet)
        starts = [line.split()[1] for line in log.splitlines() if line.endswith(" starts")]
        found = starts[-len(versions) :]
        return Seen(so=found == list(versions), words=f"its service started {', then '.join(found)}")

    return check


def downloaded(fleet: str, count: int) -> Check:
    """Since the deed so many hosts downloaded an artifact of the service, as S3 knows by their credentials."""

    def check(sight: Sight) -> Seen:
        found = sorted(sight.stage.downloaders(fleet))
        words = f"S3 gave the artifact to {_hosts(found)}" if found else "nobody asked S3 for the artifact"
        return Seen(so=len(found) == count, words=words)

    return check


def _hosts(found: Sequence[str]) -> str:
    return f"{len(found)} hosts" if len(found) > 1 else "".join(found) or "none"
