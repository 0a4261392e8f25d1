"""AWS Secrets Manager, for the controller's own secrets. They are never part of a sentence."""

import json
import re

import boto3
from botocore.config import Config

from adapters.aws.errors import readable
from reconciler.ports import Unreadable

_ARN = re.compile(r"arn:[a-z-]+:secretsmanager:(?P<region>[a-z0-9-]+):.*")


def stored_secret(reference: str) -> str:
    """The present text of `<name or ARN>`, or with `#<key>` of that key of its JSON. Raises `Unreadable`.

    Asked with the controller's own identity, in the ARN's region, else in the one that AWS_DEFAULT_REGION names.
    """
    name, _, key = reference.partition("#")
    arn = _ARN.fullmatch(name)
    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    with readable(f"the secret {name}", "secretsmanager"):
        client = boto3.client("secretsmanager", region_name=arn["region"] if arn else None, config=config)
        try:
            text = client.get_secret_value(SecretId=name).get("SecretString")
        finally:
            client.close()
    if text is None:
        raise Unreadable(f"the secret {name} is binary; store a text")
    return _part(str(text), name, key) if key else str(text)


def _part(text: str, name: str, key: str) -> str:
    found = _looked_up(text, key)
    if found is None:
        raise Unreadable(f"the secret {name} is no JSON object with a text under {key}")
    return found


def _looked_up(text: str, key: str) -> str | None:
    """An error of the JSON reader would carry the secret along."""
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if isinstance(value, str) else None
