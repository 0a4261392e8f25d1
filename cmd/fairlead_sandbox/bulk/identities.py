"""STS: who asks. An access key is the account's own, or that of a role's session.

The id of a role is `AROA...`, made of its ARN, and stands in `SenderId` before the session's name, as SQS gives it.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import NamedTuple

from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.bulk.wire import Answer, Asked, Fault, query_answer, stamp, xml
from reconciler.ports import Clock

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
LIFETIME = timedelta(hours=1)


class Caller(NamedTuple):
    """Whoever signed a request."""

    account: str
    role: str = ""  # its ARN
    session: str = ""

    @property
    def user_id(self) -> str:
        """`AROA...:<session>`, or the account's own."""
        return f"{role_id(self.role)}:{self.session}" if self.role else "AIDASANDBOX0000000000"

    @property
    def arn(self) -> str:
        """As GetCallerIdentity says it."""
        if not self.role:
            return f"arn:aws:iam::{self.account}:user/sandbox"
        return f"arn:aws:sts::{self.account}:assumed-role/{self.role.rpartition('/')[2]}/{self.session}"


def role_id(arn: str) -> str:
    """A role's id."""
    return f"AROA{hashlib.sha256(arn.encode()).hexdigest().upper()[:17]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """Sessions by access key. A key that is not known is the account's own."""

    clock: Clock
    sessions: dict[str, Caller]
    _numbers: "count[int]"

    @classmethod
    def new(cls, clock: Clock) -> "Identities":
        """Nobody has assumed anything."""
        return cls(clock=clock, sessions={}, _numbers=count(1))

    def caller(self, access_key: str) -> Caller:
        """Whose key that is."""
        return self.sessions.get(access_key) or Caller(ACCOUNT)

    def answer(self, asked: Asked) -> Answer:
        """GetCallerIdentity and AssumeRole. Raises `Fault`."""
        if asked.action == "GetCallerIdentity":
            who = self.caller(asked.access_key)
            said = f"<Arn>{who.arn}</Arn><UserId>{who.user_id}</UserId><Account>{who.account}</Account>"
            return query_answer(asked, _NAMESPACE, said)
        if asked.action == "AssumeRole":
            return self._assume(asked)
        raise Fault("InvalidAction", f"The action {asked.action} is not valid for this endpoint.")

    def _assume(self, asked: Asked) -> Answer:
        arn, session = asked.said["RoleArn"], asked.said["RoleSessionName"]
        who = Caller(arn.split(":")[4], arn, session)
        key = f"ASIASANDBOX{next(self._numbers):09d}"
        self.sessions[key] = who
        said = (
            f"<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>sandbox</SecretAccessKey>"
            f"<SessionToken>sandbox</SessionToken><Expiration>{stamp(self.clock.now() + LIFETIME)}</Expiration>"
            f"</Credentials><AssumedRoleUser><AssumedRoleId>{who.user_id}</AssumedRoleId><Arn>{xml(who.arn)}</Arn>"
            "</AssumedRoleUser>"
        )
        return query_answer(asked, _NAMESPACE, said)
