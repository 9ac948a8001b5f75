"""The prologue of a session: messages that must come first, and again on request.

They are not in the outbox, since they belong to the session and not to the time before it.  While they are sent, the
messages of the pipeline wait here behind them, without the pipeline's knowledge.  At most a window of messages waits,
since the pipeline sends no more without verdicts.

If the peer refuses a prologue it can make no sense of what follows, so the session ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from gateway.delivery.around import Around
from gateway.delivery.contract import Outcome, Session, Verdict
from gateway.delivery.passing import hand_on, reason_of
from gateway.errors import Unavailable
from gateway.model import Message

Prologue = Callable[[], Iterable[Message]]
"""Returns the messages that come first.  Called each time they are sent."""


class PrologueSession(Around[Session]):
    """A session that repeats its prologue on request.  Created by `after_prologue`."""

    def __init__(self, inner: Session, prologue: Prologue) -> None:
        super().__init__(inner)
        self._prologue = prologue
        self._loop = asyncio.get_running_loop()
        self._open = 0
        """Sent messages without a verdict."""
        self._to_say: deque[Message] = deque()
        self._unsaid = 0
        """Messages of the prologue without a verdict, sent or not."""
        self._said = asyncio.Event()
        self._waiting: deque[tuple[Message, asyncio.Future[Outcome]]] = deque()
        self._refusal: asyncio.Future[str] = self._loop.create_future()

    def begin_again(self) -> None:
        """Send the prologue before everything else from now on.  A request during a prologue starts it again."""
        self._unsaid -= len(self._to_say)
        self._to_say = deque(self._prologue())
        self._unsaid += len(self._to_say)
        self._said.clear()
        self._go_on()

    async def wait_said(self) -> None:
        """Wait until the peer has the prologue.  Raises `Unavailable` when the peer refuses it or is lost."""
        async with asyncio.TaskGroup() as tasks:
            said = tasks.create_task(self._said.wait(), name="prologue")
            lost = tasks.create_task(reason_of(self.wait_closed()), name="session with a prologue")
            await asyncio.wait((said, lost), return_when=asyncio.FIRST_COMPLETED)
            said.cancel()
            lost.cancel()
        if not lost.cancelled():
            raise lost.result()

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        if not self._to_say and not self._waiting:
            return self._send(message)
        if len(self._waiting) >= self.window:
            raise RuntimeError(f"more than {self.window} messages are open")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append((message, future))
        return future

    async def wait_closed(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            closed = tasks.create_task(reason_of(self._inner.wait_closed()), name="session")
            await asyncio.wait((closed, self._refusal), return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
        raise Unavailable(self._refusal.result()) if self._refusal.done() else closed.result()

    def _send(self, message: Message) -> asyncio.Future[Outcome]:
        sent = self._inner.send(message)
        self._open += 1
        sent.add_done_callback(self._settled)
        return sent

    def _settled(self, sent: asyncio.Future[Outcome]) -> None:
        self._open -= 1
        self._go_on()

    def _go_on(self) -> None:
        """Send as much as the window allows: the whole prologue, then the waiting messages."""
        while self._to_say and self._open < self.window:
            message = self._to_say.popleft()
            self._send(message).add_done_callback(partial(self._has_said, message))
        while self._waiting and not self._to_say and self._open < self.window:
            message, future = self._waiting.popleft()
            if not future.done():
                self._send(message).add_done_callback(partial(hand_on, future))
        if not self._unsaid:
            self._said.set()

    def _has_said(self, message: Message, sent: asyncio.Future[Outcome]) -> None:
        if sent.cancelled() or sent.exception() is not None:
            return  # the session broke
        self._unsaid -= 1
        outcome = sent.result()
        if outcome.verdict is not Verdict.DELIVERED and not self._refusal.done():
            self._refusal.set_result(f"a message that must come first is refused ({message.topic}): {outcome.detail}")
        elif not self._unsaid:
            self._said.set()


async def after_prologue(inner: Session, prologue: Prologue) -> PrologueSession:
    """The session after the peer has its prologue.  Raises `Unavailable` when the peer refuses it or is lost."""
    session = PrologueSession(inner, prologue)
    session.begin_again()
    await session.wait_said()
    return session
