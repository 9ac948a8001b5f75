"""A day of outage in miniature: the broker away, the outbox filled to its cap, its policy applied, and then drained.

The load server's values say which tag and which tick they are, so the subscriber knows what was served; what the
gateway says of itself, in `/metrics` and in the gaps it announces, has to agree with that to the value.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulators.server.endpoint import MODEL_URI
from tests.support.load_chain import Books, LoadChain, books_of, load_chain
from tests.support.load_checker import Hole
from tests.support.programs import wait_until
from tests.support.proxy import Proxy

CAP, SEGMENT = 600_000, 60_000
RATE = 10_000
MOST_S = 90.0
FULL = "the outbox takes no messages"
PRIORITIES = [
    {"subtree": f"nsu={MODEL_URI};s=load/m-00", "include": ["*"], "fields": {"machine": "m-00"}, "priority": "state"},
    {"subtree": f"nsu={MODEL_URI};s=load", "levels": ["machine"], "include": ["*/*"], "exclude": ["m-00/*"]},
]


def outbox(folder: Path, when_full: str) -> dict[str, object]:
    return {"path": str(folder / "outbox"), "max_bytes": CAP, "segment_bytes": SEGMENT, "when_full": when_full}


@contextmanager
def broker_away(chain: LoadChain) -> Iterator[None]:
    """Nothing is under way when the broker goes: what it acknowledged and what it has are then the same."""
    assert chain.server_link
    assert chain.broker_link
    chain.server_link.do(Proxy.stall)

    def nothing_under_way() -> bool:
        return not books(chain).stored and not chain.gateway.total("gateway_sink_in_flight")

    wait_until(nothing_under_way, "everything stored to be acknowledged")
    chain.broker_link.do(Proxy.refuse)
    chain.server_link.do(Proxy.heal)
    yield
    chain.broker_link.do(Proxy.heal)


def books(chain: LoadChain) -> Books:
    return books_of(chain.gateway.metrics)


def drained(chain: LoadChain) -> Books:
    """The last value of every tag has arrived, and nothing is stored any more."""
    chain.finish()
    wait_until(lambda: not books(chain).stored, "the outbox to be empty")
    return books(chain)


def told(chain: LoadChain) -> int:
    """Values that gaps name as lost."""
    return sum(gap.count or 0 for gap in chain.checker.gaps)


def told_by_time(chain: LoadChain, hole: Hole) -> bool:
    """Whether the gaps announced in the stream of a hole also tell when the missing values were measured."""
    checker, gaps = chain.checker, [gap for gap in chain.checker.gaps if gap.stream == hole.stream]
    first_s, last_s = (checker.began_s + tick * checker.period_s for tick in (hole.first_tick, hole.last_tick))
    return min(gap.since_s for gap in gaps) <= first_s + 1e-6 and last_s <= max(gap.until_s for gap in gaps)


@pytest.mark.slow
def test_a_full_outbox_drops_the_oldest_of_the_lowest_priority_and_the_books_balance_to_the_value(
    tmp_path: Path,
) -> None:
    source = {"select": PRIORITIES}
    with load_chain(tmp_path, RATE, source=source, outbox=outbox(tmp_path, "drop_oldest")) as chain:
        with broker_away(chain):
            wait_until(lambda: books(chain).dropped > 8 * RATE, "drops of which the news is dropped, too", MOST_S)
            assert chain.gateway.total("gateway_outbox_bytes") <= CAP
        after = drained(chain)
        wait_until(lambda: told(chain) >= after.dropped, "everything dropped to be announced")
        checker = chain.checker
        assert books(chain) == after
        assert (after.difference, after.stored) == (0, 0)
        assert checker.values == after.delivered == checker.owed - after.dropped
        assert checker.missing == after.dropped == told(chain)
        assert {gap.cause for gap in checker.gaps} == {"policy_drop"}
        assert (checker.unexplained, checker.numbers_missing, checker.disordered) == ([], [], 0)
        assert not [hole for hole in checker.holes if ".state/" in hole.stream], "state changes are dropped last"
        assert all(told_by_time(chain, hole) for hole in checker.holes)


@pytest.mark.slow
def test_a_full_outbox_that_blocks_leaves_the_rest_at_the_server_and_nothing_is_lost(tmp_path: Path) -> None:
    with load_chain(tmp_path, RATE, outbox=outbox(tmp_path, "block")) as chain:
        with broker_away(chain):
            chain.gateway.wait_said(FULL, within_s=MOST_S)
            wait_until(lambda: unread_ticks(chain) > 30, "the server to be three seconds ahead", MOST_S)
            assert chain.gateway.total("gateway_outbox_bytes") <= CAP
        after = drained(chain)
        checker = chain.checker
        assert checker.values == checker.owed == after.delivered == after.received
        assert (after.difference, after.dropped, checker.gaps, checker.numbers_missing) == (0, 0, [], [])


@pytest.mark.slow
def test_values_the_server_dropped_while_the_gateway_was_blocked_are_announced(tmp_path: Path) -> None:
    source = {"queue_size": 20}
    with load_chain(tmp_path, RATE, source=source, outbox=outbox(tmp_path, "block")) as chain:
        with broker_away(chain):
            chain.gateway.wait_said(FULL, within_s=MOST_S)
            wait_until(lambda: unread_ticks(chain) > 60, "the server's queues to run over", MOST_S)
        after = drained(chain)
        checker = chain.checker
        assert checker.missing == checker.owed - after.delivered > 0
        assert {gap.cause for gap in checker.gaps} == {"server_overflow"}
        assert (checker.unexplained, checker.numbers_missing, after.difference, after.dropped) == ([], [], 0, 0)


def unread_ticks(chain: LoadChain) -> float:
    """How many changes of each tag have not been taken from the server."""
    made = (time.time() - chain.checker.began_s) / chain.checker.period_s - int(chain.checker.first.min())
    return made - books(chain).received / chain.server.tags
