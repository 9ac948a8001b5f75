"""Taps as the API tells them: who looks, and what passed, as text."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.errors import Rejected, Unavailable
from gateway.payload.timestamps import text_of
from gateway.pipeline.tap import Passed, PassedMessage, PassedValue, Tap, Wish
from gateway.run.gateway import Gateway
from gateway.run.search import Directory, type_text, value_text
from gateway.run.source_unit import in_words
from gateway.run.state import instant
from gateway.web.inside import NextTapped
from gateway.web.models import Tapped, TappedMessage, TappedValue

MOST_TAPS = 8
EVERY_S = 1.0
"""The longest time without an answer."""
MOST_PAYLOAD = 4000
"""The longest text of a payload, in characters."""


@asynccontextmanager
async def tapping(gateway: Gateway, directory: Directory, wish: Wish) -> AsyncIterator[NextTapped]:
    """Look at what passes while inside.  Raises `Unavailable` when too many do, `Rejected` for an unknown source."""
    if len(gateway.taps) >= MOST_TAPS:
        raise Unavailable(f"{MOST_TAPS} people look at what passes inside: that is the most")
    if wish.source and wish.source not in gateway.sources:
        raise Rejected("source", f"there is no source {wish.source}: there are {', '.join(gateway.sources)}")
    tap = Tap(wish)

    async def learn() -> int:
        """How many tags are wanted; and their topics, for the tap."""
        entries = await directory.entries(gateway)
        found = [each for each in entries if wish.source in ("", each.source) and wish.has(each.source, each.tag)]
        if wish.tag:
            tap.topics = frozenset(way.topic for entry in found for way in entry.ways)
        return len(found)

    async def told() -> Tapped:
        tags = await learn()
        return tapped(await tap.taken(EVERY_S), tap, tags)

    await learn()
    gateway.taps.append(tap)
    try:
        yield told
    finally:
        gateway.taps.remove(tap)


def tapped(passed: Sequence[Passed], tap: Tap, tags: int) -> Tapped:
    """What passed, as text."""
    values = [_value(each) for each in passed if isinstance(each, PassedValue)]
    messages = [_message(each) for each in passed if isinstance(each, PassedMessage)]
    return Tapped(tags=tags, values=values, messages=messages, left_out=tap.left_out, dropped=tap.dropped)


def _value(passed: PassedValue) -> TappedValue:
    last = passed.value
    return TappedValue(
        time=instant(passed.unix_s),
        stage=passed.stage,
        source=passed.source,
        tag=passed.tag.name,
        node=passed.tag.node_id,
        value=value_text(last),
        type=type_text(last.type),
        status=in_words(last.status),
        source_time=text_of(last.source_ticks) if last.source_ticks else None,
        server_time=text_of(last.server_ticks) if last.server_ticks else None,
    )


def _message(passed: PassedMessage) -> TappedMessage:
    message = passed.message
    return TappedMessage(
        time=instant(passed.unix_s),
        stage="encode",
        source=message.source,
        route=passed.route,
        topic=message.topic,
        stream=message.stream,
        seq=message.seq,
        count=message.values,
        size_bytes=len(message.payload),
        payload=_text(message.payload),
    )


def _text(payload: bytes) -> str:
    """The beginning of the payload as text, or in hexadecimal where it is none."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        text = f"0x{payload[: MOST_PAYLOAD // 2].hex()}"
    return text[:MOST_PAYLOAD]
