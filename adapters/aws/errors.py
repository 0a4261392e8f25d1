"""botocore's failures as sentences: what was asked, what went wrong, and what would help."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from reconciler.ports import Unreadable

_FAMILIES = {
    "throttled": """
        Throttling ThrottlingException Throttled ThrottledException RequestThrottled RequestThrottledException SlowDown
        RequestLimitExceeded TooManyRequestsException PriorRequestNotComplete
        BandwidthLimitExceeded EC2ThrottledException
    """,
    "denied": """
        AccessDenied AccessDeniedException UnauthorizedOperation UnauthorizedAccess AuthorizationError Forbidden 403
    """,
    "expired": "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired",
    "unknown": """
        InvalidClientTokenId UnrecognizedClientException AuthFailure SignatureDoesNotMatch InvalidAccessKeyId
        IncompleteSignature MissingAuthenticationToken NotAuthorized
    """,
    "closed": "OptInRequired InvalidAction.RegionDisabled RegionDisabledException",
}
_FAMILY_OF = {code: family for family, codes in _FAMILIES.items() for code in codes.split()}
_SAID = {
    "throttled": "AWS throttled {action}; it is tried again later; raise the account's request quota if this stays",
    "denied": "access to {action} is denied; allow that action in the role's IAM policy",
    "expired": "the credentials for {action} have expired; renew them, and check this machine's clock",
    "unknown": "AWS does not know the credentials used for {action}; give the controller valid ones",
    "closed": "the region is not enabled for this account; enable it, or take it out of `regions`",
}
_ROADS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (boto.UnauthorizedSSOTokenError, boto.SSOTokenLoadError),
        "the single sign-on token has expired; sign in again with `aws sso login`",
    ),
    (
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.ProfileNotFound,
            boto.TokenRetrievalError,
            boto.SSOError,
        ),
        "there are no AWS credentials; give the controller an instance profile, a profile or AWS_* variables",
    ),
    (
        (boto.SSLError,),
        "the TLS certificate of the AWS endpoint is not trusted; check AWS_CA_BUNDLE and the proxy",
    ),
    ((boto.NoRegionError, boto.InvalidRegionError), "AWS knows no region of that name; correct `regions`"),
    (
        (boto.ConnectionError, boto.HTTPClientError, boto.ConnectTimeoutError, boto.ReadTimeoutError),
        "the AWS endpoint cannot be reached; check the network, the proxy and AWS_ENDPOINT_URL",
    ),
    (
        (ResponseParserError,),
        "the AWS endpoint answered something that is not AWS's; check AWS_ENDPOINT_URL and the proxy",
    ),
)

READ_ERRORS = (boto.BotoCoreError, boto.ClientError, ResponseParserError)


@contextmanager
def readable(what: str, service: str = "") -> Iterator[None]:
    """Turn every botocore failure inside into `Unreadable`. `what` finishes the words "cannot read ..."."""
    try:
        yield
    except READ_ERRORS as error:
        raise Unreadable(sentence(error, what, service)) from error


def code_of(error: Exception) -> str:
    """The service's own error code ("AccessDenied"), or "" where the failure is not a service's answer."""
    if isinstance(error, boto.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def is_throttled(error: Exception) -> bool:
    """The service said *not so fast*; nothing was done."""
    return _FAMILY_OF.get(code_of(error)) == "throttled"


def sentence(error: Exception, what: str, service: str = "") -> str:
    """One sentence that names what was asked, why it failed and the fix. Holds no credential and no host name."""
    if isinstance(error, boto.ClientError):
        return f"cannot read {what}: {_of_answer(error, service)}"
    return f"cannot read {what}: {_of_road(error)}"


def _of_answer(error: boto.ClientError, service: str) -> str:
    code, action = code_of(error), _action(error, service)
    family = "denied" if code.startswith("AccessDenied") else _FAMILY_OF.get(code)
    if family is None:
        return f"AWS answered {code or 'an error without a code'} to {action}{_advice(error)}"
    return _SAID[family].format(action=action)


def _advice(error: boto.ClientError) -> str:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return "; it is tried again later" if status >= 500 else "; check the environment's role, account and regions"


def _action(error: boto.ClientError, service: str) -> str:
    return f"{service}:{error.operation_name}" if service else str(error.operation_name)


def _of_road(error: Exception) -> str:
    said = (sentence for kinds, sentence in _ROADS if isinstance(error, kinds))
    return next(said, f"boto3 gave up with {type(error).__name__}; check the controller's AWS settings")
