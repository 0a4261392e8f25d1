"""The trigger side of an environment: bucket, topics and reports queue, looked at only."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from adapters.agent_protocol.addresses import dead_reports_queue_name, order_key, reports_queue_name, topic_name
from adapters.aws.errors import READ_ERRORS, code_of, sentence
from adapters.aws.sessions import Sessions
from adapters.aws.topics import topic_arn
from adapters.doctor.findings import About, Finding
from desired_state.model import Environment, FleetName
from reconciler.ports import Unreadable

WAITING = 10_000  # reports: more than agents send while nobody minds
MAKE = "run `fairlead trigger setup`"
_NOT_THERE = frozenset(
    {"404", "NoSuchBucket", "NotFound", "NotFoundException", "QueueDoesNotExist", "NonExistentQueue"}
    | {"AWS.SimpleQueueService.NonExistentQueue"}
)


class MessagingLook:
    """One environment in one region, and its trigger fleets there."""

    def __init__(self, sessions: Sessions, environment: Environment, region: str, fleets: Sequence[FleetName]) -> None:
        self._sessions = sessions
        self._environment = environment
        self._region = region
        self._fleets = sorted(fleets)
        self._about = About(check="messaging", name=f"{environment.name}/{region}")

    def check(self) -> Iterator[Finding]:
        """Topics and queue; the bucket with the environment's first region, where setup makes it."""
        yield from self._looked(self._topics)
        yield from self._looked(self._reports)
        yield from self._looked(self._dead)
        if self._region == self._environment.regions[0]:
            yield from self._looked(self._orders)
            yield from self._looked(self._bucket)

    def _looked(self, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
        try:
            yield from look()
        except Unreadable as trouble:
            yield self._about.failed(trouble)
        except READ_ERRORS as error:
            said = sentence(error, f"the {look.__name__.strip('_')} of {self._environment.name}")
            if "denied" not in said:
                yield self._about.failed(Unreadable(said))
                return
            yield self._about.skipped(
                f"{said.partition(';')[0]}, which only the doctor needs",
                "attach the policy `doctor` of deploy/terraform/iam to have it looked at",
            )

    def _client(self, service: str) -> Any:
        environment = self._environment
        return self._sessions.client(service, self._region, role=environment.role, account=environment.account)

    def _topics(self) -> Iterator[Finding]:
        sns, missing = self._client("sns"), []
        for fleet in self._fleets:
            try:
                sns.get_topic_attributes(TopicArn=topic_arn(self._environment.account, self._region, topic_name(fleet)))
            except ClientError as error:
                if code_of(error) not in _NOT_THERE:
                    raise
                missing.append(topic_name(fleet))
        if missing:
            yield self._about.warning(f"no topic {', '.join(missing)}: hosts wait for their next poll", MAKE)
        else:
            yield self._about.ok(f"every topic is there ({len(self._fleets)})")

    def _reports(self) -> Iterator[Finding]:
        sqs, name = self._client("sqs"), reports_queue_name(self._environment.name)
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        except ClientError as error:
            if code_of(error) not in _NOT_THERE:
                raise
            yield self._about.trouble(f"no queue {name}: no host can report", MAKE)
            return
        waiting = int(answer["Attributes"]["ApproximateNumberOfMessages"])
        if waiting > WAITING:
            yield self._about.warning(f"{waiting} reports wait in {name}", "see that a controller runs and reads them")
        else:
            yield self._about.ok(f"{name} is there, and {waiting} reports wait in it")

    def _dead(self) -> Iterator[Finding]:
        """Where what nobody can read of the reports ends."""
        sqs, name = self._client("sqs"), dead_reports_queue_name(self._environment.name)
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        except ClientError as error:
            if code_of(error) not in _NOT_THERE:
                raise
            yield self._about.warning(f"no queue {name}: reports that nobody can read are lost", MAKE)
            return
        if waiting := int(answer["Attributes"]["ApproximateNumberOfMessages"]):
            fix = (
                "look at them in the AWS console: what sent them, and which version of the agent; then purge the queue"
            )
            yield self._about.warning(f"{waiting} messages that nobody can read lie in {name}", fix)
        else:
            yield self._about.ok(f"{name} is there and empty: every report can be read")

    def _orders(self) -> Iterator[Finding]:
        """One is asked for. No answer but a refusal is trouble: an order, or a bucket, may not be there yet."""
        try:
            self._client("s3").head_object(
                Bucket=self._environment.trigger.get("bucket", ""), Key=order_key(self._fleets[0])
            )
        except ClientError as error:
            if code_of(error) in _NOT_THERE:
                return
            if code_of(error) not in {"403", "AccessDenied"}:
                raise
            yield self._about.trouble("orders may not be read", "allow s3:GetObject on orders/*, and s3:ListBucket")

    def _bucket(self) -> Iterator[Finding]:
        s3, name = self._client("s3"), self._environment.trigger.get("bucket", "")
        try:
            s3.head_bucket(Bucket=name)
        except ClientError as error:
            if code_of(error) not in _NOT_THERE:
                raise
            yield self._about.trouble(f"no bucket {name}: orders have no place", MAKE)
            return
        if s3.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
            yield self._about.warning(f"{name} keeps no versions: an order that is lost stays lost", MAKE)
        else:
            yield self._about.ok(f"{name} is there and keeps versions (a conditional write is not tried)")
