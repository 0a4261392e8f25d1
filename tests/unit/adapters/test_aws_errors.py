"""botocore's families of failure, each with the sentence that names its fix."""

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from adapters.aws.errors import readable
from reconciler.ports import Unreadable

WHAT = "the Auto Scaling groups of account 123456789012 in us-east-1"
URL = "https://internal-proxy.example.com"


def answer(code: str, status: int = 400) -> ClientError:
    said = {"Error": {"Code": code, "Message": "secret words"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "DescribeAutoScalingGroups")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        *(
            (answer(code), "AWS throttled autoscaling:DescribeAutoScalingGroups; it is tried again later")
            for code in (
                "Throttling",
                "ThrottlingException",
                "RequestLimitExceeded",
                "SlowDown",
                "TooManyRequestsException",
            )
        ),
        *(
            (answer(code, 403), "access to autoscaling:DescribeAutoScalingGroups is denied; allow that action")
            for code in (
                "AccessDenied",
                "AccessDeniedException",
                "AccessDeniedByPolicy",
                "UnauthorizedOperation",
                "403",
            )
        ),
        *(
            (answer(code), "have expired; renew them, and check this machine's clock")
            for code in ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
        ),
        *(
            (answer(code), "AWS does not know the credentials used for autoscaling:DescribeAutoScalingGroups")
            for code in ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "SignatureDoesNotMatch")
        ),
        (answer("OptInRequired"), "the region is not enabled for this account; enable it, or take it out of `regions`"),
        (
            answer("InternalError", 500),
            "AWS answered InternalError to autoscaling:DescribeAutoScalingGroups; it is tried",
        ),
        (
            answer("ValidationError"),
            "AWS answered ValidationError to autoscaling:DescribeAutoScalingGroups; check the env",
        ),
        (ClientError({}, "DescribeInstances"), "AWS answered an error without a code to autoscaling:DescribeInstances"),
        (boto.NoCredentialsError(), "there are no AWS credentials; give the controller an instance profile"),
        (boto.PartialCredentialsError(provider="env", cred_var="x"), "there are no AWS credentials"),
        (boto.CredentialRetrievalError(provider="p", error_msg="secret"), "there are no AWS credentials"),
        (boto.ProfileNotFound(profile="p"), "there are no AWS credentials"),
        (boto.UnauthorizedSSOTokenError(), "the single sign-on token has expired; sign in again with `aws sso login`"),
        (boto.SSOTokenLoadError(error_msg="x"), "the single sign-on token has expired"),
        (boto.EndpointConnectionError(endpoint_url=URL), "the AWS endpoint cannot be reached; check the network"),
        (boto.ConnectTimeoutError(endpoint_url=URL), "the AWS endpoint cannot be reached; check the network"),
        (boto.ReadTimeoutError(endpoint_url=URL), "the AWS endpoint cannot be reached; check the network"),
        (boto.ConnectionClosedError(endpoint_url=URL), "the AWS endpoint cannot be reached; check the network"),
        (boto.ProxyConnectionError(proxy_url=URL), "the AWS endpoint cannot be reached; check the network"),
        (boto.SSLError(endpoint_url=URL, error="x"), "the TLS certificate of the AWS endpoint is not trusted"),
        (boto.InvalidRegionError(region_name="mars"), "AWS knows no region of that name; correct `regions`"),
        (boto.NoRegionError(), "AWS knows no region of that name; correct `regions`"),
        (
            ResponseParserError("<html>"),
            "the AWS endpoint answered something that is not AWS's; check AWS_ENDPOINT_URL",
        ),
        (boto.UnknownServiceError(service_name="x", known_service_names="y"), "boto3 gave up with UnknownServiceError"),
    ],
    ids=lambda value: f"{value}"[:60] if isinstance(value, Exception) else "",
)
def test_every_family_is_a_sentence_with_a_fix_and_nothing_private(error: Exception, fix: str) -> None:
    with pytest.raises(Unreadable) as caught, readable(WHAT, "autoscaling"):
        raise error

    assert str(caught.value).startswith(f"cannot read {WHAT}: ")
    assert fix in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "internal-proxy" not in str(caught.value)


def test_what_is_not_awss_is_not_swallowed() -> None:
    with pytest.raises(KeyError), readable(WHAT):
        raise KeyError("a bug of ours")
