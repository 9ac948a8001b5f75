"""Names in the namespaces of formats: which characters they may have, how long they are, what counts as the same."""

import hashlib
import re


class Names:
    """Gives each text a name that fits a format, and no two the same one.

    What the format forbids becomes `_`; a name that is taken gets a number, in the order of asking, so that the same
    description has the same names.  Names that differ by case only count as the same, because some readers fold it.
    """

    def __init__(self, forbidden: str = r"[^A-Za-z0-9_]", *, most: int = 120, first: str = "n") -> None:
        """`forbidden` is a pattern of one character; `first` comes before a name that does not begin with a letter."""
        self._forbidden = re.compile(forbidden)
        self._most = most
        self._first = first
        self._taken: dict[str, int] = {}
        """By folded name: the last number that was tried."""

    def of(self, text: str) -> str:
        """A new name for this text; asking twice gives two names."""
        name = re.sub("_+", "_", self._forbidden.sub("_", text)).strip("_") or "_"
        if not name[0].isalpha():
            name = f"{self._first}{name.lstrip('_')}"
        name = self._cut(name, text, self._most)
        if name.casefold() not in self._taken:
            self._taken[name.casefold()] = 1
            return name
        number = self._taken[name.casefold()]
        while True:
            number += 1
            ending = f"_{number}"
            candidate = self._cut(name, text, self._most - len(ending)) + ending
            if candidate.casefold() not in self._taken:
                self._taken[name.casefold()] = number
                self._taken[candidate.casefold()] = 1
                return candidate

    @staticmethod
    def _cut(name: str, text: str, most: int) -> str:
        """Not longer than that; the end of a cut name is a hash of the text."""
        if len(name) <= most:
            return name
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        return f"{name[: most - 9]}_{digest}"


def camel(text: str) -> str:
    """`press-1` as `Press1`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", text) if part)


def camel_of(*texts: str) -> str:
    return "".join(camel(text) for text in texts)
