"""Index ranges (NumericRange, OPC UA Part 4, 7.27): `5`, `2:4`, and several dimensions `0:1,2`."""

import re
from dataclasses import dataclass

TEXT = re.compile(r"(\d{1,10})(?::(\d{1,10}))?")


@dataclass(frozen=True, slots=True)
class NumericRange:
    """One or more dimensions, each from `low` to `high`, both included."""

    dimensions: tuple[tuple[int, int], ...]

    @staticmethod
    def read(text: str) -> "NumericRange | None":
        """None: not a range.  The end of a range is larger than its begin."""
        found = []
        for part in text.split(","):
            match = TEXT.fullmatch(part)
            if match is None or (match[2] is not None and int(match[1]) >= int(match[2])):
                return None
            found.append((int(match[1]), int(match[2] or match[1])))
        return NumericRange(tuple(found))

    def of(self, value: object, depth: int = 0) -> object:
        """The part of an array, text or byte string; the last dimension may cut its elements.  None: nothing there."""
        if depth == len(self.dimensions):
            return value
        low, high = self.dimensions[depth]
        if isinstance(value, str | bytes):
            cut = value[low : high + 1]
            return cut if cut and depth == len(self.dimensions) - 1 else None
        if not isinstance(value, list | tuple) or low >= len(value):
            return None
        parts = [self.of(each, depth + 1) for each in value[low : high + 1]]
        return None if any(part is None for part in parts) and depth + 1 < len(self.dimensions) else parts
