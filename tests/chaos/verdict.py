"""How the long proofs tell what they found, and where they keep what they leave behind."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MOST_WRONG = 20
"""So many things that are wrong are told; one would be enough."""


def text_of(facts: Sequence[str], wrong: Sequence[str]) -> str:
    """What was done and found, then what is wrong with it."""
    return "\n".join([*facts, f"wrong: {len(wrong)}", *wrong[:MOST_WRONG]])


def counts_of(kinds: Counter[str]) -> str:
    """`link cut 3, link slow 1`."""
    return ", ".join(f"{name} {count}" for name, count in sorted(kinds.items())) or "none"


@contextmanager
def folder_for(kept: Path | None) -> Iterator[Path]:
    """The folder to keep things in, made where it is missing; without one, a folder that goes away."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        yield Path(temporary)
