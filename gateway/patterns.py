"""Patterns for paths and names: `*`, `**` and `?`."""

import re
from functools import lru_cache


@lru_cache(maxsize=1000)
def pattern(glob: str) -> re.Pattern[str]:
    """Compile a pattern: `*` matches any text within a level, `**` across levels, `?` one character."""
    parts = re.split(r"(\*\*/?|\*|\?)", glob)
    meaning = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts), re.DOTALL)


def is_chosen(text: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Whether a path or name is included (an empty `include` includes all) and not excluded."""
    included = not include or any(pattern(each).fullmatch(text) for each in include)
    return included and not any(pattern(each).fullmatch(text) for each in exclude)
