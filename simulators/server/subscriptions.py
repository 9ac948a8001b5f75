"""Subscriptions (OPC UA Part 4, 5.14): no published or queued value is lost in silence.

Differences from asyncua's own: after TransferSubscriptions, live data goes to the new session.  A message holds a
bounded number of values, and says when there are more.  Republish answers Bad_MessageNotAvailable for a message it does
not have, and keeps the others until they are acknowledged.  An acknowledgement of an unknown message is refused.  A
client without subscriptions is told so.  ModifySubscription modifies.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.subscription_service import SubscriptionService

from simulators.server.encode import encoded
from simulators.server.items import Items
from simulators.server.limits import MOST_SUBSCRIPTIONS
from simulators.server.nodes import StatusCodes, status

if TYPE_CHECKING:
    from asyncua.server.uaprocessor import PublishRequestData

Answer = Callable[..., Awaitable[None]]
Ask = Callable[[int], "PublishRequestData | None"]

MOST_VALUES = 10_000
"""Values in one notification message, unless the client asks for fewer: about 350 kB, and 40 ms to encode."""
SHORTEST_INTERVAL_MS = 10.0
MOST_KEPT_BYTES = 64 * 2**20
"""How much one subscription may keep for Republish."""
FEW_MESSAGES = 100
"""This many messages are always kept; the largest has some 350 kB."""


class Owner(Protocol):
    """The session that owns a subscription."""

    session_id: ua.NodeId
    user: User
    application_uri: str


@runtime_checkable
class Channel(Protocol):
    """The connection that carries the publish responses of a subscription."""

    def forget_subscription(self, subscription_id: int) -> None: ...


class Subscription(InternalSubscription):
    """One subscription of a client, or of the server itself when `ask` is None."""

    def __init__(
        self, data: ua.CreateSubscriptionResult, aspace: AddressSpace, answer: Answer, ask: Ask | None,
        owner: Owner, *, forget: Callable[[], object], most_values: int, enabled: bool, now: Callable[[], datetime],
    ) -> None:  # fmt: skip
        super().__init__(
            data, aspace, answer, owner.session_id, request_callback=ask, delete_callback=forget,
            no_acks_limit=5_000, publishing_enabled=enabled,
        )  # fmt: skip
        self.items = Items(self, aspace)
        self.monitored_item_srv = self.items
        self.user, self.application_uri = owner.user, owner.application_uri
        self.most_values = most_values
        self._now = now

    @property
    def due(self) -> bool:
        """Whether there are data changes to publish."""
        return bool(self.items.due)

    def has_published_results(self) -> bool:
        if self._triggered_statuschanges or (self._publishing_enabled and self.due):
            return True
        return super().has_published_results()

    async def publish_results(self, requestdata: "PublishRequestData | None" = None) -> bool:
        """Publish the waiting values, in as many messages as needed and as there are publish requests."""
        published = await super().publish_results(requestdata)
        more = published
        while more and self._publishing_enabled and self.due:
            more = await super().publish_results()
        return published

    def _pop_triggered_datachanges(self, result: ua.PublishResult) -> None:
        taken = self.items.take(self.most_values)
        if taken and self.pub_request_callback:
            result.NotificationMessage.NotificationData.append(encoded(taken))
        elif taken:  # the server's own subscriptions expect objects
            result.NotificationMessage.NotificationData.append(ua.DataChangeNotification(MonitoredItems=taken))

    def _pop_publish_result(self) -> ua.PublishResult:
        result = super()._pop_publish_result()
        result.NotificationMessage.PublishTime = self._now()
        self._forget_what_is_too_much()
        result.MoreNotifications = self._publishing_enabled and self.due
        return result

    def _forget_what_is_too_much(self) -> None:
        """Forget the oldest messages of a client that never acknowledges, to bound the memory.

        Republish loses them.
        """
        kept = self._not_acknowledged_results
        if len(kept) <= FEW_MESSAGES:
            return
        size = sum(_size(result) for result in kept.values())
        while size > MOST_KEPT_BYTES and len(kept) > 1:
            size -= _size(kept.pop(next(iter(kept))))

    async def _subscription_loop(self) -> None:
        """Publish once per interval, measured from the start so that it does not drift."""
        due = time.monotonic()
        while not self._closing:
            await self.publish_results()
            due = max(due + self.data.RevisedPublishingInterval / 1000.0, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def republish(self, nb: int) -> ua.NotificationMessage:
        result = self._not_acknowledged_results.get(nb)
        if result is None:
            raise ServiceError(StatusCodes.BadMessageNotAvailable)
        self._publish_cycles_count = 0
        message: ua.NotificationMessage = result.NotificationMessage
        return message

    def acknowledge(self, sequence_number: int) -> ua.StatusCode:
        if self._not_acknowledged_results.pop(sequence_number, None) is None:
            return status(StatusCodes.BadSequenceNumberUnknown)
        return ua.StatusCode()

    def number_from(self, sequence_number: int) -> None:
        """Give the next message this number.  An older message is forgotten when its number is used again."""
        self._notification_seq = sequence_number

    def move(self, owner: Owner, answer: Answer, ask: Ask) -> None:
        """Move to another session, and publish through its connection from now on."""
        before = getattr(self.pub_request_callback, "__self__", None)
        if isinstance(before, Channel):
            before.forget_subscription(self.data.SubscriptionId)
        self.session_id, self.user = owner.session_id, owner.user
        self.pub_result_callback, self.pub_request_callback = answer, ask
        self._publish_cycles_count = 0

    def diagnostics(self) -> ua.SubscriptionDiagnosticsDataType:
        """What this subscription is (Part 5, 12.15)."""
        return ua.SubscriptionDiagnosticsDataType(
            SessionId=self.session_id, SubscriptionId=self.data.SubscriptionId,
            PublishingInterval=self.data.RevisedPublishingInterval,
            MaxKeepAliveCount=self.data.RevisedMaxKeepAliveCount, MaxLifetimeCount=self.data.RevisedLifetimeCount,
            MaxNotificationsPerPublish=ua.UInt32(self.most_values), PublishingEnabled=self._publishing_enabled,
            UnacknowledgedMessageCount=ua.UInt32(len(self._not_acknowledged_results)),
            MonitoredItemCount=ua.UInt32(len(self.items.queues)),
            NextSequenceNumber=ua.UInt32(self._notification_seq),
        )  # fmt: skip

    @property
    def unacknowledged(self) -> list[int]:
        return list(self._not_acknowledged_results)


class Subscriptions(SubscriptionService):
    """The subscriptions of one server."""

    kind: type[Subscription] = Subscription
    """The class of new subscriptions."""
    clock_offset = timedelta(0)
    """The error of the server's clock."""
    made = 0
    """How many subscriptions there have been."""

    def now(self) -> datetime:
        """The time on the server's clock."""
        return datetime.now(UTC) + self.clock_offset

    def of(self, owner: Owner) -> list[Subscription]:
        subscriptions = self.subscriptions.values()
        return [s for s in subscriptions if isinstance(s, Subscription) and s.session_id == owner.session_id]

    def _known(self, number: int) -> Subscription:
        subscription = self.subscriptions.get(int(number))
        if not isinstance(subscription, Subscription):
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
        return subscription

    async def create_for(
        self, owner: Owner, params: ua.CreateSubscriptionParameters, answer: Answer, ask: Ask | None
    ) -> ua.CreateSubscriptionResult:
        if self.iserver and len(self.subscriptions) >= self.iserver.max_subscriptions:
            raise ServiceError(StatusCodes.BadTooManySubscriptions)
        if len(self.of(owner)) >= MOST_SUBSCRIPTIONS:
            raise ServiceError(StatusCodes.BadTooManySubscriptions)
        self._sub_id_counter += 1
        self.made += 1
        result = ua.CreateSubscriptionResult(SubscriptionId=ua.UInt32(self._sub_id_counter))
        self._revise(result, params)
        subscription = self.kind(
            result, self.aspace, answer, ask, owner,
            forget=lambda: self.subscriptions.pop(result.SubscriptionId, None),
            most_values=min(params.MaxNotificationsPerPublish or MOST_VALUES, MOST_VALUES),
            enabled=bool(params.PublishingEnabled),
            now=self.now,
        )  # fmt: skip
        self.subscriptions[result.SubscriptionId] = subscription
        await subscription.start()
        return result

    def _revise(
        self,
        result: ua.CreateSubscriptionResult | ua.ModifySubscriptionResult,
        params: ua.CreateSubscriptionParameters | ua.ModifySubscriptionParameters,
    ) -> None:
        """Revise what the client asks for (Part 4, 5.14.2).  The lifetime is at least 3 keep-alives."""
        result.RevisedPublishingInterval = max(params.RequestedPublishingInterval, SHORTEST_INTERVAL_MS)
        result.RevisedMaxKeepAliveCount = ua.UInt32(self._clamp_keep_alive_count(params.RequestedMaxKeepAliveCount))
        lifetime = max(params.RequestedLifetimeCount, 3 * result.RevisedMaxKeepAliveCount)
        result.RevisedLifetimeCount = ua.UInt32(self._clamp_lifetime_count(lifetime))

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        subscription = self._known(params.SubscriptionId)
        result = ua.ModifySubscriptionResult()
        self._revise(result, params)
        subscription.data.RevisedPublishingInterval = result.RevisedPublishingInterval
        subscription.data.RevisedMaxKeepAliveCount = result.RevisedMaxKeepAliveCount
        subscription.data.RevisedLifetimeCount = result.RevisedLifetimeCount
        subscription.most_values = min(params.MaxNotificationsPerPublish or MOST_VALUES, MOST_VALUES)
        return result

    def acknowledge_for(self, owner: Owner, acks: Iterable[ua.SubscriptionAcknowledgement]) -> list[ua.StatusCode]:
        """One status code per acknowledgement.  Raises Bad_NoSubscription for a session without subscriptions."""
        own = {s.data.SubscriptionId: s for s in self.of(owner)}
        if not own:
            raise ServiceError(StatusCodes.BadNoSubscription)
        unknown = status(StatusCodes.BadSubscriptionIdInvalid)
        return [
            own[ack.SubscriptionId].acknowledge(ack.SequenceNumber) if ack.SubscriptionId in own else unknown
            for ack in acks
        ]

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        return self._known(params.SubscriptionId).republish(params.RetransmitSequenceNumber)

    def transfer_to(
        self, owner: Owner, number: int, send_initial_values: bool, *, is_open: bool, answer: Answer, ask: Ask
    ) -> ua.TransferResult:
        """Move a subscription to the session `owner` (Part 4, 5.14.7), if both belong to the same user.

        Anonymous users are the same if they are the same application, on a channel that proves it: signed at least.  A
        server that offers no such channel cannot ask for one, so it is refused (`is_open`) where there are others.
        """
        subscription = self.subscriptions.get(int(number))
        if not isinstance(subscription, Subscription):
            return ua.TransferResult(status(StatusCodes.BadSubscriptionIdInvalid))
        is_stranger = owner.user.name is None and (subscription.application_uri != owner.application_uri or is_open)
        if subscription.user != owner.user or is_stranger:
            return ua.TransferResult(status(StatusCodes.BadUserAccessDenied))
        subscription.move(owner, answer, ask)
        if send_initial_values:
            subscription.items.repeat_values()
        return ua.TransferResult(AvailableSequenceNumbers=[ua.UInt32(n) for n in subscription.unacknowledged])


def _size(result: ua.PublishResult) -> int:
    """The approximate size of a message in bytes."""
    return sum(len(getattr(data, "Body", None) or b"") + 100 for data in result.NotificationMessage.NotificationData)
