"""The published vectors: canonical JSON, signatures, and one order for every reason to refuse one."""

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.fields import Malformed
from adapters.agent_protocol.reading import Trust, read_order
from adapters.agent_protocol.refusals import RefusalReason, Refused
from adapters.agent_protocol.signing import SIGNED_AS, SIGNED_AS_2, is_signed, public_key, signing_key
from adapters.agent_protocol.strict_json import read_json

DATA = Path(__file__).parents[2] / "data" / "agent_protocol"
CANONICAL = json.loads((DATA / "canonical.json").read_text())
ORDERS = json.loads((DATA / "orders.json").read_text())


def named(vector: Any) -> str:
    return str(vector["name"])


def signed_bytes(document: dict[str, Any], word: bytes = b"") -> bytes:
    word = word or (SIGNED_AS_2 if document["format"] == "fairlead/order/v2" else SIGNED_AS)
    return word + canonical({name: value for name, value in document.items() if name != "signature"})


@pytest.mark.parametrize("vector", CANONICAL["canonical"], ids=named)
def test_canonical_json(vector: dict[str, str]) -> None:
    written = canonical(read_json(vector["json"], "it"))

    assert (vector["canonical"], vector["hex"]) == (written.decode(), written.hex())
    assert written == canonical(read_json(written.decode(), "it"))


@pytest.mark.parametrize("vector", CANONICAL["refused"], ids=named)
def test_json_that_means_nothing_or_two_things_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(Malformed, match=r"^the order "):
        read_json(vector["json"], "the order")


@pytest.mark.parametrize("vector", ORDERS["orders"], ids=named)
def test_orders(vector: dict[str, Any]) -> None:
    trust = Trust(fleet=ORDERS["fleet"], keys={ORDERS["key_id"]: ORDERS["public_key"]})
    now, known = datetime.fromisoformat(ORDERS["now"]), {name: vector[name] for name in ("at_least", "known_meaning")}
    body = json.dumps(vector["document"]).encode()

    if vector["refused"] is None:
        assert vector["meaning"] == read_order(body, trust, now, **known).meaning
        return
    with pytest.raises(Refused) as refused:
        read_order(body, trust, now, **known)
    assert vector["refused"] == refused.value.reason


@pytest.mark.parametrize("vector", ORDERS["orders"], ids=named)
def test_what_is_signed(vector: dict[str, Any]) -> None:
    signed = signed_bytes(vector["document"], SIGNED_AS if "the word of v1" in vector["name"] else b"")

    assert vector["signed_sha256"] == hashlib.sha256(signed).hexdigest()
    assert vector.get("signed_hex", signed.hex()) == signed.hex()


def test_the_signature_of_the_sound_order_is_made_again() -> None:
    vector = ORDERS["orders"][0]
    key = signing_key(ORDERS["key_id"], ORDERS["private_key"])

    assert ORDERS["public_key"] == key.public
    assert vector["signature"] == vector["document"]["signature"] == key.sign(vector["document"])["signature"]
    assert is_signed(vector["document"], public_key(ORDERS["public_key"]))


def test_the_keys_are_those_of_rfc_8032() -> None:
    """Section 7.1, TEST 1: a signature over nothing."""
    key = signing_key(ORDERS["key_id"], ORDERS["private_key"])

    assert "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" == base64.b64decode(key.public).hex()
    assert key.private.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f")


def test_there_is_a_vector_for_every_reason() -> None:
    assert {None, *RefusalReason} == {vector["refused"] for vector in ORDERS["orders"]}
