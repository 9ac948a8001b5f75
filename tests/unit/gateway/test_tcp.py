"""TCP connections: addresses that lead nowhere cost a moment, not the connection."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager

import pytest

from gateway.tcp import STAGGER_S, connect_tcp, resolve, staggered
from tests.support.addresses import black_hole, resolve_to
from tests.support.mqtt_sessions import open_sockets
from tests.support.ports import free_port


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


@contextmanager
def listening() -> Iterator[int]:
    """A port of 127.0.0.1 where connections come about."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(100)
        yield sock.getsockname()[1]


@pytest.mark.parametrize("dead", [1, 3])
def test_a_silent_address_delays_the_next_attempt_only_briefly(dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        with black_hole() as hole, listening() as port:
            resolve_to(monkeypatch, "broker.example", *[hole] * dead, port)
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            sock = await connect_tcp("broker.example", 1883)
            assert sock.getpeername()[1] == port
            assert loop.time() - begun_s >= dead * STAGGER_S * 0.9, "each had its moment before the next"
            sock.close()

    run(body())


def test_a_refusing_address_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        with listening() as port:
            resolve_to(monkeypatch, "broker.example", free_port(), free_port(), port)
            monkeypatch.setattr("gateway.tcp.STAGGER_S", 3600.0)
            sock = await connect_tcp("broker.example", 1883)
            assert sock.getpeername()[1] == port
            sock.close()

    run(body())


def test_a_slow_address_can_still_be_the_first_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later attempt does not end the one before."""

    async def body() -> None:
        with black_hole() as hole, listening() as port:
            resolve_to(monkeypatch, "broker.example", port, hole, hole)
            monkeypatch.setattr("gateway.tcp.STAGGER_S", 0.0)
            sock = await connect_tcp("broker.example", 1883)
            assert sock.getpeername()[1] == port
            sock.close()

    run(body())


def test_if_no_address_answers_the_error_of_the_first_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        resolve_to(monkeypatch, "broker.example", free_port(), free_port())
        with pytest.raises(ConnectionRefusedError):
            await connect_tcp("broker.example", 1883)
        resolve_to(monkeypatch, "none.example")
        with pytest.raises(OSError, match=r"the name none\.example has no address"):
            await connect_tcp("none.example", 1883)
        with pytest.raises(socket.gaierror):
            await connect_tcp("no-such-host.invalid", 1883)
        with pytest.raises(socket.gaierror):
            await connect_tcp("a" * 64 + ".example", 1883)

    run(body())


@pytest.mark.parametrize("turns", range(0, 24, 3))
def test_cancelled_at_any_point_it_leaves_no_socket_behind(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        with black_hole() as hole, listening() as port:
            resolve_to(monkeypatch, "broker.example", hole, port, port)
            monkeypatch.setattr("gateway.tcp.STAGGER_S", 0.001)
            before = open_sockets()
            task = asyncio.create_task(connect_tcp("broker.example", 1883), name="connect")
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            if isinstance(outcome, socket.socket):
                outcome.close()
            assert open_sockets() == before

    run(body())


def test_the_families_take_turns_in_the_resolvers_order() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    targets = [(six, ("a", 1)), (six, ("b", 1)), (six, ("c", 1)), (four, ("d", 1)), (four, ("e", 1))]
    assert [where[0] for _, where in staggered(targets)] == ["a", "d", "b", "e", "c"]
    assert staggered([]) == []


def test_a_hanging_resolver_delays_neither_a_cancellation_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(60) and [])

    async def body() -> None:
        task = asyncio.create_task(resolve("slow.example", 1), name="resolve")
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body())  # `asyncio.run` waits for the threads of its executor
    answered.set()
