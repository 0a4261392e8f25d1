"""The small types that the file formats are made of: names, versions, moments, addresses.

Each refuses with the end of a sentence that begins with the key: `must be ...`.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
RESERVED = frozenset({"environment", "suspend"})
_NAME_SAID = "a name of at most 40 small letters, digits and hyphens that begins with a letter or digit"
_UNSEEN = r"\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"  # what a terminal or a reader would obey
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[-+]\d\d:\d\d)")


def name_fault(name: str) -> str | None:
    """Why this cannot be the name of a fleet, service, environment or freeze; None where it can."""
    if NAME.fullmatch(name) is None:
        return f"must be {_NAME_SAID}"
    if name in RESERVED:
        return 'must be another name, because "environment" and "suspend" are reserved'
    return None


def _name(value: str) -> str:
    fault = name_fault(value)
    if fault:
        raise ValueError(fault)
    return value


def no_expression(value: str) -> str:
    """Refuse what Spinnaker would evaluate as SpEL. Raises `ValueError`."""
    if "${" in value:
        raise ValueError("must not hold ${, because Spinnaker would evaluate it; write the value itself")
    return value


def _matching(pattern: str, said: str, *, expressions: bool = False) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def validate(value: str) -> str:
        if not expressions:
            no_expression(value)
        if compiled.fullmatch(value) is None:
            raise ValueError(f"must be {said}")
        return value

    return validate


def _text(pattern: str, said: str) -> tuple[AfterValidator, WithJsonSchema]:
    return AfterValidator(_matching(pattern, said)), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


def parse_moment(text: str) -> datetime:
    """An RFC 3339 timestamp with its offset, or a date, which is its midnight in UTC. Raises `ValueError`."""
    try:
        if _DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a date like 2026-12-01 or a time with its offset like 2026-12-01T08:00:00Z")


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    return parse_moment(value if isinstance(value, str) else "")


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]
_package = _text(r"[a-z0-9][a-z0-9.+_-]{0,99}", "a package name of small letters, digits and . + _ -")
PackageName = Annotated[str, _package[0], _package[1]]
_version = _text(r"[A-Za-z0-9][A-Za-z0-9.+~:_-]{0,127}", "a version of letters, digits and . + ~ : _ -")
VersionText = Annotated[str, _version[0], _version[1]]
_sha256 = _text(r"[0-9a-f]{64}", "a SHA-256 of 64 small hexadecimal characters")
Sha256 = Annotated[str, _sha256[0], _sha256[1]]
_account = _text(r"[0-9]{12}", 'an AWS account of 12 digits, like "123456789012"')
Account = Annotated[str, _account[0], _account[1]]
_region = _text(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]", "an AWS region like us-east-1")
Region = Annotated[str, _region[0], _region[1]]
_role = _text(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", "a role's ARN like arn:aws:iam::123456789012:role/x")
RoleArn = Annotated[str, _role[0], _role[1]]
_url = _text(r"https?://[^\s/@?#]+(?:/[^\s@?#]*)?", "an address like https://gate.example.com, without user or query")
Url = Annotated[str, _url[0], _url[1]]
_bucket = _text(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "an S3 bucket name")
Bucket = Annotated[str, _bucket[0], _bucket[1]]
_line = _text(rf"(?=.*\S)[^{_UNSEEN}]{{1,500}}", "one line of text without control characters")
Line = Annotated[str, _line[0], _line[1]]
_project = _text(
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._-]{1,100}){1,8}(?<!\.git)",
    "a repository as its forge names it, like acme/checkout",
)
Project = Annotated[str, _project[0], _project[1]]
_tag = _text(r"[A-Za-z0-9._/+@{}-]{1,200}", "the name of a tag, like v{version}")
TagName = Annotated[str, _tag[0], _tag[1]]
Path = Annotated[str, AfterValidator(_matching(rf"(?=\S)[^{_UNSEEN}]*(?<=\S)", "a path or address", expressions=True))]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(datetime.isoformat),
    WithJsonSchema({"type": "string", "examples": ["2026-12-01", "2026-12-01T08:00:00Z"]}),
]
