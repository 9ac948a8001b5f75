"""The services for subscriptions and monitored items: create, transfer, republish, delete.

Each function is one service.  It makes calls of the allowed size, checks the number of results, and keeps no state.
asyncua's own subscription code is not used: it has only one request outstanding, forgets what it should republish, and
does not verify what it receives.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from msgspec.structs import replace

from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.opcua.codec.decode import Published, read_republish
from gateway.opcua.codec.node_ids import octets_of
from gateway.opcua.session.asyncua_edge import peer_errors, status_text
from gateway.opcua.session.calls import no_progress
from gateway.opcua.session.session import Session
from gateway.opcua.space.event_filters import MODEL_CHANGES, model_changes_request
from gateway.opcua.space.selection import Item
from gateway.opcua.subscription.monitoring import CREATE, Monitored, create_request, item_requests, read_created

MAX_NOTIFICATIONS = 10_000
"""The most values per publish response, and so per batch."""
BAD_NODE_ID_UNKNOWN = 0x8034_0000
TOO_MANY_ITEMS, TOO_MANY_SUBSCRIPTIONS = 0x80DB_0000, 0x8077_0000
"""BadTooManyMonitoredItems, BadTooManySubscriptions."""
_FILTER_REFUSED = frozenset((0x8043_0000, 0x8044_0000, 0x8045_0000, 0x808E_0000))
"""BadMonitoredItemFilterInvalid, …Unsupported, BadFilterNotAllowed, BadDeadbandFilterInvalid."""

_Response = TypeVar("_Response")
_SERVER = ua.NodeId(ua.Int32(ua.ObjectIds.Server), ua.Int16(0))
_GET_MONITORED_ITEMS = ua.NodeId(ua.Int32(ua.ObjectIds.Server_GetMonitoredItems), ua.Int16(0))


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription with its revised parameters."""

    id: int
    interval_s: float
    keep_alive_s: float
    """The longest silence of the server."""
    lifetime_s: float


class NoSubscriptions(Unavailable):
    """The server does not implement subscriptions."""


class TooManySubscriptions(Unavailable):
    """The server has subscriptions, but creates no further one for us."""


_NO_SUBSCRIPTIONS = frozenset((0x800B_0000, 0x8040_0000, 0x803D_0000))
"""BadServiceUnsupported, BadNotImplemented, BadNotSupported.  Not BadTooManySubscriptions, which can pass."""


async def create_subscription(session: Session, config: SourceConfig, interval_s: float) -> Subscription:
    """Create an empty subscription.  Keep-alive and lifetime are counts of the publishing interval (Part 4, 5.14.2).

    Raises `NoSubscriptions` if the server does not have the service, `TooManySubscriptions` if it creates no further
    one, otherwise `Unavailable`.
    """
    request = ua.CreateSubscriptionRequest()
    _ask_for(request.Parameters, config, interval_s)
    request.Parameters.PublishingEnabled = True
    with peer_errors("create a subscription", session.where):
        try:
            data = await session.send(request)
            answer = struct_from_binary(ua.CreateSubscriptionResponse, Buffer(data))
            answer.ResponseHeader.ServiceResult.check()
        except ua.UaStatusCodeError as error:
            if error.code in _NO_SUBSCRIPTIONS:
                raise NoSubscriptions(f"{session.where} has no subscriptions: {status_text(error.code)}") from error
            if error.code == TOO_MANY_SUBSCRIPTIONS:
                raise TooManySubscriptions(f"{session.where} creates no subscription: {error}") from error
            raise
    return _revised(answer.Parameters.SubscriptionId, answer.Parameters, interval_s)


def _ask_for(wanted: Any, config: SourceConfig, interval_s: float) -> None:
    keep_alive_count = max(1, math.ceil(config.keep_alive / interval_s))
    lifetime_count = max(3 * keep_alive_count, math.ceil(config.lifetime / interval_s))
    wanted.RequestedPublishingInterval = interval_s * 1000.0
    wanted.RequestedMaxKeepAliveCount = ua.UInt32(keep_alive_count)
    wanted.RequestedLifetimeCount = ua.UInt32(lifetime_count)
    wanted.MaxNotificationsPerPublish = ua.UInt32(MAX_NOTIFICATIONS)


