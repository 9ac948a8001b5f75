"""The group's log where one machine has its outbox: appended to by sources, read by brokers, each by its owner alone.

It has the interface of `gateway.outbox.Outbox` as far as the pipeline uses it.  Nothing of it is on this machine: a
copy that only its host can read would be no use to whoever takes over.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.config import OutboxConfig
from gateway.errors import ConfigError
from gateway.group.log import Log
from gateway.group.reading import LogReader
from gateway.group.writing import SourceWriter
from gateway.model import Loss, Message
from gateway.outbox import DEFAULT_ROUTE


class GroupOutbox:
    """The works of this member, as the pipeline sees them."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.epoch = log.epoch
        self.writers: dict[str, SourceWriter] = {}
        self.found: dict[str, LogReader] = {}
        """The readers of the brokers that this member owns."""
        self.recovered_messages = self.recovered_values = 0
        self._latest_ns = 0

    # -- appending

    def next_seq(self, stream: str) -> int:
        writer = self.writers.get(_source_of(stream))
        return (writer.accepted.get(stream, 0) if writer is not None else 0) + 1

    @property
    def streams(self) -> Collection[str]:
        return [stream for writer in self.writers.values() for stream in writer.accepted]

    @property
    def checkpoints(self) -> Mapping[str, bytes]:
        return {name: writer.state.checkpoint for name, writer in self.writers.items()}

    async def append(
        self,
        messages: Sequence[Message],
        *,
        others: Mapping[str, Sequence[Message]] | None = None,
        source: str = "",
        checkpoint: bytes = b"",
        losses: Sequence[Loss] = (),
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """Returns when it is stored on a majority of the NATS servers."""
        await self.begin_append(
            messages, others=others, source=source, checkpoint=checkpoint, losses=losses, on_stored=on_stored
        )

    def begin_append(
        self,
        messages: Sequence[Message],
        *,
        others: Mapping[str, Sequence[Message]] | None = None,
        source: str = "",
        checkpoint: bytes = b"",
        losses: Sequence[Loss] = (),
        on_stored: Callable[[], None] = lambda: None,
    ) -> "asyncio.Future[None]":
        """Like `append`, without waiting.  For a source that this member does not own it never ends."""
        writer = self.writers.get(source)
        if writer is None:
            return asyncio.get_running_loop().create_future()
        return writer.begin({DEFAULT_ROUTE: messages, **(others or {})}, checkpoint, on_stored)

    # -- reading

    def reader(self, name: str, route: str = DEFAULT_ROUTE) -> LogReader:
        """Raises `ConfigError` for a broker that this member does not own."""
        found = self.found.get(name)
        if found is None:
            raise ConfigError([f"{name} belongs to another member of the group"])
        return found

    def may_follow(self, name: str, route: str) -> bool:
        return True

    def follow(self, name: str, route: str) -> None:
        self.found[name].follow(route, self.newest)

    @property
    def newest(self) -> int:
        """The highest position in the log that this member knows."""
        written = (writer.holding.mark.seq for writer in self.writers.values())
        return max((*written, *(reader.seen for reader in self.found.values())), default=0)

    @property
    def readers(self) -> Collection[str]:
        return self.found.keys()

    async def forget(self, name: str) -> None:
        """A broker ends here: its position is in the log, for whoever owns it next."""

    async def wait_empty(self) -> None:
        """What is in the log is safe there: others deliver it."""

    def take_losses(self) -> list[Loss]:
        """Nothing is dropped from the log."""
        return []

    # -- figures

    @property
    def messages(self) -> int:
        return max((reader.messages for reader in self.found.values()), default=0)

    @property
    def values(self) -> int:
        return max((reader.values for reader in self.found.values()), default=0)

    @property
    def bytes(self) -> int:
        """Nothing of it is on this machine."""
        return 0

    @property
    def oldest_age_s(self) -> float:
        """The age of the oldest message that was read and has no verdict."""
        return max((self.age_s_of(name) for name in self.found), default=0.0)

    def age_s_of(self, name: str) -> float:
        """The same for one broker."""
        oldest = reader.oldest_ns if (reader := self.found.get(name)) is not None else 0
        return max(0.0, (time.time_ns() - oldest) / 1e9) if oldest else 0.0

    @property
    def trouble(self) -> str | None:
        return next((each.holding.trouble for each in self.writers.values() if each.holding.trouble), None)

    @property
    def latest_ns(self) -> int:
        self._latest_ns = max(self._latest_ns, time.time_ns())
        return self._latest_ns

    def keep_within(self, config: OutboxConfig) -> None:
        """The bounds of the log are those of the group."""


def _source_of(stream: str) -> str:
    """The source in the name of a stream: `<gateway>.<epoch>…/<source>/<topic>`."""
    _, _, rest = stream.partition("/")
    return rest.partition("/")[0]
