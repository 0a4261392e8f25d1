"""Which checks there are: first those that need settings only, then those of what the repositories declare."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from adapters.agent_protocol.addresses import order_key, reports_queue_name, topic_name
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.sessions import Sessions
from adapters.aws.topics import partition_of, queue_arn, topic_arn
from adapters.doctor.accounts import AccountLook, Act
from adapters.doctor.agents import check_agents, check_key
from adapters.doctor.channels import ChannelLook
from adapters.doctor.clocks import check_clock
from adapters.doctor.findings import About, Check, Finding, attempted
from adapters.doctor.forge import GitHubLook
from adapters.doctor.hosted_forge import HostedLook
from adapters.doctor.ledger import LedgerLook
from adapters.doctor.messaging import MessagingLook
from adapters.doctor.pipelines import GateLook
from adapters.doctor.repositories import Seen, look
from adapters.doctor.webhook import check_webhook
from adapters.gate.client import Gates
from desired_state.mirror import Mirror
from desired_state.model import Environment, Fleet, FleetName
from desired_state.parser import Parser
from reconciler.ports import Clock, Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One repository to look at."""

    name: str
    mirror: Mirror
    folder: str
    pushes_notes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """Everything that can be looked at. `unusable`: what is not, because its secret cannot be read."""

    clock: Clock
    parser: Parser
    sessions: Sessions
    gates: Gates
    signing_in: frozenset[str]  # URLs of Gates that we have credentials for
    ledger: LedgerLook
    repositories: tuple[Repository, ...]
    forges: tuple[GitHubLook | HostedLook, ...]
    servers: Mapping[str, str]  # by name: URLs whose clocks count, beside those of AWS and the Gates
    hooked: tuple[tuple[str, int], ...]  # repositories whose forge sends webhooks, and how many secrets each has
    listen: str = ""
    public_url: str = ""
    key_id: str | None = None
    observe_only: bool = False  # then what only acting needs is not asked for
    unusable: tuple[Finding, ...] = ()
    channels: tuple[ChannelLook, ...] = ()

    def read(self, repository: Repository) -> Seen:
        """The repository, and what it declares."""
        looking = partial(look, folder=repository.folder, pushes_notes=repository.pushes_notes)
        asked = partial(looking, repository.name, repository.mirror, self.parser, self.clock)
        seen = attempted(asked, f"repository {repository.name}")
        return Seen(findings=(seen,)) if isinstance(seen, Finding) else seen

    def without_fleets(self) -> list[Check]:
        """What needs no repository."""
        clocks = (partial(check_clock, name, url, self.clock) for name, url in self.servers.items())
        server = partial(check_webhook, self.listen, self.public_url, list(self.hooked))
        channels = (each.check for each in self.channels)
        forges = (each.check for each in self.forges)
        return [lambda: self.unusable, self.ledger.check, *forges, *channels, *clocks, server]

    def of(self, fleets: Sequence[Fleet]) -> list[Check]:
        """What these fleets need of AWS, Gate and their hosts."""
        with_agents = [fleet for fleet in fleets if fleet.deploy_type == "trigger"]
        reader = InventoryReader(self.sessions)
        return [
            partial(check_twice, fleets),
            *self._accounts(fleets),
            *self._messaging(with_agents),
            *self._gates(fleet for fleet in fleets if fleet.deploy_type == "spinnaker"),
            partial(check_key, self.key_id, 0 if self.observe_only else len(with_agents)),
            partial(check_agents, with_agents, reader, self.ledger.rows, self.clock),
        ]

    def _accounts(self, fleets: Sequence[Fleet]) -> Iterator[Check]:
        places: dict[Place, list[Fleet]] = defaultdict(list)
        for fleet in fleets:
            for region in fleet.environment.regions:
                place = Place(fleet.environment.account, region, fleet.environment.role)
                places[place].append(fleet)
        for place, there in sorted(places.items(), key=str):
            balanced = any("drain" in fleet.deploy for fleet in there)
            tiers = [read_by, *(() if self.observe_only else (acts_of,))]
            acts = {act for tier in tiers for act in tier(there, place)}
            yield AccountLook(self.sessions, place, sorted(acts, key=Act.order), balanced=balanced).check
        for region in sorted({place.region for place in places}):
            yield partial(self._aws_clock, region)

    def _aws_clock(self, region: str) -> Iterator[Finding]:
        name = f"aws {region}"
        try:
            url = str(self.sessions.client("sts", region).meta.endpoint_url)
        except Unreadable as trouble:
            yield About(check="clock", name=name).skipped(str(trouble))
            return
        yield from check_clock(name, url, self.clock)

    def _messaging(self, fleets: Iterable[Fleet]) -> Iterator[Check]:
        environments: dict[str, Environment] = {}
        names: dict[str, list[FleetName]] = defaultdict(list)
        for fleet in fleets:
            environments[fleet.environment.name] = fleet.environment
            names[fleet.environment.name].append(fleet.name)
        for name, environment in sorted(environments.items()):
            for region in environment.regions:
                yield MessagingLook(self.sessions, environment, region, names[name]).check

    def _gates(self, fleets: Iterable[Fleet]) -> Iterator[Check]:
        by_url: dict[str, list[Fleet]] = defaultdict(list)
        for fleet in fleets:
            by_url[fleet.environment.spinnaker["url"].rstrip("/")].append(fleet)
        for url, called in sorted(by_url.items()):
            gate = self.gates.at(url)
            every = [fleet for fleets in by_url.values() for fleet in fleets]
            yield GateLook(gate, called, signs_in=url in self.signing_in, every=every).check
            yield partial(check_clock, f"gate {url}", url, self.clock)


def check_twice(fleets: Sequence[Fleet]) -> Iterator[Finding]:
    """A fleet's name is unique over all repositories."""
    names = [fleet.name for fleet in fleets]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield About(check="git", name=name).trouble("several repositories declare it", "take it out of all but one")


def read_by(fleets: Iterable[Fleet], place: Place) -> Iterator[Act]:
    """What even `--observe-only` does that has an effect: reading a queue."""
    for environment in {fleet.environment.name for fleet in fleets if fleet.deploy_type == "trigger"}:
        queue = queue_arn(place.account, place.region, reports_queue_name(environment))
        for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage"):
            yield Act(action=action, resource=queue, why="where its hosts report")


def acts_of(fleets: Iterable[Fleet], place: Place) -> Iterator[Act]:
    """What deploying does in the place."""
    partition = partition_of(place.region)
    for fleet in fleets:
        environment = fleet.environment
        bucket = environment.trigger.get("bucket", "")
        if fleet.deploy_type == "trigger":
            topic = topic_arn(place.account, place.region, topic_name(fleet.name))
            order = f"arn:{partition}:s3:::{bucket}/{order_key(fleet.name)}"
            yield Act(action="s3:PutObject", resource=order, why="where its order lies")
            yield Act(action="sns:Publish", resource=topic, why="which wakes its hosts")
        elif fleet.config is not None and bucket:
            resource = f"arn:{partition}:s3:::{bucket}/config/{fleet.service}/*"
            yield Act(action="s3:PutObject", resource=resource, why="where its configuration is put")
