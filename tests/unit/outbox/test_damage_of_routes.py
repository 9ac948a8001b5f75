"""Damage where there are several routes: it concerns the readers of that route, and nobody else."""

from pathlib import Path

import pytest

from gateway.outbox import Outbox
from tests.support.routed_outbox import Folder, get, put

READERS = {"near": "", "far": "far"}
NEAR = [f"n{n}" for n in range(20)]
FAR = [f"f{n}" for n in range(20)]
FAR_TELEMETRY = 5


def filled(path: Path) -> Folder:
    folder = Folder(path)

    async def body(outbox: Outbox) -> None:
        for near, far in zip(NEAR, FAR, strict=True):
            await put(outbox, "", near, size=200, checkpoint=near.encode())
            await put(outbox, "far", far, size=200, checkpoint=far.encode())

    folder.run(READERS, body)
    return folder


def segments_of_far(path: Path) -> list[Path]:
    return sorted(path.glob(f"{FAR_TELEMETRY}-*.seg"))


def damage(path: Path, offset: int, size: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(byte ^ 0x10 for byte in data[offset : offset + size])
    path.write_bytes(data)


def test_a_flipped_bit_loses_one_message_of_that_route(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    first = segments_of_far(tmp_path)[0]
    damage(first, first.read_bytes().index(b"f2 "))

    async def body(outbox: Outbox) -> None:
        assert await get(outbox.reader("near")) == NEAR
        assert await get(outbox.reader("far")) == [text for text in FAR if text != "f2"]
        await outbox.append([])  # whatever was met is assessed before this is durable
        assert [(x.stream, x.from_seq, x.to_seq, x.readers) for x in outbox.take_losses()] == [
            ("TELEMETRY@far", 3, 3, ("far",))
        ]

    folder.run(READERS, body)
    assert folder.drops == [("far", "corrupt", 1)]
    assert folder.epochs[0] == folder.epochs[1]


@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_header_loses_nothing(tmp_path: Path, which: int) -> None:
    folder = filled(tmp_path)
    damage(segments_of_far(tmp_path)[which], 20, 30)

    async def body(outbox: Outbox) -> None:
        assert await get(outbox.reader("near")) == NEAR
        assert await get(outbox.reader("far")) == FAR

    folder.run(READERS, body)
    assert folder.drops == []
    assert (folder.epochs[0] == folder.epochs[1]) == (which == 0)


def test_headers_damaged_in_every_file_of_a_route_lose_nothing(tmp_path: Path) -> None:
    """Which route that is, the cursor knows as well."""
    folder = filled(tmp_path)
    for path in tmp_path.glob("*.seg"):
        damage(path, 20, 30)

    async def body(outbox: Outbox) -> None:
        assert await get(outbox.reader("near")) == NEAR
        assert await get(outbox.reader("far")) == FAR

    folder.run(READERS, body)


@pytest.mark.parametrize("which", [0, -1])
def test_a_missing_segment_is_reported_to_the_readers_of_that_route(tmp_path: Path, which: int) -> None:
    folder = filled(tmp_path)
    gone = segments_of_far(tmp_path)[which]
    lost = [text for text in FAR if f"{text} ".encode() in gone.read_bytes()]
    gone.unlink()

    async def body(outbox: Outbox) -> None:
        assert await get(outbox.reader("near")) == NEAR
        assert await get(outbox.reader("far")) == [text for text in FAR if text not in lost]
        assert outbox.checkpoints == {"s": (FAR if which == 0 else NEAR)[-1].encode()}

    folder.run(READERS, body)
    assert sum(values for _, _, values in folder.drops) == len(lost)
    assert {reader for reader, _, _ in folder.drops} == {"far"}
    assert (folder.epochs[0] == folder.epochs[1]) == (which == 0)


def test_a_damaged_cursor_delivers_its_route_again_and_nothing_else(tmp_path: Path) -> None:
    folder = filled(tmp_path)

    async def delivered(outbox: Outbox) -> None:
        for record in await outbox.reader("far").read(5, 10**6):
            outbox.reader("far").ack(record.number)

    async def again(outbox: Outbox) -> None:
        assert await get(outbox.reader("far")) == FAR
        assert await get(outbox.reader("near")) == NEAR

    folder.run(READERS, delivered)
    (tmp_path / "far.cursor").write_bytes(b"x" * 8192)
    folder.run(READERS, again)
    assert folder.drops == []


def test_a_missing_writer_state_loses_nothing(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    (tmp_path / "state").unlink()

    async def body(outbox: Outbox) -> None:
        assert await get(outbox.reader("near")) == NEAR
        assert await get(outbox.reader("far")) == FAR

    folder.run(READERS, body)
    assert folder.drops == []
    assert folder.epochs[0] != folder.epochs[1]
