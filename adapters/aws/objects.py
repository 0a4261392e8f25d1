"""Objects in S3 that are named by their digest: written once, never changed."""

from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable

_THERE = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})


def put_if_absent(client: Any, bucket: str, key: str, text: str) -> str:
    """Write the object unless there is one of that name, and give its address `s3://bucket/key`.

    Raises `Unreadable` when S3 refuses or cannot be reached.
    """
    with readable(f"s3://{bucket}/{key} (to write it)", "s3"):
        try:
            client.put_object(Bucket=bucket, Key=key, Body=text.encode(), IfNoneMatch="*")
        except ClientError as error:
            if code_of(error) not in _THERE:
                raise
    return f"s3://{bucket}/{key}"
