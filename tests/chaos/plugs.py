"""Plugs that are pulled in the chain under load, each put back after some seconds."""

import random
import time
from collections.abc import Callable, Iterator

from tests.support.load_chain import LoadChain
from tests.support.proxy import Proxy

Plug = Callable[[LoadChain, float], None]
"""Pulls it, waits so many seconds, puts it back."""


def away(stop: Callable[[LoadChain], None]) -> Plug:
    """The broker ends and comes back.

    The gateway is kept out from before its end until the checker is back: a broker's own durability is not on trial,
    and it forgets who was subscribed.
    """

    def pull(chain: LoadChain, seconds: float) -> None:
        link, checker = chain.broker_link, chain.checker
        assert link is not None
        link.do(Proxy.refuse)
        chain.wait_checker_idle()
        stop(chain)
        time.sleep(seconds)
        chain.broker.restart()
        assert checker.connected.wait(60)
        link.do(Proxy.heal)

    return pull


def frozen(chain: LoadChain, seconds: float) -> None:
    """The broker keeps its connections and does nothing."""
    chain.broker.stall()
    time.sleep(seconds)
    chain.broker.go_on()


def on_link(which: str, fault: Callable[[Proxy], None]) -> Plug:
    def pull(chain: LoadChain, seconds: float) -> None:
        link = chain.server_link if which == "server" else chain.broker_link
        assert link is not None
        link.do(fault)
        time.sleep(seconds)
        link.do(Proxy.heal)

    return pull


PLUGS: dict[str, Plug] = {
    "broker stopped": away(lambda chain: chain.broker.terminate()),
    "broker killed": away(lambda chain: chain.broker.kill()),
    "broker frozen": frozen,
    **{
        f"{which} link {name}": on_link(which, fault)
        for which in ("server", "broker")
        for name, fault in (
            ("cut", Proxy.cut), ("refused", Proxy.refuse), ("stalled", Proxy.stall), ("half open", Proxy.half_open),
        )
    },
}  # fmt: skip


def drawn(rng: random.Random) -> Iterator[str]:
    """Names of plugs for ever: each once before any comes again."""
    while True:
        names = list(PLUGS)
        rng.shuffle(names)
        yield from names