def _revised(number: int, made: Any, interval_s: float) -> Subscription:
    """The subscription as the server revised it.  What is no number is what was asked for."""
    said_ms = made.RevisedPublishingInterval
    revised_s = max(said_ms, 1.0) / 1000.0 if math.isfinite(said_ms) else interval_s
    keep_alive_s = revised_s * max(made.RevisedMaxKeepAliveCount, 1)
    return Subscription(number, revised_s, keep_alive_s, revised_s * made.RevisedLifetimeCount)


async def modify_subscription(
    session: Session, config: SourceConfig, subscription_id: int, interval_s: float
) -> Subscription | None:
    """Ask again for interval, keep-alive and lifetime; None where the server modifies nothing (Part 4, 5.14.3)."""
    request = ua.ModifySubscriptionRequest()
    request.Parameters.SubscriptionId = ua.UInt32(subscription_id)
    _ask_for(request.Parameters, config, interval_s)
    with peer_errors("ask for keep-alives", session.where):
        try:
            answer = struct_from_binary(ua.ModifySubscriptionResponse, Buffer(await session.send(request)))
            answer.ResponseHeader.ServiceResult.check()
        except ua.UaStatusCodeError:
            return None
    return _revised(subscription_id, answer.Parameters, interval_s)


async def is_there(session: Session, subscription_id: int) -> bool:
    """Whether the server has this subscription, as it says itself.  Raises `Unavailable`."""
    parameters = ua.SetPublishingModeParameters()
    parameters.PublishingEnabled = True
    parameters.SubscriptionIds = [ua.UInt32(subscription_id)]
    with peer_errors("ask for the subscription", session.where):
        results = await session.services.set_publishing_mode(parameters)
    return len(results) == 1 and results[0].is_good()


async def create_items(
    session: Session,
    subscription: Subscription,
    items: Sequence[tuple[int, Item]],
    progress: Callable[[int], None] = no_progress,
) -> list[Monitored]:
    """Monitor these (handle, item) pairs.  Returns an answer for each, in order.  An unknown namespace is an unknown
    node.

    If the server supports no dead-band or trigger for a variable (a string has none), it is monitored without.
    """
    nodes = octets_of([None if item.text.startswith("/") else item.text for _, item in items], session.uris)
    asked = [(handle, item, node) for (handle, item), node in zip(items, nodes, strict=True) if node is not None]

    async def create(some: Sequence[tuple[int, Item, bytes]]) -> list[Monitored]:
        body = create_request(subscription.id, item_requests(some, session.uris))
        with peer_errors("monitor variables", session.where):
            results = read_created(await session.ask(CREATE, body))
        if len(results) != len(some):
            raise Unavailable(f"{session.where} created {len(results)} of {len(some)} monitored items")
        return results

    answers = await session.in_calls("items", asked, create, progress=progress, alone=_refused)
    refused = [
        n for n, answer in enumerate(answers) if answer.status in _FILTER_REFUSED and asked[n][1].asked.has_filter
    ]
    plain_of = cache(partial(replace, trigger=1, deadband_kind=0))
    plain = [
        (handle, Item(item.text, plain_of(item.asked)), node) for handle, item, node in map(asked.__getitem__, refused)
    ]
    for n, answer in zip(refused, await session.in_calls("items", plain, create, alone=_refused), strict=True):
        answers[n] = replace(answer, unfiltered=True)
    if len(answers) == len(nodes):
        return answers
    every = iter(answers)
    return [Monitored(BAD_NODE_ID_UNKNOWN) if node is None else next(every) for node in nodes]


def _refused(_: tuple[int, Item, bytes], status: int) -> Monitored:
    return Monitored(status)


async def transfer(session: Session, ids: Sequence[int], *, repeat: bool) -> list[tuple[int, ...] | None]:
    """Move subscriptions of an earlier session to this one.  Returns the sequence numbers that the server still has, of
    each.  With `repeat` it sends the last value of each variable again, where no newer one waits.

    None: the server does not have the subscription or refuses the transfer.  BadNothingToDo means that it is already
    ours.
    """
    request = ua.TransferSubscriptionsParameters()
    request.SubscriptionIds = [ua.UInt32(number) for number in ids]
    request.SendInitialValues = repeat
    with peer_errors("transfer the subscriptions", session.where):
        try:
            results = await session.services.transfer_subscriptions(request)
        except (ua.uaerrors.BadServiceUnsupported, ua.uaerrors.BadUserAccessDenied, ua.uaerrors.BadNotImplemented):
            return [None] * len(ids)
    if len(results) != len(ids):
        raise Unavailable(f"{session.where} answered for {len(results)} of {len(ids)} subscriptions")
    return [tuple(r.AvailableSequenceNumbers or ()) if _is_ours(r.StatusCode) else None for r in results]


