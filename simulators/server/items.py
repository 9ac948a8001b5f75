"""Monitored items and their queues (OPC UA Part 4, 5.13 and 7.22): every loss is marked.

Differences from asyncua's own: a queue that overflows sets the overflow bit and honours DiscardOldest.  The dead-band
is measured from the last *reported* value, so a slow drift shows, and percent means percent of EURange.  A value is
queued without a copy, because the server never changes a DataValue after the write.
"""

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.events import Event
from asyncua.common.utils import ServiceError
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemData, MonitoredItemService, MonitoredItemValues
from asyncua.ua.uaprotocol_auto import DataChangeFilter  # what is decoded; `ua.DataChangeFilter` is another class

from simulators.server.event_filters import Where, check, fields_of
from simulators.server.limits import MOST_ITEMS
from simulators.server.nodes import AttributeIds, ObjectIds, StatusCodes, localized, numeric, status
from simulators.server.ranges import NumericRange
from simulators.server.reading import part_of

BAD = 0x8000_0000
"""Status codes from here on are bad: they carry no value."""
UNSUPPORTED_FILTER = StatusCodes.BadMonitoredItemFilterUnsupported
NUMBERS = frozenset(kind for kind in ua.VariantType if 2 <= kind.value <= 11)
"""The types that a dead-band can be measured in."""
OVERFLOW = 0x480
"""InfoType DataValue and the Overflow bit of a StatusCode (Part 4, 7.39.1)."""


@dataclass(slots=True)
class ItemQueue:
    """The values of one monitored item that wait for a publish, at most `size`."""

    size: int
    discard_oldest: bool
    waiting: deque[ua.MonitoredItemNotification] = field(default_factory=deque)

    def append(self, notification: ua.MonitoredItemNotification) -> None:
        """Add a value.  A full queue discards one value and marks its neighbour (Part 4, 5.13.1.5)."""
        waiting = self.waiting
        if len(waiting) < self.size:
            waiting.append(notification)
            return
        if self.size == 1:  # the standard sets no overflow bit for a queue of one
            waiting[0] = notification
        elif self.discard_oldest:
            waiting.popleft()
            waiting[0] = overflowed(waiting[0])
            waiting.append(notification)
        else:
            waiting[-1] = overflowed(notification)


def overflowed(notification: ua.MonitoredItemNotification) -> ua.MonitoredItemNotification:
    """The same notification with the overflow bit in its status."""
    code = notification.Value.StatusCode
    marked = status((code.value if code else 0) | OVERFLOW)
    return ua.MonitoredItemNotification(
        ClientHandle=notification.ClientHandle, Value=replace(notification.Value, StatusCode=marked)
    )


