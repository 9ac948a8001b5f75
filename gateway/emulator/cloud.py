"""The state of one emulated cloud: what came in, who is connected, what it does now."""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.emulator import packets as mqtt
from gateway.emulator.policy import Admitted, Policy
from gateway.emulator.things import Said, Things

_MOST_TOLD = 1000


class Client(Protocol):
    """One connection."""

    who: Admitted | None
    will: mqtt.Will | None

    def end(self, code: int, reason: str) -> None:
        """End the connection, with a DISCONNECT where the version has one."""

    def abort(self) -> None:
        """Cut the connection."""

    def deliver(self, message: mqtt.Publish) -> bool:
        """Send a message, if it is subscribed to."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the cloud has."""

    device: str
    topic: str
    payload: bytes
    retain: bool
    properties: tuple[mqtt.Property, ...]
    at_s: float
    """When, on the monotonic clock."""


@dataclass(slots=True)
class Cloud:
    """The state of one emulated cloud: what came in, and what it does now."""

    policy: Policy
    counts: Counter[str] = field(default_factory=Counter)
    """By what happened: connects, refused, taken, discarded, delayed, closed, kicked, expired, duplicates."""
    taken: deque[Taken] = field(default_factory=lambda: deque(maxlen=100_000))
    told: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_TOLD))
    """What it refused, and why, for people."""
    on_taken: Callable[[Taken], object] = lambda taken: None
    busy_until_s: float = 0.0
    """Until then (monotonic) messages are refused with 0x97, or not acknowledged where the version has no codes."""
    is_away: bool = False
    """Whoever connects is cut."""
    peak_per_s: int = 0
    """The most messages that came from one connection within a second."""
    peak_in_flight: int = 0
    connections: dict[str, "Client"] = field(default_factory=dict)
    """By client id."""
    everyone: set["Client"] = field(default_factory=set)
    retained: dict[str, mqtt.Publish] = field(default_factory=dict)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by whatever happens."""
    things: Things = field(init=False)

    def __post_init__(self) -> None:
        self.things = Things(is_aws="$aws" in self.policy.profile.topics.free)

    def tell(self, what: str, text: str) -> None:
        self.counts[what] += 1
        self.told.append(f"{what}: {text}")
        self.heard.set()

    def throttle(self, for_s: float) -> None:
        """Refuse what comes, for a time."""
        self.busy_until_s = time.monotonic() + for_s

    def go(self) -> None:
        """Be away from now on: every connection is cut, without a word."""
        self.is_away = True
        for each in [*self.everyone]:
            each.abort()

    def come_back(self) -> None:
        self.is_away = False

    def kick(self, device: str) -> None:
        """End the connections of a device, as a second one would."""
        for each in [each for each in self.everyone if each.who is not None and each.who.device == device]:
            self.counts["kicked"] += 1
            each.end(0x8E, "another connection of this device")

    def expire(self, device: str) -> None:
        """End the connections of a device, as the end of its login does."""
        for each in [each for each in self.everyone if each.who is not None and each.who.device == device]:
            self.tell("expired", f"the login of {device}")
            each.end(0x87, "the login has ended")

    def publish(self, message: mqtt.Publish) -> int:
        """Send to whoever has subscribed to it.  Returns to how many."""
        return sum([each.deliver(message) for each in [*self.everyone]])

    def desire(self, device: str, patch: Mapping[str, object]) -> None:
        """Change the twin or shadow of a device, and tell it."""
        self.say(device, self.things.desire(device, patch))

    def assign(self, device: str, job: str, document: Mapping[str, object]) -> None:
        """Give a device a job (AWS)."""
        self.say(device, self.things.assign(device, job, document))

    def say(self, device: str, said: Sequence[Said]) -> None:
        """Send to the connections of one device, as far as they have subscribed."""
        for topic, body in said:
            message = mqtt.Publish(topic, json.dumps(body).encode(), 1, False, 0)
            for each in [each for each in self.everyone if each.who is not None and each.who.device == device]:
                each.deliver(message)

    async def wait_until(self, is_so: Callable[["Cloud"], bool]) -> None:
        """Wait for something to have happened."""
        while not is_so(self):
            self.heard.clear()
            await self.heard.wait()
