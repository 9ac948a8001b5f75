"""What a watcher keeps of a stream: holes, what fills them, repeats, rate and delay."""

import io

import pytest
from rich.console import Console

from gateway.cli.streams import MOST_HOLES, Stream, Streams
from gateway.cli.watch import foreign
from gateway.cli.watch_view import line_of, picture, what_differs
from gateway.link import Link
from gateway.payload.read import Reading


def seen(*seqs: int) -> Stream:
    stream = Stream("s")
    for seq in seqs:
        stream.see(Reading("s", seq, [("a", 1)]), 0.0, None)
    return stream


@pytest.mark.parametrize(
    ("seqs", "missing", "repeats", "late"),
    [
        ((1, 2, 3), 0, 0, 0),
        ((5, 6), 0, 0, 0),  # whoever comes later misses nothing
        ((1, 2, 2, 1, 3), 0, 2, 0),
        ((1, 5), 3, 0, 0),
        ((1, 5, 2, 3), 1, 0, 2),
        ((1, 5, 3, 3), 2, 1, 1),
        ((1, 5, 2, 3, 4, 6), 0, 0, 3),
        ((5, 3, 6), 0, 0, 1),  # from before we looked: a backlog behind what is new
        ((1, 2, 3, 4, 2, 3, 4, 5), 0, 3, 0),  # what a lost connection repeats
    ],
)
def test_gaps_late_messages_and_repeats_are_counted(
    seqs: tuple[int, ...], missing: int, repeats: int, late: int
) -> None:
    stream = seen(*seqs)
    assert (stream.missing, stream.repeats, stream.late) == (missing, repeats, late)
    assert stream.values == len(seqs) - repeats


def test_recorded_gaps_are_bounded_and_stay_missing() -> None:
    stream = seen(*range(1, 2 * (MOST_HOLES + 10), 2))
    assert stream.missing == MOST_HOLES + 9
    assert len(stream._holes) == MOST_HOLES


def test_rate_and_delay_are_those_of_the_last_seconds() -> None:
    stream = Stream("s")
    for n in range(100):
        stream.see(Reading("s", n + 1, [("a", 1), ("b", 2)]), n / 10, 0.5 if n < 90 else 0.1)
    messages, values, delay_s = stream.rates(9.9)
    assert messages == pytest.approx(10, rel=0.1)
    assert values == pytest.approx(20, rel=0.1)
    assert delay_s is not None
    assert 0.1 < delay_s < 0.5
    assert stream.rates(30.0) == (0.0, 0.0, None)


def pictured(width: int) -> str:
    streams = Streams()
    for seq in (1, 2, 2, 9):
        streams.see(Reading("edge.x/line-1/press", seq, [("Temperature", 61.5)]), 1.0, 0.012)
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(picture(streams, Link("broker", "mqtt://h"), 2.0, ["press  #9  MISSING 3 to 8"], width))
    return capture.get()


def test_a_narrow_terminal_keeps_the_names_and_what_is_missing() -> None:
    text = pictured(60)
    assert max(map(len, text.splitlines())) <= 60
    for expected in ("edge.x/line-1/press", "12 ms", "MISSING 3 to 8", "6 messages missing"):
        assert expected in text


def test_the_table_shows_stream_delay_values_and_missing_messages() -> None:
    text = pictured(160)
    for expected in ("edge.x/line-1/press", "12 ms", "Temperature 61.500", "MISSING 3 to 8", "6 messages missing"):
        assert expected in text


def test_a_line_shows_topic_number_values_gaps_and_oddities() -> None:
    reading = Reading("s", 7, [(f"t{n}", 1.0) for n in range(6)], gaps=["policy_drop: full"])
    assert line_of("a/b", reading, "repeat") == (
        "a/b  #7  t0 1.000  t1 1.000  t2 1.000  t3 1.000  (+2)  GAP policy_drop: full  REPEAT"
    )
    assert line_of("a/b", None, "3 bytes, not readable: x") == "a/b  3 bytes, not readable: x"


def test_at_80_columns_the_part_of_a_stream_that_distinguishes_it_is_shown() -> None:
    head = "edge-1.k3x9q2/press-shop/factory/contoso/hall-2"
    long = [f"{head}/line-{n}/a-rather-long-name-of-a-machine-{n}" for n in (1, 2)]
    cut, common = what_differs(long, 35)
    assert common == head
    assert [name[-9:] for name in cut] == ["machine-1", "machine-2"]
    assert max(map(len, cut)) == 35
    assert what_differs([f"{head}/a", f"{head}/b"], 35) == (["…/a", "…/b"], head)
    assert what_differs(["a/b"], 35) == (["a/b"], "")


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b'{"a":\n 1}', '{"a": 1}'), (b"\xff\x00", ""), (b"\x1b[2J", ""), (b"x" * 99, "x" * 60 + "…")],
)
def test_what_others_publish_is_shown_where_it_is_text(payload: bytes, shown: str) -> None:
    assert foreign(payload) == shown
