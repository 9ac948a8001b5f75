"""What members of earlier versions wrote for each other is read by this one: bytes that they made are kept in files.

`tests/data/group-form-N.jsonl` has one of each kind of the form N: records of the log, and letters of the post.
"""

import base64
import json
from pathlib import Path

import msgspec
import pytest
import zstandard

from gateway.commands.entries import known_of
from gateway.commands.group_desk import Reply, Request
from gateway.group import entry
from gateway.group.claim import Mark
from gateway.group.entry import FORMAT, FORMAT_HEADER, HEADER, Kind, Stored, encode, headers_of, stored_from
from gateway.model import Message, Priority

DATA = Path(__file__).parents[2] / "data"
FORMS = range(1, FORMAT + 1)
FIRST = Message(
    "load/s0/m-1", b'{"tag":[0],"value":[7]}', "edge.e1/load/s0/m-1", 41, 1, "s0", 638000000000000000, Priority.STATE,
    "application/json", True, (("a", "b"),), 9,
)  # fmt: skip


def lines_of(form: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / f"group-form-{form}.jsonl").read_text().splitlines()]


def records_of(form: int) -> list[Stored]:
    return [
        stored_from("s", int(str(line["seq"])), line["headers"], base64.b64decode(str(line["body"])))  # type: ignore[arg-type]  # from JSON
        for line in lines_of(form)
        if "seq" in line
    ]


@pytest.mark.parametrize("form", FORMS)
def test_records_of_every_form_are_read(form: int) -> None:
    claim, first, second, asked, state, cursor, release = records_of(form)[:7]
    assert (claim.mark.seq, claim.mark.epoch, claim.mark.writer, claim.kind) == (100, 3, "a/7/1", Kind.CLAIM)
    assert (release.kind, release.mark.is_release, release.mark.number) == (Kind.RELEASE, True, 6)
    assert (first.entry.messages, first.entry.checkpoint, first.entry.appended_ns) == ({"": [FIRST]}, b"checkpoint", 77)
    assert second.entry.messages["route"] == [FIRST]
    assert second.entry.messages[""][0].payload == bytes(range(256)) * 8
    assert (state.entry.seqs["edge.e1/load/s0/m-1"], state.entry.checkpoint) == (41, b"later")
    assert cursor.entry.cursor == 4
    known, strange = known_of(json.loads(each) for each in asked.entry.commands)
    assert (strange, known.entries["mes", "1"].answer) == (0, {"id": "1", "outcome": "done"})


@pytest.mark.parametrize("form", FORMS)
def test_letters_of_every_form_are_read(form: int) -> None:
    def letter(kind: str) -> bytes:
        return base64.b64decode(next(str(line[kind]) for line in lines_of(form) if kind in line))

    request = msgspec.msgpack.decode(letter("request"), type=Request)
    assert (request.broker, request.received_ns, request.packet.correlation) == ("broker", 5, b"c")
    reply = msgspec.msgpack.decode(letter("reply"), type=Reply)
    assert (reply.put_ns, reply.message.topic) == (6, "replies/mes")


def test_what_is_written_has_the_shape_that_members_of_the_same_form_know() -> None:
    """Who changes the shape raises FORMAT, and keeps a file of it."""

    def plain(body: bytes) -> list[object]:
        data = zstandard.ZstdDecompressor().decompress(body[1:]) if body[0] else body[1:]
        return list(msgspec.msgpack.decode(data))

    for stored in records_of(FORMAT):
        if stored.body:
            before, now = plain(stored.body), plain(encode(stored.entry))
            assert _has_all(before, now), f"{stored.kind}: {before} became {now}"


def test_what_is_written_says_its_form_where_it_is_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = Mark(9, 3, 1, "a/7/1")
    assert headers_of(mark, Kind.CLAIM) == {HEADER: "3 1 a/7/1 claim"}
    monkeypatch.setattr(entry, "FORMAT", 2)
    assert headers_of(mark, Kind.CLAIM) == {HEADER: "3 1 a/7/1 claim", FORMAT_HEADER: "2"}


def _has_all(before: object, now: object) -> bool:
    """Equal, but for new keys of maps, and what is new at the end of lists, which readers pass over."""
    if isinstance(before, dict) and isinstance(now, dict):
        return all(key in now and _has_all(each, now[key]) for key, each in before.items())
    if isinstance(before, list) and isinstance(now, list):
        return len(before) <= len(now) and all(map(_has_all, before, now))
    return before == now
