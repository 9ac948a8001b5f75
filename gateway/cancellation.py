"""Cancellation: asked for, or not.

Whoever wants a task to end cancels it, and the task counts that (`Task.cancelling`).  A `CancelledError` without that
is a fault: somebody waited for a future that another cancelled, or a library raised a kind of `CancelledError` of its
own (asyncua's `wait_for` does, when an answer and its deadline come in the same turn of the loop).  asyncio takes each
of them for the regular end of a task, and says nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class UnaskedCancellationError(Exception):
    """A task was about to end by a cancellation that nobody asked for."""


def is_asked_to_end() -> bool:
    """Whether somebody has cancelled the task that runs now."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def unless_asked(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, for a task of its own; a cancellation that nobody asked for is an error.

    Raises `UnaskedCancellationError` for it.  A cancellation of this task passes.
    """
    try:
        return await work()
    except asyncio.CancelledError as error:
        if is_asked_to_end():
            raise
        raise UnaskedCancellationError(f"nobody asked for this: {type(error).__name__} {error}") from error
