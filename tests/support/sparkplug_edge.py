"""An edge node under test: encoder and session as they are, on a wire that the test holds."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from gateway.delivery import DELIVERED, LateStage, Outcome, Packet, Session, Verdict
from gateway.errors import Rejected, Unavailable
from gateway.link import Link
from gateway.model import Batch, Message
from gateway.payload.format import EncoderContext, SeesLink, SessionContext
from gateway.payload.sparkplug.encoder import SparkplugEncoder
from gateway.payload.sparkplug.form import SPARKPLUG
from gateway.payload.sparkplug.node import Node
from gateway.payload.sparkplug.numbers import Numbers
from tests.support.payloads import Counting, config_of
from tests.support.sparkplug import SparkplugHost, Tahu

BARRIER = "gateways/edge/barrier"


class Wire:
    """One connection.  What is told arrives at the host at once, a PUBACK when the test gives it."""

    window = 20
    has_forgotten = True
    certificate_ends_s = math.nan

    def __init__(self, host: SparkplugHost | None, most_bytes: int = 2**20) -> None:
        self.host = host
        self.most_bytes = most_bytes
        self.late: LateStage = Numbers()
        self.got: list[tuple[str, bytes]] = []
        self.open: list[tuple[Message, asyncio.Future[Outcome]]] = []
        self.topics: tuple[str, ...] = ()
        self.refuses_subscription = False
        self.answers_at_once = True
        self._came = asyncio.Event()
        self._arrivals: asyncio.Queue[Packet] = asyncio.Queue()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(self, message: Message) -> Outcome | None:
        if self._broken.done():
            return None
        dressed = self.late.dress(message)
        if len(dressed.payload) > self.most_bytes:
            return Outcome(Verdict.NEVER, "too_large", f"the message needs {len(dressed.payload)} bytes")
        self._take(dressed)
        return None

    def _take(self, dressed: Message) -> None:
        self.late.sent(dressed)
        self.got.append((dressed.topic, dressed.payload))
        self._came.set()
        if self.host is not None and dressed.topic.startswith("spBv1.0/"):
            self.host.see(dressed.topic, dressed.payload)

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until what came fulfils a condition."""
        while not condition():
            self._came.clear()
            await self._came.wait()

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self._broken.done():
            future.set_exception(Unavailable("cut"))
            future.exception()
            return future
        self._take(self.late.dress(message))
        self.open.append((message, future))
        if self.answers_at_once:
            asyncio.get_running_loop().call_soon(self.acknowledge)
        return future

    def acknowledge(self) -> None:
        open_, self.open = self.open, []
        for _, future in open_:
            if not future.done():
                future.set_result(DELIVERED)

    def cut(self) -> None:
        self._broken.set_exception(Unavailable("cut"))
        self._broken.exception()
        for _, future in self.open:
            future.set_exception(Unavailable("cut"))
            future.exception()

    async def wait_closed(self) -> None:
        await asyncio.shield(self._broken)

    def say(self, topic: str, payload: bytes, *, is_retained: bool = False) -> None:
        self._arrivals.put_nowait(Packet(topic, payload, is_retained=is_retained))

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        self.topics = topics
        if self.refuses_subscription:
            raise Rejected("subscription_refused", "the broker refuses the subscription")
        while True:
            yield await self._arrivals.get()

    def arrived(self) -> list[Packet]:
        taken = []
        while not self._arrivals.empty():
            taken.append(self._arrivals.get_nowait())
        return taken

    @property
    def verbs(self) -> list[str]:
        return [topic.split("/")[2] for topic, _ in self.got if topic.startswith("spBv1.0/")]


class Plant:
    """The gateway's side of one edge node: what outlives sessions, and what the outbox holds for them."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.payload = config_of({"format": "sparkplug", "topic": "x", "sparkplug": settings}).payload
        self.figures = {"Gateway/Sources": 1, "Gateway/Backlog": 0}
        self.counting = Counting()
        self.stored: list[Message] = []
        """Not delivered yet."""
        self.start()

    def start(self) -> None:
        """A new process, with the outbox of the old one."""
        assert SPARKPLUG.shares is not None
        assert SPARKPLUG.session is not None
        node = SPARKPLUG.shares(self.payload, "edge", self.folder, ("broker",))
        assert isinstance(node, Node)
        self.node = node
        self.form = SPARKPLUG.session(
            SessionContext(self.payload, "edge", "broker", self.folder, node, lambda: self.figures)
        )
        self.encoders: dict[str, SparkplugEncoder] = {}

    def encoder(self, source: str) -> SparkplugEncoder:
        if source not in self.encoders:
            context = EncoderContext(self.payload, "edge", source, (source,), "edge.e1", shared=self.node)
            made = SPARKPLUG.encoder(context)
            assert isinstance(made, SparkplugEncoder)
            self.encoders[source] = made
        return self.encoders[source]

    def store(self, batch: Batch) -> list[Message]:
        made = self.counting.append(self.encoder(batch.source).encode(batch, self.counting.next_seq))
        self.stored += made
        return made

    def link(self, is_up: bool, source: str = "line-1") -> None:
        encoder = self.encoder(source)
        assert isinstance(encoder, SeesLink)
        self.stored += self.counting.append(encoder.link_changed(is_up, self.counting.next_seq))

    @asynccontextmanager
    async def session(
        self,
        reader: Tahu | None = None,
        *,
        wire: Wire | None = None,
        topics: Sequence[str] = (),
        link: Link | None = None,
    ) -> AsyncIterator[tuple[Session, Wire]]:
        """A session with a broker, and the host behind it."""
        wire = wire or Wire(SparkplugHost(reader) if reader is not None else None)
        wire.late = self.form.late()
        self.form.presence.will(datetime.now(UTC))
        async with self.form.around(wire, link or Link("broker", "mqtt://h"), topics) as session:
            yield session, wire

    def forward(self, session: Session) -> list["asyncio.Future[Outcome]"]:
        """Send everything that is stored.  What is delivered leaves the store."""
        futures = []
        for message in list(self.stored):
            future = session.send(message)
            future.add_done_callback(lambda done, sent=message: self._settled(sent, done))  # type: ignore[misc]
            futures.append(future)
        return futures

    def _settled(self, message: Message, done: "asyncio.Future[Outcome]") -> None:
        if not done.cancelled() and done.exception() is None and done.result().verdict is not Verdict.LATER:
            self.stored = [each for each in self.stored if each is not message]


async def settled(turns: int = 30) -> None:
    """After so many turns of the loop everything that waits for nothing else has happened."""
    for _ in range(turns):
        await asyncio.sleep(0)
