"""What strangers send: a request, or a refusal that says what is wrong; never anything else."""

from contextlib import suppress

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.commands.fields import MOST_ITEMS
from gateway.commands.outcome import Refused
from gateway.commands.request import OF_ITSELF, OPERATIONS, Request, decode, id_in
from gateway.commands.schema import schema

READ = {"id": "a", "operation": "read", "tags": ["x"]}


def reason_of(payload: bytes) -> tuple[str, str]:
    try:
        decode(payload)
    except Refused as error:
        return error.reason, str(error)
    raise AssertionError("it was taken")


def test_a_valid_request_is_decoded() -> None:
    assert decode(orjson.dumps(READ)) == Request("read", "a", tags=("x",))
    body = {"id": "a", "operation": "write", "writes": [{"tag": "x", "value": [1]}], "all_or_nothing": False,
            "deadline": "2026-11-30T00:00:05Z", "sent": "2026-11-30T01:00:00+01:00", "dry_run": True}  # fmt: skip
    request = decode(orjson.dumps(body))
    assert (request.values, request.all_or_nothing, request.dry_run) == (([1],), False, True)
    assert request.deadline_s == 1_795_996_805.0 == (request.sent_s or 0) + 5


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"\xff{}", "not UTF-8"),
        (b'{"id":"a","id":"b","operation":"read","tags":["x"]}', "stands twice"),
        (b'{"operation":"read","tags":["x"],"id":NaN}', "NaN is not JSON"),
        (b'{"operation":"write","writes":[{"tag":"x","value":1e999}]}', "beyond"),
        (b'{"operation":"write","writes":[{"tag":"x","value":' + b"9" * 50 + b"}]}", "50 digits"),
        (b'{"operation":"write","writes":[{"tag":"x","value":' + b"[" * 17 + b"]" * 17 + b"}]}", "nested"),
        (b"[" * 60_000, "nested"),
        (b'{"operation":"read","tags":["\\ud800"]}', "surrogate"),
        (orjson.dumps({**READ, "operation": "erase"}), "operation: one of"),
        (orjson.dumps({**READ, "retries": 3}), "unknown keys: 'retries'"),
        (orjson.dumps({**READ, "writes": []}), "unknown keys"),
        (orjson.dumps({**READ, "tags": []}), "tags: a list of 1"),
        (orjson.dumps({**READ, "tags": ["x"] * (MOST_ITEMS + 1)}), "tags: a list of 1"),
        (orjson.dumps({**READ, "tags": ["x", "x"]}), "twice"),
        (orjson.dumps({**READ, "tags": [1]}), "a text"),
        (orjson.dumps({**READ, "id": 7}), "id: a text"),
        (orjson.dumps({**READ, "id": "a\n"}), "printable"),
        (orjson.dumps({**READ, "id": "a" * 129}), "id: a text of at most"),
        (orjson.dumps({**READ, "dry_run": 1}), "true or false"),
        (orjson.dumps({**READ, "deadline": "2026-11-30T00:00:05"}), "with its offset"),
        (orjson.dumps({**READ, "deadline": 5}), "with its offset"),
        (orjson.dumps({"operation": "write", "writes": [{"tag": "x"}]}), 'each is {"tag"'),
        (orjson.dumps({"operation": "call", "method": "m", "arguments": [1]}), "an object of at most"),
    ],
)
def test_an_invalid_request_says_why(payload: bytes, words: str) -> None:
    reason, text = reason_of(payload)
    assert reason == "invalid"
    assert words in text


def test_a_request_that_is_too_long_is_not_decoded() -> None:
    assert reason_of(b'"' * 70_000)[0] == "too_large"


def test_the_id_of_an_invalid_request_is_found_for_its_answer() -> None:
    assert id_in(orjson.dumps({"id": "a", "operation": "?", "respond_to": "t"})) == ("a", "t")
    assert id_in(b"{") == ("", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(
    ["id", "operation", "tags", "writes", "tag", "value", "method", "arguments", "deadline", "sent", "dry_run"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.dictionaries(KEYS, JSON | st.sampled_from(["read", "write", "call"]), max_size=6).map(
        lambda body: orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS, default=str) if _is_text(body) else b""
    )
)
def test_any_bytes_are_a_request_or_refused(payload: bytes) -> None:
    id_in(payload)
    with suppress(Refused):
        orjson.dumps(decode(payload).tags)


def _is_text(body: object) -> bool:
    try:
        orjson.dumps(body)
    except (TypeError, ValueError):
        return False
    return True


_ODD = st.sampled_from([None, True, 0, 1.5, "", "x", [], ["x"], [1], {}, {"tag": "x", "value": 1}, [{"tag": "x"}]])
_USUAL: dict[str, st.SearchStrategy[object]] = {
    "id": st.sampled_from(["", "a", "a" * 128]),
    "operation": st.sampled_from([*OPERATIONS, "erase"]),
    "deadline": st.just("2026-11-30T00:00:05Z"),
    "sent": st.just("2026-11-30T00:00:05+01:00"),
    "respond_to": st.sampled_from(["", "x/y"]),
    "dry_run": st.booleans(),
    "tags": st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True),
    "writes": st.lists(st.just({"tag": "x", "value": [1, None]}), min_size=1, max_size=1),
    "all_or_nothing": st.booleans(),
    "method": st.just("m"),
    "below": st.just("m"),
    "publishing_interval": st.sampled_from([0, 0.5, 60, 10**9]),
    "tag": st.just("m"),
    "condition": st.just("m"),
    "event": st.just("AAAB"),
    "comment": st.sampled_from(["", "seen"]),
    "start": st.just("2026-11-30T00:00:00Z"),
    "end": st.just("2026-11-30T01:00:00Z"),
    "aggregate": st.sampled_from(["Average", "Count", "Sum"]),
    "interval": st.sampled_from([0, 0.5, 60, 10**9]),
    "levels": st.integers(0, 2),
    "limit": st.integers(0, 2),
    "after": st.sampled_from(["", "x"]),
    "arguments": st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9)),
    "retries": st.just(3),
}


@st.composite
def _bodies(draw: st.DrawFn) -> dict[str, object]:
    operation = draw(_USUAL["operation"])
    own = {
        "write": ["writes"], "call": ["method"], "browse": ["below"], "history": ["tag", "start", "end"],
        "acknowledge": ["condition", "event"], "confirm": ["condition", "event"],
    }.get(str(operation), [])  # fmt: skip
    own = own or ([] if operation in OF_ITSELF else ["tags"])
    others = draw(st.lists(st.sampled_from(sorted(_USUAL)), max_size=4))
    body = {"operation": operation} | {key: draw(_USUAL[key]) for key in {*own, *others} - {"operation"}}
    if draw(st.booleans()):
        body[draw(st.sampled_from(sorted(body)))] = draw(_ODD)
    return body


_SCHEMA = jsonschema.Draft202012Validator(schema())


@settings(max_examples=150)
@given(_bodies())
def test_the_schema_accepts_what_the_decoder_accepts(body: dict[str, object]) -> None:
    try:
        decode(orjson.dumps(body))
    except Refused as error:
        words = str(error)
    else:
        words = ""
    if not words:
        assert _SCHEMA.is_valid(body), f"the schema does not know this request: {body}"
    elif "with its offset" not in words:  # a format, which says nothing to most validators
        assert not _SCHEMA.is_valid(body), f"the schema takes what is refused: {words}"