class Items(MonitoredItemService):
    """The monitored items of one subscription."""

    def __init__(self, subscription: InternalSubscription, aspace: AddressSpace) -> None:
        super().__init__(subscription, aspace)
        self.queues: dict[int, ItemQueue] = {}
        self._overflow: dict[int, ua.EventFieldList] = {}
        self._wheres: dict[int, Where] = {}
        self._ranges: dict[int, str] = {}
        self._links: dict[int, set[int]] = {}
        """The items that a triggering item reports, too."""
        self.due: dict[int, ItemQueue] = {}
        """The queues with values to report, in the order of their first value."""

    def _make_monitored_item_common(
        self, params: ua.MonitoredItemCreateRequest
    ) -> tuple[ua.MonitoredItemCreateResult, MonitoredItemData]:
        result, item = super()._make_monitored_item_common(params)
        result.RevisedSamplingInterval = 0.0  # report by exception: every change is queued
        asked = params.RequestedParameters
        self.queues[result.MonitoredItemId] = ItemQueue(item.queue_size, bool(asked.DiscardOldest))
        return result, item

    def _create_events_monitored_item(self, params: ua.MonitoredItemCreateRequest) -> ua.MonitoredItemCreateResult:
        read, asked = params.ItemToMonitor, params.RequestedParameters.Filter
        notifier = self.aspace.read_attribute_value(read.NodeId, AttributeIds.EventNotifier)
        if read.NodeId not in self.aspace:
            return ua.MonitoredItemCreateResult(status(StatusCodes.BadNodeIdUnknown))
        if not notifier.Value or not isinstance(notifier.Value.Value, int) or not notifier.Value.Value & 1:
            return ua.MonitoredItemCreateResult(status(StatusCodes.BadAttributeIdInvalid))
        code, told = check(self.aspace, asked)
        if code:
            refused = ua.MonitoredItemCreateResult(status(code))
            refused.FilterResult = told
            return refused
        result = super()._create_events_monitored_item(params)
        if result.StatusCode.is_good():
            self._wheres[result.MonitoredItemId] = Where(self.aspace, asked.WhereClause)
        return result

    async def _create_data_change_monitored_item(
        self, params: ua.MonitoredItemCreateRequest
    ) -> ua.MonitoredItemCreateResult:
        read = params.ItemToMonitor
        code = self._refused(read, params.RequestedParameters.Filter)
        if code:
            return ua.MonitoredItemCreateResult(status(code))
        if read.IndexRange:
            self._ranges[self._monitored_item_counter + 1] = read.IndexRange  # the id that this item gets
        result = await super()._create_data_change_monitored_item(params)
        if not result.StatusCode.is_good():
            self._ranges.pop(self._monitored_item_counter, None)
        return result

    def _refused(self, read: ua.ReadValueId, asked: object) -> int:
        """Why such an item is not created (Part 4, 5.13.2): encoding, index range, filter."""
        if read.DataEncoding and read.DataEncoding.Name not in (None, "", "Default Binary"):
            return StatusCodes.BadDataEncodingUnsupported
        if read.IndexRange:
            if NumericRange.read(read.IndexRange) is None:
                return StatusCodes.BadIndexRangeInvalid
            held = self.aspace.read_attribute_value(read.NodeId, read.AttributeId).Value
            if held is None or not isinstance(held.Value, list | tuple | str | bytes):
                return StatusCodes.BadIndexRangeNoData
        return self._wrong_filter(read, asked)

    def _wrong_filter(self, read: ua.ReadValueId, asked: object) -> int:
        if asked is None or (isinstance(asked, ua.ExtensionObject) and asked.TypeId.is_null()):
            return 0
        if not isinstance(asked, DataChangeFilter):
            return StatusCodes.BadFilterNotAllowed if isinstance(asked, ua.EventFilter) else UNSUPPORTED_FILTER
        if read.AttributeId != AttributeIds.Value:
            return StatusCodes.BadFilterNotAllowed
        if asked.DeadbandType == ua.DeadbandType.None_:
            return 0
        held = self.aspace.read_attribute_value(read.NodeId, AttributeIds.Value).Value
        if held is not None and held.VariantType not in NUMBERS | {ua.VariantType.Null}:
            return StatusCodes.BadFilterNotAllowed
        percent = asked.DeadbandType == ua.DeadbandType.Percent
        if asked.DeadbandValue < 0 or (percent and asked.DeadbandValue > 100):
            return StatusCodes.BadDeadbandFilterInvalid
        return UNSUPPORTED_FILTER if percent and not self._span(read.NodeId) else 0

    def make_room(self, count: int) -> None:
        """Refuse more items than a subscription may have."""
        if len(self._monitored_items) + count > MOST_ITEMS:
            raise ServiceError(StatusCodes.BadTooManyMonitoredItems)

    def handles(self) -> list[tuple[int, int]]:
        """The server's and the client's handle of each item."""
        return [(mid, item.client_handle or 0) for mid, item in self._monitored_items.items()]

    def link(self, triggering: int, add: Sequence[int], remove: Sequence[int]) -> ua.SetTriggeringResult:
        """Let an item report others when it reports (Part 4, 5.13.5).  Links are removed first."""
        if triggering not in self._monitored_items:
            raise ServiceError(StatusCodes.BadMonitoredItemIdInvalid)
        links = self._links.setdefault(triggering, set())
        good, unknown = status(0), status(StatusCodes.BadMonitoredItemIdInvalid)
        result = ua.SetTriggeringResult()
        for mid in remove:
            result.RemoveResults.append(good if mid in links else unknown)
            links.discard(mid)
        for mid in add:
            known = mid in self.queues and mid != triggering
            result.AddResults.append(good if known else unknown)
            links.update({mid} if known else ())
        return result

    def _modify_monitored_item(self, params: ua.MonitoredItemModifyRequest) -> ua.MonitoredItemModifyResult:
        item = self._monitored_items.get(params.MonitoredItemId)
        if item is None:
            return ua.MonitoredItemModifyResult(status(StatusCodes.BadMonitoredItemIdInvalid))
        asked = params.RequestedParameters
        if self.watches_events(params.MonitoredItemId):
            code, told = check(self.aspace, asked.Filter)
            if code:
                refused = ua.MonitoredItemModifyResult(status(code))
                refused.FilterResult = told
                return refused
            self._wheres[params.MonitoredItemId] = Where(self.aspace, asked.Filter.WhereClause)
        elif item.read_value_id is not None and (code := self._wrong_filter(item.read_value_id, asked.Filter)):
            return ua.MonitoredItemModifyResult(status(code))
        item.queue_size = self._revise_queue_size(asked.QueueSize)
        item.client_handle = asked.ClientHandle
        item.filter = asked.Filter
        queue = self.queues[params.MonitoredItemId]
        queue.size, queue.discard_oldest = item.queue_size, bool(asked.DiscardOldest)
        while len(queue.waiting) > queue.size:
            queue.waiting.popleft()
            queue.waiting[0] = overflowed(queue.waiting[0])
        result = ua.MonitoredItemModifyResult()
        result.RevisedSamplingInterval = 0.0
        result.RevisedQueueSize = ua.UInt32(item.queue_size)
        return result

    def _delete_monitored_items(self, mid: int) -> ua.StatusCode:
        self.queues.pop(mid, None)
        self.due.pop(mid, None)
        self._wheres.pop(mid, None)
        self._ranges.pop(mid, None)
        self._links.pop(mid, None)
        for linked in self._links.values():
            linked.discard(mid)
        item = self._monitored_items.get(mid)
        if item is not None and item.read_value_id is not None and item.read_value_id.NodeId not in self.aspace:
            self.aspace._handle_to_attribute_map.pop(item.callback_handle or 0, None)  # its node was removed
        return super()._delete_monitored_items(mid)

    async def datachange_callback(self, handle: int, value: ua.DataValue, error: ua.StatusCode | None = None) -> None:
        """Called by asyncua after its own writes."""
        self.notify(handle, value)

    def notify(self, handle: int, value: ua.DataValue) -> None:
        """Queue one write to a monitored attribute unless the filter holds it back."""
        mid = self._monitored_datachange[handle]
        item = self._monitored_items[mid]
        if item.mode == ua.MonitoringMode.Disabled:
            return
        reported = item.mvalue.current_dvalue
        if reported is not None and not self._passes(item, reported, value):
            return
        item.mvalue.current_dvalue = value
        if mid in self._ranges:
            value = part_of(value, self._ranges[mid])
        queue = self.queues[mid]
        queue.append(ua.MonitoredItemNotification(item.client_handle, value))
        if item.mode == ua.MonitoringMode.Reporting:
            self.due[mid] = queue
        for linked in self._links.get(mid, ()):  # what is only sampled is reported with it (Part 4, 5.13.1.6)
            if self.queues[linked].waiting:
                self.due[linked] = self.queues[linked]

    def _passes(self, item: MonitoredItemData, old: ua.DataValue, new: ua.DataValue) -> bool:
        data_filter = item.filter
        if data_filter is None:
            return (old.StatusCode is not new.StatusCode and old.StatusCode != new.StatusCode) or differs(old, new)
        if not isinstance(data_filter, DataChangeFilter):
            return old.StatusCode != new.StatusCode or differs(old, new)
        if data_filter.DeadbandType != ua.DeadbandType.None_:
            return old.StatusCode != new.StatusCode or self._leaves_deadband(item, data_filter, old, new)
        values = MonitoredItemValues()
        values.old_dvalue, values.current_dvalue = old, new
        return self._is_data_changed(values, data_filter.Trigger)

    def _leaves_deadband(
        self, item: MonitoredItemData, data_filter: ua.DataChangeFilter, old: ua.DataValue, new: ua.DataValue
    ) -> bool:
        before = old.Value.Value if old.Value else None
        after = new.Value.Value if new.Value else None
        if not isinstance(before, int | float) or not isinstance(after, int | float):
            return differs(old, new)
        width = data_filter.DeadbandValue
        if data_filter.DeadbandType == ua.DeadbandType.Percent:
            width *= self._range_of(item) / 100.0
        return not abs(after - before) <= width  # NaN passes every dead-band

    def _range_of(self, item: MonitoredItemData) -> float:
        """High minus low of the variable's EURange.  0 without one, so that every change passes."""
        return self._span(item.read_value_id.NodeId) if item.read_value_id else 0.0

    def _span(self, node_id: ua.NodeId) -> float:
        node = self.aspace.get(node_id)
        for reference in node.references if node else ():
            if reference.BrowseName.Name == "EURange" and reference.IsForward:
                value = self.aspace.read_attribute_value(reference.NodeId, AttributeIds.Value).Value
                span = value.Value if value else None
                return float(span.High - span.Low) if isinstance(span, ua.Range) else 0.0
        return 0.0

    @property
    def event_items(self) -> bool:
        """Whether any item here waits for events."""
        return bool(self._monitored_events)

    def watches_events(self, mid: int) -> bool:
        """Whether there is such an item, and it waits for events."""
        return any(mid in mids for mids in self._monitored_events.values())

    def notify_event(self, event: Event, sources: Sequence[ua.NodeId] | None, only: int | None = None) -> None:
        """Queue an event once for each item (or for `only` this one) that watches one of `sources` and whose filter
        passes it.  `sources` None: for each item that waits for events, whatever its filter (Part 9, 5.11.2)."""
        for source in self._monitored_events if sources is None else sources:
            for mid in self._monitored_events.get(source, ()):
                item = self._monitored_items[mid]
                where = self._wheres.get(mid) if sources is not None else None
                if only not in (None, mid) or item.mode == ua.MonitoringMode.Disabled:
                    continue
                if where is not None and not where.eval(event):
                    continue
                fields = fields_of(event, item.filter.SelectClauses)
                self._queue_event(mid, item, ua.EventFieldList(item.client_handle, fields))

    def _queue_event(self, mid: int, item: MonitoredItemData, fields: ua.EventFieldList) -> None:
        """Queue an event.

        A full queue discards its oldest event and puts one overflow event first (Part 4, 7.22.3).
        """
        waiting = self.isub._triggered_events.setdefault(mid, [])
        if len(waiting) >= item.queue_size:
            marked = bool(waiting) and waiting[0] is self._overflow.get(mid)
            del waiting[1 if marked else 0 : 2]
            if not marked:
                self._overflow[mid] = overflow_event(item)
                waiting.insert(0, self._overflow[mid])
        waiting.append(fields)

    def repeat_values(self) -> None:
        """Queue the present value of every reporting item without a waiting one (Part 4, 5.14.7, sendInitialValues)."""
        for handle, mid in self._monitored_datachange.items():
            item = self._monitored_items[mid]
            if item.read_value_id and mid not in self.due and item.mode == ua.MonitoringMode.Reporting:
                item.mvalue.current_dvalue = None
                read = item.read_value_id
                self.notify(handle, self.aspace.read_attribute_value(read.NodeId, read.AttributeId))

    async def set_monitoring_mode(self, mode: ua.MonitoringMode, ids: list[int]) -> list[ua.StatusCode]:
        results = await super().set_monitoring_mode(mode, ids)
        for mid in ids:
            queue = self.queues.get(mid)
            if queue and mode == ua.MonitoringMode.Disabled:
                queue.waiting.clear()
            if queue and mode == ua.MonitoringMode.Reporting and queue.waiting:
                self.due[mid] = queue
            elif mode != ua.MonitoringMode.Reporting:
                self.due.pop(mid, None)
        return results

    def take(self, most: int) -> list[ua.MonitoredItemNotification]:
        """Up to `most` waiting values, oldest first within each item."""
        taken: list[ua.MonitoredItemNotification] = []
        while self.due and len(taken) < most:
            mid, queue = next(iter(self.due.items()))
            room = most - len(taken)
            if len(queue.waiting) <= room:
                taken.extend(queue.waiting)
                queue.waiting.clear()
                del self.due[mid]
            else:
                taken.extend(queue.waiting.popleft() for _ in range(room))
        return taken


