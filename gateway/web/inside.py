"""What the live page and the API need of the running gateway."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from gateway.web.models import Done, Gaps, History, State, Tags, Tapped

NextTapped = Callable[[], Awaitable[Tapped]]
"""What passed since the last call: waits for something to pass, but not longer than a second."""


@dataclass(frozen=True, slots=True)
class TapWish:
    """Of what passes inside, what somebody wants to see.  Empty: all."""

    stage: str = ""
    source: str = ""
    tag: str = ""
    stream: str = ""


class Inside(Protocol):
    """A running gateway, for people who look at it.

    What acts raises `Rejected` when there is no such thing, or `ConfigError` and `Unavailable` when it cannot be done.
    `who` is the address of the person, for the audit.
    """

    async def state(self) -> State:
        """Everything at a glance."""

    def history(self) -> History:
        """The last ten minutes."""

    def gaps(self) -> Gaps:
        """The gaps of the last 24 hours."""

    async def tags(self, words: str, severity: str, limit: int) -> Tags:
        """The tags whose source, name, node or topic contains all `words`; with `severity`, only those."""

    def tapping(self, wish: TapWish) -> AbstractAsyncContextManager[NextTapped]:
        """Look at what passes while inside.  Raises `Unavailable` when too many do."""

    async def trust(self, thumbprint: str, who: str) -> Done:
        """Trust a certificate that waits."""

    async def reject(self, thumbprint: str, who: str) -> Done:
        """Refuse a certificate that waits, for good."""

    async def release(self, broker: str, who: str) -> Done:
        """Offer the refused messages of a broker again now."""

    async def reload(self, who: str) -> Done:
        """Take the configuration file anew."""
