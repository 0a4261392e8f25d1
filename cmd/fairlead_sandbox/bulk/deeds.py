"""What a bulk world can be asked to do or tell over HTTP: POST /sandbox/<name> at its AWS's address, JSON both ways."""

import resource
from collections.abc import Mapping, Sequence
from typing import Any

from fairlead_sandbox.bulk.world import BulkWorld


def offer(world: BulkWorld) -> None:
    """Let the world's AWS answer for all of it."""
    deeds = Deeds(world)
    names = [name for name in vars(Deeds) if not name.startswith("_")]
    world.aws.server.deeds.update({name: getattr(deeds, name) for name in names})


class Deeds:
    """Each public method is a deed of its name."""

    def __init__(self, world: BulkWorld) -> None:
        self._world = world

    def bump(self, names: Sequence[str], version: str) -> str:
        """One commit that sets the version of these fleets; its sha."""
        return self._world.bump(names, version)

    def merge(self, message: str, files: Mapping[str, str | None]) -> str:
        """One commit of these files (null: the file goes); its sha."""
        return self._world.merge(message, files.items())

    def versions(self, name: str) -> dict[str, str]:
        """What runs of a fleet: by region, or by host."""
        return self._world.versions(name)

    def starts(self) -> list[tuple[str, str, str]]:
        """Every deploy that was begun: fleet, version, region or host."""
        return self._world.starts()

    def hosts(self, fleet: str) -> list[str]:
        """The instance ids of a fleet's hosts."""
        return sorted(self._world.hosts.versions(fleet))

    def launched(self, fleet: str) -> list[str]:
        """The instance ids that the world was made with, whoever lives there."""
        return self._world.launched[fleet]

    def calls(self) -> dict[str, int]:
        """AWS's calls by action."""
        return dict(self._world.aws.calls)

    def reset_calls(self) -> None:
        """Count from nothing again."""
        self._world.aws.calls.clear()

    def writes(self, after: int = 0) -> list[dict[str, Any]]:
        """S3's log of versions, but for the first `after`."""
        return [
            {"address": one.address, "etag": one.etag, "at": one.at.isoformat(), "writer": one.writer.session}
            for one in self._world.aws.objects.writes[after:]
        ]

    def published(self, after: int = 0) -> list[dict[str, str]]:
        """SNS's log, but for the first `after`."""
        found = self._world.aws.topics.published[after:]
        return [{"topic": one.topic, "text": one.text, "at": one.at.isoformat()} for one in found]

    def gate_triggers(self, after: int = 0) -> list[dict[str, Any]]:
        """Gate's log of requests to start a pipeline, but for the first `after`."""
        return self._world.gate.access_log.triggers()[after:]

    def fail(self, action: str, code: str, status: int = 400, times: int = 1) -> None:
        """Answer the next requests for an action with an error."""
        self._world.aws.fail(action, code, status=status, times=times)

    def slow_down(self, seconds: float) -> None:
        """Wait so long before each of AWS's answers."""
        self._world.aws.latency = seconds

    def deafen(self, deaf: bool) -> None:
        """What is published reaches nobody, or does again."""
        self._world.aws.topics.deaf = deaf

    def set_version(self, name: str, version: str) -> None:
        """Somebody changes a Spinnaker fleet by hand."""
        self._world.change_by_hand(name, version)

    def silence(self, hosts: Sequence[str], silent: bool = True) -> None:
        """The agents of these hosts die, or are there again."""
        self._world.hosts.silence(hosts, silent=silent)

    def sicken(self, hosts: Sequence[str], healthy: bool = False) -> None:
        """What runs on these hosts fails its health, or is well again."""
        self._world.hosts.sicken(hosts, healthy=healthy)

    def beat(self) -> None:
        """Every host says now what it would say at its next heartbeat."""
        self._world.hosts.beat()

    def terminate(self, hosts: Sequence[str]) -> None:
        """These instances are gone."""
        for host in hosts:
            self._world.hosts.terminate(host)

    def spoil(self, fleet: str, version: str) -> None:
        """From now on this version is unhealthy where it starts; `*` is any fleet."""
        self._world.spoil(fleet, version)

    def trouble(self) -> list[str]:
        """What went wrong in the world itself."""
        return list(self._world.hosts.timeline.stumbles)

    def memory(self) -> int:
        """The most that this process ever held, in MiB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
