"""AWS for the agent: botocore's clients, each made when it is first needed, and their errors as sentences.

boto3 is left out: its resources cost memory and nothing here uses them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from adapters.agent_protocol.reports import Blame
from fairlead_agent.trouble import Trouble

LONG_POLL = 20  # seconds, the longest that SQS has
_CONNECT = 5  # seconds
_READ = 20  # seconds
_ASKED = 3  # times that the metadata service is asked for credentials: at boot it may answer late
_REFUSED = ("AccessDenied", "Unauthorized", "Forbidden", "403", "InvalidClientTokenId", "AuthFailure")


class Cloud:
    """The clients of one region. Safe to share between threads."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._lock = Lock()
        self._session = botocore.session.Session()
        self._session.set_config_variable("metadata_service_num_attempts", _ASKED)
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The client of a service such as `s3`. Raises botocore's errors where there are no credentials."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> Any:
        """A client keeps the credentials that it is made with: one made while there are none would never have any."""
        if self._session.get_credentials() is None:
            raise NoCredentialsError
        read = LONG_POLL + 10 if service == "sqs" else _READ
        config = Config(
            region_name=self._region,
            connect_timeout=_CONNECT,
            read_timeout=read,
            retries={"mode": "standard", "max_attempts": 3},
            max_pool_connections=4,
            user_agent=f"fairlead-agent botocore/{botocore.__version__}",  # its own is made anew each time
            response_checksum_validation="when_required",  # what is read is proven by what it must be
        )
        return self._session.create_client(service, config=config)


def code_of(error: Exception) -> str:
    """The code of an AWS error, empty for any other."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


@contextmanager
def reaching(doing: str) -> Iterator[None]:
    """Says botocore's errors as `Trouble`: REFUSED where the role may not, TRANSIENT for the rest."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        code = code_of(error)
        refused = code.startswith(_REFUSED)
        said = f"cannot {doing}: {_short(error)}" + ("; look at the policy of the instance's role" if refused else "")
        raise Trouble(Blame.REFUSED if refused else Blame.TRANSIENT, said) from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
