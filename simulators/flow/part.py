"""One part on its way through a line, and its pedigree."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import msgspec


class Carrier(Protocol):
    """What a part needs of the carriers (pallets, skids) of a loop."""

    @property
    def stations(self) -> Sequence[str]: ...
    def leave(self, part: "Part") -> None: ...


class Visit(msgspec.Struct, frozen=True, gc=False):
    """What one machine did to a part: begin and end in seconds of simulated time, and the verdict."""

    machine: str
    began_s: float
    ended_s: float
    verdict: str


NO_SOFTWARE: Mapping[str, str] = MappingProxyType({})


class Part:
    """A part: its serial number, product, order, time of entry, visits, components and software."""

    __slots__ = (
        "carrier", "components", "entered_s", "order", "ordered", "product", "queued_s", "retries", "reworks", "serial",
        "software", "vin", "visits",
    )  # fmt: skip

    def __init__(self, serial: str, product: str, entered_s: float) -> None:
        self.serial = serial
        self.product = product
        self.order = 0
        """Number of the order that it is made for, from 1; 0 without orders."""
        self.entered_s = entered_s
        self.queued_s = entered_s
        self.visits: list[Visit] = []
        self.components: list[str] = []
        self.reworks: dict[str, int] = {}
        self.carrier: Carrier | None = None
        self.vin = ""
        """Vehicle identification number; empty where the line makes no cars."""
        self.ordered: Mapping[str, str] = NO_SOFTWARE
        """Versions that its order names, by control unit."""
        self.software: dict[str, str] = {}
        """What was flashed, by control unit."""
        self.retries = 0
        """Attempts to flash that failed when it was flashed last."""
