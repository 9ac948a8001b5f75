"""What sessions around another session share: passing its outcomes, and the reason of its end, to their owners."""

import asyncio
from collections.abc import Awaitable

from gateway.delivery.contract import Outcome
from gateway.errors import Unavailable


async def reason_of(closing: Awaitable[None]) -> Unavailable:
    """Why a session ended, as a result in place of an error."""
    try:
        await closing
    except Unavailable as error:
        return error
    return Unavailable("the session ended")


def hand_on(future: asyncio.Future[Outcome], sent: asyncio.Future[Outcome]) -> None:
    """Pass the outcome of a message that waited to its owner."""
    if future.done():
        return
    if sent.cancelled():
        future.cancel()
    elif (error := sent.exception()) is not None:
        fail(future, error)
    else:
        future.set_result(sent.result())


def fail(future: asyncio.Future[Outcome], error: BaseException) -> None:
    """Tell the owner of a message, if it still waits, why there is no outcome."""
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as retrieved, since the owner may be gone
