"""The models of the shipped plants, and of the worst server there is, are read by the libraries of others.

| format | read by | `found` |
| --- | --- | --- |
| json-schema | jsonschema | |
| asyncapi | @asyncapi/parser (npm) | operations |
| wot | the JSON Schema of the W3C (npm wot-thing-description-types) | |
| nodeset2 | node-opcua (npm), which builds the address space | variables |
| aas, aasx | aas-test-engines (PyPI), of the IDTA, with its submodel templates | variables |
| samm | esmf-aspect-model-loader (PyPI) | variables |
| dtdl | @digicatapult/dtdl-parser (npm), which is Microsoft's parser | telemetry |

One process for each library reads all models.  Of every run: the reference plant as its server describes it, one
machine of each shape that any shipped plant has (`tests/support/shapes.py`), and the worst.  `make models` reads all
plants as they are.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest

from gateway.model import Priority
from gateway.modelling.description import Description, Told
from gateway.modelling.formats import MODEL_FORMATS
from gateway.modelling.table_file import written
from tests.support.models import PLANTS, ROOT, described_plant, worst_description
from tests.support.node import PEERS, node_for
from tests.support.shapes import FILE, LOAD, described_shapes, one_of_each

PYTHON = {"aas-test-engines": "aas_test_engines", "esmf-aspect-model-loader": "esmf_aspect_meta_model_python"}
READER = ROOT / "tests/support/read_models.py"
WORST = "worst"
SHAPES, SHORT = "shapes", "plant"
IS_ALL = os.environ.get("MODELS") == "all"
CHOSEN = [path for path in PLANTS if path.stem == SHORT or (IS_ALL and path.stem != LOAD)]


@pytest.fixture(scope="module")
def plants() -> Mapping[str, Description]:
    with asyncio.Runner() as runner:
        found = {path.stem: runner.run(described_plant(path)) for path in CHOSEN}
    return {**found, SHAPES: described_shapes(), WORST: worst_description()}


@pytest.fixture(scope="module")
def models(plants: Mapping[str, Description], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, form in MODEL_FORMATS.items():
        for plant, description in plants.items():
            with (folder / f"{plant}.{name}").open("wb") as file:
                for piece in form.write(description, Told()):
                    file.write(piece.encode() if isinstance(piece, str) else piece)
    return folder


def read_by(library: str, kind: str, files: list[Path]) -> dict[str, int]:
    """What a library found in each model, by plant; it has no objection to any."""
    if library in PYTHON:
        pytest.importorskip(PYTHON[library])
        command = [sys.executable, str(READER), kind, *map(str, files)]
    else:
        command = [node_for(library), str(PEERS / "check-models.mjs"), kind, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [each["file"] for each in answers] == list(map(str, files))
    assert {each["file"]: each["problems"] for each in answers if each["problems"]} == {}
    return {Path(each["file"]).stem: each["found"] for each in answers}


if IS_ALL:  # `make models`

    def test_the_shapes_are_those_of_all_plants(plants: Mapping[str, Description]) -> None:
        found = one_of_each([(path.stem, plants[path.stem].sources[0]) for path in CHOSEN])
        assert "".join(written("edge-1", found)) == FILE.read_text(encoding="utf-8"), "python -m tests.support.shapes"


def test_json_schema(plants: Mapping[str, Description], models: Path) -> None:
    for plant, description in plants.items():
        document = json.loads((models / f"{plant}.json-schema").read_bytes())
        jsonschema.Draft202012Validator.check_schema(document)
        assert {topic.topic for topic in description.topics} <= document["$defs"].keys()


def test_asyncapi(plants: Mapping[str, Description], models: Path) -> None:
    found = read_by("@asyncapi/parser", "asyncapi", sorted(models.glob("*.asyncapi")))
    # one operation for each topic, presence, and requests of each source
    assert found == {name: len(each.topics) + 1 + len(each.command_topics) for name, each in plants.items()}


def test_dtdl(plants: Mapping[str, Description], models: Path) -> None:
    found = read_by("@digicatapult/dtdl-parser", "dtdl", sorted(models.glob("*.dtdl")))
    assert found == {name: len(list(each.points)) for name, each in plants.items()}


def test_nodeset(plants: Mapping[str, Description], models: Path) -> None:
    found = read_by("node-opcua", "nodeset", sorted(models.glob("*.nodeset2")))
    # each variable once, also where there are aggregates of it
    tags = {name: [tag for table in each.sources for tag in table.tags] for name, each in plants.items()}
    assert found == {name: sum(tag.priority is not Priority.EVENT for tag in each) for name, each in tags.items()}


def test_aspect_model(plants: Mapping[str, Description], models: Path) -> None:
    found = read_by("esmf-aspect-model-loader", "samm", sorted(models.glob("*.samm")))
    assert found == {name: len(list(each.points)) for name, each in plants.items()}


def test_administration_shell(plants: Mapping[str, Description], models: Path) -> None:
    for form in ("aas", "aasx"):
        found = read_by("aas-test-engines", "aas", sorted(models.glob(f"*.{form}")))
        assert found == {name: len(list(each.points)) for name, each in plants.items()}


def test_thing_description(plants: Mapping[str, Description], models: Path) -> None:
    node_for("wot-thing-description-types")
    schema = PEERS / "node_modules/wot-thing-description-types/schema/td-json-schema-validation.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_bytes()))
    for plant, description in plants.items():
        thing = json.loads((models / f"{plant}.wot").read_bytes())
        validator.validate(thing)
        assert len(thing["properties"]) == len(list(description.points))
        assert len(thing["actions"]) == sum(len(source.commands) for source in description.sources)
