"""Against a real NATS server: what a stream has afterwards, every verdict, and every login."""

import asyncio
import base64
import binascii
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import nats as nats_py
import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat
from cryptography.hazmat.primitives.serialization import NoEncryption as Plain
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig

from gateway import nats
from gateway.config import BrokerConfig, GroupConfig
from gateway.delivery import Outcome, Session, Verdict
from gateway.errors import Unavailable
from gateway.group.claim import Attempt
from gateway.group.entry import Kind
from gateway.group.log import open_log
from gateway.link import Link
from gateway.model import Message
from gateway.pull import PullFile, origin_of
from tests.support.mqtt_certificates import Authority
from tests.support.nats_cluster import Cluster, nats_cluster


def message(topic: str, seq: int, payload: bytes = b"{}", stream: str = "", **more: object) -> Message:
    return Message(topic, payload, stream=stream or f"edge/{topic}", seq=seq, values=1, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(url: str, **keys: object) -> AsyncIterator[Session]:
    config = BrokerConfig.model_validate({"url": url, "connect_timeout": "5s", **keys})
    async with nats.open_sink(config, Link("nats", config.url), "edge") as session:
        yield session


@asynccontextmanager
async def administered(cluster: Cluster, **login: object) -> AsyncIterator[JetStreamContext]:
    client = await nats_py.connect(cluster.servers, **login)
    try:
        yield client.jetstream(timeout=10)
    finally:
        await client.close()


@contextmanager
def run_within(seconds: float) -> Iterator[asyncio.Runner]:
    """Whatever runs in it has an end."""
    began_s = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the gateway does; `test_kinds` without
        yield runner
    assert time.monotonic() - began_s < seconds


def test_a_stream_has_each_message_once_with_what_a_consumer_needs(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        async with administered(cluster) as js:
            await js.add_stream(name="values", subjects=["factory.>"])
            first = message("factory/line-1/press", 1, b'{"a":1}', properties=(("k", "v\r\nEvil: 1"),))
            for _ in range(2):  # the second session repeats what the first had sent: its acknowledgement was lost
                async with opened(cluster.servers[0]) as session:
                    assert (await session.send(first)).verdict is Verdict.DELIVERED
            stored = await js.get_msg("values", 1)
            assert (stored.subject, stored.data) == ("factory.line-1.press", b'{"a":1}')
            assert stored.headers == {
                "Nats-Msg-Id": "edge/factory/line-1/press:1", "Content-Type": "application/json",
                "k": "v%0D%0AEvil: 1",
            }  # fmt: skip
            assert (await js.stream_info("values")).state.messages == 1

    with nats_cluster(tmp_path, nodes=1) as cluster, run_within(30) as runner:
        runner.run(body(cluster))


PEOPLE = """
authorization { users: [
  { user: admin, password: admin }
  { user: edge, password: secret, permissions: { publish: ["t.>", "$JS.API.STREAM.NAMES"], subscribe: ["_INBOX.>"] } }
  { user: mute, password: secret, permissions: { publish: ["t.>"], subscribe: { deny: [">"] } } }
  { nkey: NKEY }
] }
"""
FOR_NOW, NEVER, THERE = Verdict.LATER, Verdict.NEVER, Verdict.DELIVERED


def test_every_refusal_has_its_verdict_and_the_next_message_gets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_PASSWORD", "secret")
    login = {"username": "edge", "password": {"env": "NATS_PASSWORD"}}

    async def body(cluster: Cluster) -> None:
        url = cluster.servers[0]
        async with administered(cluster, user="admin", password="admin") as js, opened(url, **login) as session:
            await js.add_stream(name="t", subjects=["t.a", "t.b"], max_msg_size=500)
            full = StreamConfig(name="full", subjects=["t.full"], max_msgs=1, discard=DiscardPolicy.NEW)
            await js.add_stream(full)
            cases: list[tuple[Message, Verdict, str]] = [
                (message("t/a", 1), THERE, "delivered"),
                (message("secret/a", 1), FOR_NOW, "not_authorized"),
                (message("t/nobody", 1), FOR_NOW, "no_stream"),
                (message("t/a", 2, bytes(600)), NEVER, "too_large"),
                (message("t/a", 3, bytes(2**20)), NEVER, "too_large"),
                (message("t/a b", 1), NEVER, "topic_invalid"),
                (message("t/a", 4, expiry_s=5), FOR_NOW, "implementation"),
                (message("t/full", 1), THERE, "delivered"),
                (message("t/full", 2), FOR_NOW, "quota_exceeded"),
            ]
            futures = [session.send(each) for each, _, _ in cases]
            outcomes: list[Outcome] = [await future for future in futures]
            found = [(outcome.verdict, outcome.reason) for outcome in outcomes]
            assert found == [(verdict, reason) for _, verdict, reason in cases]
            assert "no JetStream stream takes t.nobody" in outcomes[2].detail
            await js.purge_stream("full")
            assert (await session.send(message("t/full", 2))).verdict is THERE
            async with opened(url, **login, nats={"stream": "t"}) as strict:
                assert (await strict.send(message("t/full", 3))).reason == "implementation"
                assert (await strict.send(message("t/b", 1))).verdict is THERE
        with pytest.raises(Unavailable, match="does not let this login subscribe"):
            async with opened(url, **{**login, "username": "mute"}) as deaf:
                await deaf.send(message("t/a", 5))
        for wrong in ({}, {**login, "username": "admin"}):
            with pytest.raises(Unavailable, match="Authorization Violation"):
                async with opened(url, **wrong):
                    pass

    people = PEOPLE.replace("NKEY", nkey(Ed25519PrivateKey.generate()))
    with nats_cluster(tmp_path, nodes=1, more=people) as cluster, run_within(30) as runner:
        runner.run(body(cluster))


def test_a_server_without_jetstream_is_waited_for_and_named(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        async with opened(cluster.servers[0]) as session:
            with pytest.raises(Unavailable, match="is it enabled for this account"):
                await session.send(message("t/a", 1))
            with pytest.raises(Unavailable):
                await session.wait_closed()

    none = 'accounts { A: { users: [ { user: a, password: a } ] } }\nno_auth_user: "a"'
    with nats_cluster(tmp_path, nodes=1, more=none) as cluster, run_within(30) as runner:
        runner.run(body(cluster))


# -- logins


def raw_of(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, Plain())


def encoded(prefix: bytes, raw: bytes) -> str:
    body = prefix + raw
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def nkey(key: Ed25519PrivateKey, kind: int = 20) -> str:
    """The public key of a user (20), an account (0) or an operator (14)."""
    return encoded(bytes((kind << 3,)), key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def seed(key: Ed25519PrivateKey) -> str:
    return encoded(bytes((18 << 3 | 20 >> 2, 0)), raw_of(key))


def jwt(by: Ed25519PrivateKey, by_kind: int, subject: str, what: dict[str, object], **claims: object) -> str:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    said = {"iat": 1, "iss": nkey(by, by_kind), "name": subject[:6], "sub": subject, "nats": what, **claims}
    said["jti"] = base64.b32encode(hashlib.sha256(json.dumps(said).encode()).digest()).decode().rstrip("=")
    text = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(said)}"
    return f"{text}.{base64.urlsafe_b64encode(by.sign(text.encode())).decode().rstrip('=')}"


def private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


async def comes_in(url: str, **keys: object) -> None:
    async with opened(url, **keys) as session:
        await session.send(message("t/a", 1))


def test_an_nkey_logs_in(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    file = private(tmp_path / "seed", seed(key) + "\n")
    with (
        nats_cluster(tmp_path, nodes=1, more=PEOPLE.replace("NKEY", nkey(key))) as cluster,
        run_within(30) as runner,
    ):

        async def body() -> None:
            async with administered(cluster, user="admin", password="admin") as js:
                await js.add_stream(name="t", subjects=["t.>"])
            await comes_in(cluster.servers[0], nats={"nkey": {"file": str(file)}})
            other = private(tmp_path / "other", seed(Ed25519PrivateKey.generate()))
            with pytest.raises(Unavailable, match="Authorization Violation"):
                await comes_in(cluster.servers[0], nats={"nkey": {"file": str(other)}})

        runner.run(body())


def test_a_credentials_file_logs_in_sinks_groups_and_pulled_configurations(tmp_path: Path) -> None:
    """Its end is known; who is cut off then goes on with its successor in the same file."""
    operator, account, user, system = (Ed25519PrivateKey.generate() for _ in range(4))
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    limits = {**unlimited, "wildcards": True, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    theirs, of_system = (
        jwt(operator, 14, nkey(each, 0), {"type": "account", "version": 2, "limits": may})
        for each, may in ((account, limits), (system, {**unlimited, "wildcards": True}))
    )
    top = jwt(operator, 14, nkey(operator, 14), {"type": "operator", "version": 2})
    file = tmp_path / "edge.creds"

    def write(ends_s: int) -> None:
        may = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        ours = jwt(account, 0, nkey(user), may, exp=ends_s)
        private(
            file,
            f"-----BEGIN NATS USER JWT-----\n{ours}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed(user)}\n------END USER NKEY SEED------\n",
        )

    more = f"operator: {top}\nresolver: MEMORY\nsystem_account: {nkey(system, 0)}\n"
    more += f"resolver_preload {{ {nkey(account, 0)}: {theirs}, {nkey(system, 0)}: {of_system} }}\n"
    with nats_cluster(tmp_path, nodes=1, more=more) as cluster, run_within(30) as runner:
        url = cluster.servers[0]
        config = BrokerConfig.model_validate({"url": url, "nats": {"credentials": str(file)}})
        pulled = {"from": f"{url.replace('nats:', 'nats-kv:')}/configs/munich.yaml", "credentials": {"file": str(file)}}
        group = GroupConfig.model_validate({"name": "g", "servers": [url], "replicas": 1, "monitoring": 0,
                                            "credentials": {"file": str(file)}})  # fmt: skip

        async def body() -> None:
            async with opened(url, nats={"credentials": str(file)}) as session:
                assert (await session.send(message("t/a", 1))).reason == "no_stream"
            with pytest.raises(Unavailable, match="there is no bucket configs"):
                await origin_of(PullFile.model_validate({"configuration": pulled}).configuration).read()
            write(int(time.time()) + 2)
            link = Link("group", "")
            async with asyncio.timeout(20), open_log(group, "g/a", link) as log:
                mark = await log.append("source/a", Attempt(0, 1, 1, "a"), Kind.CLAIM, b"")
                write(ends_s)
                while not link.cause:  # noqa: ASYNC110 - until the server has cut it off
                    await asyncio.sleep(0.02)
                while True:
                    await asyncio.sleep(0.02)
                    with suppress(Unavailable):
                        assert (last := await log.last("source/a")) is not None
                        assert last.mark == mark
                        return

        write(ends_s := int(time.time()) + 3600)
        assert nats.problems_with(config) == []
        assert nats.credential_expires_s(config) == ends_s
        runner.run(body())


@pytest.mark.parametrize("first", [False, True], ids=["after-info", "tls-first"])
def test_tls_with_a_client_certificate_and_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setenv("NATS_TOKEN", "tok")
    authority = Authority(tmp_path)
    server, us = authority.issue("server", "127.0.0.1"), authority.issue("us")
    more = (
        f'tls {{ cert_file: "{server.certificate}", key_file: "{server.key}", ca_file: "{authority.path}",'
        f" verify: true{', handshake_first: true' if first else ''} }}\nauthorization {{ token: tok }}\n"
    )
    tls = {"ca": str(authority.path), "certificate": str(us.certificate), "key": str(us.key)}
    keys: dict[str, object] = {"tls": tls, "nats": {"token": {"env": "NATS_TOKEN"}, "tls_first": first}}
    with nats_cluster(tmp_path, nodes=1, more=more) as cluster, run_within(30) as runner:
        url = cluster.servers[0].replace("nats:", "tls:")

        async def body() -> None:
            async with opened(url, **keys) as session:
                assert session.certificate_ends_s > time.time()
            with pytest.raises(Unavailable):
                async with opened(url, **{**keys, "tls": {"ca": str(authority.path)}}):
                    pass
            if first:
                return
            async with opened(cluster.servers[0], **keys) as session:  # the server demands TLS
                assert session.certificate_ends_s > time.time()

        runner.run(body())


def test_tls_is_not_gone_without(tmp_path: Path) -> None:
    with (
        nats_cluster(tmp_path, nodes=1) as cluster,
        run_within(30) as runner,
        pytest.raises(Unavailable, match="offers no TLS"),
    ):
        runner.run(comes_in(cluster.servers[0].replace("nats:", "tls:")))


# -- a cluster


def test_a_stream_keeps_its_order_while_its_leader_dies(tmp_path: Path) -> None:
    """Ten streams of ours, each with a message after the other; the leader of the stream is killed in between."""

    async def body(cluster: Cluster) -> None:
        async with administered(cluster) as js:
            await js.add_stream(name="t", subjects=["t.>"], num_replicas=3)
            info = await js.stream_info("t")
            leader = int(str(info.cluster.leader if info.cluster else "")[1:])
            other = cluster.nodes[(leader + 1) % 3]
            async with opened(other.url, window=50) as session:
                left = [message(f"t/{seq % 10}", seq // 10 + 1) for seq in range(600)]
                window = asyncio.Semaphore(50)
                outcomes: list[asyncio.Future[Outcome]] = []
                for number, each in enumerate(left):
                    if number == 200:
                        cluster.nodes[leader].kill()
                    await window.acquire()
                    outcomes.append(session.send(each))
                    outcomes[-1].add_done_callback(lambda _: window.release())
                assert {(await outcome).verdict for outcome in outcomes} == {Verdict.DELIVERED}
            state = (await js.stream_info("t")).state
            assert state.messages == 600
            stored = [await js.get_msg("t", number) for number in range(1, state.last_seq + 1)]
        for topic in range(10):
            ids = [(each.headers or {})["Nats-Msg-Id"] for each in stored if each.subject == f"t.{topic}"]
            assert ids == [f"edge/t/{topic}:{seq}" for seq in range(1, 61)]

    with nats_cluster(tmp_path) as cluster, run_within(90) as runner:
        runner.run(body(cluster))
