"""The services of the load server, byte for byte: what it is asked and what it answers (Part 4)."""

import struct
from dataclasses import dataclass, field

import pytest

from tests.bench.chain import wire
from tests.bench.chain.browsing import Tree
from tests.bench.chain.load import Load
from tests.bench.chain.services import Book, Services
from tests.bench.chain.wire import Reader, Status, string_node_id

HEADER = b"\0\0" + struct.pack("<qIIiI", 0, 77, 0, -1, 0) + b"\0\0\0"
"""A RequestHeader with handle 77 and nothing else."""


@dataclass
class Sent:
    """A connection that keeps what it is given."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    congested: bool = False

    def send(self, request_id: int, body: bytes) -> None:
        self.answers.append((request_id, body))

    def flush(self) -> None:
        pass

    def take(self) -> tuple[int, int, int, Reader]:
        """Request id, number of the type, service result, and what comes behind the header."""
        request_id, body = self.answers.pop(0)
        reader = Reader(body, 4)
        _, handle, status = reader.take("qII")
        assert handle == 77
        reader.at += 1 + 4 + 3
        return request_id, int.from_bytes(body[2:4], "little"), int(status), reader


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def services(sent: Sent) -> Services:
    """With one subscription on two variables."""
    book = Book(Tree(2))
    made = Services(sent, book, 0, lambda _: None)
    assert made.answer(787, 1, HEADER + struct.pack("<dIIIBB", 100.0, 1000, 10, 0, 1, 0), 0)
    return made


def item(name: str, handle: int, namespace: int = 2) -> bytes:
    """A MonitoredItemCreateRequest for the value of a node."""
    value = string_node_id(name, namespace) + struct.pack("<IiHi", 13, -1, 0, -1)
    return value + struct.pack("<IId", 2, handle, 0.0) + b"\0\0\0" + struct.pack("<IB", 10, 1)


def with_items(services: Services, sent: Sent) -> Services:
    body = struct.pack("<IIi", 1, 2, 2) + item("v000001", 11) + item("v000000", 10)
    services.answer(751, 2, HEADER + body, 0)
    sent.answers.clear()
    return services


def publish(services: Services, request_id: int, *acknowledged: tuple[int, int]) -> None:
    body = struct.pack("<i", len(acknowledged)) + b"".join(struct.pack("<II", *each) for each in acknowledged)
    services.answer(826, request_id, HEADER + body, 0)
    services.pump()


def test_a_subscription_is_created_with_what_was_asked_for(services: Services, sent: Sent) -> None:
    request_id, kind, status, reader = sent.take()
    assert (request_id, kind, status) == (1, 790, 0)
    assert reader.take("IdII") == (1, 100.0, 1000, 10)


def test_items_are_created_and_unknown_ones_refused_individually(services: Services, sent: Sent) -> None:
    sent.answers.clear()
    body = struct.pack("<IIi", 1, 2, 2) + item("v000001", 11) + item("v000009", 19)
    services.answer(751, 2, HEADER + body, 0)
    _, kind, status, reader = sent.take()
    assert (kind, status, reader.count()) == (754, 0, 2)
    results = []
    for _ in range(2):
        results.append(reader.take("IIdI")[0])
        reader.skip_extension()
    assert results == [0, Status.NODE_ID_UNKNOWN]


def test_a_publish_request_waits_until_there_is_something(services: Services, sent: Sent) -> None:
    with_items(services, sent)
    publish(services, 3)
    publish(services, 4)
    publish(services, 5)
    assert [request_id for request_id, _ in sent.answers] == [3, 4], "the initial values of v000001 and of v000000"
    services.subscriptions[1].begin(Load(2, 2), 0)
    services.pump()
    assert sent.answers[-1][0] == 5


def test_a_response_lists_available_numbers_and_acknowledgement_results(services: Services, sent: Sent) -> None:
    with_items(services, sent)
    publish(services, 3)
    publish(services, 4, (1, 1), (1, 9), (5, 1))
    sent.take()
    _, kind, status, reader = sent.take()
    assert (kind, status, reader.u32()) == (829, 0, 1)
    assert [reader.u32() for _ in range(reader.count())] == [2]
    reader.at += 1
    assert reader.u32() == 2, "the sequence number"
    reader.take("qi")
    length = reader.skip_extension_head()
    reader.at += length
    assert [reader.u32() for _ in range(reader.count())] == [
        0, Status.SEQUENCE_NUMBER_UNKNOWN, Status.SUBSCRIPTION_ID_INVALID,
    ]  # fmt: skip


def test_republish_returns_the_message_or_message_not_available(services: Services, sent: Sent) -> None:
    with_items(services, sent)
    publish(services, 3)
    message = sent.answers[-1][1]
    sent.answers.clear()
    for number in (1, 8):
        services.answer(832, 6, HEADER + struct.pack("<II", 1, number), 0)
    _, kind, status, reader = sent.take()
    assert (kind, status) == (835, 0)
    data = reader.data[reader.at + 12 :]
    assert data in message, "the same but for the time of publishing"
    assert sent.take()[1:3] == (397, Status.MESSAGE_NOT_AVAILABLE)


def test_without_a_subscription_a_publish_request_is_refused(services: Services, sent: Sent) -> None:
    with_items(services, sent)
    publish(services, 3)
    publish(services, 4)
    sent.answers.clear()
    publish(services, 5)
    services.answer(847, 6, HEADER + struct.pack("<iI", 1, 1), 0)
    publish(services, 7)
    assert [sent.take()[:3] for _ in range(3)] == [
        (6, 850, 0), (5, 397, Status.NO_SUBSCRIPTION), (7, 397, Status.NO_SUBSCRIPTION),
    ]  # fmt: skip


def test_too_many_publish_requests_send_the_oldest_back(
    services: Services, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.chain.services.MOST_REQUESTS", 1)
    sent.answers.clear()
    publish(services, 3)
    publish(services, 4)
    assert sent.take()[:3] == (3, 397, Status.TOO_MANY_PUBLISH_REQUESTS)


def test_a_quiet_subscription_sends_a_keep_alive(services: Services, sent: Sent) -> None:
    sent.answers.clear()
    publish(services, 3)
    services.sent_at_s[1] -= 60.0
    services.keep_alive()
    request_id, kind, _, reader = sent.take()
    assert (request_id, kind) == (3, 829)
    reader.take("IiB")
    assert reader.take("Iqi")[::2] == (1, 0), "the next number, and no data"


def test_a_subscription_transfers_to_another_session_with_its_messages(services: Services, sent: Sent) -> None:
    with_items(services, sent)
    publish(services, 3)
    sent.answers.clear()
    other = Services(sent, services.book, 0, lambda _: None)
    other.answer(841, 8, HEADER + struct.pack("<iIB", 1, 1, 0), 0)
    _, kind, _, reader = sent.take()
    assert (kind, reader.take("iIiI")) == (844, (1, 0, 1, 1))
    assert list(other.subscriptions) == [1]
    assert not services.subscriptions


def test_a_client_that_reads_nothing_is_sent_nothing(services: Services, sent: Sent) -> None:
    with_items(services, sent)
    sent.congested = True
    publish(services, 3)
    assert not sent.answers


def test_a_request_of_another_service_is_left_to_asyncua(services: Services) -> None:
    assert not services.answer(673, 9, HEADER, 0)


def test_a_long_message_is_sent_in_numbered_chunks() -> None:
    parts = wire.chunks(b"x" * 25, 10, 5, 6, 7, 41)
    heads = [struct.unpack("<4sIIIII", part) for part in parts[::2]]
    assert heads == [(b"MSGC", 34, 5, 6, 42, 7), (b"MSGC", 34, 5, 6, 43, 7), (b"MSGF", 29, 5, 6, 44, 7)]
    assert b"".join(parts[1::2]) == b"x" * 25
