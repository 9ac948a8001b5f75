"""A running gateway as the live page and its API see it."""

import time
from contextlib import AbstractAsyncContextManager
from functools import partial

from gateway.in_thread import in_thread
from gateway.pipeline.tap import STAGES, Wish
from gateway.run.acts import Acts, folders_of
from gateway.run.gateway import Gateway
from gateway.run.history import EVERY_S
from gateway.run.search import Directory, search
from gateway.run.source_unit import Waiting, waiting_certificates
from gateway.run.state import Rates, instant, state_of
from gateway.run.tapping import tapping
from gateway.web.inside import NextTapped, TapWish
from gateway.web.models import Done, Dropped, Gap, Gaps, History, Point, State, Tags, WaitingCertificate

LOOK_AGAIN_S = 5.0
"""How often the folders of certificates are read while somebody looks."""
MOST_GAPS = 200


class InsideOf:
    """Of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._rates = Rates()
        self._acts = Acts(gateway)
        self._directory = Directory()
        self._certificates: list[WaitingCertificate] = []
        self._looked_s = float("-inf")

    async def state(self) -> State:
        if time.monotonic() - self._looked_s > LOOK_AGAIN_S:
            self._looked_s = time.monotonic()
            folders = folders_of(self._gateway)
            found = await in_thread(partial(waiting_certificates, folders), "list certificates") if folders else []
            self._certificates = self._waiting(found)
        reload = self._gateway.reload
        file = reload.file if reload is not None else "FILE"
        return state_of(self._gateway, self._rates, self._gateway.happened, self._certificates, file)

    def _waiting(self, found: list[Waiting]) -> list[WaitingCertificate]:
        sources = self._gateway.config.sources
        return [
            WaitingCertificate(
                thumbprint=each.thumbprint,
                name=each.name,
                application_uri=each.application_uri,
                valid_until=instant(each.valid_until_s),
                sources=[s.name for s in sources if s.security is not None and s.security.pki == each.folder],
                command=f"gateway cert trust {each.thumbprint} --pki {each.folder}",
            )
            for each in found
        ]

    def history(self) -> History:
        points = [
            Point(time_s=each.unix_s, delivered_per_second=each.delivered_per_second, stored_values=each.stored_values)
            for each in self._gateway.history.moments
        ]
        return History(every_s=EVERY_S, points=points)

    def gaps(self) -> Gaps:
        kept = self._gateway.losses
        kept.count(self._gateway.dropped(), at_once=True)
        gaps = [
            Gap(
                time=instant(each.at_s), source=each.source, cause=each.cause, detail=each.detail,
                begin=each.begin or None, end=each.end or None, values=each.values, tags=list(each.tags),
            )
            for each in reversed(kept.gaps())
        ]  # fmt: skip
        dropped = [
            Dropped(time=instant(each.at_s), broker=each.broker, reason=each.cause, values=each.values or 0)
            for each in reversed(kept.drops())
        ]
        return Gaps(gaps=gaps, dropped=dropped, since=instant(kept.since_s))

    async def tags(self, words: str, severity: str, limit: int) -> Tags:
        return await search(self._gateway, self._directory, words, severity, limit)

    def tapping(self, wish: TapWish) -> AbstractAsyncContextManager[NextTapped]:
        stages = tuple(stage for stage in STAGES if not wish.stage or stage == wish.stage)
        return tapping(self._gateway, self._directory, Wish(stages, wish.source, wish.tag, wish.stream))

    async def trust(self, thumbprint: str, who: str) -> Done:
        return self._done(await self._acts.trust(thumbprint, who))

    async def reject(self, thumbprint: str, who: str) -> Done:
        return self._done(await self._acts.reject(thumbprint, who))

    async def release(self, broker: str, who: str) -> Done:
        return self._done(await self._acts.release(broker, who))

    async def reload(self, who: str) -> Done:
        return self._done(await self._acts.reload(who))

    def _done(self, told: str) -> Done:
        self._looked_s = float("-inf")
        return Done(done=told)