def overflow_event(item: MonitoredItemData) -> ua.EventFieldList:
    """The event that reports that a full queue has lost events."""
    event, now = Event(numeric(ObjectIds.Server)), datetime.now(UTC)
    for name, content, kind in (
        ("EventId", os.urandom(16), ua.VariantType.ByteString),
        ("EventType", numeric(ObjectIds.EventQueueOverflowEventType), ua.VariantType.NodeId),
        ("SourceNode", numeric(ObjectIds.Server), ua.VariantType.NodeId),
        ("SourceName", "Server", ua.VariantType.String),
        ("Time", now, ua.VariantType.DateTime),
        ("ReceiveTime", now, ua.VariantType.DateTime),
        ("Message", localized("events were lost: the queue was full"), ua.VariantType.LocalizedText),
        ("Severity", 500, ua.VariantType.UInt16),
    ):
        event.add_property(name, content, kind)
    return ua.EventFieldList(item.client_handle, fields_of(event, item.filter.SelectClauses))


def differs(old: ua.DataValue, new: ua.DataValue) -> bool:
    """Whether two values are different.  Two NaN are equal."""
    before, after = old.Value.Value if old.Value else None, new.Value.Value if new.Value else None
    if before == after:
        return False
    return not (isinstance(before, float) and isinstance(after, float) and before != before and after != after)