def _is_ours(status: ua.StatusCode) -> bool:
    return status.is_good() or status.value == ua.StatusCodes.BadNothingToDo


async def republish(session: Session, subscription_id: int, sequence: int) -> Published | None:
    """Request one message again.  None: the server does not have it.

    Some servers answer an unknown number with an empty message and Good, which also gives None.
    """
    request = ua.RepublishRequest()
    request.Parameters.SubscriptionId = ua.UInt32(subscription_id)
    request.Parameters.RetransmitSequenceNumber = ua.UInt32(sequence)
    with peer_errors("read missed values again", session.where):
        try:
            published = read_republish(await session.send(request))
        except ua.uaerrors.BadMessageNotAvailable:
            return None
    return published if published.notifications and published.sequence == sequence else None


async def watch_model(session: Session, subscription: Subscription) -> bool:
    """Monitor changes of the address space.  False: the server does not report them."""
    parameters = ua.CreateMonitoredItemsParameters()
    parameters.SubscriptionId = ua.UInt32(subscription.id)
    parameters.ItemsToCreate = [model_changes_request()]
    with peer_errors("watch the address space", session.where):
        results = await session.services.create_monitored_items(parameters)
    return len(results) == 1 and results[0].StatusCode.is_good()


async def delete_items(session: Session, subscription_id: int, handles: Collection[int]) -> bool:
    """Stop monitoring these handles.  False: the server does not say which items they are."""
    known = await monitored_ids(session, subscription_id)
    if known is None:
        return False

    async def delete(some: Sequence[int]) -> list[ua.StatusCode]:
        parameters = ua.DeleteMonitoredItemsParameters()
        parameters.SubscriptionId = ua.UInt32(subscription_id)
        parameters.MonitoredItemIds = [ua.UInt32(number) for number in some]
        with peer_errors("stop monitoring", session.where):
            return await session.services.delete_monitored_items(parameters)

    wanted = [known[handle] for handle in handles if handle in known]
    if wanted:
        await session.in_calls("items", wanted, delete)
    return True


async def monitored_ids(session: Session, subscription_id: int) -> dict[int, int] | None:
    """The handles that the server monitors, with its ids for them (GetMonitoredItems, Part 5, 9.1).  None: it does not
    say. The item for changes of the address space is left out."""
    request = ua.CallMethodRequest()
    request.ObjectId, request.MethodId = _SERVER, _GET_MONITORED_ITEMS
    request.InputArguments = [ua.Variant(subscription_id, ua.VariantType.UInt32)]
    with peer_errors("list the monitored items", session.where):
        try:
            [result] = await session.services.call([request])
        except ua.uaerrors.UaStatusCodeError:
            return None
    if not result.StatusCode.is_good() or len(result.OutputArguments) != 2:
        return None
    numbers, handles = (argument.Value or () for argument in result.OutputArguments)
    known = {int(handle): int(number) for handle, number in zip(handles, numbers, strict=False)}
    known.pop(MODEL_CHANGES, None)
    return known


async def delete_subscription(session: Session, subscription_id: int) -> None:
    """Delete the subscription if it exists."""
    with peer_errors("delete a subscription", session.where):
        try:
            await session.services.delete_subscriptions([subscription_id])
        except ua.uaerrors.UaStatusCodeError:
            return


async def touch(session: Session, ids: Sequence[int]) -> None:
    """Restart the lifetime of idle subscriptions: any service that names them does (Part 4, 5.14.1)."""
    parameters = ua.SetPublishingModeParameters()
    parameters.PublishingEnabled = True
    parameters.SubscriptionIds = [ua.UInt32(number) for number in ids]
    with peer_errors("keep the subscriptions", session.where):
        await session.services.set_publishing_mode(parameters)
