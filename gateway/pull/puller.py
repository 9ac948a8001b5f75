"""Decides what is taken: a content that is new, and, for all but the canaries, approved."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.errors import ConfigError, Unavailable
from gateway.in_thread import in_thread
from gateway.pull.kept import Kept, revision_of
from gateway.pull.origin import HttpsOrigin, Origin, PathOrigin
from gateway.pull.settings import PullConfig, PullFile

T = TypeVar("T")


def origin_of(config: PullConfig) -> Origin:
    """Where its `from` points.  Raises `ConfigError` when that needs a library that is not installed."""
    if not config.is_remote:
        return PathOrigin(Path(config.origin), config.max_bytes)
    if config.origin.startswith("https:"):
        return HttpsOrigin(config)
    try:  # nothing of NATS is imported by a gateway that does not use it
        from gateway.pull.nats_kv import NatsOrigin
    except ModuleNotFoundError as error:
        problem = f"configuration: {error.name} is not installed: pip install 'connected-factory[group]'"
        raise ConfigError([problem]) from error
    return NatsOrigin(config)


class Puller:
    """Of one gateway.  `told` is for its presence."""

    def __init__(self, file: PullFile, origin: Origin, kept: Kept) -> None:
        self.kept = kept
        self.told: tuple[str, str] | None = None
        """The revision that was read last, and what came of it: `taken`, `refused` or `waits`."""
        self._origin = origin
        self._refused = ""
        canary = file.configuration.canary
        self._is_first = not canary or bool({file.name, socket.gethostname()} & set(canary))

    async def look(self) -> str:
        """The revision that is to be taken now; it is at `kept.present`.  Empty: there is nothing to do.

        Raises `Unavailable` when it cannot be read, and `ConfigError` when it is no configuration by its size.
        """
        data = await self._origin.read()
        revision = revision_of(data)
        if revision == await self._on_disk(partial(self.kept.revision, self.kept.good)):
            self.told = revision, "taken"
            was_refused, self._refused = self._refused, ""
            return revision if was_refused else ""  # taken once more, so that the refusal is over
        if revision == self._refused:
            return ""
        if not self._is_first and not is_approved(revision, await self._origin.approved()):
            self.told = revision, "waits"
            return ""
        await self._on_disk(partial(self.kept.want, data))
        return revision

    async def took(self, revision: str) -> None:
        """The gateway runs with it."""
        await self._on_disk(self.kept.took)
        self.told = revision, "taken"

    async def refused(self, revision: str) -> None:
        """The gateway cannot run with it.  It is not offered again, until another was read, or the process begins."""
        await self._on_disk(self.kept.refuse)
        self._refused, self.told = revision, (revision, "refused")

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await in_thread(work, "keep the configuration")
        except OSError as error:
            raise Unavailable(f"the configuration cannot be kept: {error.strerror or error}") from error


def is_approved(revision: str, listed: bytes) -> bool:
    """Whether a list has this revision: the first word of a line."""
    return any(words[0] == revision for line in listed.decode(errors="replace").splitlines() if (words := line.split()))
