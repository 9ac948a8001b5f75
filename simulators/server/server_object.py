"""The Server object of each server: capabilities, diagnostics, namespaces and its methods (OPC UA Part 5, 6.3).

Filled once, before the first client connects.  Diagnostics are made when they are read.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

from asyncua import ua

import simulators
from simulators.server.aggregates import AGGREGATES
from simulators.server.history import MOST
from simulators.server.limits import MOST_ITEMS, MOST_POINTS, MOST_QUEUED, MOST_SELECT, MOST_SUBSCRIPTIONS, MOST_WHERE
from simulators.server.nodes import AttributeIds, ObjectIds, StatusCodes, numeric, qualified, status, text_id
from simulators.server.nodes import value as data_value
from simulators.server.sessions import Core, Session
from simulators.server.space import HAS_COMPONENT, ORGANIZES, Space, bind_method
from simulators.server.subscriptions import SHORTEST_INTERVAL_MS, Subscription

PROFILES = (
    "http://opcfoundation.org/UA-Profile/Server/StandardUA2017",
    "http://opcfoundation.org/UA-Profile/Server/Methods",
    "http://opcfoundation.org/UA-Profile/Server/StandardEventSubscription",
    "http://opcfoundation.org/UA-Profile/Server/ACAlarm",
    "http://opcfoundation.org/UA-Profile/Server/ACShelving",
    "http://opcfoundation.org/UA-Profile/Server/ACDialog",
    "http://opcfoundation.org/UA-Profile/Server/HistoricalRawData",
    "http://opcfoundation.org/UA-Profile/Server/AggregateHistorical",
)
NUMBER, TRUTH, TEXT = ua.VariantType.UInt32, ua.VariantType.Boolean, ua.VariantType.String
SHORT, SPAN = ua.VariantType.UInt16, ua.VariantType.Double
MOST_BYTES = 64 * 2**20
CAPABILITIES: Mapping[str, tuple[object, ua.VariantType]] = {
    "ServerProfileArray": (list(PROFILES), TEXT), "LocaleIdArray": (["en"], TEXT),
    "MinSupportedSampleRate": (SHORTEST_INTERVAL_MS, SPAN), "MaxBrowseContinuationPoints": (MOST_POINTS, SHORT),
    "MaxQueryContinuationPoints": (0, SHORT), "MaxHistoryContinuationPoints": (MOST_POINTS, SHORT),
    "MaxArrayLength": (1_000_000, NUMBER), "MaxStringLength": (MOST_BYTES, NUMBER),
    "MaxByteStringLength": (MOST_BYTES, NUMBER), "MaxSubscriptionsPerSession": (MOST_SUBSCRIPTIONS, NUMBER),
    "MaxMonitoredItemsPerSubscription": (MOST_ITEMS, NUMBER), "MaxMonitoredItems": (MOST_ITEMS * 10, NUMBER),
    "MaxMonitoredItemsQueueSize": (MOST_QUEUED, NUMBER), "MaxSelectClauseParameters": (MOST_SELECT, NUMBER),
    "MaxWhereClauseParameters": (MOST_WHERE, NUMBER),
}  # fmt: skip
PUBLISHED: Mapping[str, tuple[str, datetime]] = {
    "http://opcfoundation.org/UA/DI/": ("1.05.0", datetime(2025, 11, 15, tzinfo=UTC)),
    "http://opcfoundation.org/UA/Machinery/": ("1.04.1", datetime(2026, 1, 1, tzinfo=UTC)),
    "http://opcfoundation.org/UA/PackML/": ("1.01", datetime(2020, 10, 8, 11, 8, tzinfo=UTC)),
    "http://opcfoundation.org/UA/MachineTool/": ("1.02.0", datetime(2024, 11, 1, tzinfo=UTC)),
}
"""Version and publication of the NodeSet files whose types we serve."""


@cache
@cache
def own_version() -> str:
    """Read once for the servers of a fleet."""
    return version("connected-factory")


@cache
def build_date() -> datetime:
    """When this program was installed."""
    return datetime.fromtimestamp(Path(simulators.__file__).stat().st_mtime, UTC)


def fill(core: Core, uris: list[str]) -> None:
    """Fill the Server object.  `uris`: the namespaces, by index."""
    space = Space(core.aspace)
    for name, (content, kind) in CAPABILITIES.items():
        _set(space, getattr(ObjectIds, f"Server_ServerCapabilities_{name}"), content, kind)
    _set(space, ObjectIds.Server_ServerCapabilities_MaxSessions, core.session_limit, NUMBER)
    _set(space, ObjectIds.Server_ServerCapabilities_MaxSubscriptions, core.max_subscriptions, NUMBER)
    for number in (ObjectIds.Server_Auditing, ObjectIds.Server_ServerDiagnostics_EnabledFlag):
        _set(space, number, number == ObjectIds.Server_ServerDiagnostics_EnabledFlag, TRUTH)
    _set(space, ObjectIds.Server_ServerRedundancy_RedundancySupport, 0, ua.VariantType.Int32)
    _set(space, ObjectIds.Server_ServiceLevel, 255, ua.VariantType.Byte)
    _set(space, ObjectIds.Server_ServerStatus_SecondsTillShutdown, 0, NUMBER)
    _set(space, ObjectIds.Server_ServerStatus_ShutdownReason, ua.LocalizedText(), ua.VariantType.LocalizedText)
    _history_capabilities(space)
    for index, uri in enumerate(uris):
        if index and uri != uris[1]:
            _add_namespace(space, index, uri)
    _add_diagnostics(space, core)
    _bind(space, core)


def _history_capabilities(space: Space) -> None:
    """What HistoryRead can do (Part 11, 5.4)."""
    prefix = "HistoryServerCapabilities"
    flags = {"AccessHistoryDataCapability"}
    for name, number in vars(ObjectIds).items():
        if name.startswith(f"{prefix}_") and name.endswith("Capability"):
            _set(space, number, name.removeprefix(f"{prefix}_") in flags, TRUTH)
    _set(space, ObjectIds.HistoryServerCapabilities_MaxReturnDataValues, MOST, NUMBER)
    _set(space, ObjectIds.HistoryServerCapabilities_MaxReturnEventValues, 0, NUMBER)
    _set(space, ObjectIds.HistoryServerCapabilities_ServerTimestampSupported, True, TRUTH)
    for folder in (
        ObjectIds.HistoryServerCapabilities_AggregateFunctions, ObjectIds.Server_ServerCapabilities_AggregateFunctions,
    ):  # fmt: skip
        for aggregate in AGGREGATES:
            if numeric(folder) in space.store and numeric(aggregate) in space.store:
                space.refer(numeric(folder), numeric(aggregate), ORGANIZES)


def _set(space: Space, number: int, content: object, kind: ua.VariantType) -> None:
    now = datetime.now(UTC)
    node = space.store.get(numeric(number))
    if node is not None:
        node.attributes[AttributeIds.Value].value = data_value(content, kind, now, now)


def _add_namespace(space: Space, index: int, uri: str) -> None:
    """NamespaceMetadata of one namespace (Part 5, 6.3.13)."""
    released, published = PUBLISHED.get(uri, (own_version(), build_date()))
    ours = uri not in PUBLISHED
    node_id = text_id(f"Namespaces/{uri}", 1)
    space.add_object(
        node_id, qualified(uri, index), numeric(ObjectIds.Server_Namespaces),
        numeric(ObjectIds.NamespaceMetadataType), HAS_COMPONENT,
    )  # fmt: skip
    for name, kind, content in (
        ("NamespaceUri", TEXT, uri), ("NamespaceVersion", TEXT, released),
        ("NamespacePublicationDate", ua.VariantType.DateTime, published), ("IsNamespaceSubset", TRUTH, not ours),
        ("StaticNodeIdTypes", ua.VariantType.Int32, [] if ours else [0]),
        ("StaticNumericNodeIdRange", TEXT, [] if ours else ["1:4294967295"]),
        ("StaticStringNodeIdPattern", TEXT, "" if not ours else "*"),
    ):  # fmt: skip
        data_type = {"StaticNodeIdTypes": ObjectIds.IdType, "StaticNumericNodeIdRange": ObjectIds.NumericRange}
        space.add_property(
            text_id(f"Namespaces/{uri}/{name}", 1), qualified(name), node_id, kind, content,
            data_type=numeric(data_type[name]) if name in data_type else None,
        )  # fmt: skip


def _add_diagnostics(space: Space, core: Core) -> None:
    """Diagnostics that are made when they are read (Part 5, 12.9 to 12.13)."""

    def made(number: int, make: Callable[[], object], kind: ua.VariantType) -> None:
        node = space.store.get(numeric(number))
        if node is not None:
            node.attributes[AttributeIds.Value].value_callback = lambda *_: data_value(
                make(), kind, datetime.now(UTC), datetime.now(UTC)
            )

    prefix = "Server_ServerDiagnostics_ServerDiagnosticsSummary"
    extension = ua.VariantType.ExtensionObject
    made(getattr(ObjectIds, prefix), core.diagnostics, extension)
    for name in [each.name for each in fields(ua.ServerDiagnosticsSummaryDataType)]:
        if hasattr(ObjectIds, f"{prefix}_{name}"):
            made(getattr(ObjectIds, f"{prefix}_{name}"), partial(_one, core, name), NUMBER)
    summary = "Server_ServerDiagnostics_SessionsDiagnosticsSummary"
    made(
        getattr(ObjectIds, f"{summary}_SessionDiagnosticsArray"),
        lambda: [session.diagnostics() for session in core.sessions], extension,
    )  # fmt: skip
    made(
        ObjectIds.Server_ServerDiagnostics_SubscriptionDiagnosticsArray,
        lambda: [s.diagnostics() for s in core.subscriptions.subscriptions.values() if isinstance(s, Subscription)],
        extension,
    )
    made(ObjectIds.Server_ServerDiagnostics_SamplingIntervalDiagnosticsArray, list, extension)
    made(getattr(ObjectIds, f"{summary}_SessionSecurityDiagnosticsArray"), list, extension)


def _one(core: Core, name: str) -> object:
    return getattr(core.diagnostics(), name)


def _bind(space: Space, core: Core) -> None:
    def own(arguments: tuple[ua.Variant, ...]) -> Subscription | int:
        """The caller's subscription, or the refusal."""
        if len(arguments) != 1:
            return StatusCodes.BadArgumentsMissing if not arguments else StatusCodes.BadTooManyArguments
        number = arguments[0].Value if arguments[0].VariantType is NUMBER else None
        if number is None:
            return StatusCodes.BadInvalidArgument
        session = core.calling
        found = core.subscriptions.subscriptions.get(number)
        if not isinstance(found, Subscription):
            return StatusCodes.BadSubscriptionIdInvalid
        is_own = isinstance(session, Session) and found.session_id == session.session_id
        return found if is_own else StatusCodes.BadUserAccessDenied

    async def items_of(parent: ua.NodeId, *arguments: ua.Variant) -> ua.CallMethodResult:
        found = own(arguments)
        if isinstance(found, int):
            return ua.CallMethodResult(status(found))
        pairs = found.items.handles()
        columns = [[pair[n] for pair in pairs] for n in range(2)]
        outputs = [ua.Variant(column, NUMBER, is_array=True) for column in columns]
        return ua.CallMethodResult(status(0), OutputArguments=outputs)

    async def resend(parent: ua.NodeId, *arguments: ua.Variant) -> ua.CallMethodResult:
        found = own(arguments)
        if isinstance(found, int):
            return ua.CallMethodResult(status(found))
        found.items.repeat_values()
        return ua.CallMethodResult(status(0))

    bind_method(space, numeric(ObjectIds.Server_GetMonitoredItems), items_of)
    bind_method(space, numeric(ObjectIds.Server_ResendData), resend)
