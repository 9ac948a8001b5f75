"""The monitored items of one subscription: which tags the server watches, which it refused, and another try for those.

A variable that is not there costs one log line and a count, never the others.  What comes to a selected subtree while
we are connected is added to the same subscription; what goes is announced.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import structlog

import gateway.opcua.subscription as services
from gateway.config import SourceConfig
from gateway.metrics import SourceMetrics
from gateway.model import Gap
from gateway.opcua.batches import Assembler
from gateway.opcua.growth import growth_of, is_growing, something_appeared
from gateway.opcua.mark import Absence, Lease
from gateway.opcua.monitoring import Monitored
from gateway.opcua.peer import status_text
from gateway.opcua.selection import Item, Table
from gateway.opcua.session import Session
from gateway.opcua.subscription import Subscription

MOST_IN_MARK = 500
MOST_ADDED_IN_MARK = 100
"""The mark goes to the disk with every batch."""
SHOWN = 5
"""So many examples are named in one log line."""


class Items:
    """The tags of a source as its subscription has them."""

    def __init__(
        self,
        session: Session,
        config: SourceConfig,
        table: Table,
        metrics: SourceMetrics,
        batch_of: Assembler,
        announce: Callable[[Gap], None],
    ) -> None:
        self.table = table
        self.subscription = Subscription(0, 1.0, 1.0, 1.0)
        self.failed: set[int] = set()
        self.owed: tuple[Absence, ...] = ()
        """What is filled in beside the live values, for the marks."""
        self.lease = b""
        """The encoded lease, for the marks."""
        self._session = session
        self._config = config
        self._metrics = metrics
        self._batch_of = batch_of
        self._announce = announce
        self._gone: set[int] = set()
        self._revised: set[int] = set()
        self._log = structlog.get_logger("gateway.opcua").bind(source=config.name)
        tell_missing(self._log, table)

    async def create(self) -> None:
        """Create a subscription and all its items.  Raises `Unavailable`."""
        self.subscription = await services.create_subscription(self._session, self._config)
        if is_growing(self._config):
            await services.watch_model(self._session, self.subscription)
        self.failed, self._revised = set(), set()
        answers = await self._monitor(range(len(self.table.items)))
        self._log.info(
            "subscribed",
            variables=len(answers) - len(self.failed),
            failed=len(self.failed),
            publishing_interval_s=self.subscription.interval_s,
            keep_alive_s=self.subscription.keep_alive_s,
        )
        self.settle()

    async def adopt(self, lease: Lease) -> str:
        """Go on with the items of a subscription that was transferred to us; why not, if not."""
        if lease.digest != self.table.digest:
            return "the selection has changed since"
        every = set(range(len(self.table.items)))
        known = await services.monitored_ids(self._session, lease.subscription)
        handles = known.keys() if known is not None else None
        if lease.failed is None and handles is None:
            return "nobody knows any more which variables it monitors"
        expected = every - set(lease.failed) if lease.failed is not None else every & (handles or set())
        self.failed = every - expected
        if handles is not None and handles != expected:
            return f"the server monitors {len(handles)} variables where {len(expected)} were asked for"
        self.subscription = Subscription(lease.subscription, lease.interval_s, lease.keep_alive_s, lease.lifetime_s)
        self.settle()
        return ""

    async def retry(self) -> None:
        """Try again what failed, and look again where nothing was found.  Raises `Unavailable`."""
        if await something_appeared(self._session, self.table, self.failed):
            await self.refresh()
        if not self.failed:
            return
        failed = sorted(self.failed)
        answers = await services.create_items(self._session, self.subscription, self._wanted(failed))
        back = {handle for handle, answer in zip(failed, answers, strict=True) if answer.is_good}
        if back:
            self.failed -= back
            self._gone -= back
            self._log.info("variables are back", variables=self._names(sorted(back)))
            self.settle()

    async def refresh(self) -> None:
        """Subscribe to what came to the selected subtrees and types; announce what went.  Raises `Unavailable`."""
        growth = await growth_of(self._session, self._config, self.table)
        self.table = growth.table
        if growth.came:
            self._batch_of.learn(self.table)  # before the server is told of the handles: it may be quick
            await self._monitor(growth.came)
            self._log.info("new variables", count=len(growth.came), variables=self._names(growth.came))
        self._gone &= set(growth.went)
        went = sorted(set(growth.went) - self._gone - self.failed)
        if went:
            self._gone |= set(went)
            if await services.delete_items(self._session, self.subscription.id, went):
                self.failed |= set(went)
            self._log.warning("variables are gone from the server", count=len(went), variables=self._names(went))
            self._announce(removal(went, self._batch_of))
        if growth.came or went:
            self.settle()

    async def _monitor(self, handles: Sequence[int]) -> list[Monitored]:
        answers = await services.create_items(self._session, self.subscription, self._wanted(handles))
        told = list(zip(handles, answers, strict=True))
        self.failed |= {handle for handle, answer in told if not answer.is_good}
        self._revised |= {handle for handle, answer in told if answer.differs_from(self.table.items[handle])}
        self._tell_failed(told)
        self._tell_unfiltered(told)
        self._tell_revised(told)
        return answers

    def _wanted(self, handles: Sequence[int]) -> list[tuple[int, Item]]:
        return [(handle, self.table.items[handle]) for handle in handles]

    def _names(self, handles: Sequence[int]) -> list[str]:
        return [self.table.items[handle].text for handle in handles[:SHOWN]]

    def settle(self) -> None:
        """Counts and lease, after any change."""
        s = self.subscription
        self._metrics.items_good.set(len(self.table.items) - len(self.failed))
        self._metrics.items_failed.set(len(self.failed))
        self._metrics.items_revised.set(len(self._revised))
        self._metrics.publishing_interval.set(s.interval_s)
        self._metrics.keep_alive.set(s.keep_alive_s)
        failed = tuple(sorted(self.failed)) if len(self.failed) <= MOST_IN_MARK else None
        added = self.table.added if len(self.table.added) <= MOST_ADDED_IN_MARK else None
        self.lease = Lease(
            self._session.where, self._session.started, s.id, self.table.digest, s.interval_s, s.keep_alive_s,
            s.lifetime_s, failed, added, self.owed,
        ).encode()  # fmt: skip

    def _tell_failed(self, answers: Sequence[tuple[int, Monitored]]) -> None:
        """One line per reason, with examples."""
        reasons = Counter(answer.status for _, answer in answers if not answer.is_good)
        for status, count in reasons.items():
            self._log.warning(
                "variables cannot be subscribed to: they are tried again from time to time",
                reason=status_text(status), count=count,
                variables=self._names([handle for handle, answer in answers if answer.status == status]),
            )  # fmt: skip

    def _tell_unfiltered(self, answers: Sequence[tuple[int, Monitored]]) -> None:
        handles = [handle for handle, answer in answers if answer.unfiltered]
        if handles:
            text = "the server has no dead-band or trigger for these variables: every change is sent"
            self._log.info(text, count=len(handles), variables=self._names(handles))

    def _tell_revised(self, answers: Sequence[tuple[int, Monitored]]) -> None:
        revised = [(self.table.items[h], answer) for h, answer in answers if answer.differs_from(self.table.items[h])]
        if revised:
            item, answer = revised[0]
            self._log.info(
                "the server changed sampling or queue size",
                variables=len(revised), example=item.text,
                asked=f"{item.sampling_ms:g} ms, queue {item.queue_size}",
                got=f"{answer.sampling_ms:g} ms, queue {answer.queue_size}",
            )  # fmt: skip


def tell_missing(log: structlog.stdlib.BoundLogger, table: Table) -> None:
    """Name the subtrees and types with nothing in them."""
    if table.missing:
        names = [selection.subtree or selection.type for selection in table.missing[:SHOWN]]
        log.warning("nothing to subscribe to here: looked for again from time to time", places=names)


def removal(handles: Sequence[int], batch_of: Assembler) -> Gap:
    """The announcement that variables are gone."""
    detail = "these variables are gone from the server's address space"
    return Gap("node_removed", detail, batch_of.latest_ticks, batch_of.until_ticks, None, tuple(handles))
