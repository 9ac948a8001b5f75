"""`gateway run` with a stop-watch: from the socket read that completes a notification to the PUBACK of its messages.

    python -m tests.support.timed_gateway CONFIG --log-format json

It is the product, with three of its functions wrapped to look at the clock; every stamp costs about a microsecond per
notification or message.  A message is matched to its notification by the source timestamp of its oldest value, which
the load server makes unique to a notification.  At the end the stamps go to `stamps.npy` beside the configuration: one
row per message, its number of values and nanoseconds since the read for each stage.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gateway.cli.common import until_stopped
from gateway.loading import load
from gateway.logs import set_up_logs
from gateway.model import Batch, Message
from gateway.mqtt.lean import LeanSink
from gateway.opcua.session.publish_channel import Acknowledgements, PublishChannel
from gateway.opcua.session.transport import Protocol
from gateway.outbox import Record
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.collect import Intake
from gateway.run import app
from tests.support.load_server import ROW
from tests.support.programs import Gateway

OnAnswer = Callable[[Acknowledgements, bytes], None]
OnLost = Callable[[BaseException], None]
ITEM_HEAD = b"\x01\x00\x2b\x03\x01"
"""Type id and encoding of a DataChangeNotification (i=811, binary)."""
STAGES = ("decoded", "durable", "sent", "acknowledged")
STAMP = np.dtype([("values", "<i4"), ("on_the_way", "<i8"), *((stage, "<i8") for stage in STAGES)])
"""`on_the_way`: from the server's PublishTime to the read, ns; the stages: ns after the read."""
YEAR_1970_TICKS = 116_444_736_000_000_000


class TimedGateway(Gateway):
    """The gateway under the stop-watch, from the bench's side."""

    RUN = ("tests.support.timed_gateway",)

    @property
    def stamps(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """One row per message; there once the process has ended."""
        stamps: np.ndarray[tuple[int], np.dtype[np.void]] = np.load(self.config_path.with_name("stamps.npy"))
        return stamps


class StopWatch:
    """Stamps by source time."""

    def __init__(self) -> None:
        self._stamps: dict[int, list[int]] = {}
        self._sent: dict[tuple[str, int], int] = {}
        self.rows: list[tuple[int, ...]] = []
        self._read_ns = self._read_at_ns = 0

    def on_read(self) -> None:
        self._read_ns, self._read_at_ns = time.perf_counter_ns(), time.time_ns()

    def on_response(self, data: bytes) -> None:
        """A complete response: note when its last bytes were read, for each source time in it."""
        place = data.find(ITEM_HEAD, 0, 200)
        if place < 0:
            return
        count = int.from_bytes(data[place + 9 : place + 13], "little")
        times = np.frombuffer(data, ROW, count, place + 13)["source"]
        published = int.from_bytes(data[place - 12 : place - 4], "little") - YEAR_1970_TICKS
        for ticks in set(times[:: max(1, count // 50)].tolist()):
            self._stamps[ticks] = [self._read_ns, self._read_at_ns - published * 100]

    def on_batch(self, batch: Batch) -> None:
        for ticks in set(batch.source_ticks[:: max(1, len(batch) // 50)].tolist()):
            if ticks in self._stamps:
                self._stamps[ticks].append(time.perf_counter_ns())

    def on_sent(self, message: Message) -> None:
        self._sent[message.stream, message.seq] = time.perf_counter_ns()

    def on_acknowledged(self, message: Message) -> None:
        now = time.perf_counter_ns()
        sent = self._sent.pop((message.stream, message.seq), 0)
        stamps = self._stamps.get(message.oldest_ticks)
        if stamps is None or len(stamps) < 4:
            return
        read, on_the_way, decoded, durable = stamps[:4]
        self.rows.append((message.values, on_the_way, decoded - read, durable - read, sent - read, now - read))


def wound_up(watch: StopWatch) -> None:
    """Wrap what has to be timed."""
    data_received, opened = PublishChannel.data_received, PublishChannel.__init__
    store, send, count_delivered = Intake.store, LeanSink.send, BrokerQueue.count_delivered

    def timed_read(self: PublishChannel, data: bytes) -> None:
        watch.on_read()
        data_received(self, data)

    def timed_open(self: PublishChannel, library: Protocol, on_answer: OnAnswer, on_lost: OnLost) -> None:
        def timed_answer(acknowledgements: Acknowledgements, body: bytes) -> None:
            if len(body) > 1000:
                watch.on_response(body)
            on_answer(acknowledgements, body)

        opened(self, library, timed_answer, on_lost)

    async def timed_store(self: Intake, batch: Batch) -> None:
        watch.on_batch(batch)
        await store(self, batch)
        watch.on_batch(batch)

    def timed_send(self: LeanSink, message: Message):  # type: ignore[no-untyped-def]
        watch.on_sent(message)
        return send(self, message)

    def timed_count(self: BrokerQueue, record: Record, sent_at_s: float, replayed: bool = False) -> None:
        watch.on_acknowledged(record.message)
        count_delivered(self, record, sent_at_s, replayed)

    PublishChannel.data_received, PublishChannel.__init__ = timed_read, timed_open  # type: ignore[method-assign]
    Intake.store, LeanSink.send, BrokerQueue.count_delivered = timed_store, timed_send, timed_count  # type: ignore[method-assign]


def main(path: Path) -> None:
    watch = StopWatch()
    wound_up(watch)
    set_up_logs("json")
    config = load(path)
    until_stopped(lambda stop: app.run(config, stop))
    np.save(path.with_name("stamps.npy"), np.array(watch.rows, STAMP))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
