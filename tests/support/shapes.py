"""Every shape of machine in the shipped plants: one machine of each, as their servers describe them.

The machines of a plant repeat a few shapes (the same variables, types, units and ranges), and a library of others that
reads a model reads each of them alike.  So one small description stands for the models of all plants in every run of
the tests; `make models` reads all plants as they are, and holds that this file is current.

    python -m tests.support.shapes          writes tests/data/shapes.jsonl anew, from all plants
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.config import Config
from gateway.model import Tag, TagFacts
from gateway.modelling.describe import describe
from gateway.modelling.description import Description, SourceTable
from gateway.modelling.table_file import read, written
from tests.support.models import PLANTS, ROOT, config_of, described_plant

FILE = ROOT / "tests/data/shapes.jsonl"
LOAD = "stress"
"""A plant of variables for load tests, without machines."""
_Row = tuple[Tag, TagFacts]


def one_of_each(plants: Sequence[tuple[str, SourceTable]]) -> list[SourceTable]:
    """By plant, the first machine of each shape that no earlier one has."""
    seen: set[object] = set()
    found: list[SourceTable] = []
    for plant, table in plants:
        machines: dict[str, list[_Row]] = {}
        for row in zip(table.tags, table.facts, strict=True):
            machines.setdefault(str(sorted(row[0].fields.items())), []).append(row)
        chosen = [rows for rows in machines.values() if _is_new(rows, seen)]
        if chosen:
            tags, facts = zip(*(row for rows in chosen for row in rows), strict=True)
            is_first = not found
            found.append(SourceTable(plant, "opc.tcp://h", tags, facts, table.commands if is_first else ()))
    return found


def _is_new(rows: list[_Row], seen: set[object]) -> bool:
    shape = frozenset((tag.name, tag.unit, tag.priority, tag.variable_type, facts) for tag, facts in rows)
    is_new = shape not in seen
    seen.add(shape)
    return is_new


async def tables_of_all_plants() -> list[SourceTable]:
    """From the plants themselves: minutes."""
    paths = [path for path in PLANTS if path.stem != LOAD]
    return one_of_each([(path.stem, (await described_plant(path)).sources[0]) for path in paths])


def described_shapes(file: Path = FILE) -> Description:
    tables = read(file)
    select = [{"subtree": "i=85"}]
    sources = [
        {"name": t.name, "url": f"opc.tcp://h:{n}", "insecure": True, "select": select} for n, t in enumerate(tables, 1)
    ]
    rules = [{"source": tables[0].name, "subtree": "i=85", "read": True}]
    more: dict[str, object] = {
        "sources": sources, "payload": {"topic": "factory/{source}/{line}/{machine}"},
        "commands": {"requesters": ["mes"], "rules": rules},
    }  # fmt: skip
    return describe(Config.model_validate(config_of().model_dump(exclude_unset=True) | more), tables, "1.2.3")


if __name__ == "__main__":
    FILE.write_text("".join(written("edge-1", asyncio.run(tables_of_all_plants()))), encoding="utf-8")
