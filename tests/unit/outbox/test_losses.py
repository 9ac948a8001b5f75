"""What was lost is told, also when the message that tells it is lost in its turn."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import OutboxConfig
from gateway.model import Loss, Message
from gateway.outbox import Outbox, open_outbox
from gateway.outbox.losses import joined, stored_losses

CAP = 20_000


class Teller:
    """Fills an outbox that is never read, and announces what it lost in the stream itself, as the gateway does."""

    def __init__(self, folder: Path) -> None:
        self.config = OutboxConfig(path=folder, max_bytes=CAP, segment_bytes=2000, commit="os")
        self.dropped = 0
        self.told: dict[int, Loss] = {}
        """By the number of the announcement."""

    async def fill(self, outbox: Outbox, messages: int) -> None:
        for _ in range(messages):
            await outbox.append([message(outbox, values=3)])

    async def tell(self, outbox: Outbox) -> None:
        for loss in outbox.take_losses():
            announcement = message(outbox, values=0)
            self.told[announcement.seq] = loss
            await outbox.append([announcement], losses=[loss])

    def live(self, *turns: int) -> None:
        """A run of the outbox: so many messages, and then announcements, turn by turn."""

        def count(reader: str, reason: str, values: int) -> None:
            self.dropped += values

        async def body() -> None:
            async with open_outbox(self.config, readers=("r",), on_drop=count) as outbox:
                for messages in turns:
                    await self.fill(outbox, messages)
                    await self.tell(outbox)

        asyncio.run(asyncio.wait_for(body(), 60))

    def read(self) -> tuple[list[int], list[Loss]]:
        """The numbers of all messages that are left, and the losses that these announce or that are still to be."""
        found: list[int] = []

        async def body() -> None:
            async with open_outbox(self.config, readers=("r",)) as outbox:
                reader = outbox.reader("r")
                while reader.messages:
                    for record in await reader.read(10, CAP):
                        found.append(record.message.seq)
                        reader.ack(record.number)

        asyncio.run(asyncio.wait_for(body(), 60))
        told = [self.told[seq] for seq in found if seq in self.told]
        return found, [*told, *stored_losses((self.config.path / "ledger").read_bytes())]


def message(outbox: Outbox, values: int) -> Message:
    return Message("t", b"x" * 100, "s", outbox.next_seq("s"), values)


def check(teller: Teller) -> None:
    found, losses = teller.read()
    assert sum(loss.values for loss in losses) == teller.dropped > 0
    lost = Counter(seq for loss in losses for seq in range(loss.from_seq, loss.to_seq + 1))
    assert set(lost.values()) == {1}
    assert sorted([*lost, *found]) == list(range(1, max(found) + 1))


def test_the_losses_of_a_lost_announcement_are_announced_again(tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    teller.live(*[60] * 20)
    check(teller)


def test_losses_of_a_lost_announcement_are_announced_again_after_restarts(tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    for _ in range(10):
        teller.live(40, 40)
    check(teller)


@pytest.mark.slow
def test_the_ledger_of_a_long_outage_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbox.losses.REWRITE_BYTES", 3000)
    teller = Teller(tmp_path)
    for _ in range(5):
        teller.live(*[60] * 5)
        assert (tmp_path / "ledger").stat().st_size < 10_000
    assert not (tmp_path / "ledger.new").exists()
    check(teller)


@pytest.mark.usefixtures("kept_often")
def test_a_delivered_announcement_settles_its_losses(tmp_path: Path) -> None:
    teller = Teller(tmp_path)
    teller.live(200)
    teller.read()

    async def settled() -> None:
        async with open_outbox(teller.config, readers=("r",)) as outbox:
            reader = outbox.reader("r")
            while (tmp_path / "ledger").stat().st_size:
                await teller.tell(outbox)
                for record in await reader.read(10, CAP) if reader.messages else ():
                    reader.ack(record.number)
                await asyncio.sleep(0.01)
            assert outbox.take_losses() == []

    asyncio.run(asyncio.wait_for(settled(), 30))


def test_adjoining_ranges_are_merged() -> None:
    first = Loss(1, "s", 1, 10, 10, 30, "outbox_full", 100, 200, ("r",))
    second = replace(first, id=2, from_seq=11, to_seq=20, from_ns=150, to_ns=300)
    others = [
        replace(first, id=3, from_seq=22, to_seq=30),
        replace(second, id=4, stream="other"),
        replace(second, id=5, from_seq=31, readers=("q",)),
        replace(second, id=6, from_seq=31, cause="expired"),
    ]
    [(both, parts)] = [found for found in joined([second, *others, first]) if len(found[1]) > 1]
    assert parts == [first, second]
    assert both == replace(first, to_seq=20, messages=20, values=60, to_ns=300)
