"""Objects in S3: named by their digest and written once, or replaced only by who has seen what stands there.

Every function raises `Unreadable` when S3 refuses or cannot be reached.
"""

from contextlib import closing
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable

_TAKEN = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
_ABSENT = frozenset({"NoSuchKey", "404"})


class Stored(NamedTuple):
    """An object as a read showed it. The body is None where it is larger than was asked for."""

    etag: str
    size: int
    body: bytes | None


def put_if_absent(client: Any, bucket: str, key: str, text: str) -> str:
    """Write the object unless there is one of that name, and give its address `s3://bucket/key`."""
    put_if_same(client, bucket, key, text.encode(), None)
    return f"s3://{bucket}/{key}"


def put_if_same(client: Any, bucket: str, key: str, body: bytes, etag: str | None) -> str | None:
    """Write the object where the one that has `etag` still stands (None: where there is none); gives the new ETag.

    None: another writer was faster, and nothing was written. The rule: "How to prevent object overwrites with
    conditional writes", Amazon S3 User Guide; a conflict with a write under way is 409, a missing object 404.
    """
    condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
    with readable(f"s3://{bucket}/{key} (to write it)", "s3"):
        try:
            return str(client.put_object(Bucket=bucket, Key=key, Body=body, **condition)["ETag"])
        except ClientError as error:
            if code_of(error) in _TAKEN or (etag is not None and code_of(error) in _ABSENT):
                return None
            raise


def get_small(client: Any, bucket: str, key: str, most: int) -> Stored | None:
    """The object, with its body where that has at most `most` bytes; None where there is none of that name."""
    with readable(f"s3://{bucket}/{key} (needs s3:GetObject and s3:ListBucket)", "s3"):
        try:
            answer = client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code_of(error) in _ABSENT:
                return None
            raise
        size, etag = int(answer["ContentLength"]), str(answer["ETag"])
        with closing(answer["Body"]) as stream:
            return Stored(etag, size, stream.read() if size <= most else None)
