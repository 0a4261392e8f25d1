"""The reads of an import: AWS's Describe calls, Gate's pipelines, agents' reports. Nothing anywhere is changed.

Reports are taken from their queue and put back as soon as all were read. A controller that reads the same queue is in
the way of both: it takes what an import would read, and to it a host whose report is hidden is silent.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.agent_protocol.addresses import reports_queue_name
from adapters.agent_protocol.fields import Malformed
from adapters.agent_protocol.reports import Report, read_report
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.queues import MOST, Message, SqsQueue
from adapters.aws.sessions import Sessions
from adapters.gate.client import Gate
from adapters.importing.clusters import clusters_of
from adapters.importing.facts import Account, Pipeline, Rules, Site, Told
from adapters.importing.hosts import environments_of
from adapters.importing.naming import parts_of
from reconciler.ports import Unreadable


class Reader:
    """Reads accounts. `gate` None: no pipeline is looked up."""

    def __init__(self, sessions: Sessions, gate: Gate | None) -> None:
        self._sessions = sessions
        self._gate = gate

    def read(self, account: Account, rules: Rules) -> Site:
        """One account. Raises `Unreadable`; a queue or an application that is not there is a note."""
        inventory = InventoryReader(self._sessions)
        inventories = {}
        for region in account.regions:
            inventories[region] = inventory.read_region(Place(account.id, region, account.role))
        site = Site(account=account, inventories=inventories)
        reports, notes = self._reports(site, environments_of(site, rules))
        return Site(
            account=account,
            inventories=inventories,
            pipelines=self._pipelines(site, rules),
            reports=reports,
            notes=tuple(notes),
        )

    def _pipelines(self, site: Site, rules: Rules) -> Mapping[str, Sequence[Pipeline]]:
        if self._gate is None:
            return {}
        clusters, _ = clusters_of(site)
        applications = sorted({parts_of(cluster.name, rules.environments).application for cluster in clusters})
        found = {}
        for application in applications:
            found[application] = self._gate.pipelines(application)
        return found

    def _reports(self, site: Site, environments: Iterable[str]) -> tuple[list[Told], list[str]]:
        newest: dict[tuple[str, str], tuple[Message, Report]] = {}
        notes: list[str] = []
        for environment in sorted(environments):
            queue = reports_queue_name(environment)
            for region in site.account.regions:
                try:
                    messages = self._queue(site.account, region, environment).peek()
                except Unreadable as trouble:
                    notes.append(str(trouble))
                    continue
                if len(messages) >= MOST:
                    notes.append(
                        f"{queue} in {region} holds more reports than were read, mostly the oldest: versions "
                        f"may be old; without a controller, empty it, wait two minutes, and import again"
                    )
                believed = list(_believed(messages))
                if len(believed) < len(messages):
                    notes.append(
                        f"{queue} in {region}: {len(messages) - len(believed)} of {len(messages)} messages are no "
                        f"reports of the instances that sent them, and were passed over"
                    )
                for message, report in believed:
                    known = newest.get((report.fleet, report.host))
                    if known is None or (known[0].sent, known[1].number) < (message.sent, report.number):
                        newest[report.fleet, report.host] = message, report
        return [_told(report) for _, report in newest.values()], notes

    def _queue(self, account: Account, region: str, environment: str) -> SqsQueue:
        client: Any = self._sessions.client("sqs", region, role=account.role, account=account.id)
        name = reports_queue_name(environment)
        return SqsQueue(
            client, name, f"no agent of {environment} can have reported: there is no queue {name} in {region}"
        )


def _believed(messages: Iterable[Message]) -> Iterable[tuple[Message, Report]]:
    """A report counts for the instance that sent it."""
    for message in messages:
        try:
            report = read_report(message.body)
        except Malformed:
            continue
        if message.session == report.host:
            yield message, report


def _told(report: Report) -> Told:
    return Told(
        fleet=report.fleet,
        host=report.host,
        components=dict(report.components) if report.running else {},
        target_groups=report.target_groups,
    )
