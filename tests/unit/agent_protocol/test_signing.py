"""Keys: made, read, never shown; and what is no key says what one is."""

import base64

import pytest

from adapters.agent_protocol.signing import BadKey, is_signed, new_key, public_key, signing_key


def test_a_key_comes_back_out_of_its_text() -> None:
    key, text = new_key("2026-11")
    again = signing_key("2026-11", f"{text}\n")

    assert key.public == again.public
    assert key.sign({"a": 1}) == again.sign({"a": 1})
    assert is_signed(again.sign({"a": 1}), public_key(key.public))


def test_two_keys_are_two_keys() -> None:
    one, other = new_key("k")[0], new_key("k")[0]

    assert one.public != other.public
    assert not is_signed(one.sign({"a": 1}), public_key(other.public))


def test_a_key_is_not_shown() -> None:
    key, text = new_key("2026-11")

    assert "SigningKey(2026-11)" == repr(key) == f"{key}" == str([key])[1:-1]
    assert text not in repr(key.sign({"a": 1}))


def test_signing_again_replaces_what_was_there() -> None:
    key = new_key("k")[0]

    assert key.sign({"a": 1}) == key.sign(key.sign({"a": 1})) == key.sign({"a": 1, "signature": "x", "key_id": "y"})


@pytest.mark.parametrize(
    "text", ["", "x", "ä", "AAAA", base64.b64encode(b"x" * 33).decode(), base64.b64encode(b"x" * 31).decode(), "A" * 44]
)
def test_what_is_no_key_says_what_one_is(text: str) -> None:
    for read in (public_key, lambda text: signing_key("k", text)):
        with pytest.raises(BadKey, match="base64 of 32 bytes") as bad:
            read(text)
        assert not text or text not in str(bad.value)
