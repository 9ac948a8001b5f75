"""How many PublishRequests wait at the server, and with how many writes they are sent."""

import asyncio
from types import SimpleNamespace

import pytest

import gateway.opcua.subscription.publisher as publisher
from gateway.errors import Unavailable
from gateway.opcua.session.publish_channel import Acknowledgements
from tests.support.in_loop import in_loop


class FakeChannel:
    """Takes every request, and answers as many as asked for."""

    def __init__(self) -> None:
        self.waiting = 0
        self.writes: list[tuple[int, Acknowledgements]] = []

    def request(self, count: int, acknowledgements: Acknowledgements) -> None:
        self.writes.append((count, acknowledgements))
        self.waiting += count


class Peer:
    """A publisher whose channel answers when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.channel = FakeChannel()
        monkeypatch.setattr(publisher, "PublishChannel", lambda *given: self.channel)
        session = SimpleNamespace(where="fake", is_open=True, protocol=None)
        self.publisher = publisher.Publisher(session)  # type: ignore[arg-type]  # all of it that is used
        self.sequence = 0

    def answer(self) -> None:
        self.channel.waiting -= 1
        self.publisher._arrived((), b"\1" + bytes(30))

    async def store(self) -> None:
        """What has arrived becomes durable."""
        while self.publisher.has_arrived:
            await self.publisher.receive(1.0)
            self.sequence += 1
            self.publisher.acknowledge(7, self.sequence)


@pytest.mark.parametrize("requests", [1, 3, 100, 104])
def test_as_many_requests_wait_as_configured(monkeypatch: pytest.MonkeyPatch, requests: int) -> None:
    peer = Peer(monkeypatch)
    peer.publisher.fill(requests)
    assert peer.channel.waiting == requests


@in_loop
async def test_a_slow_server_gets_several_requests_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(monkeypatch)
    peer.publisher.fill(3)
    for _ in range(6):
        peer.answer()
        await peer.store()
        peer.publisher.fill(3)
        assert peer.channel.waiting >= 2
    assert peer.channel.writes == [(3, []), (2, [(7, 1), (7, 2)]), (2, [(7, 3), (7, 4)]), (2, [(7, 5), (7, 6)])]


@in_loop
async def test_of_two_requests_each_one_is_sent_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(monkeypatch)
    for _ in range(3):
        peer.publisher.fill(2)
        assert peer.channel.waiting == 2
        peer.answer()
        await peer.store()


@in_loop
async def test_a_server_that_uses_up_all_requests_gets_more_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(monkeypatch)
    peer.publisher.fill(3)
    sent = 3
    for more in (1, 2, 4):
        for _ in range(peer.channel.waiting):
            peer.answer()
        await peer.store()
        peer.publisher.fill(3)
        assert peer.channel.waiting == 3 + more
        sent += 3 + more
    assert len(peer.channel.writes) == 4
    assert sum(count for count, _ in peer.channel.writes) == sent


@in_loop
async def test_what_waits_wakes_as_soon_as_something_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(monkeypatch)
    peer.publisher.fill(3)
    waiting = asyncio.ensure_future(peer.publisher.receive(1.0))
    await asyncio.sleep(0)
    peer.answer()
    assert await waiting


@in_loop
async def test_each_wait_lasts_as_long_as_asked_for_whatever_the_waits_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """One alarm serves all waits: that of a long one must not be late for a short one, nor end a longer one early."""
    peer, loop = Peer(monkeypatch), asyncio.get_running_loop()
    peer.publisher.fill(1)
    loop.call_soon(peer.answer)
    assert await peer.publisher.receive(60.0)
    for asked_s in (0.01, 0.03, 0.0, 0.02):
        began_s = loop.time()
        with pytest.raises(publisher.Silent):
            await peer.publisher.receive(asked_s)
        assert loop.time() - began_s >= asked_s
    peer.publisher.fill(1)
    loop.call_later(0.02, peer.answer)
    assert await peer.publisher.receive(60.0)
    peer.publisher.fail(ConnectionError("gone"))
    with pytest.raises(Unavailable):
        await peer.publisher.receive(60.0)
