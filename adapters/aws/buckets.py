"""The bucket of an environment's orders: made where it is missing, private, and keeping what orders said before.

A bucket that somebody else made is used as it is. Encryption is what S3 gives every new object by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable
from adapters.aws.laying import Did
from reconciler.ports import Unreadable

KEPT_DAYS = 90  # of orders that were replaced
HOME = "us-east-1"  # the region that must not be named (CreateBucket, LocationConstraint)
_PRIVATE = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
_ABSENT = frozenset({"404", "NoSuchBucket", "NotFound"})
_CLOSED = frozenset({"403", "AccessDenied", "Forbidden"})
_UNSAID = frozenset({"NoSuchTagSet", "NoSuchPublicAccessBlockConfiguration"})


class Bucket:
    """One bucket. With `dry_run` it says what it would do, and does nothing."""

    def __init__(self, s3: Any, name: str, region: str, tags: Mapping[str, str], *, dry_run: bool) -> None:
        self._s3 = s3
        self._name = name
        self._region = region
        self._tags = tags
        self._acts = not dry_run

    def ensure(self) -> tuple[Did, str]:
        """Make it, or finish what an earlier run of ours began. Raises `Unreadable`.

        Of one that is not ours by its tags, and is not as ours would be, a sentence tells it: somebody may want it so,
        or whoever made it for us died before the tags.
        """
        with readable(f"the bucket {self._name} (to make it)", "s3"):
            if not self._is_there():
                if self._acts:
                    self._make()
                    self._finish()
                return Did.MADE, ""
            if self._is_finished():
                return Did.KEPT, ""
            if not self._is_ours():
                return Did.KEPT, self._left()
            if self._acts:
                self._finish()
            return Did.CHANGED, ""

    def _left(self) -> str:
        tags = ", ".join(f"{key}={value}" for key, value in sorted(self._tags.items()))
        return (
            f"the bucket {self._name} has no tags {tags} and is left as it is, though it does not block all public "
            "access or does not keep old versions; set that, or the tags where it is ours, and run this again"
        )

    def _is_there(self) -> bool:
        try:
            self._s3.head_bucket(Bucket=self._name)
        except ClientError as error:
            if code_of(error) in _CLOSED:
                raise Unreadable(
                    f"the bucket {self._name} belongs to another account, or s3:ListBucket on it is not allowed; "
                    "name another in `trigger.bucket`, or allow it"
                ) from error
            if code_of(error) not in _ABSENT:
                raise
            return False
        return True

    def _is_ours(self) -> bool:
        said = self._said(self._s3.get_bucket_tagging).get("TagSet", ())
        tags = {tag["Key"]: tag["Value"] for tag in said}
        return all(tags.get(key) == value for key, value in self._tags.items())

    def _is_finished(self) -> bool:
        block = self._said(self._s3.get_public_access_block).get("PublicAccessBlockConfiguration")
        return block == _PRIVATE and self._said(self._s3.get_bucket_versioning).get("Status") == "Enabled"

    def _said(self, question: Callable[..., Mapping[str, Any]]) -> Mapping[str, Any]:
        try:
            return question(Bucket=self._name)
        except ClientError as error:
            if code_of(error) not in _UNSAID:
                raise
            return {}

    def _make(self) -> None:
        elsewhere = {} if self._region == HOME else {"LocationConstraint": self._region}
        told = {"CreateBucketConfiguration": elsewhere} if elsewhere else {}
        self._s3.create_bucket(Bucket=self._name, **told)
        tags = [{"Key": key, "Value": value} for key, value in sorted(self._tags.items())]
        self._s3.put_bucket_tagging(Bucket=self._name, Tagging={"TagSet": tags})

    def _finish(self) -> None:
        """Versioning last: by it one sees that all was done."""
        self._s3.put_public_access_block(Bucket=self._name, PublicAccessBlockConfiguration=_PRIVATE)
        rule = {
            "ID": "old-orders",
            "Status": "Enabled",
            "Filter": {"Prefix": "orders/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": KEPT_DAYS},
        }
        self._s3.put_bucket_lifecycle_configuration(Bucket=self._name, LifecycleConfiguration={"Rules": [rule]})
        self._s3.put_bucket_versioning(Bucket=self._name, VersioningConfiguration={"Status": "Enabled"})
