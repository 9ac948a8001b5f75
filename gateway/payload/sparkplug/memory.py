"""What an edge node of a group knows, from the records in the group's log.

On one machine encoders and sessions share a `Node`.  In a group the sources of a node may be on any members, and its
sessions are on the one that has its broker.  So both learn it from the log, where all records are:

- The owner of a source goes on with the tables, aliases and types of the owner before.
- The owner of the broker follows the log ahead of what it delivers, and makes births of it.

Since nobody asks the others, nothing may need an agreement: each source has aliases of its own, far from those of
others; the name of a template ends with a digest of its content; and devices have the name of their source in theirs.
"""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.config import PayloadConfig
from gateway.model import Message
from gateway.payload.sparkplug.births import FIRST_ALIAS
from gateway.payload.sparkplug.encoder import GAPS_TYPE, TABLE
from gateway.payload.sparkplug.library import MOST_KEPT
from gateway.payload.sparkplug.node import Device, Names, Node
from gateway.payload.sparkplug.table import packed_table, unpacked_table
from gateway.payload.sparkplug.wire_latest import WireLatest

_METRICS_BITS, _SOURCE_BITS = 18, 24
"""A source has 262 144 aliases in a row, of 6 bytes each; 16 million sources have different ones."""
PART_BYTES = 64 * 2**10
"""How long a record with latest values is."""


class Memory:
    """Of one route: all of it for the owner of its broker, one source of it for the owner of that."""

    def __init__(self, payload: PayloadConfig, names: Names, datatypes: NDArray[np.uint8]) -> None:
        self.payload = payload
        self._datatypes = datatypes
        self._latest = WireLatest()
        self.node = Node(names, (), datatypes, self._latest, is_shared=True)

    def learn(self, message: Message) -> None:
        """A record that is in the log."""
        parts = self.node.names.parts(message.topic)
        if parts is None:
            return
        verb, name = parts
        if verb == "DBIRTH":
            try:
                table = unpacked_table(message.payload)
            except msgspec.MsgspecError:
                return
            device = self.node.keep(table)
            device.table, device.is_alive = table, True
        else:
            found = self.node.devices.get(name)
            if found is None:
                return
            device = found
            device.is_alive = verb != "DDEATH"
            if verb == "DDATA" and message.content_type != GAPS_TYPE:
                self._latest.see(message.payload)
        device.last_seq = max(device.last_seq, message.seq)

    def kept(self) -> Sequence[Message]:
        """Records from which another memory learns the same."""
        return [message for device in self.node.devices.values() for message in self._kept_of(device)]

    def _kept_of(self, device: Device) -> list[Message]:
        table = device.table
        if table is None:
            return []
        before = [each for each in device.tables if each.version != table.version][1 - MOST_KEPT :]
        found = [self._record(device, "DBIRTH", packed_table(each)) for each in (*before, table)]
        part = bytearray()
        for metric in table.metrics:
            part += self._latest.metric(metric.alias)
            if len(part) > PART_BYTES:
                found.append(self._record(device, "DDATA", bytes(part), table.version))
                part = bytearray()
        if part:
            found.append(self._record(device, "DDATA", bytes(part), table.version))
        if not device.is_alive:
            found.append(self._record(device, "DDEATH", b""))
        return found

    def _record(self, device: Device, verb: str, payload: bytes, version: str = "") -> Message:
        topic, told = self.node.names.topic(verb, device.id), ((TABLE, version),) if version else ()
        return Message(
            topic, payload, stream="", seq=device.last_seq, values=0, source=device.source, content_type="",
            properties=told,
        )  # fmt: skip

    def node_of(self, source: str) -> Node:
        """The node of an encoder, which goes on from what the log has now."""
        known = [device for device in self.node.devices.values() if device.source == source]
        tables = (table for device in known for table in device.tables)
        made = Node(
            self.node.names, tables, self._datatypes, WireLatest(), is_shared=True, first_alias=first_alias(source)
        )
        for device in known:
            mine = made.devices[device.id]
            mine.table, mine.is_alive, mine.last_seq = device.table, device.is_alive, device.last_seq
        return made

    @property
    def sources_alive(self) -> int:
        """How many sources have a device whose server is there."""
        return len({device.source for device in self.node.devices.values() if device.is_alive})


def first_alias(source: str) -> int:
    """Where the aliases of a source begin in a group."""
    digest = hashlib.sha256(source.encode()).digest()
    return ((int.from_bytes(digest[:4], "big") >> 32 - _SOURCE_BITS) + 1 << _METRICS_BITS) + FIRST_ALIAS
