"""The SHA-256 of an object in S3: by S3's own checksum where it has one over the whole object, else by reading it."""

import base64
import hashlib
from contextlib import closing
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable
from reconciler.ports import Unreadable

CHUNK = 1 << 20  # bytes
KNOWN_AT_MOST = 10_000
_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})
_CLOSED = frozenset({"403", "AccessDenied", "Forbidden"})


class NoObject(Unreadable):
    """There is no such object, or none that may be read: asking again gives the same until a person mends it."""


class Checksums:
    """SHA-256 by address. What was read once is remembered by its ETag, in this process: large objects take long."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def sha256(self, client: Any, address: str) -> str:
        """64 hexadecimal characters for `s3://bucket/key`. Raises `NoObject`, `Unreadable`."""
        with readable(address, "s3"):
            head = _head(client, address)
            return _given(head) or self._read(client, address, head["ETag"])

    def _read(self, client: Any, address: str, etag: str) -> str:
        known = self._known.get((address, etag))
        if known is None:
            bucket, _, key = address.removeprefix("s3://").partition("/")
            digest = hashlib.sha256()
            with closing(client.get_object(Bucket=bucket, Key=key, IfMatch=etag)["Body"]) as stream:
                for chunk in stream.iter_chunks(CHUNK):
                    digest.update(chunk)
            if len(self._known) >= KNOWN_AT_MOST:
                self._known.clear()
            known = self._known[address, etag] = digest.hexdigest()
        return known


def find(client: Any, address: str) -> None:
    """Return where the object is there and may be read, by one request. Raises `NoObject`, `Unreadable`."""
    with readable(address, "s3"):
        _head(client, address)


def _head(client: Any, address: str) -> Any:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        return client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if said := _why_none(code_of(error), address):
            raise NoObject(said) from error
        raise


def _given(head: Any) -> str:
    """S3's own checksum; one over the checksums of parts says nothing of the bytes.

    An object that came in parts has `-` and their number in its ETag, also where a store tells nothing else of it.
    """
    told = str(head.get("ChecksumSHA256") or "")
    in_parts = "-" in told or "-" in head["ETag"] or head.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT"
    if not told or in_parts:
        return ""
    return base64.b64decode(told).hex()


def _why_none(code: str, address: str) -> str:
    if code in _ABSENT:
        return f"{address} is not there; upload it, or correct the version or `from`"
    if code in _CLOSED:
        return f"{address} may not be read, or is not there; upload it, or allow s3:GetObject and s3:ListBucket"
    return ""
