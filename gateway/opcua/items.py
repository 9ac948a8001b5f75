"""The monitored items of one subscription: which tags the server watches, which it refused, and another try for those.

A variable that is not there costs one log line and a count, never the others.
"""

from collections import Counter
from collections.abc import Sequence

import structlog

import gateway.opcua.subscription as services
from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.metrics import SourceMetrics
from gateway.opcua.mark import Lease
from gateway.opcua.peer import status_text
from gateway.opcua.selection import Item, Table, variables_of
from gateway.opcua.session import Session
from gateway.opcua.subscription import Monitored, Subscription

MOST_IN_MARK = 500
"""The mark goes to the disk with every batch."""
SHOWN = 5
"""So many examples are named in one log line."""


class Items:
    """The tags of a source as its subscription has them."""

    def __init__(self, session: Session, table: Table, metrics: SourceMetrics, source: str) -> None:
        self.table = table
        self.subscription = Subscription(0, 1.0, 1.0, 1.0)
        self.failed: set[int] = set()
        self.lease = b""
        """The encoded lease, for the marks."""
        self._session = session
        self._metrics = metrics
        self._log = structlog.get_logger("gateway.opcua").bind(source=source)
        if table.missing:
            names = [selection.subtree or selection.type for selection in table.missing[:SHOWN]]
            self._log.warning("nothing to subscribe to here: looked for again from time to time", places=names)

    async def create(self, config: SourceConfig) -> None:
        """Create a subscription and all its items.  Raises `Unavailable`."""
        self.subscription = await services.create_subscription(self._session, config)
        handles = range(len(self.table.items))
        answers = await services.create_items(self._session, self.subscription, self._wanted(handles))
        self.failed = {handle for handle, answer in zip(handles, answers, strict=True) if answer.status & 0x8000_0000}
        self._log.info(
            "subscribed",
            variables=len(answers) - len(self.failed),
            failed=len(self.failed),
            publishing_interval_s=self.subscription.interval_s,
            keep_alive_s=self.subscription.keep_alive_s,
        )
        self._tell_failed(answers)
        self._tell_unfiltered(answers)
        self._tell_revised(answers)
        self._settle()

    async def adopt(self, lease: Lease) -> str:
        """Go on with the items of a subscription that was transferred to us; why not, if not."""
        if lease.digest != self.table.digest:
            return "the selection has changed since"
        every = set(range(len(self.table.items)))
        handles = await services.client_handles(self._session, lease.subscription)
        if lease.failed is None and handles is None:
            return "nobody knows any more which variables it monitors"
        expected = every - set(lease.failed) if lease.failed is not None else every & (handles or set())
        self.failed = every - expected
        if handles is not None and handles != expected:
            return f"the server monitors {len(handles)} variables where {len(expected)} were asked for"
        self.subscription = Subscription(lease.subscription, lease.interval_s, lease.keep_alive_s, lease.lifetime_s)
        self._settle()
        return ""

    async def retry(self) -> None:
        """Try again what failed.  Raises `Unavailable`, also when a subtree has appeared: all is resolved anew then."""
        for selection in self.table.missing:
            if await variables_of(self._session, selection):
                place = selection.subtree or selection.type
                raise Unavailable(f"{place} has appeared at {self._session.where}: connecting again to subscribe to it")
        if not self.failed:
            return
        handles = sorted(self.failed)
        answers = await services.create_items(self._session, self.subscription, self._wanted(handles))
        back = {handle for handle, answer in zip(handles, answers, strict=True) if not answer.status & 0x8000_0000}
        if back:
            self.failed -= back
            self._log.info("variables are back", variables=[self.table.items[h].text for h in sorted(back)[:SHOWN]])
            self._settle()

    def _wanted(self, handles: Sequence[int]) -> list[tuple[int, Item]]:
        return [(handle, self.table.items[handle]) for handle in handles]

    def _settle(self) -> None:
        """Counts and lease, after any change."""
        self._metrics.items_good.set(len(self.table.items) - len(self.failed))
        self._metrics.items_failed.set(len(self.failed))
        s = self.subscription
        self.lease = Lease(
            self._session.where, self._session.started, s.id, self.table.digest, s.interval_s, s.keep_alive_s,
            s.lifetime_s, tuple(sorted(self.failed)) if len(self.failed) <= MOST_IN_MARK else None,
        ).encode()  # fmt: skip

    def _tell_failed(self, answers: Sequence[Monitored]) -> None:
        """One line per reason, with examples."""
        reasons = Counter(answer.status for answer in answers if answer.status & 0x8000_0000)
        for status, count in reasons.items():
            names = [self.table.items[h].text for h, answer in enumerate(answers) if answer.status == status]
            self._log.warning(
                "variables cannot be subscribed to: they are tried again from time to time",
                reason=status_text(status), count=count, variables=names[:SHOWN],
            )  # fmt: skip

    def _tell_unfiltered(self, answers: Sequence[Monitored]) -> None:
        names = [self.table.items[h].text for h, answer in enumerate(answers) if answer.unfiltered]
        if names:
            text = "the server has no dead-band or trigger for these variables: every change is sent"
            self._log.info(text, count=len(names), variables=names[:SHOWN])

    def _tell_revised(self, answers: Sequence[Monitored]) -> None:
        revised = [
            (item, answer)
            for item, answer in zip(self.table.items, answers, strict=True)
            if not answer.status & 0x8000_0000
            and (answer.sampling_ms != item.sampling_ms or answer.queue_size != item.queue_size)
        ]
        if revised:
            item, answer = revised[0]
            self._log.info(
                "the server changed sampling or queue size",
                variables=len(revised), example=item.text,
                asked=f"{item.sampling_ms:g} ms, queue {item.queue_size}",
                got=f"{answer.sampling_ms:g} ms, queue {answer.queue_size}",
            )  # fmt: skip
