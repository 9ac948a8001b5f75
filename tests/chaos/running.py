"""What every campaign runs, and what it does to it: the gateway, the server or the broker dies, a link fails."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.brokers import Process
from tests.support.programs import Factory, Gateway
from tests.support.proxy import Proxy
from tests.support.threaded import ThreadedProxy

LIMIT_S = 3.0
"""Requests to the server and publishes have so long."""


@dataclass
class Running:
    """A server, the gateway and a broker, with proxies between them."""

    factory: Factory
    server_link: ThreadedProxy
    gateway: Gateway
    broker_link: ThreadedProxy
    broker: Process

    @property
    def reader_is_there(self) -> threading.Event:
        """Set while the one that judges what arrives is subscribed."""
        raise NotImplementedError


def kill_gateway(p: Running, rng: random.Random) -> None:
    p.gateway.kill()
    time.sleep(rng.uniform(0.0, 2.0))
    p.gateway.restart()


def stop_gateway(p: Running, rng: random.Random) -> None:
    p.gateway.stop()
    p.gateway.restart()


def kill_server(p: Running, rng: random.Random) -> None:
    started = p.factory.said("serving")
    p.factory.kill()
    time.sleep(rng.uniform(0.0, 3.0))
    p.factory.restart()
    p.factory.wait_said("serving", times=started + 1)


def kill_broker(p: Running, rng: random.Random) -> None:
    """The gateway is kept out until the reader is back: a broker forgets who was subscribed."""
    p.broker_link.do(Proxy.refuse)
    time.sleep(0.5)  # what it has acknowledged reaches the reader: a broker's own durability is not on trial
    p.broker.kill()
    time.sleep(rng.uniform(0.0, 3.0))
    p.broker.restart()
    assert p.reader_is_there.wait(60)
    p.broker_link.do(Proxy.heal)


def on_link(which: str, fault: Callable[[Proxy], None], longest_s: float) -> Callable[[Running, random.Random], None]:
    def do(p: Running, rng: random.Random) -> None:
        link = p.server_link if which == "server" else p.broker_link
        link.do(fault)
        time.sleep(rng.uniform(0.1, longest_s))
        link.do(Proxy.heal)

    return do
