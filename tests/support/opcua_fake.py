"""A session that is not connected to anything, for what only asks and counts."""

from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import structlog

from gateway.logs import Sparing, SparingLog
from gateway.opcua.session.calls import CallSizes, in_calls
from gateway.opcua.session.session import OperationLimits


def fake_log(sparing: Sparing | None = None) -> SparingLog:
    return SparingLog(structlog.get_logger("gateway.opcua"), sparing or Sparing())


def fake_session(limits: OperationLimits, sizes: CallSizes | None = None, **attributes: object) -> Any:
    """A session with these limits and attributes, whose calls are cut to size as those of a real one."""
    known = sizes or CallSizes()
    attributes.setdefault("log", fake_log())

    async def is_alive() -> bool:
        return True

    async def calls(
        kind: str, items: Sequence[Any], call: Callable[[Sequence[Any]], Awaitable[list[Any]]], **options: Any
    ) -> list[Any]:
        told = getattr(limits, kind)
        return await in_calls(items, call, kind=kind, told=told, sizes=known, is_alive=is_alive, **options)

    return SimpleNamespace(
        limits=limits, sizes=known, in_calls=calls, is_open=True, **{"answers": is_alive, **attributes}
    )
