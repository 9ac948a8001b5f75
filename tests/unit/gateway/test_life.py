"""One peer's life: what nobody foresaw ends it, is told once, and it begins again; a cancellation that was asked for
ends it for good."""

import asyncio
import random
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from gateway.cancellation import UnaskedCancellationError, unless_asked
from gateway.errors import ConfigError, Unavailable
from gateway.link import Backoff
from gateway.run.life import live

AT_ONCE = Backoff(0.0, 0.0)


class Work:
    """Fails with each of these, and then is done."""

    def __init__(self, *faults: BaseException) -> None:
        self._faults = list(faults)
        self.failed: list[tuple[str, str]] = []
        self.begun = 0

    async def __call__(self) -> None:
        self.begun += 1
        await asyncio.sleep(0)
        if self._faults:
            raise self._faults.pop(0)

    def live(self, backoff: Backoff = AT_ONCE) -> list[str]:
        """Live it; the kinds of faults that were told with a traceback."""

        def note(reason: str, cause: str) -> None:
            self.failed.append((reason, cause))

        with capture_logs() as logs:
            asyncio.run(asyncio.wait_for(live(self, note, backoff, "work", random.Random(1)), 60))
        return [type(entry["exc_info"]).__name__ for entry in logs if "exc_info" in entry]


@pytest.mark.parametrize("fault", [ZeroDivisionError, asyncio.CancelledError, type("Panic", (BaseException,), {})])
def test_an_unforeseen_error_is_logged_with_its_traceback_and_the_work_begins_again(fault: type[BaseException]) -> None:
    work = Work(fault("x"))
    assert work.live() == [fault.__name__]
    assert work.begun == 2
    ((reason, cause),) = work.failed
    assert (cause, fault.__name__ in reason) == ("bug", True)


def test_a_repeated_error_is_counted_but_not_logged_again() -> None:
    same: Callable[[], BaseException] = lambda: ZeroDivisionError("x")  # noqa: E731
    work = Work(same(), same(), KeyError("y"), same())
    assert work.live(Backoff(0.0, 60.0)) == ["ZeroDivisionError", "KeyError", "ZeroDivisionError"]
    assert [cause for _, cause in work.failed] == ["bug"] * 4


def test_a_configuration_error_is_not_counted_as_a_bug() -> None:
    work = Work(ConfigError(["key.pem is gone"]), Unavailable("the disk is full", "answer"))
    assert work.live() == []
    assert work.failed == [("key.pem is gone", "answer"), ("the disk is full", "answer")]


def test_the_end_of_the_process_is_not_delayed() -> None:
    for end in (KeyboardInterrupt, SystemExit):
        with pytest.raises(end):
            Work(end()).live()


def test_a_requested_cancellation_ends_the_work_even_if_an_error_replaces_it() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise KeyError("while it is cancelled") from None

    async def body() -> None:
        task = asyncio.create_task(live(work, lambda reason, cause: None, AT_ONCE, "work"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(asyncio.wait_for(body(), 60))


def test_an_unrequested_cancellation_is_an_error_of_the_task() -> None:
    async def waits_for_another() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def body() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(unless_asked(waits_for_another))
        assert raised.group_contains(UnaskedCancellationError)
        task = asyncio.create_task(unless_asked(asyncio.Event().wait))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(asyncio.wait_for(body(), 60))
