"""How a contestant that stores gets rid of a backlog, with live values beside it.

The link to the broker goes down, so many values are sent as fast as the contestant stores them, the link comes back,
of its full rate or a limited one, and live values flow on until the backlog is gone and for a while after.
"""

import time

from tests.bench.chain.cases import Case
from tests.bench.chain.children import Ended
from tests.bench.chain.measured import Drained
from tests.bench.chain.stage import START_S, Stage

PER = 1000
LIVE_PER = 100
LONGEST_S = 600.0
AFTER_S = 5.0
"""How long live values flow on."""
LOOK_S = 0.5
LIVE_FACTOR = 3.0
"""A link that carries less than so many times the live values carries no backlog."""
FLOWING_BYTES = 50_000
"""More than greetings."""
Look = tuple[float, int]
"""Unix time, and the bytes the link had carried by then."""


def drain(stage: Stage, case: Case) -> Drained:
    """Raises Ended when somebody gives up."""
    assert stage.link is not None, "a backlog needs a link"
    backlog = case.backlog
    stage.link.ask("down", up=False)
    cpu_s, began_s = stage.program.cpu_s(), time.monotonic()
    _store(stage, backlog)
    stored_s, stored_cpu_s = time.monotonic() - began_s, stage.program.cpu_s() - cpu_s
    disk = sum(file.stat().st_size for file in (stage.setting.folder / "outbox").rglob("*") if file.is_file())
    stage.subscriber.ask("marked", mark=True)
    cpu_s = stage.program.cpu_s()
    stage.link.ask("up", up=True, bytes_per_s=case.link_bytes_per_s)
    _wait_connected(stage)
    stage.server.say(load={"total": int(case.rate_hz * LONGEST_S), "per": LIVE_PER, "rate_hz": case.rate_hz})
    looks = _wait_drained(stage, backlog, LIVE_FACTOR * disk / backlog * case.rate_hz)
    drain_cpu_s = stage.program.cpu_s() - cpu_s
    time.sleep(AFTER_S)
    stage.server.say(enough=True)
    stage.sent = int(stage.server.wait("finished", START_S, stage.program)["sent"])
    stage.wait_arrived()
    verdict, told = stage.verdict(0), stage.subscriber.ask("drain", drain=backlog)
    drained_s = told["last_s"] - told["first_s"]
    used = used_share(looks, told["first_s"], told["last_s"], case.link_bytes_per_s)
    return Drained(
        backlog=backlog, stored_per_s=round(backlog / stored_s), stored_cpu_us=round(stored_cpu_s / backlog * 1e6, 3),
        disk_bytes=round(disk / backlog, 1), drained_s=round(drained_s, 2), drain_cpu_s=round(drain_cpu_s, 2),
        link_used=used, live_ms=told["live_ms"],
        after_ms=told["after_ms"], missing=verdict["missing"], repeated=verdict["repeated"],
        problems=verdict["problems"],
    )  # fmt: skip


def _store(stage: Stage, backlog: int) -> None:
    """Send so many values and wait until all of them have been acknowledged, which is until they are durable."""
    stage.server.say(load={"total": backlog, "per": PER})
    stage.server.wait("finished", LONGEST_S, stage.program)
    deadline = time.monotonic() + 60.0
    while stage.server.ask("stats", stats=True)["acknowledged"] < backlog:
        stage.program.check()
        if time.monotonic() > deadline:
            raise Ended(f"{stage.contestant.name} did not acknowledge all that it was sent")
        time.sleep(0.1)


def _wait_connected(stage: Stage) -> None:
    """Wait until the backlog begins to flow: what is made before that is part of it, not live."""
    assert stage.link is not None
    before, deadline = stage.link.ask("carried", carried=True)["bytes"], time.monotonic() + LONGEST_S
    while stage.link.ask("carried", carried=True)["bytes"] < before + FLOWING_BYTES:
        stage.program.check()
        if time.monotonic() > deadline:
            raise Ended(f"{stage.contestant.name} did not come back to its broker")
        time.sleep(0.01)


def _wait_drained(stage: Stage, backlog: int, live_bytes_per_s: float) -> list[Look]:
    """Look at the link until it carries no backlog any more and all of it has arrived; gives what was seen."""
    assert stage.link is not None
    looks: list[Look] = []
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        stage.program.check()
        told = stage.link.ask("carried", carried=True)
        looks.append((told["at"], told["bytes"]))
        if len(looks) > 1 and _rate(looks[-2], looks[-1]) < live_bytes_per_s:
            arrived = stage.subscriber.ask("quiet", quiet_s=0.0, most_s=0.0)["count"]
            if arrived >= backlog and stage.subscriber.ask("drain", drain=backlog)["arrived"] >= backlog:
                return looks
        time.sleep(LOOK_S)
    raise Ended(f"{stage.contestant.name} did not get rid of its backlog within {LONGEST_S:g} s")


def _rate(before: Look, after: Look) -> float:
    return (after[1] - before[1]) / max(1e-9, after[0] - before[0])


def used_share(looks: list[Look], first_s: float, last_s: float, bytes_per_s: float) -> float:
    """The share of a link's rate that was used between two instants, as far as whole looks lie between them."""
    inside = [look for look in looks if first_s <= look[0] <= last_s]
    if not bytes_per_s or len(inside) < 2:
        return 0.0
    return round(_rate(inside[0], inside[-1]) / bytes_per_s, 3)
