"""Leaving a server: at any moment of connecting, and with an answer in the instant of its time limit."""

import asyncio
import socket
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import pytest
from asyncua import ua

import gateway.opcua.session.connect as connect
from gateway.errors import Unavailable
from gateway.opcua.explore import connected
from tests.support.opcua_scripted import Ask, Connection, ScriptedServer
from tests.support.opcua_source import config, series

LOOPS = [import_module(name).new_event_loop for name in ("asyncio", "uvloop") if find_spec(name)]


@pytest.mark.parametrize("new_loop", LOOPS, ids=lambda new_loop: str(new_loop.__module__))
def test_cancelling_a_connection_leaves_nothing_open(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def connect(url: str) -> None:
        async with connected(config(url), series()):
            pass

    async def cancelled_after(turns: int, url: str) -> None:
        connecting = asyncio.create_task(connect(url))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(connecting, 20)

    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"opc.tcp://127.0.0.1:{silent.getsockname()[1]}"
        with asyncio.Runner(loop_factory=new_loop) as runner:
            for turns in range(40):
                runner.run(cancelled_after(turns, url))


LIMIT_S = 0.1


@pytest.mark.parametrize("answers", ["the answer", "a fault"])
@pytest.mark.parametrize(
    "request_name", ["CloseSessionRequest", "ReadRequest", "CreateSessionRequest", "OpenSecureChannelRequest"]
)
def test_an_answer_at_its_time_limit_is_returned_or_timed_out(
    monkeypatch: pytest.MonkeyPatch, request_name: str, answers: str
) -> None:
    """Both are due in one turn of the loop, which the server holds up until then."""
    monkeypatch.setattr(connect, "CLOSE_S", LIMIT_S)

    async def late(connection: Connection, ask: Ask) -> bool:
        if answers == "a fault":
            connection.fault(ask, ua.StatusCodes.BadRequestTooLarge)
        elif request_name == "OpenSecureChannelRequest":
            connection.server.open(connection, ask)
        else:
            connection.server.default(connection, ask)
        time.sleep(LIMIT_S * 1.5)  # noqa: ASYNC251 - the loop is late, and finds the answer and the limit
        return True

    async def body() -> None:
        async with ScriptedServer(hooks={request_name: late}) as server:
            try:
                async with connected(config(server.url, request_timeout=LIMIT_S), series()):
                    pass
            except Unavailable:
                pass
            task = asyncio.current_task()
            assert task is not None
            assert not task.cancelling()

    asyncio.run(asyncio.wait_for(body(), 20))
