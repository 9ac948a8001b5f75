"""From the outbox to one broker: a window of publishes, and the verdict of each PUBACK.

- *Delivered*: the record leaves the outbox.
- *Later* (not authorised, quota): the record moves to the refused outbox, also on the disk, together with everything
  that follows in its stream, so that the stream stays in order.  It is offered again on every connection and at
  intervals.  Other streams do not wait for it.
- *Never* (too large, invalid): the record moves to the dead letters and counts as dropped with its reason.

A lost connection forgets what was in flight.  The next one starts at the oldest record without a verdict.

Records that waited longer than `replay.delay` are a backlog, which goes out at a limited pace (`pace.py`).  In order,
new records follow it.  Newest first, new records go ahead, and a task of its own sends the backlog.  There a retained
message must not replace a newer one on the same topic, so it is sent as a plain message.
"""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

from msgspec.structs import replace

from gateway.cancellation import unless_asked
from gateway.delivery import OpenSink, Outcome, Sink, Verdict
from gateway.errors import Unavailable
from gateway.link import Backoff, Link, keep_connected
from gateway.model import Message
from gateway.outbox import Record
from gateway.pipeline.backlog import Backlog
from gateway.pipeline.broker_queue import HELD, BrokerQueue
from gateway.pipeline.pace import FIRST_BYTES, Pace

READ_BYTES = 4 * 2**20


async def forward(queue: BrokerQueue, open_sink: OpenSink, link: Link, backoff: Backoff, leave: asyncio.Event) -> None:
    """Deliver, through every reconnection, until cancelled or told to leave (then with a goodbye)."""
    queue.held = dict.fromkeys(await _streams_refused_earlier(queue), time.monotonic())
    queue.passed |= await queue.reader.retained_ahead()

    async def serve(sink: Sink) -> None:
        queue.reader.rewind()
        if queue.replay.order == "newest-first" and queue.reader.unread > sink.window:
            queue.reader.leave_behind()
        await _serve(queue, sink, leave)

    await keep_connected(link, open_sink, serve, backoff)


async def _streams_refused_earlier(queue: BrokerQueue) -> set[str]:
    """Streams with messages refused for now, including those that an earlier session was still moving."""
    await queue.refused.append([])
    queue.refused_reader.rewind()
    streams: set[str] = set()
    while records := await queue.refused_reader.read_rest(1000, READ_BYTES):
        streams |= {record.message.stream for record in records}
    return streams


async def _serve(queue: BrokerQueue, sink: Sink, leave: asyncio.Event) -> None:
    """Deliver in one session until told to leave.  Raises `Unavailable` when the session breaks.

    The child tasks never fail with `Unavailable`: before CPython 3.13 a TaskGroup may then lose a cancellation.
    """
    session, queue.in_flight = _Session(queue, sink), 0
    async with asyncio.TaskGroup() as tasks:
        lost = tasks.create_task(unless_asked(partial(_loss_of, sink)), name=f"session with {queue.broker}")
        left = tasks.create_task(unless_asked(leave.wait), name=f"leave {queue.broker}")
        work = [
            tasks.create_task(unless_asked(session.deliver), name=f"deliver to {queue.broker}"),
            tasks.create_task(unless_asked(session.catch_up), name=f"catch up with {queue.broker}"),
            tasks.create_task(unless_asked(session.offer_again), name=f"offer again to {queue.broker}"),
            tasks.create_task(unless_asked(session.tell_again), name=f"tell {queue.broker} again"),
        ]
        setting_aside = tasks.create_task(unless_asked(session.set_aside), name=f"set aside from {queue.broker}")
        ends: list[asyncio.Future[Any]] = [lost, left, session.fault]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if session.fault.done():
            session.fault.result()
        for task in work:
            task.cancel()
        await asyncio.wait(work)
        await session.wait_set_aside()  # a half-moved record would be moved twice
        lost.cancel()
        left.cancel()
        setting_aside.cancel()
    queue.in_flight = 0
    loss = lost.result() if not lost.cancelled() else None
    queue.allowance_bytes = session.allowance_after(loss)
    if loss is not None:
        raise loss


async def _loss_of(sink: Sink) -> Unavailable:
    """The reason why the session broke, once it has."""
    try:
        await sink.wait_closed()
    except Unavailable as error:
        return error
    return Unavailable("the session ended")


