"""What a campaign does to the chain: one function for each fault, and how often it is drawn."""

import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.chaos.running import LIMIT_S, Running, kill_broker, kill_gateway, kill_server, on_link, stop_gateway
from tests.support.programs import SINK, Gateway, wait_until
from tests.support.proxy import Proxy
from tests.support.subscriber import Subscriber

LAST_ROOT = "last/"


@dataclass
class Plant(Running):
    """Everything that runs."""

    checker: Subscriber
    dead_port: int
    """Where the gateway looks for the broker first, on the loopback of IPv6; nobody is there."""

    @property
    def reader_is_there(self) -> threading.Event:
        return self.checker.connected

    def brokers(self, **changes: object) -> list[dict[str, object]]:
        """The broker as the gateway is told of it: an address of IPv6 first; and once more, to retain last values."""
        alive = f"mqtt://127.0.0.1:{self.broker_link.port}"
        common = {
            "fallback": [alive],
            "connect_timeout": "2s",
            **SINK,
            **changes,
            "url": f"mqtt://[::1]:{self.dead_port}",
        }
        last = {"topic": f"{LAST_ROOT}{{line}}/{{machine}}/{{tag}}"}
        return [
            {"name": "all", "client_id": "edge", **common},
            {"name": "last", "presence": {"topic": None}, "payload": last, **common},
        ]


def slow(proxy: Proxy) -> None:
    proxy.slow(3000)


def stalled_to_the_limit(which: str) -> Callable[[Plant, random.Random], None]:
    """What is answered then arrives in the instant in which nobody waits for it any more."""

    def do(p: Plant, rng: random.Random) -> None:
        link = p.server_link if which == "server" else p.broker_link
        link.do(Proxy.stall)
        time.sleep(LIMIT_S + rng.uniform(-0.1, 0.1))
        link.do(Proxy.heal)

    return do


def crawl(proxy: Proxy) -> None:
    proxy.slow(300)


def another_with_our_id(p: Plant, rng: random.Random) -> None:
    """A client of MQTT 3.1.1 that comes back as soon as it is thrown out, for a while."""
    connect = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04edge"
    until_s = time.monotonic() + rng.uniform(1.0, 4.0)
    while time.monotonic() < until_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", p.broker.port), timeout=1.0) as client:
            client.sendall(connect)
            while time.monotonic() < until_s and client.recv(100):
                pass
        time.sleep(0.3)


@contextmanager
def dead_address(port: int) -> Iterator[None]:
    """Somebody who listens on the loopback of IPv6 and whose queue is full: connecting there is answered by nobody."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as dead:
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        dead.bind(("::1", port))
        dead.listen(0)
        waiting = [socket.socket(socket.AF_INET6, socket.SOCK_STREAM) for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("::1", port))
        try:
            yield
        finally:
            for each in waiting:
                each.close()


def first_address_dead(p: Plant, rng: random.Random) -> None:
    with dead_address(p.dead_port):
        p.broker_link.do(Proxy.cut)
        time.sleep(rng.uniform(2.5, 5.0))


def _wait_running(gateway: Gateway) -> None:
    """A start takes what is there; only what runs can refuse a file."""

    def answers() -> bool:
        try:
            return bool(gateway.metrics)
        except OSError:
            return False

    wait_until(answers, "the gateway to run")


def good_reload(p: Plant, rng: random.Random) -> None:
    """Another keep-alive: the broker is connected again; sometimes while its link stands still."""
    _wait_running(p.gateway)
    stalls = rng.random() < 0.5
    if stalls:
        p.broker_link.do(Proxy.stall)
    p.gateway.reload(brokers=p.brokers(keep_alive=rng.choice(["2s", "3s", "4s"])))
    p.broker_link.do(Proxy.heal)


BAD_FILES = ("name: {{ x }}", "a: [", "&a [*a]", "name: edge\nsources: []\nbrokers: 7\n", "\0", "")
_REFUSED = "the new configuration is refused, the earlier one stays in use"


def bad_reload(p: Plant, rng: random.Random) -> None:
    """A file that cannot be; then the good one is there again, for the next start."""
    _wait_running(p.gateway)
    good, refused = p.gateway.config_path.read_bytes(), p.gateway.said(_REFUSED)
    p.gateway.config_path.write_text(rng.choice(BAD_FILES), encoding="utf-8")
    try:
        p.gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: p.gateway.said(_REFUSED) > refused, "the gateway to refuse a bad file")
    finally:
        p.gateway.config_path.write_bytes(good)


FAULTS: dict[str, tuple[int, Callable[[Plant, random.Random], None]]] = {
    "gateway killed": (3, kill_gateway),
    "gateway stopped": (1, stop_gateway),
    "server killed": (1, kill_server),
    "broker killed": (2, kill_broker),
    "another client with our id": (2, another_with_our_id),
    "first address dead": (2, first_address_dead),
    "good reload": (2, good_reload),
    "bad reload": (2, bad_reload),
    **{f"{w} link cut": (3, on_link(w, Proxy.cut, 0.5)) for w in ("server", "broker")},
    **{f"{w} link refused": (1, on_link(w, Proxy.refuse, 3.0)) for w in ("server", "broker")},
    **{f"{w} link stalled": (2, on_link(w, Proxy.stall, 6.0)) for w in ("server", "broker")},
    **{f"{w} link stalled to the limit": (2, stalled_to_the_limit(w)) for w in ("server", "broker")},
    **{f"{w} link half open": (1, on_link(w, Proxy.half_open, 6.0)) for w in ("server", "broker")},
    **{f"{w} link slow": (1, on_link(w, slow, 3.0)) for w in ("server", "broker")},
    "broker link crawling": (2, on_link("broker", crawl, 6.0)),
}
"""Name: (how often relative to the others, what is done)."""
