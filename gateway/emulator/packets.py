"""MQTT 3.1.1 and 5 from the side of a server: reads what clients send, writes what a server sends.  Pure.

Every reader raises `MalformedError` for bytes that are no such packet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 3, 4, 5, 6, 7
SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 8, 10, 12, 14
MOST_BYTES = 268_435_455
RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_PACKET, TOPIC_ALIAS_MAXIMUM = 0x21, 0x24, 0x25, 0x27, 0x22
ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE, REASON, TOPIC_ALIAS, SESSION_EXPIRY, USER = 0x12, 0x13, 0x1F, 0x23, 0x11, 0x26
AUTH_METHOD, AUTH_DATA, MESSAGE_EXPIRY = 0x15, 0x16, 0x02
_SIZES = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
_TEXTS = frozenset((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F))
_BYTES = frozenset((0x09, 0x16))

Property = tuple[int, int | str | bytes | tuple[str, str]]


class MalformedError(Exception):
    """These bytes are no packet of MQTT."""


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Connect:
    level: int
    """4 for MQTT 3.1.1, 5 for MQTT 5."""
    client_id: str
    username: str | None
    password: bytes | None
    keep_alive_s: int
    clean: bool
    will: Will | None
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class Publish:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int
    properties: tuple[Property, ...] = ()
    size: int = 0
    """Of the whole packet, in bytes."""


@dataclass(slots=True)
class Reader:
    """Reads fields from a body, one after the other."""

    body: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.body):
            raise MalformedError("the packet ends too early")
        taken = self.body[self.at : self.at + size]
        self.at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def octets(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        try:
            return self.octets().decode()
        except UnicodeDecodeError as error:
            raise MalformedError("a text is not UTF-8") from error

    def varint(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise MalformedError("a length of more than four bytes")

    def properties(self) -> tuple[Property, ...]:
        end, found = self.varint() + self.at, list[Property]()
        while self.at < end:
            name = self.number(1)
            if name in _SIZES:
                found.append((name, self.number(_SIZES[name])))
            elif name in _TEXTS:
                found.append((name, self.text()))
            elif name in _BYTES:
                found.append((name, self.octets()))
            elif name == USER:
                found.append((name, (self.text(), self.text())))
            elif name == 0x0B:
                found.append((name, self.varint()))
            else:
                raise MalformedError(f"a property 0x{name:02x}")
        return tuple(found)

    def rest(self) -> bytes:
        return self.take(len(self.body) - self.at)


def split(buffer: bytes) -> tuple[int, bytes, int] | None:
    """First byte, body and size of the first packet.  None: it is not complete."""
    length = 0
    for n, shift in enumerate((0, 7, 14, 21), 1):
        if len(buffer) <= n:
            return None
        length |= (buffer[n] & 0x7F) << shift
        if buffer[n] < 0x80:
            end = n + 1 + length
            return (buffer[0], buffer[n + 1 : end], end) if len(buffer) >= end else None
    raise MalformedError("a length of more than four bytes")


def read_connect(body: bytes) -> Connect:
    r = Reader(body)
    name, level = r.text(), r.number(1)
    if (name, level) == ("MQIsdp", 3):
        level = 3
    elif name != "MQTT":
        raise MalformedError("a CONNECT of another protocol")
    flags, keep_alive_s = r.number(1), r.number(2)
    if level not in (4, 5):
        return Connect(level, "", None, None, keep_alive_s, True, None)
    properties = r.properties() if level == 5 else ()
    client_id, will = r.text(), None
    if flags & 4:
        if level == 5:
            r.properties()
        will = Will(r.text(), r.octets(), flags >> 3 & 3, bool(flags & 0x20))
    username = r.text() if flags & 0x80 else None
    password = r.octets() if flags & 0x40 else None
    return Connect(level, client_id, username, password, keep_alive_s, bool(flags & 2), will, properties)


def read_publish(first: int, body: bytes, level: int, size: int) -> Publish:
    r, qos = Reader(body), first >> 1 & 3
    if qos == 3:
        raise MalformedError("a QoS of 3")
    topic, packet_id = r.text(), r.number(2) if qos else 0
    properties = r.properties() if level == 5 else ()
    if "+" in topic or "#" in topic:
        raise MalformedError("a wildcard in a topic to publish to")
    return Publish(topic, r.rest(), qos, bool(first & 1), packet_id, properties, size)


def read_subscribe(body: bytes, level: int) -> tuple[int, list[tuple[str, int]]]:
    r, asked = Reader(body), list[tuple[str, int]]()
    packet_id = r.number(2)
    if level == 5:
        r.properties()
    while r.at < len(body):
        asked.append((r.text(), r.number(1) & 3))
    return packet_id, asked


def read_unsubscribe(body: bytes, level: int) -> tuple[int, list[str]]:
    r, names = Reader(body), list[str]()
    packet_id = r.number(2)
    if level == 5:
        r.properties()
    while r.at < len(body):
        names.append(r.text())
    return packet_id, names


# What a server sends.


def _length(number: int) -> bytes:
    encoded = b""
    while number >= 128:
        encoded += bytes([number % 128 | 0x80])
        number //= 128
    return encoded + bytes([number])


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _properties(values: Sequence[Property]) -> bytes:
    data = b""
    for name, value in values:
        data += bytes([name])
        if isinstance(value, tuple):
            data += _text(value[0]) + _text(value[1])
        elif isinstance(value, str):
            data += _text(value)
        elif isinstance(value, bytes):
            data += len(value).to_bytes(2, "big") + value
        else:
            data += value.to_bytes(_SIZES[name], "big") if name in _SIZES else _length(value)
    return _length(len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def connack(level: int, code: int, properties: Sequence[Property] = (), *, present: bool = False) -> bytes:
    return _packet(0x20, bytes([present, code]) + (_properties(properties) if level == 5 else b""))


def acknowledgement(kind: int, packet_id: int, level: int, code: int = 0, reason: str = "") -> bytes:
    """A PUBACK, PUBREC or PUBCOMP.  MQTT 3.1.1 has no reason."""
    body = packet_id.to_bytes(2, "big")
    if level == 5 and (code or reason):
        body += bytes([code]) + _properties([(REASON, reason)] if reason else [])
    return _packet(kind << 4, body)


def suback(packet_id: int, level: int, codes: Sequence[int], kind: int = 9) -> bytes:
    """A SUBACK; with `kind` 11 an UNSUBACK."""
    body = packet_id.to_bytes(2, "big") + (b"\0" if level == 5 else b"")
    return _packet(kind << 4, body + (bytes(codes) if level == 5 or kind == 9 else b""))


def publish(message: Publish, level: int) -> bytes:
    first = 0x30 | message.qos << 1 | message.retain
    body = _text(message.topic) + (message.packet_id.to_bytes(2, "big") if message.qos else b"")
    if level == 5:
        body += _properties([each for each in message.properties if each[0] != TOPIC_ALIAS])
    return _packet(first, body + message.payload)


def disconnect(level: int, code: int, reason: str = "") -> bytes:
    """Empty where the version has none from a server."""
    if level != 5:
        return b""
    return _packet(0xE0, bytes([code]) + _properties([(REASON, reason)] if reason else []))


PINGRESP = b"\xd0\0"


def first_of(properties: Sequence[Property], name: int) -> object:
    """The first property with this name.  None: there is none."""
    return next((value for each, value in properties if each == name), None)


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic filter matches a topic (MQTT 5, 4.7)."""
    wanted, given = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for n, level in enumerate(wanted):
        if level == "#":
            return True
        if n >= len(given) or level not in ("+", given[n]):
            return False
    return len(wanted) == len(given)


@dataclass(slots=True)
class Aliases:
    """The topic aliases that a client has set on its connection."""

    most: int
    known: dict[int, str] = field(default_factory=dict)

    def resolved(self, message: Publish) -> Mapping[str, str]:
        """The topic of a message.  Raises `MalformedError` for an alias that is not allowed or not set."""
        alias = first_of(message.properties, TOPIC_ALIAS)
        if not isinstance(alias, int):
            return {"topic": message.topic}
        if not 0 < alias <= self.most:
            raise MalformedError(f"a topic alias {alias}, at most {self.most} are allowed")
        if message.topic:
            self.known[alias] = message.topic
        elif alias not in self.known:
            raise MalformedError(f"a topic alias {alias} that was not set")
        return {"topic": self.known[alias]}
