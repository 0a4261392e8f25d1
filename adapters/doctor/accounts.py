"""AWS by account, region and role: who we are there, and every read that the inventory makes, tried one item long.

What cannot be tried without an effect (publishing, writing) is asked of IAM's simulator where that is allowed, else
said to be not tried. The simulator knows no policies of an organization or of resources: its yes is a strong hint.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.aws.errors import READ_ERRORS, code_of, sentence
from adapters.aws.inventory import Place
from adapters.aws.sessions import Sessions
from adapters.aws.topics import topic_arn
from adapters.doctor.findings import About, Finding
from reconciler.ports import Unreadable

_ALLOWED = frozenset({"TargetGroupNotFound", "ValidationError", "DryRunOperation"})  # asked of nothing, after IAM's yes
_ROLE_SESSION = re.compile(r"^arn:([\w-]+):sts::(\d{12}):assumed-role/([^/]+)/.*$")

IAM_NAMES = {"elbv2": "elasticloadbalancing"}  # how IAM calls a service, where boto says otherwise

Question = tuple[str, str, Mapping[str, Any]]  # service, method, arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """An action that cannot be tried, and what it would be done to."""

    action: str  # s3:PutObject
    resource: str  # an ARN
    why: str

    def order(self) -> tuple[str, str]:
        """By action, then by what it is done to."""
        return self.action, self.resource


class AccountLook:
    """One account and region, seen by the identity that the controller uses there."""

    def __init__(self, sessions: Sessions, place: Place, acts: Sequence[Act], *, balanced: bool) -> None:
        self._sessions = sessions
        self._place = place
        self._acts = acts
        self._balanced = balanced  # some fleet drains target groups
        self._about = About(check="aws", name=f"{place.account}/{place.region}")

    def check(self) -> Iterator[Finding]:
        """Identity, reads, acts. Without an identity the rest is not asked."""
        try:
            arn = self._identity()
        except Unreadable as trouble:
            yield self._about.failed(trouble)
            return
        except READ_ERRORS as error:
            yield self._about.failed(Unreadable(sentence(error, "who we are", "sts")))
            return
        yield self._about.ok(f"we are {arn}")
        yield from self._reads()
        yield from self._acting(arn)

    def _client(self, service: str) -> Any:
        return self._sessions.client(service, self._place.region, role=self._place.role, account=self._place.account)

    def _identity(self) -> str:
        return str(self._client("sts").get_caller_identity()["Arn"])

    # ── reads ──

    def _reads(self) -> Iterator[Finding]:
        said = {action: said for action, said in map(self._tried, self._questions()) if said}
        denied = [action for action, why in said.items() if "is denied" in why]
        if denied:
            names = ", ".join(denied)
            yield self._about.trouble(
                f"not allowed: {names}", f"allow {names} to {self._place.role or 'this identity'}"
            )
        yield from (self._about.failed(Unreadable(why)) for action, why in said.items() if action not in denied)
        if not said:
            yield self._about.ok("every read of the inventory is allowed")

    def _tried(self, question: Question) -> tuple[str, str]:
        """The action, and why it does not work; an empty text where it does."""
        service, method, arguments = question
        action = f"{IAM_NAMES.get(service, service)}:{''.join(word.title() for word in method.split('_'))}"
        try:
            getattr(self._client(service), method)(**arguments)
        except Unreadable as trouble:
            return action, str(trouble)
        except READ_ERRORS as error:
            return action, "" if code_of(error) in _ALLOWED else sentence(error, f"what {action} gives", service)
        return action, ""

    def _questions(self) -> Iterator[Question]:
        """The inventory's calls, as short as each can be."""
        yield "autoscaling", "describe_auto_scaling_groups", {"MaxRecords": 1}
        yield "autoscaling", "describe_launch_configurations", {"MaxRecords": 1}
        yield "ec2", "describe_instances", {"MaxResults": 5}
        yield "ec2", "describe_images", {"Owners": ["self"], "MaxResults": 5}
        yield "ec2", "describe_launch_template_versions", {"Versions": ["$Latest"], "MaxResults": 1}
        if self._balanced:  # of a target group that nobody has: IAM is asked first
            nobody = topic_arn(self._place.account, self._place.region, "targetgroup/fairlead-doctor/0000000000000000")
            arn = nobody.replace(":sns:", ":elasticloadbalancing:", 1)
            yield "elbv2", "describe_target_health", {"TargetGroupArn": arn}

    # ── acts ──

    def _acting(self, arn: str) -> Iterator[Finding]:
        if not self._acts:
            return
        named = ", ".join(sorted({act.action for act in self._acts}))
        try:
            refused = [act for act in self._acts if not self._simulated(principal_of(arn), act)]
        except (*READ_ERRORS, Unreadable):
            yield self._about.skipped(
                f"not tried, because trying has an effect: {named}",
                "allow iam:SimulatePrincipalPolicy on this identity to have IAM asked about them",
            )
            return
        for act in refused:
            yield self._about.trouble(
                f"IAM does not allow {act.action} on {act.resource}, {act.why}", f"allow {act.action} there"
            )
        if not refused:
            yield self._about.ok(f"IAM's simulator allows {named}")

    def _simulated(self, principal: str, act: Act) -> bool:
        answer = self._client("iam").simulate_principal_policy(
            PolicySourceArn=principal, ActionNames=[act.action], ResourceArns=[act.resource]
        )
        return all(result["EvalDecision"] == "allowed" for result in answer["EvaluationResults"])


def principal_of(arn: str) -> str:
    """The role behind the session of a role, which is what the simulator takes; any other ARN as it is."""
    found = _ROLE_SESSION.match(arn)
    return f"arn:{found[1]}:iam::{found[2]}:role/{found[3]}" if found else arn
