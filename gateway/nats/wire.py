"""The protocol of NATS as a client speaks it: lines, and messages with their lengths.  Pure.

A server sends `INFO`, `MSG`, `HMSG`, `PING`, `PONG`, `+OK` and `-ERR`.  `Parser` takes bytes as they arrive and gives
out whole ones.  What is not of the protocol, or is longer than any server has a reason to send, raises `ValueError`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MOST_LINE_BYTES = 2**20
"""An INFO names every server of a cluster; all else is far shorter."""
MOST_PAYLOAD_BYTES = 2**20
"""We subscribe to answers alone."""

PING, PONG = b"PING\r\n", b"PONG\r\n"
_VERSION = b"NATS/1.0"


@dataclass(frozen=True, slots=True)
class Said:
    """A line without a message: `INFO`, `PING`, `PONG`, `+OK` or `-ERR`, and what follows the word."""

    word: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message."""

    subject: str
    payload: bytes
    status: int = 0
    """Of a message that the server itself made, such as 503 where nobody listens; 0: none."""


class Parser:
    """Takes the bytes of one connection."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Said | Arrived]:
        """What is complete by now.  Raises `ValueError`."""
        self._data += data
        place, text = 0, self._data
        try:
            while (end := text.find(b"\r\n", place, place + MOST_LINE_BYTES)) >= 0:
                word, _, rest = bytes(text[place:end]).partition(b" ")
                kind = word.upper()
                if kind not in (b"MSG", b"HMSG"):
                    place = end + 2
                    yield _said(kind, rest)
                    continue
                subject, head, size = _lengths(kind, rest)
                begin, done = end + 2, end + 2 + size
                if len(text) < done + 2:
                    return
                if text[done : done + 2] != b"\r\n":
                    raise ValueError("a message is longer than it says")
                place = done + 2
                yield Arrived(subject, bytes(text[begin + head : done]), _status(bytes(text[begin : begin + head])))
            if len(text) - place > MOST_LINE_BYTES:
                raise ValueError("a line without an end")
        finally:
            del text[:place]


def _said(word: bytes, rest: bytes) -> Said:
    if word not in (b"INFO", b"PING", b"PONG", b"+OK", b"-ERR"):
        raise ValueError(f"the line {word[:20]!r}")
    return Said(word.decode(), rest.decode(errors="replace").strip())


def _lengths(kind: bytes, rest: bytes) -> tuple[str, int, int]:
    """Subject, length of the headers, and length of all."""
    words = rest.split()
    least = 3 if kind == b"MSG" else 4
    if len(words) not in (least, least + 1):
        raise ValueError(f"a {kind.decode()} of {len(words)} words")
    numbers = words[-1:] if kind == b"MSG" else words[-2:]
    if not all(each.isdigit() and len(each) < 10 for each in numbers):
        raise ValueError("a message without a length")
    size, head = int(numbers[-1]), int(numbers[0]) if kind == b"HMSG" else 0
    if head > size or size > MOST_PAYLOAD_BYTES:
        raise ValueError(f"a message of {size} bytes")
    return words[0].decode(errors="replace"), head, size


def _status(head: bytes) -> int:
    words = head.partition(b"\r\n")[0].split()
    return int(words[1]) if len(words) > 1 and words[0] == _VERSION and words[1].isdigit() else 0


def header_text(text: str) -> str:
    """A text as a header carries it: without the ends of lines, which would begin another header."""
    if "\r" not in text and "\n" not in text:
        return text
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def publish(subject: bytes, payload: bytes, reply: bytes = b"", headers: bytes = b"") -> bytes:
    """A `PUB`, or with headers (`headers_of`) an `HPUB`."""
    to = b"%s %s" % (subject, reply) if reply else subject
    if not headers:
        return b"PUB %s %d\r\n%s\r\n" % (to, len(payload), payload)
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (to, len(headers), len(headers) + len(payload), headers, payload)


def headers_of(pairs: list[tuple[str, str]]) -> bytes:
    """Headers as they are sent; empty for none."""
    if not pairs:
        return b""
    lines = "".join(f"{header_text(key)}: {header_text(value)}\r\n" for key, value in pairs)
    return b"%s\r\n%s\r\n" % (_VERSION, lines.encode(errors="replace"))


def subscribe(subject: bytes, number: int) -> bytes:
    return b"SUB %s %d\r\n" % (subject, number)
