"""The plants that come with the package, by name: `reference-line`, `bottling`, `plant` (the commented one).

They are in `examples/` of an installed package, and in `config/` of a checkout.
"""

import re
from pathlib import Path

from simulators.errors import ConfigError

_BESIDE = Path(__file__).parent / "examples"
EXAMPLES = _BESIDE if _BESIDE.is_dir() else Path(__file__).parents[1] / "config"
"""The folder of all examples of this package."""
SCHEMA = EXAMPLES / "plant.schema.json"
_OWN_SCHEMA = re.compile(r"\A# yaml-language-server: \$schema=.*\n")


def plants() -> dict[str, Path]:
    """Every plant that comes with the package."""
    files = [EXAMPLES / "plant.yaml", *sorted((EXAMPLES / "plants").glob("*.yaml"))]
    return {file.stem: file for file in files}


def is_name(text: str) -> bool:
    """Whether this is the name of a plant that comes with the package, and not a path."""
    return re.fullmatch(r"[\w-]+", text) is not None and not Path(text).is_file()


def plant_file(given: Path) -> Path:
    """The file of a plant that is given by its path or by its name.  Raises `ConfigError` for an unknown name."""
    if not is_name(str(given)):
        return given
    known = plants()
    if str(given) not in known:
        raise ConfigError([f"{given}: there is neither such a file nor such a plant; plants: {', '.join(known)}"])
    return known[str(given)]


def faults_file(given: Path) -> Path:
    """The file of faults; `faults` without a file of that name is the one that comes with the package."""
    return EXAMPLES / "faults.yaml" if str(given) == "faults" and not given.is_file() else given


def write_plant(name: Path, output: Path, overwrite: bool) -> list[Path]:
    """Write a plant to a file, and the schema for editors beside it.  Returns the files written.

    Raises `ConfigError` when there is a file already that must not be overwritten; `OSError`.
    """
    text = plant_file(name).read_text(encoding="utf-8")
    if output.exists() and not overwrite:
        raise ConfigError([f"{output}: there is such a file already; --force overwrites it"])
    output.write_text(_OWN_SCHEMA.sub(f"# yaml-language-server: $schema={SCHEMA.name}\n", text), encoding="utf-8")
    schema = output.parent / SCHEMA.name
    schema.write_bytes(SCHEMA.read_bytes())
    return [output, schema]
