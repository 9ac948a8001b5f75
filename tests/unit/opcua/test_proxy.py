"""The proxy of the tests does what it says; otherwise every test that uses it proves nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.proxy import Proxy, open_proxy


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        async with open_proxy(server.sockets[0].getsockname()[1]) as proxy:
            yield proxy
    finally:
        server.close()


async def said_back(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"hello")
    return await asyncio.wait_for(reader.readexactly(5), 30)


def test_cut_resets_and_the_next_connection_works() -> None:
    async def body() -> None:
        async with echo_behind_proxy() as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            assert await said_back(proxy, reader, writer) == b"hello"
            proxy.cut()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 30)
            writer.transport.abort()
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            assert await said_back(proxy, reader, writer) == b"hello"
            writer.transport.abort()

    asyncio.run(asyncio.wait_for(body(), 60))


def test_stalled_bytes_arrive_after_heal() -> None:
    async def body() -> None:
        async with echo_behind_proxy() as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            assert await said_back(proxy, reader, writer) == b"hello"
            proxy.stall()
            writer.write(b"later")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), 0.05)
            proxy.heal()
            assert await asyncio.wait_for(reader.readexactly(5), 30) == b"later"
            writer.transport.abort()

    asyncio.run(asyncio.wait_for(body(), 60))


def test_half_open_swallows_until_heal_resets() -> None:
    async def body() -> None:
        async with echo_behind_proxy() as proxy:
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            assert await said_back(proxy, reader, writer) == b"hello"
            proxy.half_open()
            writer.write(b"nobody")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), 0.05)
            proxy.heal()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 30)
            writer.transport.abort()

    asyncio.run(asyncio.wait_for(body(), 60))


def test_refusing_ends_new_connections_at_once() -> None:
    async def body() -> None:
        async with echo_behind_proxy() as proxy:
            proxy.refuse()
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 30)
            writer.transport.abort()

    asyncio.run(asyncio.wait_for(body(), 60))
