"""Secrets in configuration values: read on the host, by its own role, and written into the rendered file only.

`{"$secret": "aws-sm:<name>#<key of its JSON>", "version": "<version>"}`. Secrets Manager names a version in two ways
(GetSecretValue: `VersionId`, an id of 32 to 64 characters that never means another value; `VersionStage`, a label that
people and rotations move). `version` may be either: what could be an id is looked up as one first, then as a label.
Pin by an id, or by a label that is never moved, such as "7". Left out, it is `AWSCURRENT`, whatever that is that day.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from adapters.agent_protocol.reports import Blame
from fairlead_agent.trouble import Trouble

SECRET = "$secret"  # noqa: S105 the key in the file
_STORE = "aws-sm:"
_REFUSED = frozenset(
    {
        "AccessDeniedException",
        "InvalidRequestException",  # marked for deletion
        "InvalidParameterException",
        "ValidationException",
        "DecryptionFailure",
    }
)


class Secrets:
    """Reads each version of a secret once, for one rendering."""

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        self._texts: dict[tuple[str, str], str] = {}

    def resolved(self, value: Any) -> Any:
        """The value with every secret in its place. Raises `Trouble`, which never holds one.

        REFUSED: another store, no such secret, version or key, not allowed. TRANSIENT: throttled, not reached.
        """
        if isinstance(value, Mapping):
            if SECRET in value:
                return self._one(str(value[SECRET]), str(value.get("version") or "AWSCURRENT"))
            return {key: self.resolved(inner) for key, inner in value.items()}
        return [self.resolved(inner) for inner in value] if isinstance(value, list | tuple) else value

    def _one(self, reference: str, version: str) -> Any:
        if not reference.startswith(_STORE):
            said = f"the secret {reference[:200]} is in a store that the agent does not read"
            raise Trouble(Blame.REFUSED, f"{said}; write aws-sm:<name>#<key>, of AWS Secrets Manager")
        name, _, key = reference.removeprefix(_STORE).partition("#")
        if (name, version) not in self._texts:
            self._texts[name, version] = self._read(name, version)
        text = self._texts[name, version]
        return _part(text, key, name) if key else text

    def _read(self, name: str, version: str) -> str:
        for wanted in _ways(version):
            text = self._ask(name, version, wanted)
            if text is not None:
                return text
        said = f"there is no secret {name} with a version or label {version}"
        raise Trouble(Blame.REFUSED, f"{said} in this account and region; add it, or correct the reference")

    def _ask(self, name: str, version: str, wanted: Mapping[str, str]) -> str | None:
        """The secret's text; None: there is none of that name and version."""
        try:
            answer = self._client().get_secret_value(SecretId=name, **wanted)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "ResourceNotFoundException":
                return None
            raise _refusal(name, version, code) from None
        except BotoCoreError as error:
            raise Trouble(Blame.TRANSIENT, f"cannot read the secret {name}: {type(error).__name__}") from None
        if "SecretString" not in answer:
            raise Trouble(Blame.REFUSED, f"the secret {name}, version {version}, is binary; only texts are written")
        return str(answer["SecretString"])


def _ways(version: str) -> list[dict[str, str]]:
    label = {"VersionStage": version}
    return [{"VersionId": version}, label] if 32 <= len(version) <= 64 else [label]


def _refusal(name: str, version: str, code: str) -> Trouble:
    said = f"cannot read the secret {name}, version {version}: Secrets Manager answered {code}"
    if code in _REFUSED:
        advice = "the host's role needs secretsmanager:GetSecretValue on it (and kms:Decrypt on its key)"
        return Trouble(Blame.REFUSED, f"{said}; {advice}")
    return Trouble(Blame.TRANSIENT, f"{said}; it is tried again")


def _part(text: str, key: str, name: str) -> Any:
    found = _looked_up(text, key)
    if not found:
        raise Trouble(Blame.REFUSED, f"the secret {name} is no JSON object with the key {key}")
    return found[0]


def _looked_up(text: str, key: str) -> list[Any]:
    """One value or none: an error of the JSON reader would carry the secret along."""
    try:
        return [json.loads(text)[key]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
