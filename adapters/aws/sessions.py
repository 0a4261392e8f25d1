"""One factory of boto3 clients, so that roles, retries, time-outs and the check of the account live in one place."""

from collections.abc import Mapping
from datetime import timedelta
from threading import Lock
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials
from botocore.session import get_session

from adapters.aws.errors import readable
from adapters.aws.models import lean_session
from reconciler.ports import Clock, Unreadable

SESSION_NAME = "fairlead"
PATIENT = 9  # attempts of a request that nobody holds a fleet for
FEW = 2  # attempts within a pass, which holds its fleet for the time of a lease
CONNECT_WITHIN = timedelta(seconds=5)


class Sessions:
    """Clients by (role, region, service), made once and shared by threads.

    A role is assumed with the controller's own credentials and assumed again before it expires. The endpoint comes from
    the standard AWS_ENDPOINT_URL variables unless `endpoint_url` is given.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        endpoint_url: str | None = None,
        max_attempts: int = PATIENT,
        request_timeout: timedelta = timedelta(seconds=30),
        whole_answers: bool = False,
    ) -> None:
        self._make = get_session if whole_answers else lean_session  # what few members are read of is read faster
        self._clock = clock
        self._endpoint = endpoint_url
        self._timeout = request_timeout
        self._attempts = max_attempts
        self._lock = Lock()  # making a client is not thread-safe in boto3; using one is
        self._sessions: dict[str | None, boto3.Session] = {}
        self._clients: dict[tuple[str | None, str, str, int], Any] = {}
        self._accounts: dict[str | None, str] = {}

    @classmethod
    def within_a_pass(cls, clock: Clock, request_timeout: timedelta) -> Self:
        """For who holds a fleet meanwhile: rather trouble that can be told than a lease that runs out unheard."""
        return cls(clock=clock, max_attempts=FEW, request_timeout=request_timeout)

    def client(
        self, service: str, region: str, *, role: str | None = None, account: str | None = None, once: bool = False
    ) -> Any:
        """A client for the service; `role` is the ARN to assume, None the controller's own identity.

        With `account` the session is asked once which account it really reached. `once`: it never repeats a request by
        itself, for what must not be done again after the lease was asked; who lost an answer looks what was done.
        Raises `Unreadable` when that is another one, or when it cannot be told.
        """
        if account is not None:
            self._verify(role, region, account)
        return self._client(service, region, role, 1 if once else self._attempts)

    def prepare(self, service: str, region: str, *, role: str | None = None) -> None:
        """Make a client before it is needed. No request is made, so nothing is known of the role.

        Raises `Unreadable` where there can be none.
        """
        self._client(service, region, role, self._attempts)

    def _client(self, service: str, region: str, role: str | None, attempts: int) -> Any:
        key = (role, region, service, attempts)
        with self._lock:
            if key not in self._clients:
                with readable(f"the {service} endpoint of {region}", service):
                    self._clients[key] = self._session(role, region).client(
                        service, region_name=region, config=self._config(attempts), endpoint_url=self._endpoint
                    )
            return self._clients[key]

    def _config(self, attempts: int) -> Config:
        """The adaptive mode waits inside the client for as long as AWS throttles, which a pass has no time for."""
        return Config(
            retries={"mode": "adaptive" if attempts > FEW else "standard", "total_max_attempts": attempts},
            connect_timeout=min(CONNECT_WITHIN, self._timeout).total_seconds(),
            read_timeout=self._timeout.total_seconds(),
            max_pool_connections=32,
            user_agent_extra="fairlead",
        )

    def _session(self, role: str | None, region: str) -> boto3.Session:
        if role not in self._sessions:
            inner = self._make() if role is None else self._assumed(role, region)
            self._sessions[role] = boto3.Session(botocore_session=inner)
        return self._sessions[role]

    def _assumed(self, role: str, region: str) -> Any:
        inner = self._make()
        inner._credentials = DeferredRefreshableCredentials(
            refresh_using=lambda: self._assume(role, region),
            method="assume-role",
            **({"time_fetcher": self._clock.now} if self._clock else {}),
        )
        return inner

    def _assume(self, role: str, region: str) -> Mapping[str, str]:
        """Fresh credentials in the form that botocore wants, which asks whenever the old ones near their end."""
        with readable(f"AWS as {role}", "sts"):
            answer = self._client("sts", region, None, self._attempts).assume_role(
                RoleArn=role, RoleSessionName=SESSION_NAME
            )
        credentials = answer["Credentials"]
        return {
            "access_key": credentials["AccessKeyId"],
            "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"],
            "expiry_time": credentials["Expiration"].isoformat(),
        }

    def _verify(self, role: str | None, region: str, account: str) -> None:
        reached = self._accounts.get(role)
        if reached is None:
            with readable(f"which account {role or 'the controller'} belongs to", "sts"):
                sts = self._client("sts", region, role, self._attempts)
                reached = str(sts.get_caller_identity()["Account"])
            self._accounts[role] = reached
        if reached != account:
            raise Unreadable(
                f"{role or 'the controller has no role to assume and its own identity'} reaches account {reached}, and "
                f"the environment names {account}; correct `role` or `account` in environment.yaml"
            )
