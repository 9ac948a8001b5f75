"""Preparations of a machine: changeovers between products, and tools that wear out."""

from simulators.flow.part import Part
from simulators.plant import Station
from simulators.streams import Sampler


class Setups:
    """The changeovers and the tool of one machine, and the components it builds into parts."""

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
        self.worn: float | None = 0.0 if self._life else None
        """The used share of the present tool's life.  None: there are no tools."""
        self.tool = 1 if tool else 0
        """Number of the present tool, from 1; 0 without tools."""
        self.wear = 1.0
        """How much of a tool's life one part uses: 1 at the usual speed, more at higher speed."""
        self._components = [(c, f"{path}/{c.name}") for c in station.components if c.line is None]
        first = self._components[0][0].name if self._components else ""
        line = path.rpartition("/")[0]
        self._own = tuple(f"{line}/{machine}/{first}/" for machine in station.machine_names)
        self._made = 0
        self.needed = setup is not None or tool is not None
        """Whether a part can ever need a preparation."""
        self.counted = tool is not None or bool(self._components)
        """Whether `made_one` has anything to do."""

    def fits(self, product: str) -> bool:
        """Whether a part of this product needs neither a changeover nor another tool."""
        if self._change is not None and self._used >= self._life:
            return False
        if self._usual is None:
            self._product = product
        return self._product == product

    def before(self, product: str) -> float:
        """Seconds of changeover before a part of this product.  The first product needs none."""
        last, self._product = self._product, product
        if self._usual is None or last is None or last == product:
            return 0.0
        return self._special.get((last, product), self._usual)()

    @property
    def tool_is_worn(self) -> bool:
        return self._change is not None and self._used >= self._life

    @property
    def tool_used(self) -> float:
        """The wear of the present tool, in parts at the usual speed."""
        return self._used

    def change_tool(self) -> float:
        """Start a new tool.  Returns the seconds that the change takes."""
        self._used = 0.0
        self.worn = 0.0 if self._life else None
        self.tool += 1
        return self._change() if self._change else 0.0

    def made_one(self, part: Part) -> None:
        """Count a finished part: wear the tool, and build in the components, if this machine has not done so before."""
        self._used = used = self._used + self.wear
        if self._life:
            self.worn = used / self._life
        if self._components and not any(each.startswith(self._own) for each in part.components):
            self._made += 1
            for component, path in self._components:
                part.components.append(f"{path}/{(self._made - 1) // component.lot + 1}")
