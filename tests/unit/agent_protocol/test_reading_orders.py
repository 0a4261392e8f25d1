"""What a host refuses: nothing that lies in a bucket makes it do what nobody signed, or makes its agent fall over."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.orders import Before, Hook, Order, Release
from adapters.agent_protocol.places import own_root
from adapters.agent_protocol.reading import LARGEST, SKEW, Trust, own_order, parse_order, read_order
from adapters.agent_protocol.refusals import RefusalReason, Refused

NOW = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
JUNK: list[Any] = [None, True, 0, -1, 1.5, 2**53, 10**400, "", "x", "\0", [], ["x"], {}, {"x": 1}]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every scalar and of every empty map and list."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict | list) and value:
        for step, below in inner:
            yield from leaves(below, (*path, step))
    else:
        yield path


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything below the top."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, below in inner:
        yield (*path, step)
        yield from nodes(below, (*path, step))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at the path."""
    changed = copy.deepcopy(document)
    at(changed, path[:-1])[path[-1]] = value
    return changed


def other(value: Any) -> Any:
    """A value of the same kind that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else "x"


def why(read: Any, document: Any, **how: Any) -> RefusalReason:
    with pytest.raises(Refused) as refused:
        read(document, **how)
    assert refused.value.message
    assert "\n" not in refused.value.message
    return refused.value.reason


def with_signature(key: Any, order: Order, *changes: tuple[tuple[Any, ...], Any]) -> Any:
    """Changed, then signed: what a controller with a fault of its own would write."""
    document = json.loads(canonical(order.document()))
    for path, value in changes:
        document = put(document, path, value)
    return key.sign(document)


def test_a_sound_order_is_read(read: Any, key: Any, order: Any) -> None:
    assert read(key.sign(order().document())).sequence == 42


def test_a_change_of_any_single_field_is_refused(read: Any, key: Any, order: Any) -> None:
    signed = json.loads(json.dumps(key.sign(order().document())))
    paths = list(leaves(signed))

    for path in paths:
        why(read, put(signed, path, other(at(signed, path))))
    assert len(paths) > 60


def test_no_field_can_be_left_out_and_none_added(read: Any, key: Any, order: Any) -> None:
    signed = json.loads(json.dumps(key.sign(order().document())))

    for path in nodes(signed):
        without = copy.deepcopy(signed)
        del at(without, path[:-1])[path[-1]]
        why(read, without)
        if isinstance(at(signed, path), dict):
            assert RefusalReason.TAMPERED == why(read, put(signed, (*path, "added"), None))


def test_values_cannot_change_places(read: Any, key: Any, order: Any) -> None:
    signed = key.sign(order().document())

    swapped = signed | {"target": signed["base"], "base": signed["target"]}
    assert RefusalReason.TAMPERED == why(read, swapped)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"size":500', '"size":500.0'),
        ('"on":true', '"on":1'),
        ('"on":true', '"on":"true"'),
        ('"none":null', '"none":0'),
    ],
)
def test_a_number_is_no_truth_and_no_decimal(read: Any, key: Any, order: Any, written: str, instead: str) -> None:
    text = canonical(key.sign(order().document())).decode()

    assert written in text
    assert RefusalReason.TAMPERED == why(read, text.replace(written, instead).encode())


def test_another_spelling_of_the_same_order_is_the_same_order(read: Any, key: Any, order: Any) -> None:
    """The signature is over the meaning: spaces, escapes, the order of keys and 9.0e1 for 90.0 do not matter."""
    signed = key.sign(order().document())
    spelled = (
        json.dumps(dict(reversed(signed.items())), indent=4).replace("90.0", "9.00e1").replace("matchm", "\\u006datchm")
    )

    assert read(spelled.encode()).meaning == order().meaning


def test_texts_are_not_normalised(read: Any, key: Any, order: Any) -> None:
    signed = key.sign(order().document() | {"note": "caf\u00e9"})

    assert read(signed)
    assert RefusalReason.TAMPERED == why(read, signed | {"note": "cafe\u0301"})


def test_a_signature_has_one_spelling(read: Any, key: Any, order: Any) -> None:
    """The last digit of its base64 has four spare bits."""
    signed = key.sign(order().document())
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = signed["signature"][-3]
    spelled = signed["signature"][:-3] + letters[letters.index(last) + 1] + "=="

    assert RefusalReason.TAMPERED == why(read, signed | {"signature": spelled})
    assert RefusalReason.TAMPERED == why(read, signed | {"signature": f"{signed['signature']}\n"})


@pytest.mark.parametrize("signature", [*JUNK, "ä", "AAAA", "A" * 88, "=" * 88], ids=repr)
def test_no_other_signature_is_believed(read: Any, key: Any, order: Any, signature: Any) -> None:
    assert RefusalReason.TAMPERED == why(read, key.sign(order().document()) | {"signature": signature})


@pytest.mark.parametrize("key_id", JUNK, ids=repr)
def test_no_other_key_id_is_known(read: Any, key: Any, order: Any, key_id: Any) -> None:
    assert RefusalReason.UNKNOWN_KEY == why(read, key.sign(order().document()) | {"key_id": key_id})


def test_the_key_id_is_signed_too(key: Any, order: Any) -> None:
    """The same key under two names: an order cannot be given the other name."""
    trust = Trust(fleet="prod/matchmaker", keys={"2026-11": key.public, "next": key.public})
    renamed = key.sign(order().document()) | {"key_id": "next"}

    with pytest.raises(Refused) as refused:
        read_order(json.dumps(renamed).encode(), trust, NOW)
    assert RefusalReason.TAMPERED == refused.value.reason


def test_a_broken_key_in_the_hosts_own_settings_is_said(key: Any, order: Any) -> None:
    trust = Trust(fleet="prod/matchmaker", keys={"2026-11": "not a key"})

    with pytest.raises(Refused, match="base64 of 32 bytes") as refused:
        read_order(json.dumps(key.sign(order().document())).encode(), trust, NOW)
    assert RefusalReason.UNKNOWN_KEY == refused.value.reason


def test_a_signature_over_another_kind_of_document_counts_for_none(read: Any, key: Any, order: Any) -> None:
    import base64

    body = order().document() | {"key_id": key.key_id}
    for word in (b"", b"fairlead/report/v1\n", b"fairlead/order/v2\n", b"fairlead/order/v1"):
        signature = base64.b64encode(key.private.sign(word + canonical(body))).decode()
        assert RefusalReason.TAMPERED == why(read, body | {"signature": signature})


def test_the_order_of_another_fleet_is_refused_though_it_is_sound(read: Any, key: Any, order: Any) -> None:
    signed = key.sign(order(fleet="prod/lobby").document())

    assert read(signed, fleet="prod/lobby")
    assert RefusalReason.MISADDRESSED == why(read, signed)
    assert RefusalReason.MISADDRESSED == why(read, key.sign(order(fleet="prod/matchmaker ").document()))


def test_a_lower_sequence_is_refused_and_the_same_one_only_with_another_meaning(
    read: Any, key: Any, order: Any
) -> None:
    signed, meaning = key.sign(order().document()), order().meaning

    assert read(signed, at_least=41)
    assert read(signed, at_least=42, known_meaning=meaning)
    assert read(signed, at_least=42)
    assert RefusalReason.REPLAYED == why(read, signed, at_least=43)
    assert RefusalReason.REPLAYED == why(read, signed, at_least=42, known_meaning="another")


def test_the_same_order_signed_again_for_longer_is_the_same(read: Any, key: Any, order: Any) -> None:
    again = order(issued=NOW, expires=NOW + timedelta(days=30))

    assert read(key.sign(again.document()), at_least=42, known_meaning=order().meaning).expires == again.expires


def test_an_order_ends_at_its_expiry_and_begins_at_its_issue(read: Any, key: Any, order: Any) -> None:
    sound = order()
    signed = key.sign(sound.document())

    assert read(signed, now=sound.expires - timedelta(seconds=1))
    assert RefusalReason.EXPIRED == why(read, signed, now=sound.expires)
    assert read(signed, now=sound.issued - SKEW)
    assert RefusalReason.NOT_YET == why(read, signed, now=sound.issued - SKEW - timedelta(seconds=1))


SYSTEMS = [
    *(f"/{name}" for name in ("etc", "usr", "var", "home", "proc", "sys", "dev", "bin", "sbin", "lib", "boot", "root")),
    *("/run", "/tmp", "/opt", "/srv", "/var/lib", "/usr/lib", "/./etc", "/etc/mm", "/usr//bin/mm", "/proc/self/cwd"),
    *("/sys/fs", "/dev/shm", "/boot/mm", "/var/lib/dpkg/info", "/var/lib/fairlead-agent/mm"),
]


@pytest.mark.parametrize(
    "root", ["/srv/mm", "/opt/mm", "/home/mm", "/var/lib/mm", "/usr/local/mm", "/etcetera", "/data"]
)
def test_a_root_may_be_any_folder_that_is_not_the_systems(root: str) -> None:
    assert root == own_root(root)


def test_expiry_is_said_last(read: Any, key: Any, order: Any) -> None:
    """So that `OrderExpired` means that all else is right."""
    old = order(expires=NOW - timedelta(days=1))
    signed = key.sign(old.document())

    assert RefusalReason.EXPIRED == why(read, signed)
    assert RefusalReason.REPLAYED == why(read, signed, at_least=43)
    assert RefusalReason.MISADDRESSED == why(read, signed, fleet="prod/lobby")
    assert RefusalReason.TAMPERED == why(read, signed | {"sequence": 43})


def test_a_refusal_tells_the_claimed_sequence_where_there_is_one(read: Any, key: Any, order: Any) -> None:
    for claimed, told in ((7, 7), (True, 0), (-1, 0), (2**53, 0), ("7", 0), (None, 0)):
        with pytest.raises(Refused) as refused:
            read(key.sign(order().document()) | {"sequence": claimed})
        assert told == refused.value.sequence


@pytest.mark.parametrize("format_", ["fairlead/order/v3", "fairlead/order/v10", "fairlead/report/v1", "", None, 1, {}])
def test_another_format_is_refused_with_a_sentence(read: Any, key: Any, order: Any, format_: Any) -> None:
    with pytest.raises(Refused, match="this agent reads fairlead/order/v1") as refused:
        read(key.sign(order().document() | {"format": format_}))
    assert RefusalReason.MALFORMED == refused.value.reason


def test_hooks_and_a_step_make_it_an_order_of_the_second_format_and_are_read_back(
    read: Any, key: Any, order: Any, release: Any
) -> None:
    plain, hooked = release(), with_hooks(release(), pre=Hook(command="./check"), post=Hook(command="./warm", within=9))
    step = Before(host="i-1", attempt=2, command="./migrate", within=60)

    for said in (order(target=hooked), order(base=hooked), order(before=step), order(target=hooked, before=step)):
        document = key.sign(said.document())
        assert "fairlead/order/v2" == document["format"]
        assert said == replace(read(document), key_id="")
        assert said.meaning != order(target=plain).meaning
    assert "fairlead/order/v1" == order().document()["format"]
    assert not {"before", "hooks"} & {*order().document(), *order().document()["target"]}


def test_what_differs_in_a_hook_or_the_step_is_another_order(order: Any, release: Any) -> None:
    said = [
        order(),
        *(order(before=Before(host=host, attempt=n, command="./m")) for host in ("i-1", "i-2") for n in (1, 2)),
        *(order(target=with_hooks(release(), **{name: Hook(command="./m")})) for name in ("pre", "post")),
    ]

    assert len(said) == len({each.meaning for each in said})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("before",), "now"),
        (("before", "host"), ""),
        (("before", "attempt"), 0),
        (("before", "attempt"), True),
        (("before", "command"), None),
        (("before", "command"), "a\0b"),
        (("before", "within"), -1),
        (("before", "within"), "30m"),
        (("target", "hooks"), []),
        (("target", "hooks", "pre"), "./check"),
        (("target", "hooks", "pre", "command"), ""),
        (("target", "hooks", "post", "within"), 10**9),
    ],
)
def test_a_hook_or_step_that_makes_no_sense_is_refused(
    read: Any, key: Any, order: Any, release: Any, place: tuple[str, ...], value: Any
) -> None:
    hooks = {"pre": Hook(command="./check"), "post": Hook(command="./warm")}
    said = order(target=with_hooks(release(), **hooks), before=Before(host="i-1", attempt=1, command="./migrate"))

    with pytest.raises(Refused) as refused:
        read(with_signature(key, said, (place, value)))

    assert RefusalReason.MALFORMED == refused.value.reason
    assert place[-1] in refused.value.message or place[0] in refused.value.message


def with_hooks(release: Release, **hooks: Hook) -> Release:
    return replace(release, lifecycle=replace(release.lifecycle, **hooks))


def test_fields_of_newer_writers_are_passed_over_anywhere(read: Any, key: Any, order: Any) -> None:
    """Also in releases and artifacts: they are under the signature, and mean nothing to this version."""
    signed = with_signature(
        key,
        order(),
        (("urgent",), {"yes": [1, 2]}),
        (("target", "canary"), True),
        (("target", "artifacts", 0, "size"), 17),
        (("target", "health", "grace"), 3),
    )

    assert read(signed).meaning == order().meaning


def refused_changes() -> Iterator[tuple[tuple[Any, ...], Any]]:
    target = ("target",)
    yield ("sequence",), 0
    yield ("sequence",), 2**53
    yield ("sequence",), 42.0
    yield ("admitted",), None
    yield ("admitted",), "everyone"
    yield ("admitted",), {"i-1": True}
    yield ("attempts", "i-1"), 0
    yield ("attempts", "i-1"), True
    yield ("rejected",), ["a" * 64]
    yield ("rejected",), ["d" * 64]
    yield ("issued",), "2026-11-24"
    yield ("issued",), "2026-11-24T06:00:00"
    yield ("issued",), "20261124T060000Z"
    yield ("expires",), "0001-01-01T00:00:00+23:59"
    yield ("expires",), "9999-12-31T23:59:59-23:59"
    yield ("expires",), "2026-02-30T06:00:00Z"
    yield ("expires",), "2026-11-24T06:00:00+99:99"
    yield ("expires",), "\u0662026-11-24T06:00:00Z"
    yield (*target, "digest"), "A" * 64
    yield (*target, "commit"), "b" * 39
    yield (*target, "version"), "x" * 513
    yield (*target, "components"), {"a": 1}
    yield (*target, "components"), {"a": "\0"}
    yield (*target, "components"), {str(number): "x" * 4000 for number in range(9)}
    for root in ("/", "//", "srv", "/srv/../etc", "/srv/mm/", "/srv\n/mm", "", "/.", *SYSTEMS):
        yield (*target, "root"), root
    for unit in ("", "-H=evil", "a b", "a/b", "a;b", "x" * 300):
        yield (*target, "run", "unit"), unit
    yield (*target, "run", "command"), "/bin/true"
    yield (*target, "run", "stop_within"), -1
    yield (*target, "run", "stop_within"), 10**9
    for http in ("file:///etc/passwd", "localhost", "http://", "http://a b"):
        yield (*target, "health", "http"), http
    yield (*target, "health"), {"tcp": "localhost", "within": 1}
    yield (*target, "health"), {"within": 1}
    for place in (
        "/etc/x",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "",
        "a\0b",
        "a\nb",
        ".fairlead.json",
        ".fairlead/x",
    ):
        yield (*target, "artifacts", 0, "to"), place
        yield (*target, "config", "to"), place
    for name in ("../x", "a/b", "", "-x", ".x", "x" * 200):
        yield (*target, "artifacts", 0, "name"), name
    for source in ("https://x/y", "s3://", "s3://builds", "s3://builds/", "s3:///x", "s3://-x/y", "s3://builds/ x"):
        yield (*target, "artifacts", 0, "from"), source
    yield (*target, "artifacts", 0, "format"), "rpm"
    yield (*target, "artifacts", 0, "sha256"), ""
    yield (*target, "config", "to"), "matchmaker.jar"
    yield (*target, "config", "to"), "matchmaker.jar/x"
    yield (*target, "config", "to"), "tables.deb"
    yield (*target, "config", "format"), "toml"
    yield (*target, "config", "values"), []
    yield (*target, "drain"), {"target_groups": "all", "within": 1}


@pytest.mark.parametrize(("path", "value"), list(refused_changes()), ids=repr)
def test_a_signed_order_that_makes_no_sense_is_malformed(
    read: Any, key: Any, order: Any, path: tuple[Any, ...], value: Any
) -> None:
    """The controller has faults too; a host does not carry out half of one."""
    assert RefusalReason.MALFORMED == why(read, with_signature(key, order(), (path, value)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[]",
        b"null",
        b'"fairlead/order/v1"',
        b'{"format":"fairlead/order/v1","format":"fairlead/order/v1"}',
        b'{"format":"fairlead/order/v1","sequence":NaN}',
        b'{"format":"fairlead/order/v1","sequence":1e400}',
        b'{"format":"fairlead/order/v1","sequence":' + b"9" * 5000 + b"}",
        b'{"format":"fairlead/order/v1","note":"\\ud800"}',
        b'{"format":"fairlead/order/v1","note":' + b"[" * 100_000,
        b'{"format":"fairlead/order/v1","note":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"format":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b"[" * LARGEST,
        b" " * (LARGEST + 1),
    ],
    ids=lambda body: repr(body[:60]),
)
def test_what_is_no_order_is_malformed(read: Any, body: bytes) -> None:
    assert RefusalReason.MALFORMED == why(read, body)
    with pytest.raises(Refused):
        parse_order(body)


def test_a_key_twice_is_refused_though_both_say_the_same(read: Any, key: Any, order: Any) -> None:
    text = canonical(key.sign(order().document())).decode()

    assert RefusalReason.MALFORMED == why(read, text.replace('"sequence":42', '"sequence":42,"sequence":42').encode())


def test_a_deep_document_under_a_deep_stack_is_refused_too(read: Any, key: Any, order: Any) -> None:
    """The signature is over the document written anew, which needs more of the stack than reading it."""
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    body = json.dumps(order().document() | {"key_id": key.key_id, "signature": "", "deep": deep}).encode()

    def below(frames: int) -> RefusalReason:
        return why(read, body) if frames == 0 else below(frames - 1)

    assert RefusalReason.MALFORMED == below(300)


def outcome(read: Callable[[], Order]) -> str:
    """What came of it; anything but an order or a refusal comes up."""
    try:
        return read().meaning
    except Refused as refused:
        return refused.message


def only_refuses(body: bytes, key: Any) -> None:
    trust = Trust(fleet="prod/matchmaker", keys={key.key_id: key.public})

    assert outcome(lambda: read_order(body, trust, NOW, at_least=3, known_meaning="x"))
    assert outcome(lambda: own_order(body, key))
    assert outcome(lambda: parse_order(body))


@RELAXED
@given(body=st.binary(max_size=200))
def test_no_bytes_do_anything_but_get_refused(key: Any, body: bytes) -> None:
    only_refuses(body, key)


@settings(RELAXED, max_examples=300)
@given(data=st.data())
def test_no_mutated_order_does_anything_but_get_refused(key: Any, order: Any, data: st.DataObject) -> None:
    """Junk at any place, signed by the right key or not, and cut or doubled as bytes."""
    document = json.loads(canonical(order().document()))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(nodes(document))))
        document = put(document, path, data.draw(st.sampled_from(JUNK)))
    document = key.sign(document) if data.draw(st.booleans()) else document | {"key_id": key.key_id}
    body = json.dumps(document).encode()
    cut = data.draw(st.integers(0, len(body)))
    only_refuses(data.draw(st.sampled_from([body, body[:cut], body[cut:], body[:cut] + b'"' + body[cut:]])), key)
