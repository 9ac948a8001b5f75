"""What a hostile or broken OPC UA server does: a table of scripted misbehaviours, by name.

Each is a set of hooks for `ScriptedServer`.  They are made of moments (which request is answered) and of answers.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import Any

from asyncua import ua as library

from tests.support.opcua_scripted import Ask, Connection, Hook
from tests.support.opcua_wire import RESPONSE_HEADER, data_change, double, item, publish_response

ua: Any = library
Sends = Callable[[Connection, Ask], None]
HUGE = 2**31 - 1


def hooked(sends: Sends) -> Hook:
    async def hook(connection: Connection, ask: Ask) -> bool:
        sends(connection, ask)
        return True

    return hook


def changed(name: str, change: Callable[[Any], object]) -> Hook:
    """The answer by the rules, but for one thing."""

    async def hook(connection: Connection, ask: Ask) -> bool:
        made = getattr(connection.server, f"_{name}")(connection, ask.request)
        change(made)
        connection.reply(ask, made)
        return True

    return hook


# -- chunks --------------------------------------------------------------------------------------------------------


def _parts(count: int, body: bytes, kind: bytes = b"MSGC") -> Sends:
    def send(connection: Connection, ask: Ask) -> None:
        connection.send(b"".join(connection.chunk(body, ask.number, kind) for _ in range(count)))

    return send


def _unasked(connection: Connection, ask: Ask) -> None:
    connection.send(b"".join(connection.chunk(bytes(50), ask.number + 1000 + n) for n in range(5000)))


def _raw(data: bytes) -> Sends:
    return lambda connection, ask: connection.send(data)


def _hello(connection: Connection, ask: Ask) -> None:
    connection.send(b"HELF" + struct.pack("<I", 32) + bytes(24))


CHUNKS: dict[str, Sends] = {
    "nothing": lambda c, a: None,
    "cuts": lambda c, a: c.writer.transport.abort(),
    "closes": lambda c, a: c.writer.close(),
    "a chunk of 2 GB": lambda c, a: c.send(c.chunk(bytes(60_000), a.number, size=HUGE)),
    "a chunk of nothing": _raw(b"MSGF" + bytes(4)),
    "another protocol": _raw(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
    "noise": _raw(bytes(range(256)) * 400),
    "zeros": _raw(bytes(100_000)),
    "empty parts": _parts(20_000, b""),
    "parts of one byte": _parts(20_000, b"x"),
    "parts without end": _parts(80, bytes(60_000)),
    "answers to nobody": _unasked,
    "acknowledgements": _raw((b"ACKF" + struct.pack("<IIIIII", 28, 0, 65536, 65536, 0, 0)) * 3000),
    "a hello": _hello,
    "last words": lambda c, a: c.error(ua.StatusCodes.BadTcpServerTooBusy),
    "an aborted answer": lambda c, a: c.abort(a, ua.StatusCodes.BadOutOfMemory),
    "a fault": lambda c, a: c.fault(a, ua.StatusCodes.BadInternalError),
    "a fault that is Good": lambda c, a: c.fault(a, 0),
    "numbers that jump": lambda c, a: c.send(c.chunk(bytes(99), a.number, sequence=c.sequence + 9)),
    "an empty answer": lambda c, a: c.answer(a, b""),
    "half an answer": lambda c, a: c.answer(a, b"\x01\x00" + struct.pack("<H", 631) + RESPONSE_HEADER[:9]),
}
MOMENTS = {
    "Hello": ("nothing", "cuts", "another protocol", "noise", "zeros", "last words", "a hello", "acknowledgements"),
    "OpenSecureChannelRequest": ("nothing", "cuts", "a chunk of 2 GB", "last words", "a fault", "noise", "empty parts"),
    "CreateSessionRequest": (
        "nothing", "closes", "empty parts", "parts without end", "a fault", "a fault that is Good", "an empty answer",
        "half an answer", "an aborted answer",
    ),
    "ReadRequest": ("nothing", "parts of one byte", "answers to nobody", "acknowledgements", "a fault that is Good",
                    "half an answer", "numbers that jump"),
    "BrowseRequest": ("nothing", "a fault", "an aborted answer", "half an answer", "an empty answer", "zeros"),
    "CreateMonitoredItemsRequest": ("nothing", "cuts", "half an answer", "a fault that is Good"),
    "publish": ("a chunk of 2 GB", "empty parts", "parts of one byte", "answers to nobody", "a chunk of nothing",
                "an empty answer", "half an answer", "an aborted answer", "numbers that jump", "parts without end"),
}  # fmt: skip


# -- answers ---------------------------------------------------------------------------------------------------------


def _count(place: int, count: int) -> Callable[[bytes], bytes]:
    return lambda body: body[:place] + struct.pack("<i", count) + body[place + 4 :]


def _encoded(number: int, tail: bytes) -> Sends:
    """An answer of this type whose body, behind the header, is `tail`."""
    head = struct.pack("<BBH", 1, 0, number) + RESPONSE_HEADER
    return lambda connection, ask: connection.answer(ask, head + tail)


def _nested(depth: int) -> bytes:
    """A ReadResponse with one Variant inside of another, so many times."""
    return struct.pack("<i", 1) + b"\x01" + b"\x98\x01\x00\x00\x00" * depth + b"\x01\x01"


def _published(body: Callable[[int], bytes], times: int = 1) -> Hook:
    async def hook(connection: Connection, ask: Ask) -> bool:
        for _ in range(times):
            connection.answer(ask, body(next(iter(connection.subscriptions))))
            if not connection.publishes:
                break
            ask = connection.publishes.pop(0)
        return True

    return hook


async def _publish_at_once(connection: Connection, ask: Ask) -> bool:
    """Each PublishRequest is answered the moment it comes, with nothing in it."""
    await asyncio.sleep(0)
    connection.answer(ask, publish_response([], 1, next(iter(connection.subscriptions), 5)))
    return True


def _many(count: int) -> list[bytes]:
    return [item(0, double(1.0), None, 133 * 10**15, 133 * 10**15)] * count


def _self_below(made: Any) -> None:
    for result in made.Results:
        result.References = result.References * 50


def _long_names(made: Any) -> None:
    for result in made.Results:
        for reference in result.References:
            reference.BrowseName = ua.QualifiedName(ua.String("x" * 200_000), ua.UInt16(2))


def _told(**values: object) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        for name, value in values.items():
            setattr(made.Parameters, name, value)

    return change


def _endpoints(made: Any) -> None:
    made.Parameters.ServerEndpoints = made.Parameters.ServerEndpoints * 2000


def _fewer(made: Any) -> None:
    made.Results = made.Results[:-1]


def _more(made: Any) -> None:
    made.Results = made.Results * 3


ANSWERS: dict[str, Mapping[str, Hook]] = {
    "2000 endpoints": {"CreateSessionRequest": changed("createsession", _endpoints)},
    "no endpoints": {"CreateSessionRequest": changed("createsession", _told(ServerEndpoints=None))},
    "a session for no time": {"CreateSessionRequest": changed("createsession", _told(RevisedSessionTimeout=0.0))},
    "a session for ever": {"CreateSessionRequest": changed("createsession", _told(RevisedSessionTimeout=float("nan")))},
    "fewer values than asked": {"ReadRequest": changed("read", _fewer)},
    "more values than asked": {"ReadRequest": changed("read", _more)},
    "two billion Nulls": {
        "ReadRequest": hooked(_encoded(634, struct.pack("<iBBi", 1, 1, 0x80, HUGE) + struct.pack("<i", -1)))
    },
    "values in values": {"ReadRequest": hooked(_encoded(634, _nested(20_000)))},
    "two billion values": {"ReadRequest": hooked(_encoded(634, struct.pack("<i", HUGE)))},
    "fewer nodes than asked": {"BrowseRequest": changed("browse", _fewer)},
    "children fifty times": {"BrowseRequest": changed("browse", _self_below)},
    "names of 200 kB": {"BrowseRequest": changed("browse", _long_names)},
    "two billion references": {"BrowseRequest": hooked(_encoded(530, struct.pack("<iIii", 1, 0, -1, HUGE)))},
    "fewer items than asked": {"CreateMonitoredItemsRequest": changed("createmonitoreditems", _fewer)},
    "an interval that is no number": {
        "CreateSubscriptionRequest": changed("createsubscription", _told(RevisedPublishingInterval=float("nan")))
    },
    "a keep-alive of years": {
        "CreateSubscriptionRequest": changed("createsubscription", _told(RevisedMaxKeepAliveCount=2**32 - 1))
    },
    "a lifetime of nothing": {
        "CreateSubscriptionRequest": changed("createsubscription", _told(RevisedLifetimeCount=0))
    },
    "two billion items": {
        "publish": _published(
            lambda s: publish_response([struct.pack("<BBH", 1, 0, 811) + b"\x01" + struct.pack("<ii", 4, HUGE)], 1, s)
        )
    },
    "handles of nobody": {
        "publish": _published(lambda s: publish_response([data_change([item(10**9, double(1.0))])], 1, s))
    },
    "values of another subscription": {
        "publish": _published(lambda s: publish_response([data_change(_many(3))], 1, s + 1000))
    },
    "always the same number": {"publish": _published(lambda s: publish_response([data_change(_many(2))], 7, s))},
    "a notification of nothing known": {
        "publish": _published(lambda s: publish_response([struct.pack("<BBHBi", 1, 0, 9999, 1, 4) + b"oops"], 1, s))
    },
    "answers at once": {"PublishRequest": _publish_at_once},
    "no subscription": {"publish": hooked(lambda c, a: c.fault(a, ua.StatusCodes.BadNoSubscription))},
    "too many requests": {"PublishRequest": hooked(lambda c, a: c.fault(a, ua.StatusCodes.BadTooManyPublishRequests))},
}

BEHAVIOURS: dict[str, Mapping[str, Hook]] = {
    **{
        f"{moment.removesuffix('Request')}: {what}": {moment: hooked(CHUNKS[what])}
        for moment, whats in MOMENTS.items()
        for what in whats
    },
    **ANSWERS,
}
