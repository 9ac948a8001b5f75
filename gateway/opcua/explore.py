"""What a server has, and what a configuration would make of it: behind `gateway browse` and `gateway plan`.

Nothing here stays on the server: a plan subscribes with publishing on and deletes the subscription at once, so that
revised values and refusals are the server's own words.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from asyncua import ua

import gateway.opcua.subscription as services
from gateway.config import Selection, SourceConfig
from gateway.errors import Rejected
from gateway.metrics import SourceMetrics
from gateway.model import Tag
from gateway.opcua.browse import variables_below
from gateway.opcua.nodes import text_of_node
from gateway.opcua.peer import status_text, tame_library
from gateway.opcua.selection import Item, Table, described, locate, resolve
from gateway.opcua.session import Session, content, open_session
from gateway.opcua.subscription import Monitored, Subscription

_NAMES = {int(kind.value): kind.name for kind in ua.VariantType}


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable of a server."""

    path: str
    """Browse names below the place where browsing began, joined with `/`."""
    node_id: str
    type: str
    """Name of the built-in type, with `[]` for arrays; empty where the value could not be read."""
    value: object
    """As the server sent it; None where it is bad."""
    status: str
    """Empty for Good."""
    unit: str | None


@dataclass(frozen=True, slots=True)
class PlannedTag:
    """What would become of one variable."""

    tag: Tag
    asked: Item
    got: Monitored

    @property
    def problem(self) -> str:
        """Why it cannot be subscribed to; empty when it can."""
        return status_text(self.got.status) if self.got.status & 0x8000_0000 else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a configuration means on its server, now."""

    subscription: Subscription
    tags: tuple[PlannedTag, ...]
    missing: tuple[Selection, ...]
    """Subtrees and types with nothing in them."""

    @property
    def most_values_per_s(self) -> float:
        """If every variable changed at every sample; a sampling interval of 0 counts as the publishing interval."""
        good = [t.got for t in self.tags if not t.problem]
        return sum(1.0 / max(t.sampling_ms / 1000.0, self.subscription.interval_s / 100) for t in good)


@asynccontextmanager
async def connected(config: SourceConfig, metrics: SourceMetrics) -> AsyncIterator[Session]:
    """A session to look around with.  Raises `Unavailable`."""
    tame_library()
    async with open_session(config, metrics) as session:
        yield session


async def browse(
    session: Session, root: str = "i=85", with_values: bool = True, progress: Callable[[int], None] = lambda _: None
) -> list[Entry]:
    """Every variable below `root` (node id or path), by path.  Raises `Rejected` when there is no such node."""
    node = await locate(session, root)
    if node is None:
        raise Rejected("node_id", f"{session.where} has no node {root}")
    found = await described(session, await variables_below(session, node, progress=progress))
    read = await session.read_values([variable.node for variable, _ in found]) if with_values and found else []
    values = read or [ua.DataValue()] * len(found)
    return [
        Entry(
            "/".join(variable.path), text_of_node(variable.node, session.uris), _type_name(value), content(value),
            _status(value), unit,
        )
        for (variable, unit), value in zip(found, values, strict=True)
    ]  # fmt: skip


def _type_name(value: ua.DataValue) -> str:
    if value.Value is None or value.Value.Value is None:
        return ""
    return _NAMES.get(int(value.Value.VariantType.value), "?") + ("[]" if value.Value.is_array else "")


def _status(value: ua.DataValue) -> str:
    code = value.StatusCode.value if value.StatusCode is not None else 0
    return status_text(code) if code else ""


def selection_of(entries: list[Entry]) -> list[dict[str, str]]:
    """Browsed variables as the `select` of a configuration, ready for YAML: one `node` and `name` each."""
    return [{"node": entry.node_id, "name": entry.path} for entry in entries]


async def plan(session: Session, config: SourceConfig) -> Plan:
    """Resolve and subscribe, note what the server says, and delete the subscription.  Raises `Unavailable`."""
    table: Table = await resolve(session, config)
    subscription = await services.create_subscription(session, config)
    try:
        answers = await services.create_items(session, subscription, list(enumerate(table.items)))
    finally:
        await services.delete_subscription(session, subscription.id)
    rows = zip(table.tags, table.items, answers, strict=True)
    return Plan(subscription, tuple(PlannedTag(*row) for row in rows), table.missing)
