"""What a server sends against the rules ends its connection at once, with a reason, and costs nobody memory or time."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

import gateway.opcua.subscription.tracker as tracker
from gateway.errors import Unavailable
from tests.support.opcua_scripted import Ask, Connection, ScriptedServer
from tests.support.opcua_source import config, opened, reading

Sends = Callable[[Connection, Ask], None]
GIGABYTES = 2**31 - 1


def tiny_parts(connection: Connection, ask: Ask) -> None:
    for _ in range(5000):
        connection.send(connection.chunk(b"x", ask.number, b"MSGC"))


def interleaved(connection: Connection, ask: Ask) -> None:
    for number in (ask.number, ask.number + 1):
        connection.send(connection.chunk(bytes(2000), number, b"MSGC"))


def opens_again(connection: Connection, ask: Ask) -> None:
    connection.server.open(connection, Ask("", ask.number + 1000, 1, None, 0))


UNRULY: dict[str, tuple[Sends, str]] = {
    "a chunk of 2 GB": (lambda c, a: c.send(c.chunk(bytes(100), a.number, size=GIGABYTES)), "chunk of 2147483647"),
    "a chunk of nothing": (lambda c, a: c.send(b"MSGF" + struct.pack("<I", 0)), "chunk of 0 bytes"),
    "another protocol": (lambda c, a: c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no chunk of OPC UA"),
    "parts that say nothing": (lambda c, a: c.send(c.chunk(b"", a.number, b"MSGC")), "parts of a message|more chunks"),
    "parts of one byte": (tiny_parts, "parts of a message|more chunks"),
    "parts of two messages in turn": (interleaved, "Wrong request id|which was not sent|another message|No request"),
    "an answer to nobody": (lambda c, a: c.send(c.chunk(bytes(100), a.number + 1000)), "No request found"),
    "a channel that nobody opens": (opens_again, "a channel without a request"),
    "a second acknowledgement": (
        lambda c, a: c.send(b"ACKF" + struct.pack("<IIIIII", 28, 0, 1, 1, 0, 0)),
        "an Acknowledge without a Hello",
    ),
    "last words": (lambda c, a: c.error(ua.StatusCodes.BadTcpMessageTooLarge), "BadTcpMessageTooLarge"),
    "numbers that jump": (lambda c, a: c.send(c.chunk(bytes(99), a.number, sequence=c.sequence + 9)), "sequence"),
    "another channel's keys": (
        lambda c, a: c.send(b"MSGF" + struct.pack("<IIIII", 24, 99, c.token, c.sequence + 1, a.number)),
        "channel id",
    ),
}


def once(sends: Sends) -> Callable[[Connection, Ask], Awaitable[bool]]:
    async def hook(connection: Connection, ask: Ask) -> bool:
        sends(connection, ask)
        return True

    return hook


@pytest.mark.parametrize("moment", ["ReadRequest", "publish"])
@pytest.mark.parametrize("kind", UNRULY)
def test_a_protocol_violation_ends_the_connection_with_a_reason(kind: str, moment: str) -> None:
    sends, words = UNRULY[kind]

    async def read(url: str) -> None:
        made = config(url, select=[{"subtree": "/Objects/plant"}])
        async with opened(made) as source, reading(source) as seen:
            await seen.more(2)

    async def body() -> None:
        async with ScriptedServer(hooks={moment: once(sends)}, period_s=0.01) as server:
            with pytest.raises(Unavailable, match=words):
                await read(server.url)

    asyncio.run(asyncio.wait_for(body(), 10))


def opened_with(response: bytes) -> Sends:
    return lambda c, a: c.server.send_open(c, a, response)


def refusal() -> bytes:
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSecurityChecksFailed))
    return struct_to_binary(fault)


@pytest.mark.parametrize(
    ("sends", "words"),
    [
        (opened_with(refusal()), "BadSecurityChecksFailed"),
        (lambda c, a: c.error(ua.StatusCodes.BadSecurityChecksFailed), "BadSecurityChecksFailed"),
        (lambda c, a: c.fault(a, ua.StatusCodes.BadTcpServerTooBusy), "another kind|channel id"),
        (opened_with(b"\x01\x00\xff"), "makes no sense|Not enough data"),
        (lambda c, a: c.writer.close(), "connection"),
    ],
    ids=["a fault", "last words", "another kind of message", "nonsense", "nothing"],
)
def test_a_refused_secure_channel_says_why(sends: Sends, words: str) -> None:
    async def body() -> None:
        async with ScriptedServer(hooks={"OpenSecureChannelRequest": once(sends)}) as server:
            with pytest.raises(Unavailable, match=words):
                async with opened(config(server.url)):
                    pass

    asyncio.run(asyncio.wait_for(body(), 10))


@pytest.mark.parametrize("interval", ["as asked", "years", "no number"])
def test_a_keep_alive_of_years_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, interval: str) -> None:
    """Silent, it is asked whether it is there, and asked for other keep-alives; gone, it is given up."""
    monkeypatch.setattr(tracker, "MOST_KEEP_ALIVE_S", 0.05)
    gone: list[int] = []
    asked = asyncio.Event()

    async def create(connection: Connection, ask: Ask) -> bool:
        made = connection.server._createsubscription(connection, ask.request)
        made.Parameters.RevisedMaxKeepAliveCount = 2**31
        if interval != "as asked":
            made.Parameters.RevisedPublishingInterval = 1e12 if interval == "years" else float("nan")
        connection.reply(ask, made)
        return True

    async def publishing_mode(connection: Connection, ask: Ask) -> bool:
        made = ua.SetPublishingModeResponse()
        made.Parameters.Results = [ua.StatusCode(ua.UInt32(gone[0] if gone else 0))]
        connection.reply(ask, made)
        if connection.server.asked[ask.name] == 3:
            asked.set()
        return True

    async def silent(connection: Connection, ask: Ask) -> bool:
        return True

    async def body() -> None:
        hooks = {"CreateSubscriptionRequest": create, "SetPublishingModeRequest": publishing_mode, "publish": silent}
        async with ScriptedServer(hooks=hooks) as server:
            made = config(server.url, select=[{"subtree": "/Objects/plant"}], keep_alive=0.05)
            async with opened(made) as source, reading(source) as seen:
                waiting = asyncio.create_task(seen.more(2))
                await asked.wait()
                gone.append(ua.StatusCodes.BadSubscriptionIdInvalid)
                with pytest.raises(Unavailable, match="silent"):
                    await waiting
                await source.subscriptions.quicken()
                assert [each.is_slow for each in source.subscriptions] == [False]

    asyncio.run(asyncio.wait_for(body(), 20))
