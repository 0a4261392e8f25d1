"""A world under random faults from a seeded plan: what people do, what befalls it, and what is written down of it."""

import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.agent_protocol.addresses import agent_queue_name
from fairlead_sandbox.builds import Behaviour
from fairlead_sandbox.hosts import Host
from fairlead_sandbox.surroundings import inherited
from fairlead_sandbox.world import World

FAIRLEAD = str(Path(sys.executable).parent / "fairlead")
LOST = ("s3", "sns", "sqs")  # what a restart of AWS loses; the instances themselves are there still
SPARED = 4  # agents that are never killed, so that their memory can be watched
KILLS_UNTIL = 0.25  # of the time: from then on one controller lives, so that its memory can be watched
RESTORED = 30  # builds: the newest; an older one that is wanted is uploaded when everything is to end well
CLI_WITHIN = 300.0  # seconds; it is a program on a busy machine


class Soak:
    """One soak: `act` does the next thing. `acts` counts what was done, `log` has a line for each with its time."""

    def __init__(self, world: World, start: Callable[[World], Any], seed: int, seconds: float, log: Path) -> None:
        self.world = world
        self.seconds = seconds
        self.acts: Counter[str] = Counter()
        self.commits: list[str] = []
        self.controller: Any = start(world)
        self.controllers = [self.controller]
        self._start = start
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._built: dict[tuple[str, str], Behaviour] = {
            (fleet.service, fleet.version): Behaviour.HEALTHY for fleet in world.trigger.fleets.values()
        }
        self._next = 0
        self._log = log
        self.spared: tuple[Host, ...] = world.hosts()[:SPARED]

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def begin(self) -> None:
        """From now on its age counts."""
        self._began = time.monotonic()

    def act(self) -> None:
        """What is due of what was begun, and one thing more; then a moment of peace."""
        self._do_due()
        acts = {
            self.bump: 30,
            self.bump_elsewhere: 8,
            self.bump_to_sick: 3,
            self.revert: 8,
            self.kill_agent: 20,
            self.delete_queue: 6,
            self.cut_aws: 4,
            self.lose_aws: 3,
            self.stall_git: 5,
            self.kill_controller: 8 if self.age < KILLS_UNTIL * self.seconds else 0,
        }
        self._random.choices(list(acts), list(acts.values()))[0]()
        self.rest(self._random.uniform(0.5, 5.0))

    def rest(self, seconds: float) -> None:
        """Nothing new for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._do_due()
            time.sleep(0.1)

    def end(self) -> None:
        """No more faults: everything that was taken away is there again, and Git asks for versions that are good."""
        while self._later:
            self.rest(0.2)
        self.set_up()
        for name, fleet in self.world.trigger.fleets.items():
            wanted = (fleet.service, self.wanted(name))
            if self._built.get(wanted) is Behaviour.HEALTHY:
                self.world.build(*wanted, Behaviour.HEALTHY)
            else:
                self._bump(name, Behaviour.HEALTHY)

    # -- what people do ------------------------------------------------------------------------------------------

    def bump(self) -> None:
        """A good version of a trigger fleet."""
        self._bump(self._trigger_fleet(), Behaviour.HEALTHY)

    def bump_to_sick(self) -> None:
        """A version that runs and is not healthy."""
        self._bump(self._trigger_fleet(), Behaviour.UNHEALTHY)

    def bump_elsewhere(self) -> None:
        """A version of a service that Spinnaker deploys, in all its environments: the first bakes, the others wait."""
        name = self._random.choice(sorted(self.world.fleets))
        others = [
            each for each in self.world.fleets if each != name and each.partition("/")[2] == name.partition("/")[2]
        ]
        self._commit(f"bump {name}", lambda: self.world.bump(name, self._version(), *others))

    def revert(self) -> None:
        """The newest commit is taken back, whatever it was."""
        head = self.world.checkout.pull()
        if head not in self.commits:  # nobody has done anything yet
            return
        self._commit(f"revert {head[:7]}", lambda: self.world.revert(head))

    def set_up(self) -> None:
        """What a person does where a queue or a topic is missing."""
        self._fairlead("trigger", "setup")

    def retry(self, fleet: str) -> None:
        """What the status of a fleet asks for whose artifact was not there, once it is there again."""
        self._fairlead("retry", fleet)

    def _fairlead(self, *words: str) -> None:
        command = [FAIRLEAD, *words, "--config", str(self.world.config)]
        environment = {**inherited(), **self.world.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CLI_WITHIN, check=False)
        said, kind = " ".join(words), f"fairlead {words[0]}" + (" failed" if done.returncode else "")
        self._write(f"{kind}: {said} {done.stderr[-300:] if done.returncode else ''}".rstrip(), kind=kind)

    def wanted(self, fleet: str) -> str:
        """The version that Git says."""
        text = (self.world.checkout.folder / f"environments/{fleet}.yaml").read_text(encoding="utf-8")
        found = re.search(r'^version: *"?([^"\n#]+?)"? *(#.*)?$', text, re.MULTILINE)
        assert found is not None, text
        return found[1]

    def _bump(self, name: str, behaviour: Behaviour) -> None:
        service, version = name.partition("/")[2], self._version()
        self.world.build(service, version, behaviour)
        self._built[service, version] = behaviour
        said = "bump" if behaviour is Behaviour.HEALTHY else "bump to a sick version"
        self._commit(f"{said}: {name} to {version}", lambda: self.world.bump(name, version))

    def _commit(self, said: str, do: Callable[[], str]) -> None:
        commit = do()
        self.commits.append(commit)
        self._write(f"{said} as {commit[:7]}", kind=said.partition(":")[0].partition(" ")[0])

    def _version(self) -> str:
        self._next += 1
        return f"9.{self._next}.0"

    def _trigger_fleet(self) -> str:
        return self._random.choice(sorted(self.world.trigger.fleets))

    # -- what befalls it -----------------------------------------------------------------------------------------

    def kill_agent(self) -> None:
        """SIGKILL, and a new one after a while."""
        alive = [host for host in self.world.hosts() if host not in self.spared and host.agent_running]
        if not alive:
            return
        host = self._random.choice(alive)
        host.kill_agent()
        self._write(f"agent killed: {host.id}", kind="agent killed")
        self._after(self._random.uniform(0.2, 8.0), host.start_agent)

    def kill_controller(self) -> None:
        """SIGKILL, and a new one after a while."""
        if self.controller.exit_code is not None:
            return
        self.controller.send(signal.SIGKILL)
        self.controller.wait()
        self._write("controller killed")
        self._after(self._random.uniform(0.1, 5.0), self._start_controller)

    def delete_queue(self) -> None:
        """An instance's queue is gone; later somebody runs the setup."""
        host = self._random.choice(self.world.hosts())
        client = self.world.aws.client("sqs", host.region)
        client.delete_queue(QueueUrl=client.get_queue_url(QueueName=agent_queue_name(host.id))["QueueUrl"])
        self._write(f"queue deleted: {host.id}", kind="queue deleted")
        self._after(self._random.uniform(1.0, 10.0), self.set_up)

    def cut_aws(self) -> None:
        """Nobody reaches AWS for some seconds."""
        self.world.aws.go_away()
        self.rest_alone(self._random.uniform(0.5, 8.0))
        self.world.aws.come_back()
        self._write("AWS away")

    def lose_aws(self) -> None:
        """AWS is away, and comes back without orders, artifacts, topics and queues; then a person restores it."""
        self.world.aws.go_away()
        self.rest_alone(self._random.uniform(0.5, 4.0))
        self.world.aws.come_back(lost=LOST)
        self._write("AWS lost its state")
        self.rest_alone(self._random.uniform(0.0, 6.0))
        self.set_up()
        for (service, version), behaviour in list(self._built.items())[-RESTORED:]:
            self.world.build(service, version, behaviour)

    def stall_git(self) -> None:
        """The git server takes requests and answers none."""
        self.world.git.faults.stall = True
        self.rest_alone(self._random.uniform(1.0, 8.0))
        self.world.git.faults.stall = False
        self._write("git stalled")

    @staticmethod
    def rest_alone(seconds: float) -> None:
        """Nobody does anything: what is due may need what is away."""
        time.sleep(seconds)

    # -- what keeps it going -------------------------------------------------------------------------------------

    def _start_controller(self) -> None:
        self.controller = self._start(self.world)
        self.controllers.append(self.controller)

    def _after(self, seconds: float, do: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + seconds, do))

    def _do_due(self) -> None:
        now = time.monotonic()
        due = [do for at, do in self._later if at <= now]
        self._later = [(at, do) for at, do in self._later if at > now]
        for do in due:
            do()

    def _write(self, said: str, kind: str = "") -> None:
        self.acts[kind or said.partition(":")[0]] += 1
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{self.age:8.1f} {said}\n")
