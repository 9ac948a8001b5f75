"""`python tests/support/read_models.py samm|aas FILE...`: models as Python libraries of others read them.

Prints a JSON object for each file: {"file": …, "found": N, "problems": […]}.  A process of its own, since these
libraries warn and log as they like.
"""

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path


def samm(file: Path) -> tuple[int, list[str]]:
    """The number of variables that the loader of the Eclipse Semantic Modeling Framework finds."""
    from esmf_aspect_meta_model_python import SAMMGraph

    graph = SAMMGraph()
    graph.parse(file.read_text(encoding="utf-8"))
    machines = [each.characteristic.data_type for each in graph.load_aspect_model().properties]
    return sum(len(machine.properties) for machine in machines), []


def aas(file: Path) -> tuple[int, list[str]]:
    """The number of variables, and what the test engines of the IDTA object to."""
    from aas_test_engines import file as engines
    from aas_test_engines.result import Level

    if file.suffix == ".aasx":
        with zipfile.ZipFile(file) as package:
            result = engines.check_aasx_data(package)
            environment = json.loads(package.read("aasx/environment.aas.json"))
    else:
        environment = json.loads(file.read_bytes())
        result = engines.check_json_data(environment)
    lines: list[str] = []

    def told(each: object) -> None:
        if getattr(each, "level", Level.INFO) == Level.ERROR:
            lines.append(str(getattr(each, "message", each)))
        for inner in getattr(each, "sub_results", ()):
            told(inner)

    told(result)
    technical = next(each for each in environment["submodels"] if each["idShort"] == "TechnicalData")
    machines = technical["submodelElements"][1].get("value", [])
    return sum(len(machine["value"]) for machine in machines), ([] if result.ok() else lines)


READERS: dict[str, Callable[[Path], tuple[int, list[str]]]] = {"samm": samm, "aas": aas}


def main(kind: str, *files: str) -> None:
    for file in files:
        try:
            found, problems = READERS[kind](Path(file))
        except Exception as error:  # noqa: BLE001 - whatever it is that the library has to object
            found, problems = 0, [f"{type(error).__name__}: {error}"]
        print(json.dumps({"file": file, "found": found, "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])
