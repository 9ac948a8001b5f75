"""Cancellation: requested, or not.

To end a task, its owner cancels it, and the task counts that (`Task.cancelling`).  A `CancelledError` without a request
is a fault: a task waited for a future that another task cancelled, or a library raised its own `CancelledError`
(asyncua's `wait_for` does, when an answer and its deadline come in the same turn of the loop).  asyncio takes such an
error for the regular end of a task, and reports nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class UnaskedCancellationError(Exception):
    """A task was about to end because of a cancellation that nobody requested."""


def is_asked_to_end() -> bool:
    """Whether the current task has been cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def unless_asked(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, for a task of its own.  A cancellation that nobody requested becomes an error.

    Raises `UnaskedCancellationError` for it.  A cancellation of this task passes through.
    """
    try:
        return await work()
    except asyncio.CancelledError as error:
        if is_asked_to_end():
            raise
        raise UnaskedCancellationError(f"unrequested cancellation: {type(error).__name__} {error}") from error
