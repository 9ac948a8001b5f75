"""The parts of the NATS adapter that need no server: protocol, subjects, answers, keys of the configuration."""

import contextlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli import watch
from gateway.config import BrokerConfig, Config
from gateway.delivery import Verdict
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.nats import wire
from gateway.nats.subjects import subject_of
from gateway.nats.verdicts import outcome_of
from gateway.nats.wire import Arrived, Said

TEXT = (
    b'INFO {"a":1}\r\nMSG _INBOX.x.1 1 18\r\n{"stream":"s\r\n"}  \r\n'
    b"HMSG _INBOX.x.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPING\r\n-ERR 'Permissions Violation'\r\n+OK\r\n"
    b"HMSG a.b 1 reply 22 25\r\nNATS/1.0\r\nA: bcdef\r\n\r\nxyz\r\n"
)
READ: list[Said | Arrived] = [
    Said("INFO", '{"a":1}'), Arrived("_INBOX.x.1", b'{"stream":"s\r\n"}  '), Arrived("_INBOX.x.2", b"", 503),
    Said("PING"), Said("-ERR", "'Permissions Violation'"), Said("+OK"), Arrived("a.b", b"xyz"),
]  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.integers(0, len(TEXT)), max_size=6))
def test_what_a_server_says_is_read_alike_however_it_is_cut(cuts: list[int]) -> None:
    parser, places = wire.Parser(), [0, *sorted(cuts), len(TEXT)]
    found = [each for at, to in pairwise(places) for each in parser.feed(TEXT[at:to])]
    assert found == READ


@given(
    st.binary(max_size=60)
    | st.sampled_from([b"MSG a\r\n", b"MSG a 1 x\r\n", b"HMSG a 1 9 3\r\n", b"MSG a 1 1\r\nabc\r\n"])
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    parser = wire.Parser()
    with contextlib.suppress(ValueError):
        assert all(isinstance(each, Said | Arrived) for each in parser.feed(data + b"\r\n"))


def test_a_line_without_an_end_is_refused() -> None:
    parser = wire.Parser()
    list(parser.feed(b"x" * 2**19))
    with pytest.raises(ValueError, match="without an end"):
        list(parser.feed(b"x" * 2**20))


@pytest.mark.parametrize(
    ("topic", "subject"),
    [
        ("factory/line-1/press%2Ev1", "factory.line-1.press%2Ev1"), ("a//b/", "a._.b._"), ("größe", "größe"),
        ("", ""), ("a.b", ""), ("a/*", ""), ("a b", ""), ("a/>", ""), ("a\r\nPUB x 0", ""), ("x" * 1025, ""),
        ("\ud800", ""),
    ],
)  # fmt: skip
def test_levels_become_tokens_and_nothing_else_gets_through(topic: str, subject: str) -> None:
    if subject:
        assert subject_of(topic) == subject
    else:
        with pytest.raises(ValueError, match=r"."):
            subject_of(topic)


@pytest.mark.parametrize(
    ("answer", "verdict", "reason"),
    [
        ({"stream": "s", "seq": 1}, Verdict.DELIVERED, "delivered"),
        ({"seq": 1, "stream": "s", "duplicate": True}, Verdict.DELIVERED, "delivered"),
        ({"error": {"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}}, Verdict.LATER,
         "quota_exceeded"),
        ({"error": {"code": 400, "err_code": 10054}}, Verdict.NEVER, "too_large"),
        ({"error": {"code": 500, "err_code": 19999, "description": "new in 2030"}}, Verdict.LATER, "unknown"),
        ({"type": "x"}, None, ""),
        ([], None, ""),
    ],
)  # fmt: skip
def test_an_answer_of_jetstream_has_a_verdict(answer: object, verdict: Verdict | None, reason: str) -> None:
    payload = json.dumps(answer).encode()
    if verdict is None:
        with pytest.raises(ValueError, match="says nothing"):
            outcome_of(payload)
    else:
        assert (outcome_of(payload).verdict, outcome_of(payload).reason) == (verdict, reason)


SECRET = {"env": "TOKEN"}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"url": "nats://h:4222", "version": "5"}, "version is of MQTT"),
        ({"url": "nats://h", "profile": "generic", "endpoint": "h"}, "profile is of MQTT"),
        ({"url": "mqtt://h", "nats": {}}, "nats goes with an address nats:// or tls://"),
        ({"url": "nats://h", "nats": {"token": SECRET}}, "the token would be sent unencrypted"),
        ({"url": "nats://h", "password": SECRET}, "the password would be sent unencrypted"),
        ({"url": "tls://h", "nats": {"token": SECRET, "nkey": SECRET}}, "name one login"),
        ({"url": "tls://h", "username": "u", "nats": {"nkey": SECRET}}, "name one login"),
        ({"url": "tls://h", "nats": {"stream": "a.b"}}, "stream"),
        ({"url": "nats://h", "nats": {"nkey": SECRET}}, ""),  # signs a nonce: nothing secret is sent
        ({"url": "tls://h", "fallback": ["nats://127.0.0.1"], "nats": {"token": SECRET}}, ""),
    ],
)
def test_keys_of_another_kind_and_open_secrets_are_mistakes(keys: dict[str, object], told: str) -> None:
    if not told:
        assert not BrokerConfig.model_validate(keys).is_mqtt
        return
    with pytest.raises(ValueError, match=told):
        BrokerConfig.model_validate(keys)


SOURCE = {
    "name": "plc",
    "url": "opc.tcp://plc:4840",
    "insecure": True,
    "select": [{"subtree": "i=85", "levels": ["m"], "include": ["*/*"]}],
}


def loaded(folder: Path, **changes: object) -> Config:
    file = folder / "gateway.yaml"
    file.write_text(json.dumps({"sources": [SOURCE], "broker": {"url": "nats://127.0.0.1"}, **changes}))
    return load(file)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"payload": {"topic": "factory.{m}"}}, "a topic must not contain '.' here"),
        ({"payload": {"format": "sparkplug", "sparkplug": {"group": "g", "node": "n"}}}, "is a protocol of MQTT"),
        ({"commands": {"requesters": ["a"], "rules": [{"operations": ["read"]}]}}, "commands come by MQTT"),
    ],
)
def test_what_nats_cannot_carry_is_refused_with_its_place(
    tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        loaded(tmp_path, **changes)


def test_topics_of_a_nats_route_are_subjects(tmp_path: Path) -> None:
    payload = loaded(tmp_path, payload={"topic": "factory/{m}/{tag}"}).routes["broker"].payload
    assert set(". *>") <= set(payload.rules.forbidden)
    assert not payload.retains


@pytest.mark.parametrize(("url", "tool"), [("nats://h", "nats sub"), ("tls://h", "nats sub"), ("kafka://h", "kcat")])
def test_watch_names_the_tool_that_shows_what_it_cannot(url: str, tool: str) -> None:
    with pytest.raises(ConfigError, match=tool):
        watch._by_mqtt(url)
