"""The cars that drive, and the connection by which they publish.

Topic `vehicles/{vin}/vss`, QoS 1, one message per car and round, in the form of VISS: paths and data points.

    {"ts": "2026-11-21T10:45:00.000Z", "data": [{"path": "Vehicle.Speed", "dp": {"value": "43.1", "ts": "…"}}, …]}

VISS writes every value as a string; a list is an array of strings.  When the broker is away, cars drive on unheard, and
the connection is made again with back-off.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import aiomqtt
import orjson
import structlog

from simulators.errors import ConfigError
from simulators.urls import parse_url
from simulators.vehicles.car import Car, Value, vss

FIRST_S, LONGEST_S = 0.5, 30.0
"""Back-off between two attempts to connect."""


@dataclass(frozen=True, slots=True)
class BrokerAt:
    """Where the cars publish."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = None


def broker_at(url: str, username: str | None, password: Path | None, ca: Path | None) -> BrokerAt:
    """The broker of an address; `password` and `ca` are files.  Raises `ConfigError`."""
    try:
        place = parse_url(url, ("mqtt", "mqtts"))
        tls = ssl.create_default_context(cafile=ca) if place.scheme == "mqtts" else None
        secret = password.read_text(encoding="utf-8").strip() if password is not None else None
    except (ValueError, OSError) as error:  # an SSLError is an OSError
        raise ConfigError([f"--vehicles: {error}"]) from error
    return BrokerAt(place.host, place.port, tls, username, secret)


class Road:
    """The cars that drive now, the newest last."""

    def __init__(self, most: int) -> None:
        self.cars: deque[Car] = deque(maxlen=most)
        self.sent = 0
        """Messages that the broker has acknowledged."""

    def add(self, car: Car) -> None:
        self.cars.append(car)


async def drive(road: Road, broker: BrokerAt, every_s: float, now_s: Callable[[], float], start: datetime) -> None:
    """Publish what every car says, once per `every_s` seconds, until cancelled.

    `now_s` is the simulated time, and `start` the instant of its 0.
    """
    log, wait_s, was_up = structlog.get_logger("simulators"), FIRST_S, True
    while True:
        try:
            async with aiomqtt.Client(
                broker.host, broker.port, username=broker.username, password=broker.password, tls_context=broker.tls,
                protocol=aiomqtt.ProtocolVersion.V5, timeout=10,
            ) as client:  # fmt: skip
                log.info("vehicles connected", host=broker.host, port=broker.port)
                wait_s, was_up = FIRST_S, True
                while True:
                    at_s = now_s()
                    await _publish(client, road, tuple(road.cars), at_s, start + timedelta(seconds=at_s))
                    await asyncio.sleep(every_s)
        except (aiomqtt.MqttError, OSError) as error:
            if was_up:
                log.warning("vehicles not connected", host=broker.host, port=broker.port, why=str(error))
            was_up = False
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_S)


async def _publish(client: aiomqtt.Client, road: Road, cars: Iterable[Car], at_s: float, at: datetime) -> None:
    for car in cars:
        await client.publish(f"vehicles/{car.vin}/vss", message_of(car, at_s, at), qos=1)
        road.sent += 1


def message_of(car: Car, at_s: float, at: datetime) -> bytes:
    """The message of a car at a simulated time, which is the instant `at`."""
    ts = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = [{"path": path, "dp": {"value": _text(value), "ts": ts}} for path, value in vss(car, at_s).items()]
    return orjson.dumps({"ts": ts, "data": data})


def _text(value: Value) -> str | list[str]:
    return value if isinstance(value, list) else str(value)