class _Session:
    """The window of one session: at most `sink.window` records have no verdict."""

    def __init__(self, queue: BrokerQueue, sink: Sink) -> None:
        self._queue = queue
        self._sink = sink
        self._slots = asyncio.Semaphore(sink.window)
        self._aside: asyncio.Queue[tuple[Record, Outcome]] = asyncio.Queue()  # bounded by the window
        self._moving: Counter[str] = Counter()
        """Records that are moving to the refused outbox or the dead letters, by stream."""
        self._is_in_order = queue.replay.order == "in-order"
        share = sink.window if self._is_in_order else max(1, sink.window // 2)
        self._pace = Pace(queue.replay.delay, share, queue.replay.max_rate, allowance_bytes=queue.allowance_bytes)
        self._paced_one_settled = asyncio.Event()
        self._backlog = Backlog(queue.broker)
        self.fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails with an unforeseen error of settling a message."""
        queue.retained.begin(sink.has_forgotten)

    def allowance_after(self, loss: Unavailable | None) -> float:
        """What of a backlog the next session may have in flight to begin with."""
        return self._pace.allowance_after(loss is not None and loss.cause == "timeout")

    async def deliver(self) -> None:
        """Deliver new records; in order, that is all of them."""
        queue = self._queue
        while True:
            for record in await queue.reader.read(self._sink.window, self._most_bytes):
                is_old = record.appended_at_ns < queue.old_before_ns
                paced = self._is_in_order and (is_old or self._pace.is_narrow)
                if paced:
                    await self._wait_room(len(record.message.payload))
                elif is_old:
                    queue.reader.leave_behind()  # the link is too slow: new records must not wait, too
                if record.message.retain and queue.reader.left_behind:
                    queue.passed.add(record.message.topic)
                await self._send(record, queue.to_send(record), is_old, paced)

    async def catch_up(self) -> None:
        """Deliver the records that were left behind."""
        queue = self._queue
        while True:
            for record in await queue.reader.read_behind(self._pace.most_messages, self._most_bytes):
                await self._wait_room(len(record.message.payload))
                message = queue.to_send(record)
                if message.retain and message.topic in queue.passed:
                    message = replace(message, retain=False)
                await self._send(record, message, is_old=True, paced=True)
            if not queue.reader.left_behind:
                queue.passed.clear()

    @property
    def _most_bytes(self) -> int:
        """How much to read at once: not more of a backlog than may be in flight, so that urgent records come next."""
        return min(READ_BYTES, max(FIRST_BYTES, int(self._pace.allowance_bytes)))

    async def tell_again(self) -> None:
        """What the broker has lost of what it was to retain, beside all else, with half of the window."""
        retained, room = self._queue.retained, asyncio.Semaphore(max(1, self._sink.window // 2))
        while retained.is_owing:
            await room.acquire()
            await self._wait_room(retained.next_bytes)
            await self._slots.acquire()
            message = retained.next()  # without a wait before it is sent: what is newer can only follow
            if message is None or message.stream in self._queue.held:
                self._slots.release()
                room.release()
                continue
            now_s, size = time.monotonic(), len(message.payload)
            self._pace.sent(size, now_s)
            self._queue.in_flight += 1
            self._sink.send(message).add_done_callback(partial(self._told_again, room, size, now_s))

    def _told_again(
        self, room: asyncio.Semaphore, size_bytes: int, sent_at_s: float, future: "asyncio.Future[Outcome]"
    ) -> None:
        self._queue.in_flight -= 1
        self._queue.metrics.repeated.inc()
        if future.cancelled() or future.exception() is not None:
            return  # the session broke
        now_s = time.monotonic()
        if future.result().is_answer:
            self._pace.answered(size_bytes, now_s - sent_at_s, now_s)
        else:
            self._pace.gone(size_bytes)
        self._paced_one_settled.set()
        self._slots.release()
        room.release()

    async def _wait_room(self, size: int) -> None:
        """Wait until the backlog may have so much more in flight."""
        while (wait_s := self._pace.wait_s(size, time.monotonic())) > 0:
            self._paced_one_settled.clear()
            if wait_s < inf:
                await asyncio.sleep(wait_s)
                self._queue.metrics.throttled_seconds.inc(wait_s)
            else:
                await self._paced_one_settled.wait()

    async def _send(self, record: Record, message: Message, is_old: bool, paced: bool) -> None:
        await self._slots.acquire()
        if message.stream in self._queue.held:
            self._refuse(record, HELD)
            return
        if message.retain:
            self._queue.retained.went(message.topic)
        now_s = time.monotonic()
        if paced:
            self._pace.sent(len(message.payload), now_s)
        self._queue.in_flight += 1
        self._backlog.sent(record.appended_at_ns, is_old)
        self._sink.send(message).add_done_callback(partial(self._settle, record, now_s, is_old, paced))

    def _settle(
        self, record: Record, sent_at_s: float, is_old: bool, paced: bool, future: "asyncio.Future[Outcome]"
    ) -> None:
        self._queue.in_flight -= 1
        try:
            outcome = future.result()
            self._learn(record, sent_at_s, paced, outcome)
            if outcome.verdict is Verdict.DELIVERED:
                if self._queue.reader.ack(record.number):  # otherwise it was dropped meanwhile, and counts as dropped
                    self._queue.count_delivered(record, sent_at_s, is_old)
                self._backlog.settled(record.message.values, is_old)
                if record.message.retain:
                    self._queue.retained.keep(record.message)
                self._slots.release()
            else:
                self._backlog.settled(0, is_old)
                self._refuse(record, outcome)
        except (Unavailable, asyncio.CancelledError):  # the session broke: the next one reads the record again
            self._queue.metrics.repeated.inc()
        except BaseException as error:  # noqa: BLE001 - a callback has no caller to raise it to
            if not self.fault.done():
                self.fault.set_exception(error)

    def _learn(self, record: Record, sent_at_s: float, paced: bool, outcome: Outcome) -> None:
        size, now_s = len(record.message.payload), time.monotonic()
        if not outcome.is_answer:
            if paced:
                self._pace.gone(size)
        elif paced:
            self._pace.answered(size, now_s - sent_at_s, now_s)
        else:
            self._pace.saw(now_s - sent_at_s, now_s, size)
        self._paced_one_settled.set()

    def _refuse(self, record: Record, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.LATER:
            self._queue.hold(record.message, outcome)
        self._moving[record.message.stream] += 1
        self._aside.put_nowait((record, outcome))

    async def set_aside(self) -> None:
        while True:
            record, outcome = await self._aside.get()
            await self._queue.set_aside(record, outcome, self._queue.reader)
            self._moving[record.message.stream] -= 1
            self._aside.task_done()
            self._slots.release()

    async def wait_set_aside(self) -> None:
        """Wait until every refusal so far is durable."""
        await self._aside.join()

    async def offer_again(self) -> None:
        """Offer refused messages when their time has come.

        A stream whose messages get through flows directly again.
        """
        held = self._queue.held
        while True:
            now_s = time.monotonic()
            due = {stream for stream, at_s in held.items() if at_s <= now_s}
            if due:
                await self._offer_all(due)
            wait_s = min(held.values(), default=now_s + self._queue.retry_refused_s) - now_s
            self._queue.released.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.1, wait_s)):
                    await self._queue.released.wait()

    async def _offer_all(self, due: set[str]) -> None:
        """Offer the refused messages of the due streams, in order."""
        queue = self._queue
        queue.refused_reader.rewind()
        while records := await queue.refused_reader.read_rest(100, READ_BYTES):
            for record in records:
                stream = record.message.stream
                if not queue.forget_lost(record) and stream in due and not await self._offer(record):
                    queue.held[stream] = time.monotonic() + queue.retry_refused_s
                    due.discard(stream)
        # No wait since the last read of the refused outbox: records added meanwhile are still in `_moving`.
        for stream in due:
            if not self._moving[stream]:
                queue.held.pop(stream, None)

    async def _offer(self, record: Record) -> bool:
        """Offer one refused record.

        Returns whether it is settled.  Waits for ever when the session breaks, which ends the task.
        """
        await self._slots.acquire()
        sent_at_s = time.monotonic()
        queue = self._queue
        try:
            queue.retained.went(record.message.topic)
            outcome = await self._sink.send(queue.to_send(record))
        except Unavailable:
            await asyncio.Event().wait()
        self._slots.release()
        if outcome.verdict is Verdict.LATER:
            return False
        if outcome.verdict is Verdict.NEVER:
            await queue.set_aside(record, outcome, queue.refused_reader)
        elif queue.refused_reader.ack(record.number):  # otherwise it was dropped meanwhile, and counts as dropped
            queue.count_delivered(record, sent_at_s)
            if record.message.retain:
                queue.retained.keep(record.message)
        return True
