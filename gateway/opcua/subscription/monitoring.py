"""Encodes CreateMonitoredItems requests and decodes the responses (Part 4, 5.13.2): there may be 100 000 items.

An item takes 1 µs here and 60 µs in asyncua.  The only error is `Malformed`.
"""

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

from asyncua import ua
from asyncua.ua.ua_binary import extensionobject_to_binary
from msgspec import Struct

from gateway.opcua.codec.wire import Reader, read_structure
from gateway.opcua.space.event_filters import filter_of
from gateway.opcua.space.selection import Asked, Item

CREATE = 751
"""Node id of the binary encoding of the request (Part 6, A.3)."""
_VALUE, _EVENT_NOTIFIER = 13, 12
"""Attributes (Part 6, A.1)."""
_BOTH, _REPORTING = 2, 2
"""TimestampsToReturn and MonitoringMode."""
_WHOLE = struct.pack("<iHi", -1, 0, -1)
"""No index range, the default encoding."""
_SAMPLING = struct.Struct("<d")
_QUEUE = struct.Struct("<I?")
_ANSWER = struct.Struct("<IIdI")
_USUAL = struct.Struct("<IIdI3s")
"""An answer without a result for the filter."""
_NO_STRUCTURE = b"\x00\x00\x00"


class Monitored(Struct, frozen=True, gc=False):
    """The server's answer about one item.  Equal answers to one request are one object."""

    status: int
    sampling_ms: float = 0.0
    queue_size: int = 0
    unfiltered: bool = False
    """Whether the server refused the filter, so that it sends every change."""

    @property
    def is_good(self) -> bool:
        return not self.status & 0x8000_0000

    def differs_from(self, item: Item) -> bool:
        """Whether the server revised the sampling interval or the queue size."""
        asked = item.asked
        is_as_asked = self.sampling_ms == asked.sampling_ms and self.queue_size == asked.queue_size
        return not is_as_asked and self.is_good and asked.events is None


def create_request(subscription: int, items: Sequence[bytes]) -> bytes:
    """The body of a CreateMonitoredItemsRequest."""
    return b"".join((struct.pack("<Iii", subscription, _BOTH, len(items)), *items))


def item_requests(wanted: Iterable[tuple[int, Item, bytes]], uris: Sequence[str]) -> list[bytes]:
    """One MonitoredItemCreateRequest for each handle, item, and node id as octets."""
    of: Asked | None = None
    head = tail = b""
    requests = []
    for handle, item, node in wanted:
        if item.asked is not of:
            of, (head, tail) = item.asked, _around_handle(item.asked, uris)
        requests.append(b"%b%b%b%b" % (node, head, handle.to_bytes(4, "little"), tail))
    return requests


def _around_handle(asked: Asked, uris: Sequence[str]) -> tuple[bytes, bytes]:
    """What stands between node id and handle, and behind the handle."""
    attribute, sampling_ms, wanted = _VALUE, asked.sampling_ms, _NO_STRUCTURE
    if asked.events is not None:
        attribute, sampling_ms = _EVENT_NOTIFIER, 0.0
        wanted = extensionobject_to_binary(filter_of(asked.events, uris))
    elif asked.has_filter:
        wanted = _data_filter(asked.trigger, asked.deadband_kind, asked.deadband)
    head = attribute.to_bytes(4, "little") + _WHOLE + _REPORTING.to_bytes(4, "little")
    return head, b"".join((_SAMPLING.pack(sampling_ms), wanted, _QUEUE.pack(asked.queue_size, asked.discard_oldest)))


@lru_cache(maxsize=1000)
def _data_filter(trigger: int, deadband_kind: int, deadband: float) -> bytes:
    wanted = ua.DataChangeFilter()
    wanted.Trigger = ua.DataChangeTrigger(trigger)
    wanted.DeadbandType = ua.UInt32(deadband_kind)
    wanted.DeadbandValue = deadband
    return extensionobject_to_binary(wanted)


def read_created(r: Reader) -> list[Monitored]:
    """The results of a CreateMonitoredItemsResponse; the reader stands behind its header.  Raises `Malformed`."""
    count = max(0, r.count(_USUAL.size))
    start, end = r.pos, r.pos + count * _USUAL.size
    known: dict[tuple[int, float, int], Monitored] = {}
    answers: list[Monitored] = []
    for status, _, sampling_ms, queue_size, of_filter in _USUAL.iter_unpack(r.data[start:end]):
        if of_filter != _NO_STRUCTURE:
            break
        said = (status, sampling_ms, queue_size)
        answer = known.get(said)
        if answer is None:
            answer = known[said] = Monitored(*said)
        answers.append(answer)
    r.step(len(answers) * _USUAL.size)
    return answers + [_answer(r) for _ in range(count - len(answers))]


def _answer(r: Reader) -> Monitored:
    status, _, sampling_ms, queue_size = _ANSWER.unpack_from(r.data, r.step(_ANSWER.size))
    if r.data[r.pos : r.pos + 3] == _NO_STRUCTURE:
        r.step(3)
    else:  # the server's result for the filter
        read_structure(r)
    return Monitored(status, sampling_ms, queue_size)
