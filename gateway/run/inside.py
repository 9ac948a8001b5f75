"""A running gateway as the live page and its API see it."""

import time
from contextlib import AbstractAsyncContextManager
from functools import partial

from gateway.in_thread import in_thread
from gateway.model import Loss
from gateway.payload.gaps import loss_row
from gateway.payload.timestamps import text_of
from gateway.pipeline.standing import DAY_S
from gateway.pipeline.tap import STAGES, Wish
from gateway.run.acts import Acts, folders_of
from gateway.run.gateway import Gateway
from gateway.run.history import EVERY_S
from gateway.run.search import Directory, search
from gateway.run.source_unit import Waiting, waiting_certificates
from gateway.run.state import Rates, instant, state_of
from gateway.run.tapping import tapping
from gateway.web.inside import NextTapped, TapWish
from gateway.web.models import Done, Gap, Gaps, History, Point, State, Tags, WaitingCertificate

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
        noted = [
            (at_s, source, gap, names)
            for source, standing in self._gateway.standing.items()
            for at_s, gap, names in standing.gaps_within()
        ]
        found = [
            (at_s, Gap(
                time=instant(at_s), source=source, cause=gap.cause, detail=gap.detail,
                begin=text_of(gap.from_ticks) if gap.from_ticks else None,
                end=text_of(gap.to_ticks) if gap.to_ticks else None, values=gap.count, tags=list(names),
            ))
            for at_s, source, gap, names in noted
        ]  # fmt: skip
        since_s = time.time() - DAY_S
        found += [(at_s, _lost(at_s, loss)) for at_s, loss in self._gateway.lost if at_s >= since_s]
        return Gaps(gaps=[gap for _, gap in sorted(found, key=lambda each: -each[0])[:MOST_GAPS]])

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


def _lost(at_s: float, loss: Loss) -> Gap:
    """A loss of stored messages, as a gap."""
    row = loss_row(loss)
    begin, end = row.get("from_time"), row.get("to_time")
    return Gap(
        time=instant(at_s), source=loss.stream.split("/", 2)[1] if loss.stream.count("/") > 1 else "",
        cause=str(row["cause"]), detail=f"{row['detail']}; for {', '.join(loss.readers)}: {loss.stream}",
        begin=str(begin) if begin else None, end=str(end) if end else None, values=loss.values, tags=[],
    )  # fmt: skip
