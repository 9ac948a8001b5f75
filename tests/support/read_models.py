"""`python tests/support/read_models.py samm|aas FILE...`: models as Python libraries of others read them.

Prints a JSON object for each file: {"file": …, "found": N, "problems": […]}.  A process of its own, since these
libraries warn and log as they like.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path


def samm(file: Path) -> tuple[int, list[str]]:
    """The number of variables that the loader of the Eclipse Semantic Modeling Framework finds."""
    from esmf_aspect_meta_model_python import SAMMGraph

    graph = SAMMGraph()
    graph.parse(file.read_text(encoding="utf-8"))
    machines = [each.characteristic.data_type for each in graph.load_aspect_model().properties]
    return sum(len(machine.properties) for machine in machines), []


READERS: dict[str, Callable[[Path], tuple[int, list[str]]]] = {"samm": samm}


def main(kind: str, *files: str) -> None:
    for file in files:
        try:
            found, problems = READERS[kind](Path(file))
        except Exception as error:  # noqa: BLE001 - whatever it is that the library has to object
            found, problems = 0, [f"{type(error).__name__}: {error}"]
        print(json.dumps({"file": file, "found": found, "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])
