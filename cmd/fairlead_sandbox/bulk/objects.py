"""S3: objects in buckets, conditional writes, and a log of every version that was written, when and by whom.

The rules of the conditions: "How to prevent object overwrites with conditional writes", Amazon S3 User Guide.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import NamedTuple

from fairlead_sandbox.bulk.identities import Caller
from fairlead_sandbox.bulk.wire import Answer, Asked, Fault
from reconciler.ports import Clock

Made = Callable[[str], bytes | None]  # an object's bytes by its key, where a bucket makes them up; None: there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What one write left."""

    bucket: str
    key: str
    body: bytes
    etag: str
    at: datetime
    writer: Caller

    @property
    def address(self) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"


class _Spot(NamedTuple):
    bucket: str
    key: str


class Objects:
    """All buckets. `writes` has every version, oldest first; `made` the buckets whose objects are made up when read."""

    def __init__(self, clock: Clock) -> None:
        self.writes: list[Version] = []
        self.buckets: set[str] = set()
        self.made: dict[str, Made] = {}
        self._clock = clock
        self._lock = Lock()
        self._newest: dict[_Spot, Version] = {}

    def get(self, bucket: str, key: str) -> Version | None:
        """The newest version. Raises `Fault` where there is no such bucket."""
        found = self._newest.get(_Spot(bucket, key))
        if found is not None:
            return found
        if bucket in self.made:
            body = self.made[bucket](key)
            return None if body is None else self._version(_Spot(bucket, key), body, Caller(""))
        if bucket not in self.buckets:
            raise Fault("NoSuchBucket", "The specified bucket does not exist", 404)
        return None

    def put(
        self, bucket: str, key: str, body: bytes, writer: Caller, *, condition: tuple[str, str] = ("", "")
    ) -> Version:
        """Write, under `("if-match", etag)` or `("if-none-match", "*")`. Raises `Fault` where that does not hold."""
        spot = _Spot(bucket, key)
        written = self._version(spot, body, writer)
        with self._lock:
            if bucket not in self.buckets:
                raise Fault("NoSuchBucket", "The specified bucket does not exist", 404)
            _check(condition, self._newest.get(spot))
            self._newest[spot] = written
            self.writes.append(written)
        return written

    def versions(self, bucket: str, key: str) -> list[Version]:
        """All that was ever written there, oldest first."""
        return [each for each in list(self.writes) if (each.bucket, each.key) == (bucket, key)]

    def delete(self, bucket: str, key: str) -> None:
        """The object is gone; the log keeps what it was."""
        with self._lock:
            self._newest.pop(_Spot(bucket, key), None)

    def answer(self, asked: Asked, writer: Caller) -> Answer:
        """GetObject, HeadObject, PutObject, HeadBucket and CreateBucket. Raises `Fault`."""
        spot = _spot(asked)
        if not spot.key:
            return self._bucket(asked, spot.bucket)
        if asked.method == "PUT":
            return self._put(asked, spot, writer)
        if asked.method in {"GET", "HEAD"}:
            return self._get(asked, spot)
        raise Fault("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)

    def _bucket(self, asked: Asked, bucket: str) -> Answer:
        if asked.query or asked.method not in {"HEAD", "PUT"}:
            raise Fault("NotImplemented", "this S3 knows buckets only by HEAD and PUT", 501)
        if asked.method == "PUT":
            self.buckets.add(bucket)
        elif bucket not in self.buckets and bucket not in self.made:
            raise Fault("NoSuchBucket", "The specified bucket does not exist", 404)
        return Answer(b"")

    def _put(self, asked: Asked, spot: _Spot, writer: Caller) -> Answer:
        if asked.headers.get("content-encoding", "").startswith("aws-chunked"):
            raise Fault("NotImplemented", "this S3 takes a body as it is, not in signed chunks", 501)
        named = [(name, asked.headers[name]) for name in ("if-match", "if-none-match") if name in asked.headers]
        written = self.put(spot.bucket, spot.key, asked.body, writer, condition=named[0] if named else ("", ""))
        return Answer(b"", headers=(("ETag", written.etag),))

    def _get(self, asked: Asked, spot: _Spot) -> Answer:
        found = self.get(*spot)
        if found is None:
            raise Fault("NoSuchKey", "The specified key does not exist.", 404)
        if asked.headers.get("if-match", found.etag).strip('"') != found.etag.strip('"'):
            raise Fault("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
        headers = [("ETag", found.etag), ("Last-Modified", f"{found.at:%a, %d %b %Y %H:%M:%S} GMT")]
        if asked.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            digest = base64.b64encode(hashlib.sha256(found.body).digest()).decode()
            headers += [("x-amz-checksum-sha256", digest), ("x-amz-checksum-type", "FULL_OBJECT")]
        return Answer(found.body, headers=(*headers, ("Content-Type", "binary/octet-stream")))

    def _version(self, spot: _Spot, body: bytes, writer: Caller) -> Version:
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        return Version(bucket=spot.bucket, key=spot.key, body=body, etag=etag, at=self._clock.now(), writer=writer)


def _check(condition: tuple[str, str], stands: Version | None) -> None:
    name, value = condition
    if name == "if-match" and stands is None:
        raise Fault("NoSuchKey", "The specified key does not exist.", 404)
    taken = name == "if-none-match" and stands is not None
    if taken or (name == "if-match" and stands is not None and stands.etag.strip('"') != value.strip('"')):
        raise Fault("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)


def _spot(asked: Asked) -> _Spot:
    """Bucket and key: by the path, or by a host name that begins with the bucket."""
    host = asked.headers.get("host", "").partition(":")[0]
    path = asked.path.lstrip("/")
    if host.endswith(".localhost"):
        return _Spot(host.removesuffix(".localhost"), path)
    bucket, _, key = path.partition("/")
    return _Spot(bucket, key)
