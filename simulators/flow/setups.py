"""Getting a machine ready: changeovers between products, and tools that wear out."""

from simulators.flow.part import Part
from simulators.plant import Station
from simulators.streams import Sampler


class Setups:
    """The changeovers and the tool of one machine, and what is built into its parts."""

    def __init__(self, station: Station, seed: int, path: str) -> None:
        setup, tool = station.setup, station.tool
        self._product: str | None = None
        self._usual: Sampler | None = setup.usual.sampler(seed, path, "setup") if setup else None
        self._special = {
            (before, after): law.sampler(seed, path, f"setup/{before}/{after}")
            for before, goals in (setup.changeovers if setup else {}).items()
            for after, law in goals.items()
        }
        self._life = tool.life if tool else 0
        self._change: Sampler | None = tool.change.sampler(seed, path, "tool") if tool else None
        self._used = 0.0
        self.wear = 1.0
        """How much of a tool's life one part takes: more when the machine works faster."""
        self._components = [(c, f"{path}/{c.name}") for c in station.components]
        self._made = 0
        self.needed = setup is not None or tool is not None
        """Whether there is ever anything to do before a part."""
        self.counted = tool is not None or bool(station.components)
        """Whether `made_one` has anything to do."""

    def fits(self, product: str) -> bool:
        """Whether the machine needs neither a changeover nor another tool for a part of this product."""
        if self._change is not None and self._used >= self._life:
            return False
        if self._usual is None:
            self._product = product
        return self._product == product

    def before(self, product: str) -> float:
        """Seconds of changeover before a part of this product; the first product needs none."""
        last, self._product = self._product, product
        if self._usual is None or last is None or last == product:
            return 0.0
        return self._special.get((last, product), self._usual)()

    @property
    def tool_is_worn(self) -> bool:
        return self._change is not None and self._used >= self._life

    @property
    def tool_used(self) -> float:
        """Parts made with the present tool, as many as would have worn it as much at the usual speed."""
        return self._used

    def change_tool(self) -> float:
        """Begin a new tool; gives the seconds that changing takes."""
        self._used = 0.0
        return self._change() if self._change else 0.0

    def made_one(self, part: Part) -> None:
        """A part is finished: the tool has worn, and components have been built in."""
        self._used += self.wear
        if self._components:
            self._made += 1
            for component, path in self._components:
                part.components.append(f"{path}/{(self._made - 1) // component.lot + 1}")
