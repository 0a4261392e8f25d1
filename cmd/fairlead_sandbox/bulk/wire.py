"""Requests and answers of AWS's wire protocols, and the errors that services write.

Query XML (Auto Scaling, EC2, ELB, STS, SNS), JSON 1.0 (SQS) and REST XML (S3), as botocore's service models say.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

REQUEST_ID = "00000000-0000-0000-0000-000000000000"
_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


class Answer(NamedTuple):
    """What goes back."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Fault(Exception):
    """An error as a service names it."""

    def __init__(self, code: str, message: str, status: int = 400, query_code: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status
        self.query_code = query_code  # SQS: the name that it had before JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, signed by `access_key` for `service` in `region`. Names of headers are in small letters."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    service: str = ""
    region: str = ""
    access_key: str = ""
    action: str = ""  # "DescribeInstances", or the method where the protocol names none
    said: Mapping[str, Any] = field(default_factory=dict)  # parameters: of a form by their dotted names, or JSON

    def listed(self, prefix: str) -> list[str]:
        """The values of `<prefix>.1`, `<prefix>.2`, ..."""
        return list(_numbered(self.said, prefix))

    def filters(self) -> list[tuple[str, list[str]]]:
        """EC2's filters: name and values."""
        found = []
        for number in range(1, 201):
            name = self.said.get(f"Filter.{number}.Name")
            if name is None:
                break
            found.append((name, self.listed(f"Filter.{number}.Value")))
        return found

    def page_size(self, name: str, default: int, smallest: int, largest: int) -> int:
        """How many are asked for. Raises `Fault` outside of what the service gives."""
        size = int(self.said.get(name, default))
        if not smallest <= size <= largest:
            code = "ValidationError" if self.service == "autoscaling" else "InvalidParameterValue"
            raise Fault(code, f"Value ({size}) for parameter {name} is invalid. Expecting {smallest} to {largest}.")
        return size


def _numbered(said: Mapping[str, str], prefix: str) -> Iterator[str]:
    number = 1
    while (value := said.get(f"{prefix}.{number}")) is not None:
        yield value
        number += 1


def understood(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Asked:
    """The request with its service, action and parameters told apart."""
    scope = _SCOPE.search(headers.get("authorization", ""))
    asked = dict(parse_qsl(query, keep_blank_values=True))
    action, said = method, {}
    if target := headers.get("x-amz-target"):
        action, said = target.rpartition(".")[2], json.loads(body or b"{}")
    elif "form-urlencoded" in headers.get("content-type", ""):
        said = dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = said.get("Action", method)
    return Asked(
        method=method,
        path=path,
        query=asked,
        headers=headers,
        body=body,
        service=scope["service"] if scope else "",
        region=scope["region"] if scope else "",
        access_key=scope["key"] if scope else "",
        action=action,
        said=said,
    )


def xml(text: str) -> str:
    """Text as it stands in XML."""
    return escape(text)


def stamp(moment: datetime) -> str:
    """A time as AWS writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def tag_items(tags: Iterable[tuple[str, str]]) -> str:
    """EC2's tags."""
    return "".join(f"<item><key>{xml(key)}</key><value>{xml(value)}</value></item>" for key, value in tags)


def query_answer(asked: Asked, namespace: str, result: str) -> Answer:
    """The envelope of the query protocol."""
    text = (
        f'<{asked.action}Response xmlns="{namespace}"><{asked.action}Result>{result}</{asked.action}Result>'
        f"<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></{asked.action}Response>"
    )
    return Answer(text.encode(), headers=(("Content-Type", "text/xml"),))


def ec2_answer(asked: Asked, result: str) -> Answer:
    """EC2's own envelope."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{asked.action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{REQUEST_ID}</requestId>{result}</{asked.action}Response>"
    )
    return Answer(text.encode(), headers=(("Content-Type", "text/xml;charset=UTF-8"),))


def json_answer(body: Mapping[str, Any], status: int = 200, *headers: tuple[str, str]) -> Answer:
    """JSON 1.0."""
    return Answer(json.dumps(body).encode(), status, (("Content-Type", "application/x-amz-json-1.0"), *headers))


def fault_answer(asked: Asked, fault: Fault) -> Answer:
    """An error in the words of the protocol that the service speaks."""
    code, message = xml(fault.code), xml(fault.message)
    if asked.service == "sqs":
        blamed = "Sender" if fault.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
        named = f"{fault.query_code or fault.code};{blamed}"
        said = {"__type": f"com.amazonaws.sqs#{fault.code}", "message": fault.message}
        return json_answer(said, fault.status, ("x-amzn-query-error", named))
    if asked.service == "ec2":
        text = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{REQUEST_ID}</RequestID></Response>"
        )
    elif asked.service == "s3":
        text = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{REQUEST_ID}</RequestId></Error>"
    else:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        )
    return Answer(text.encode(), fault.status, (("Content-Type", "text/xml"),))
