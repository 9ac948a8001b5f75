"""A changed configuration: who asks for it, and who hears what came of it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from gateway.config import Config
from gateway.payload.forms import Json

Told = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Reload:
    """Where a changed configuration comes from."""

    asked: asyncio.Event
    """Set on request (SIGHUP)."""
    read: Callable[[], Config] | None
    """Reads it; None where there is no file.  Raises `ConfigError` with every mistake."""
    waiting: "list[asyncio.Future[Told]]" = field(default_factory=list)
    """Who waits for the result of the next change."""
    file: str = "FILE"
    """Its name, for commands that people copy."""
    regroup: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when selections were made at run time."""

    pulled: Callable[[], tuple[str, str] | None] = lambda: None
    """The revision that was pulled last, and what came of it.  None: nothing is pulled."""
    regrouped: "list[asyncio.Future[None]]" = field(default_factory=list)
    """Who waits until what runs was looked at again."""

    async def take_again(self) -> None:
        """Look again at what is to run; returns when that is done."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.regrouped.append(done)
        self.regroup.set()
        await done

    async def take(self) -> Told:
        """Ask for it; what has changed, once it has.  Raises `ConfigError` or `Unavailable`: nothing has."""
        result: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self.waiting.append(result)
        self.asked.set()
        return await result

    def begin(self) -> "list[asyncio.Future[Told]]":
        """The change begins; who is told what came of it.  Who asks from now on waits for the next."""
        self.asked.clear()
        waiting = self.waiting[:]
        self.waiting.clear()
        return waiting


def tell(waiting: "Iterable[asyncio.Future[Told]]", told: Told | Exception) -> None:
    """This came of it."""
    for each in waiting:
        if each.done():
            continue
        if isinstance(told, Exception):
            each.set_exception(told)
        else:
            each.set_result(told)
