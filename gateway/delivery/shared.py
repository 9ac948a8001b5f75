"""A session with two senders: the pipeline, and one that sends little (answers to commands).

The window of the pipeline is reduced by `share`, the number of open messages of the other sender.  So neither waits for
the other, and together they keep within the window of the session.  If the window is too small to be divided, messages
wait here until others have their verdict.
"""

import asyncio
from collections import deque
from functools import partial

from gateway.delivery.around import Around
from gateway.delivery.contract import Outcome, Session
from gateway.delivery.passing import hand_on, reason_of
from gateway.model import Message


class SharedSession(Around[Session]):
    """The session for the pipeline.  The other sender uses `send_aside` and keeps at most `share` messages open."""

    def __init__(self, inner: Session, share: int) -> None:
        super().__init__(inner)
        self._share = share
        self._loop = asyncio.get_running_loop()
        self._open = 0
        self._waiting: deque[tuple[Message, asyncio.Future[Outcome]]] = deque()
        self._fault: asyncio.Future[None] = self._loop.create_future()

    @property
    def window(self) -> int:
        return max(1, self._inner.window - self._share)

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        return self._send(message)

    def send_aside(self, message: Message) -> asyncio.Future[Outcome]:
        """Like `send`, outside the window of the pipeline."""
        return self._send(message)

    def _send(self, message: Message) -> asyncio.Future[Outcome]:
        if self._open < self._inner.window and not self._waiting:
            return self._go(message)
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append((message, future))
        return future

    def _go(self, message: Message) -> asyncio.Future[Outcome]:
        sent = self._inner.send(message)
        self._open += 1
        sent.add_done_callback(self._settled)
        return sent

    def _settled(self, sent: asyncio.Future[Outcome]) -> None:
        self._open -= 1
        while self._waiting and self._open < self._inner.window:
            message, future = self._waiting.popleft()
            if not future.done():
                self._go(message).add_done_callback(partial(hand_on, future))

    def fail(self, error: BaseException) -> None:
        """Raise this error of the other sender from `wait_closed`."""
        if not self._fault.done():
            self._fault.set_exception(error)
            self._fault.exception()

    async def wait_closed(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            closed = tasks.create_task(reason_of(self._inner.wait_closed()), name="session")
            await asyncio.wait((closed, self._fault), return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
        if self._fault.done():
            self._fault.result()
        raise closed.result()
