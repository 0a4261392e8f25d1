"""What EC2 says to the instance itself: its metadata service (IMDSv2).

The rules: "Use IMDSv2" and "Instance metadata categories", Amazon EC2 User Guide. A session token is asked for with a
PUT, and sent along with each GET. `AWS_EC2_METADATA_SERVICE_ENDPOINT` leads elsewhere, as it does for the SDKs.
"""

import http.client
import os
import urllib.error
import urllib.request

ENDPOINT = "http://169.254.169.254"
_WITHIN = 5.0  # seconds
_LIFETIME = "21600"  # seconds of a token, the most that there is
_LARGEST = 4096  # bytes of an answer


class Silent(Exception):
    """The service did not answer, or answered no text. The message says what was asked, and what came."""


class Metadata:
    """Asks over one session token. Not for two threads at once."""

    def __init__(self) -> None:
        self._token = ""

    def get(self, path: str) -> str | None:
        """What stands at a path such as `latest/meta-data/instance-id`; None: nothing does. Raises `Silent`."""
        for _ in range(2):  # a token may have ended, or be of an instance that was stopped since
            self._token = self._token or _ask("latest/api/token", "PUT", {"token-ttl-seconds": _LIFETIME})
            try:
                return _ask(path, "GET", {"token": self._token})
            except _Refused as refused:
                if refused.status == http.HTTPStatus.NOT_FOUND:
                    return None
                self._token, said = "", str(refused)
        raise Silent(said)


class _Refused(Silent):
    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status


def _ask(path: str, method: str, headers: dict[str, str]) -> str:
    endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT
    sent = {f"X-aws-ec2-metadata-{name}": value for name, value in headers.items()}
    request = urllib.request.Request(f"{endpoint.rstrip('/')}/{path}", method=method, headers=sent)  # noqa: S310
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is this very machine
    try:
        with straight.open(request, timeout=_WITHIN) as answer:
            return str(answer.read(_LARGEST).decode("ascii").strip())
    except urllib.error.HTTPError as error:
        with error:
            raise _Refused(f"{path}: {error}", error.code) from None
    except (OSError, ValueError, http.client.HTTPException, urllib.error.URLError) as error:
        raise Silent(f"{path}: {error}") from None
