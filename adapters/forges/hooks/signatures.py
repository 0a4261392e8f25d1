"""Signatures of a body, compared in constant time."""

import hmac
from collections.abc import Iterable
from hashlib import sha256


def signs_hex(secrets: Iterable[str], body: bytes, said: str) -> bool:
    """One of the secrets signed the body: `said` is its HMAC-SHA256, 64 hexadecimal digits in lower case."""
    return is_any((hmac.new(raw(secret), body, sha256).hexdigest() for secret in secrets), said)


def is_any(mine: Iterable[str], said: str) -> bool:
    """`said` is one of them. All are compared, so that time does not tell which, nor how much of one was right."""
    given = raw(said)
    return any([hmac.compare_digest(raw(each), given) for each in mine])  # noqa: C419 - all are compared


def raw(text: str) -> bytes:
    """The bytes of a text from the environment or a header, whatever they are."""
    return text.encode(errors="surrogatepass")
