"""Many sources connect in portions, and one that hangs delays nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.run.admission import AT_ONCE, Admission
from tests.support.composition import Composition, Connection, Server
from tests.support.forwarding import until


class Busy(Server):
    """A server that takes some turns of the loop to connect, or never answers."""

    under_way = most = 0
    hangs = False

    @asynccontextmanager
    async def connected(self, *given: Any, **more: Any) -> AsyncIterator[Connection]:
        Busy.under_way += 1
        Busy.most = max(Busy.most, Busy.under_way - (20 if self.hangs else 0))
        try:
            if self.hangs:
                await asyncio.Event().wait()
            for _ in range(5):
                await asyncio.sleep(0)
        finally:
            Busy.under_way -= 1
        async with super().connected(*given, **more) as connection:
            yield connection


@pytest.mark.parametrize(("hanging", "patience_s"), [(0, 60.0), (20, 0.05)])
def test_many_sources_connect_in_portions_and_those_that_hang_delay_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: int, patience_s: float
) -> None:
    names = [f"s{number:03}" for number in range(40)]
    monkeypatch.setattr(Admission.__init__, "__defaults__", (AT_ONCE, patience_s))
    Busy.under_way = Busy.most = 0

    async def body() -> None:
        made = Composition(tmp_path, names, ("a",))
        made.servers = {name: Busy(name) for name in names}
        for name in names[:hanging]:
            made.servers[name].hangs = True  # type: ignore[attr-defined]  # all of them are busy
        made.produce(1)
        async with made.running():
            await until(lambda: made.has_all("a", *names[hanging:]))
        if not hanging:
            assert Busy.most == AT_ONCE

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_place_is_given_back_once_whatever_happens() -> None:
    async def body() -> None:
        admission = Admission(at_once=1, patience_s=0.01)
        async with admission.turn():
            async with admission.turn():  # the first one has lost its place meanwhile
                pass
            with pytest.raises(ZeroDivisionError):
                async with admission.turn():
                    raise ZeroDivisionError
        inside = most = 0

        async def one() -> None:
            nonlocal inside, most
            async with admission.turn():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        assert most == 1

    asyncio.run(asyncio.wait_for(body(), 10))
