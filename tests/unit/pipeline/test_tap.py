"""A tap shows what it is asked for, counts what it does not show, and costs a bounded amount."""

import asyncio

import pytest

from gateway.model import Message, Tag
from gateway.pipeline.routing import Encoded
from gateway.pipeline.tap import MOST_A_SECOND, MOST_KEPT, Passed, PassedMessage, PassedValue, Tap, Wish
from tests.support.payloads import batch_of

DOUBLE = 11
TAGS = [Tag("Temperature", "nsu=x;s=press/Temperature"), Tag("Speed", "nsu=x;s=press/Speed")]
BATCH = batch_of([(DOUBLE, 1.0), (DOUBLE, 2.0), (DOUBLE, 3.0)], tags=TAGS, handles=[0, 1, 0])


def taken(tap: Tap) -> list[Passed]:
    tap._some = asyncio.Event()  # an event belongs to one loop
    tap._some.set()
    return asyncio.run(tap.taken(0.0))


def shown(tap: Tap) -> list[object]:
    passed = taken(tap)
    return [each.value.value if isinstance(each, PassedValue) else each.message.seq for each in passed]


@pytest.mark.parametrize(
    ("wish", "values", "messages"),
    [
        (Wish(), [1.0, 2.0, 3.0], [7, 8]),
        (Wish(tag="Temp*"), [1.0, 3.0], [7]),
        (Wish(tag=f"{BATCH.source}/Speed"), [2.0], []),
        (Wish(tag="nsu=x;s=press/Sp**"), [2.0], []),
        (Wish(source="another"), [], []),
        (Wish(stream="s/*"), [], [7]),
        (Wish(("shape",)), [], []),
        (Wish(("encode",)), [], [7, 8]),
    ],
    ids=str,
)
def test_only_what_is_wanted_is_shown(wish: Wish, values: list[float], messages: list[int]) -> None:
    topics = {"Temperature": "t/temperature"}
    wanted = frozenset(topics[tag.name] for tag in TAGS if tag.name in topics and wish.has(BATCH.source, tag))
    tap = Tap(wish, wanted if wish.tag else None)
    tap.values("decode", BATCH)
    assert shown(tap) == values
    made = [
        Message("t/temperature", b"", "s/1", 7, 2, BATCH.source),
        Message("t/speed", b"", "r/1", 8, 1, BATCH.source),
    ]
    tap.messages(BATCH.source, Encoded(made[:1], {"other": made[1:]}))
    assert shown(tap) == messages
    assert (tap.left_out, tap.dropped) == (0, 0)


def test_what_is_too_much_is_counted_and_not_taken() -> None:
    now = [100.0]
    tap = Tap(Wish(), clock=lambda: now[0])
    too_many = MOST_A_SECOND + 3
    many = batch_of([(DOUBLE, 1.0)] * too_many, tags=TAGS, handles=[0] * too_many)
    tap.values("decode", many)
    tap.messages("s", Encoded([Message("t", b"", "s", 1, 1)]))
    assert (len(shown(tap)), tap.left_out, tap.dropped) == (MOST_A_SECOND, 4, 0)
    for _ in range(MOST_KEPT // MOST_A_SECOND + 1):  # nobody reads
        now[0] += 1
        tap.values("decode", many)
    assert tap.dropped == MOST_A_SECOND
    assert len(shown(tap)) == MOST_KEPT


def test_a_message_of_a_route_says_which() -> None:
    tap = Tap(Wish())
    tap.messages("s", Encoded([], {"cloud": [Message("t", b"", "s", 1, 1)]}))
    [passed] = taken(tap)
    assert isinstance(passed, PassedMessage)
    assert passed.route == "cloud"
