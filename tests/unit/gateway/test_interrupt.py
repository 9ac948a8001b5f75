"""Commands that only look end at Ctrl-C, wherever they are, and in order."""

import asyncio
import os
import signal

import pytest
import typer

from gateway.cli.common import until_interrupted
from gateway.process_signals import EXIT_INTERRUPTED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_work_is_cancelled_and_cleaned_up(number: signal.Signals) -> None:
    said = []

    async def work() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(60), name="a")
                os.kill(os.getpid(), number)
        finally:
            await asyncio.sleep(0)
            said.append("goodbye")

    with pytest.raises(typer.Exit) as ended:
        until_interrupted(work)
    assert ended.value.exit_code == EXIT_INTERRUPTED
    assert said == ["goodbye"]


def test_uninterrupted_work_returns_its_result() -> None:
    async def work() -> int:
        return 7

    assert until_interrupted(work) == 7
