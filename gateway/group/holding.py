"""A work that this member has claimed: the only place from which its subject is written to.

One append is on its way at a time.  When its answer is missing, or is a refusal, a look at the last record says what
became of it.  It is tried again for as long as it takes; without a quorum that is the back-pressure.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable

import structlog

from gateway.errors import Unavailable
from gateway.group.claim import Attempt, Mark, Verdict, append_after, claim_after, judge
from gateway.group.entry import Entry, Kind, Stored, decode, encode
from gateway.group.log import Log, LogFull, Refused, mark_of

RETRY_S, RETRY_MOST_S = 0.1, 2.0
NEW_S = 1.0
"""So soon after a claim nobody looks again before connecting."""
_NUMBERS = itertools.count()
_LIFE = secrets.token_hex(4)


class Lost(Exception):  # noqa: N818 - it is how claims end
    """Another member has the claim."""


class Holding:
    """Created by `claim`."""

    def __init__(
        self,
        log: Log,
        work: str,
        mark: Mark,
        before: Stored | None,
        on_lost: Callable[[str], None],
        asked_s: float = float("-inf"),
    ) -> None:
        self.work = work
        self.before = before
        """The last record of the owner before."""
        self.claimed = mark
        self.mark = mark
        """Our last record."""
        self.is_lost = False
        self.trouble = ""
        """Why the log takes nothing at present.  Empty: it does."""
        self._log = log
        self._on_lost = on_lost
        self._turn = asyncio.Lock()
        self._asked_s = asked_s
        """When it was claimed, on the monotonic clock."""

    async def append(self, kind: Kind, entry: Entry) -> Mark:
        """Append, and wait until it is stored, for as long as it takes.  Raises `Lost`.

        Cancelled, it may be stored or not.
        """
        async with self._turn:
            if self.is_lost:
                raise Lost(self.work)
            self.mark = await _stored(self._log, self.work, append_after(self.mark), kind, encode(entry), self.tell)
            return self.mark

    async def confirm_first(self) -> None:
        """Like `confirm`; the first time not, when the work has just been claimed."""
        is_new, self._asked_s = time.monotonic() - self._asked_s < NEW_S, float("-inf")
        if not is_new:
            await self.confirm()

    async def confirm(self) -> None:
        """Look whether the claim is still ours.  Raises `Lost`, and `Unavailable` when nobody can say."""
        async with self._turn:
            found = mark_of(await self._log.last(self.work))
            if found.seq > self.mark.seq and found.writer != self.mark.writer:
                self.lose()
            if self.is_lost:
                raise Lost(self.work)

    def tell(self, trouble: str) -> None:
        """Say why the log takes nothing at present; empty: it does."""
        if trouble == Lost.__name__:
            self.lose()
            return
        if bool(trouble) != bool(self.trouble):
            log = structlog.get_logger("gateway.group").bind(work=self.work)
            if trouble:
                log.warning("the log takes nothing at present", reason=trouble, next="waiting until it does")
            else:
                log.info("the log takes records again")
        self.trouble = trouble

    def lose(self) -> None:
        """Another member has it: nothing more is appended."""
        if not self.is_lost:
            self.is_lost = True
            self._on_lost(self.work)


async def claim(log: Log, work: str, member: str, on_lost: Callable[[str], None]) -> Holding | None:
    """Take a work over from whoever had it.  None: another one was faster.  Raises `Unavailable`."""
    before, asked_s = await log.last(work), time.monotonic()
    writer = f"{member}/{_LIFE}/{next(_NUMBERS)}"
    attempt = claim_after(mark_of(before), writer)
    state = decode(before.body) if before is not None and work.startswith("broker/") else Entry()
    try:
        mark = await _stored(log, work, attempt, Kind.CLAIM, encode(state), lambda trouble: None, tries=3)
    except Lost:
        return None
    return Holding(log, work, mark, before, on_lost, asked_s)


async def _stored(
    log: Log, work: str, attempt: Attempt, kind: Kind, body: bytes, tell: Callable[[str], None], tries: int = 0
) -> Mark:
    """Raises `Lost`; and with `tries`, `Unavailable` after so many."""
    wait_s, number = RETRY_S, 0
    while True:
        number += 1
        try:
            mark = await log.append(work, attempt, kind, body)
            tell("")
            return mark
        except Refused:
            trouble = ""
        except (LogFull, Unavailable) as error:
            trouble = str(error)
            tell(trouble)
        try:
            last = mark_of(await log.last(work))
        except Unavailable as error:
            trouble = str(error)
        else:
            verdict = judge(attempt, last)
            if verdict is Verdict.STORED:
                tell("")
                return last
            if verdict is Verdict.LOST:
                tell(Lost.__name__)
                raise Lost(work)
        if number == tries:
            raise Unavailable(f"{work} cannot be claimed: {trouble or 'refused'}")
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, RETRY_MOST_S)
