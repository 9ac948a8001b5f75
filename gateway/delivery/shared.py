"""A session that two send on: the pipeline, and somebody with little to say (answers to commands).

The pipeline's window is smaller by what the other may have open, where it is larger than that; so neither waits for the
other, and together they keep within the window of the session.  Where the window is too small to be divided, what finds
it full waits here until something has its verdict.
"""

import asyncio
from collections import deque
from functools import partial

from gateway.delivery.around import Around
from gateway.delivery.contract import Outcome, Session
from gateway.errors import Unavailable
from gateway.model import Message


class SharedSession(Around[Session]):
    """The session as the pipeline sees it.  `send_aside` is for the other, who keeps at most `share` open."""

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
        """As `send`, beside the window of the pipeline."""
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
                self._go(message).add_done_callback(partial(_hand_on, future))

    def fail(self, error: BaseException) -> None:
        """Whoever waits for the end of the session gets this error: a fault of the one beside."""
        if not self._fault.done():
            self._fault.set_exception(error)
            self._fault.exception()

    async def wait_closed(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            closed = tasks.create_task(_reason_of(self._inner), name="session")
            await asyncio.wait((closed, self._fault), return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
        if self._fault.done():
            self._fault.result()
        raise closed.result()


async def _reason_of(inner: Session) -> Unavailable:
    try:
        await inner.wait_closed()
    except Unavailable as error:
        return error
    return Unavailable("the session ended")


def _hand_on(future: asyncio.Future[Outcome], sent: asyncio.Future[Outcome]) -> None:
    """What became of a message that had waited here, to whom it belongs."""
    if future.done():
        return
    if sent.cancelled():
        future.cancel()
    elif (error := sent.exception()) is not None:
        future.set_exception(error)
        future.exception()  # marks it as seen: an owner that has gone is no mistake
    else:
        future.set_result(sent.result())
