"""The edge to the NATS client: what it swallows, and what its errors mean."""

import asyncio

import nats.errors
import pytest

from gateway.errors import Unavailable
from gateway.group.nats_edge import _told
from tests.support.in_loop import in_loop


@in_loop
async def test_a_cancellation_that_comes_with_the_answer_is_not_forgotten() -> None:
    """As `asyncio.wait_for` does it before CPython 3.12: the answer is returned, and the cancellation is gone."""
    swallowed = False

    async def wait_as_the_client_does() -> None:
        nonlocal swallowed
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if swallowed:
                raise
            swallowed = True

    async def ask_for_ever() -> None:
        while True:
            with _told():
                await wait_as_the_client_does()

    asking = asyncio.create_task(ask_for_ever())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking], timeout=1)
    assert swallowed
    assert asking.cancelled()


@pytest.mark.parametrize("error", [nats.errors.NoRespondersError(), nats.errors.TimeoutError(), OSError("gone")])
def test_what_the_client_raises_is_waited_out(error: Exception) -> None:
    with pytest.raises(Unavailable), _told():
        raise error
