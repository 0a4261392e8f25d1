"""Ed25519 over canonical JSON (RFC 8032). Keys are 32 bytes, written in base64.

What is signed begins with a word of its own, so that a signature over one kind of document is never one over another.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from adapters.agent_protocol.canonical import canonical

SIGNED_AS = b"fairlead/order/v1\n"
SIGNED_AS_2 = b"fairlead/order/v2\n"
_V2 = "fairlead/order/v2"


class BadKey(ValueError):
    """A key that cannot be used; the message says what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key and the name under which hosts know its public half. Its text is never shown."""

    key_id: str
    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    @property
    def public(self) -> str:
        """The public half, base64."""
        return base64.b64encode(self.private.public_key().public_bytes_raw()).decode()

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document with `key_id` and `signature`; what was there under those names is replaced."""
        body = {**document, "key_id": self.key_id}
        body.pop("signature", None)
        signature = self.private.sign(_word(body) + canonical(body))
        return {**body, "signature": base64.b64encode(signature).decode()}


def new_key(key_id: str) -> tuple[SigningKey, str]:
    """A fresh key and its private text, for whoever keeps it."""
    private = Ed25519PrivateKey.generate()
    return SigningKey(key_id=key_id, private=private), base64.b64encode(private.private_bytes_raw()).decode()


def signing_key(key_id: str, text: str) -> SigningKey:
    """The key out of its base64 text. Raises `BadKey`."""
    return SigningKey(key_id=key_id, private=Ed25519PrivateKey.from_private_bytes(_raw(text, "a signing key")))


def public_key(text: str) -> Ed25519PublicKey:
    """A public key out of its base64 text. Raises `BadKey`."""
    return Ed25519PublicKey.from_public_bytes(_raw(text, "a public key"))


def is_signed(document: Mapping[str, Any], key: Ed25519PublicKey) -> bool:
    """True only when `signature` is the key's, over the rest of the document. Raises nothing."""
    body = {name: value for name, value in document.items() if name != "signature"}
    try:
        key.verify(_exactly(document.get("signature")), _word(body) + canonical(body))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _word(document: Mapping[str, Any]) -> bytes:
    """Each format has its own: no signature over one is ever one over the other."""
    return SIGNED_AS_2 if document.get("format") == _V2 else SIGNED_AS


def _exactly(text: Any) -> bytes:
    """The bytes of base64 in its one right spelling: spare bits are zero. Raises `ValueError`, `TypeError`."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("another spelling of the same bytes")
    return raw


def _raw(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise BadKey(f"{what} is base64 of 32 bytes; `fairlead trigger keys` makes a pair") from None
    if len(raw) != 32:
        raise BadKey(f"{what} is base64 of 32 bytes, not of {len(raw)}; `fairlead trigger keys` makes a pair")
    return raw
