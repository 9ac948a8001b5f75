"""Leaving a server at any moment of connecting is a cancellation and nothing else, with either event loop."""

import asyncio
import socket
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import pytest

from gateway.opcua.explore import connected
from tests.support.opcua_source import config, series

LOOPS = [import_module(name).new_event_loop for name in ("asyncio", "uvloop") if find_spec(name)]


@pytest.mark.parametrize("new_loop", LOOPS, ids=lambda new_loop: str(new_loop.__module__))
def test_cancelled_while_connecting(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
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
