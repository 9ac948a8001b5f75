"""Which values of a server's history belong to an absence."""

import asyncio
from datetime import timedelta

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.session import OperationLimits
from gateway.opcua.subscription.history import instant_of, read_history
from simulators.server.nodes import value
from tests.support.opcua_fake import fake_session

SINCE = 134_000_000_000_000_000


class Server:
    """Keeps a value for every second around an absence of two seconds."""

    async def send(self, request: ua.HistoryReadRequest) -> bytes:
        times = [(second, instant_of(SINCE) + timedelta(seconds=second)) for second in range(-1, 5)]
        values = [value(float(second), ua.VariantType.Double, at, at) for second, at in times]
        result = ua.HistoryReadResult(HistoryData=ua.HistoryData(DataValues=values))
        return struct_to_binary(ua.HistoryReadResponse(Results=[result]))


def test_an_absence_begins_with_the_instant_of_the_last_value() -> None:
    """Of the values of one instant some may have come and others not; and a tag that is selected now had none."""

    async def body() -> list[object]:
        session = fake_session(OperationLimits(), send=Server().send, where="opc.tcp://nowhere:1")
        pages = read_history(session, [(0, ua.NodeId(ua.Int32(1)))], SINCE, SINCE + 20_000_000, Dialect())
        return [each async for changes, _ in pages for each in changes.values]

    assert asyncio.run(asyncio.wait_for(body(), 10)) == [0.0, 1.0, 2.0]
