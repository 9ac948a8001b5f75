"""What an edge node does on one connection: births, data, deaths, and when a row counts as delivered.

    records of the outbox ─► born? historical? ─► PUBLISH QoS 0 ─┐
                                                                 ├─► one connection, in order
                             barrier, PUBLISH QoS 1 ─────────────┘      PUBACK: everything before it was read

Sparkplug has data sent with QoS 0, which nobody acknowledges.  So after the records of a turn a *barrier* follows: a
message with QoS 1 on a topic of its own.  A broker reads a connection in order, so its PUBACK says that it has read all
records before it, and only then do they leave the outbox.  What was sent and not confirmed when a session broke is
read again in the next one, and sent after the births as historical.

- A record that is older than the birth of its device is historical: the birth has a newer value, or the same one.
- A device is born before its first record.  A device with other metrics than its birth had has the whole edge node born
  again, at most every `rebirth_interval`; meanwhile its records wait here, and those of other devices pass.
- A record of a device whose server is away is sent after a birth that says so, and a death follows.
- A host that asks for births gets them at once, and at most every `rebirth_interval`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import msgspec
import orjson
import structlog
from msgspec.structs import replace

from gateway.delivery import Around, Outcome, Packet, SharedSession, Verdict
from gateway.delivery.passing import fail, hand_on
from gateway.errors import Rejected, Unavailable
from gateway.logs import Sparing
from gateway.model import Message
from gateway.payload.sparkplug.barrier import Confirmations
from gateway.payload.sparkplug.births import dbirth, gap_metric, nbirth
from gateway.payload.sparkplug.compression import opened
from gateway.payload.sparkplug.edge_settings import EdgeSettings
from gateway.payload.sparkplug.encoder import GAPS_TYPE, TABLE
from gateway.payload.sparkplug.host import HostState
from gateway.payload.sparkplug.library import Library
from gateway.payload.sparkplug.node import Device, Node
from gateway.payload.sparkplug.numbers import now_ms
from gateway.payload.sparkplug.orders import asks_for_rebirth, resolved
from gateway.payload.sparkplug.own_metrics import OwnMetrics
from gateway.payload.sparkplug.rebirth import Pause
from gateway.payload.sparkplug.table import Table, unpacked_table
from gateway.payload.sparkplug.templates import Template
from gateway.payload.sparkplug.wire import MalformedError, as_historical

_LATEST = 2**63
"""More than any number of a record: every one of them is older than the birth."""
_NO_TABLE = Outcome(Verdict.NEVER, "payload_invalid", "the table of metrics that these rows refer to is lost")


@dataclass(slots=True)
class _Birth:
    """What the host knows of a device."""

    table: Table
    seq: int
    """The number of the latest record that was made before."""
    is_stale: bool


@dataclass(slots=True)
class _Held:
    message: Message
    future: "asyncio.Future[Outcome]" = field(repr=False)


class EdgeSession(Around[SharedSession]):
    """Created by `edge.EdgeForm`."""

    def __init__(
        self, inner: SharedSession, node: Node, library: Library, settings: EdgeSettings, bd_seq: int,
        host: HostState | None = None, clock_ms: Callable[[], int] = now_ms,
    ) -> None:  # fmt: skip
        super().__init__(inner)
        self._node = node
        self._settings = settings
        self._bd_seq = bd_seq
        self.host = host
        self._clock_ms = clock_ms
        self._loop = asyncio.get_running_loop()
        self._births: dict[str, _Birth] = {}
        self._templates: dict[str, Template] = {}
        """The definitions in the latest birth of the node."""
        self._too_large: dict[str, Outcome] = {}
        self._held: dict[str, deque[_Held]] = {}
        self.confirmations = Confirmations(
            inner, settings.barrier_topic, library, settings.host_grace_s if host is not None else 0.0
        )
        self._own = OwnMetrics(settings.facts, settings.figures)
        self._own_births: deque[bytes] = deque(maxlen=16)
        self._asked = Pause(settings.rebirth_interval_s)
        self._grown = Pause(settings.rebirth_interval_s)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._commands: asyncio.Queue[Packet] = asyncio.Queue(1)
        self._takes_commands = False
        self._has_begun = self._is_over = False
        self.is_lost = False
        self.host_changed = asyncio.Event()
        self.on_host_offline: Callable[[], None] = lambda: None
        self._sparing = Sparing()
        self._log = structlog.get_logger("gateway.sparkplug").bind(node=f"{node.names.group}/{node.names.node}")

    # -- beginning and end

    def begin(self) -> None:
        """Send the births."""
        self._has_begun = True
        self._bear_all({})

    def end(self) -> None:
        """Send nothing more."""
        self._is_over = True
        for timer in self._timers.values():
            timer.cancel()
        self.confirmations.fail("the session ended")
        waiting = [held.future for queue in self._held.values() for held in queue]
        self._held.clear()
        for future in waiting:
            fail(future, Unavailable("the session ended"))

    # -- records

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        parts = self._node.names.parts(message.topic)
        if parts is None:
            return self._inner.send(message)
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._is_over:
            held = _Held(message, future)
            waiting = self._held.get(parts[1])
            if waiting is not None or not self._go(held):
                self._held.setdefault(parts[1], deque()).append(held)
        return future

    def _go(self, held: _Held) -> bool:
        """Send a record, unless it must wait for a birth."""
        message = held.message
        parts = self._node.names.parts(message.topic)
        assert parts is not None
        verb, device = parts
        if verb == "DBIRTH":
            return self._table(held)
        if verb == "DDEATH":
            self._departure(device, held)
            return True
        if message.content_type == GAPS_TYPE:
            return self._gaps(device, held)
        table = self._node.table(device, dict(message.properties).get(TABLE, ""))
        if table is None:
            held.future.set_result(_NO_TABLE)
            return True
        birth = self._born_for(device, table)
        if birth is None:
            return self._refused(device, held)
        is_old = message.seq <= birth.seq
        self._tell_row(held, as_historical(message.payload) if is_old else message.payload)
        return True

    def _table(self, held: _Held) -> bool:
        try:
            table = unpacked_table(held.message.payload)
        except msgspec.MsgspecError:
            held.future.set_result(_NO_TABLE)
            return True
        device = self._node.keep(table)
        birth = self._births.get(table.device)
        if device.is_alive and (birth is None or birth.is_stale or not birth.table.covers(table)):
            if birth is not None and birth.is_stale:
                del self._births[table.device]
            if self._born_for(table.device, table) is None and table.device not in self._too_large:
                return False
        self.confirmations.await_barrier(held.future, table)
        return True

    def _departure(self, name: str, held: _Held) -> None:
        device = self._node.devices.get(name)
        if (device is None or not device.is_alive) and self._births.pop(name, None) is not None:
            self.confirmations.tell(self._message("DDEATH", b"", name))
        self._too_large.pop(name, None)
        self.confirmations.await_barrier(held.future)

    def _gaps(self, name: str, held: _Held) -> bool:
        device = self._node.devices.get(name)
        table = device.table or (device.tables[-1] if device.tables else None) if device is not None else None
        if table is None:
            held.future.set_result(_NO_TABLE)
            return True
        birth = self._born_for(name, table)
        if birth is None:
            return self._refused(name, held)
        text = orjson.dumps(orjson.loads(held.message.payload)).decode()
        self._tell_row(held, gap_metric(birth.table.gap_alias, self._clock_ms(), text))
        return True

    def _refused(self, device: str, held: _Held) -> bool:
        """A record of a device that is not born: refused for good, or False, where it waits."""
        outcome = self._too_large.get(device)
        if outcome is not None:
            held.future.set_result(outcome)
        return outcome is not None

    def _tell_row(self, held: _Held, payload: bytes) -> None:
        message = replace(held.message, payload=payload, content_type="")
        if self._settings.qos:
            self._inner.send(message).add_done_callback(partial(hand_on, held.future))
            return
        outcome = self.confirmations.tell(message)
        if outcome is not None:
            held.future.set_result(outcome)
        else:
            self.confirmations.await_barrier(held.future)

    # -- births

    def _born_for(self, name: str, table: Table) -> _Birth | None:
        """The birth that covers rows of this table, sent now if it must and may be.  None: not yet, or never."""
        birth = self._births.get(name)
        if birth is not None and birth.table.covers(table):
            return birth
        if name in self._too_large:
            return None
        device = self._node.devices[name]  # of which there is at least this table
        wanted = device.table if device.table is not None and device.table.covers(table) else table
        if birth is None and self._is_defined(wanted):
            self._bear(device, wanted)
            for other in list(self._node.devices.values()):  # what begins with it is born with it, before its data
                is_known = other.id in self._births or other.id in self._too_large
                if other.is_alive and other.table is not None and not is_known and self._is_defined(other.table):
                    self._bear(other, other.table)
            return self._births.get(name)
        now_s = self._loop.time()
        wait_s = self._grown.wait_s(now_s)
        if wait_s:
            self._later("grown", wait_s, self._go_on)
            return None
        self._grown.sent(now_s)
        self._bear_all({name: wanted})
        return self._births.get(name)

    def _is_defined(self, table: Table) -> bool:
        """Whether the latest birth of the node has all definitions that a table uses."""
        return all(each.name in self._templates for each in table.templates)

    def _bear_all(self, wanted: Mapping[str, Table]) -> None:
        """NBIRTH, and the DBIRTH of each device that is there or was born."""
        to_bear: list[tuple[Device, Table]] = []
        self._templates = {}
        for device in list(self._node.devices.values()):
            table = wanted.get(device.id) or (device.table if device.is_alive else None)
            if table is None and device.id in self._births:
                table = self._births[device.id].table
            if table is not None:
                to_bear.append((device, table))
            known = table or device.table or (device.tables[-1] if device.tables else None)
            if known is not None:  # what is born later finds its definitions
                self._templates |= known.by_template
        payload = nbirth(self._bd_seq, self._clock_ms(), self._own.birth(), list(self._templates.values()))
        self._own_births.append(payload)
        self.confirmations.tell(self._message("NBIRTH", payload))
        self._births = {}
        self._too_large.clear()
        for device, table in to_bear:
            self._bear(device, table)

    def _bear(self, device: Device, table: Table) -> None:
        is_stale = not device.is_alive
        payload = dbirth(
            table, self._node.latest.get, self._clock_ms(), is_stale=is_stale, source_time=self._settings.source_time
        )
        outcome = self.confirmations.tell(self._message("DBIRTH", payload, device.id))
        if outcome is None:
            self._births[device.id] = _Birth(table, device.last_seq or _LATEST, is_stale)
            return
        self._too_large[device.id] = outcome
        self._log.error(
            "a device has too many metrics for one birth", device=device.id, metrics=len(table.metrics),
            bytes=len(payload), reason=outcome.detail, next="its values become dead letters",
            advice="divide it: payload.sparkplug.device, such as {machine}",
        )  # fmt: skip

    def rebirth(self) -> None:
        """A host asks for births."""
        now_s = self._loop.time()
        wait_s = self._asked.wait_s(now_s)
        if wait_s:
            self._later("asked", wait_s, self.rebirth)
            return
        self._asked.sent(now_s)
        self._log.info("births are asked for")
        self._bear_all({})
        self._go_on()

    async def tell_figures(self) -> None:
        """Send an NDATA when figures of the node have changed, until cancelled."""
        while self._settings.node_interval_s:
            await asyncio.sleep(self._settings.node_interval_s)
            if self._has_begun and not self._is_over and (payload := self._own.changes(self._clock_ms())):
                self.confirmations.tell(self._message("NDATA", payload))

    def _later(self, why: str, wait_s: float, then: Callable[[], None]) -> None:
        if why not in self._timers:
            self._timers[why] = self._loop.call_later(wait_s, self._due, why, then)

    def _due(self, why: str, then: Callable[[], None]) -> None:
        del self._timers[why]
        if not self._is_over:
            then()

    def _go_on(self) -> None:
        """Send the records that waited for a birth, as far as they may go now."""
        for device, waiting in list(self._held.items()):
            while waiting and self._go(waiting[0]):
                waiting.popleft()
            if not waiting:
                del self._held[device]

    def _message(self, verb: str, payload: bytes, device: str = "") -> Message:
        return Message(self._node.names.topic(verb, device), payload, "", 0, 0, content_type="")

    # -- arrivals

    async def listen(self, topics: Sequence[str]) -> None:
        """Handle what arrives, until the session ends."""
        try:
            async with aclosing(self._inner.arrivals(*topics)) as packets:
                async for packet in packets:
                    await self._arrived(packet)
        except Unavailable:
            pass
        except Rejected as error:
            self._inner.fail(Unavailable(str(error)))
        self.is_lost = True
        self.host_changed.set()

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        """Commands for devices, as `orders.py` makes them of DCMDs, and what else was subscribed to."""
        self._takes_commands = True
        while True:
            packet = await self._commands.get()
            yield packet
            self._commands.task_done()

    def arrived(self) -> Sequence[Packet]:
        return ()  # commands are handed over one by one, among what else arrives

    async def _arrived(self, packet: Packet) -> None:
        if self.host is not None and packet.topic == self.host.topic:
            self._host_said(packet)
            return
        parts = self._node.names.parts(packet.topic)
        if parts is None:
            await self._hand_over(packet)
        elif parts[0] == "NBIRTH":
            self._see_birth(packet)
        elif parts[0] == "NCMD" and not packet.is_retained:
            if asks_for_rebirth(packet.payload):
                self.rebirth()
        elif parts[0] == "DCMD":
            device = self._node.devices.get(parts[1])
            await self._hand_over(resolved(packet, device))

    async def _hand_over(self, packet: Packet) -> None:
        if not self._takes_commands:
            more = self._sparing.line("command")
            if more is not None:
                self._log.warning("a command, and none are configured", topic=packet.topic, **more)
            return
        await self._commands.put(packet)
        await self._commands.join()

    def _host_said(self, packet: Packet) -> None:
        assert self.host is not None
        if not self.host.see(packet.topic, packet.payload):
            return
        self.host_changed.set()
        if self.host.is_online is False and self._has_begun:
            self._is_over = True
            self.on_host_offline()
            self._inner.fail(Unavailable(f"the primary host {self.host.host!r} is offline"))

    def _see_birth(self, packet: Packet) -> None:
        """Births of our own come back; one of somebody else has our name."""
        try:
            payload, _ = opened(packet.payload)
        except MalformedError:
            payload = b""
        if any(payload.startswith(own) for own in self._own_births):
            return
        more = self._sparing.line("rival")
        if more is not None:
            self._log.error(
                "another edge node has the same name: hosts mix them up", topic=packet.topic,
                next="both go on", advice="change payload.sparkplug.group or node of one of them", **more,
            )  # fmt: skip
