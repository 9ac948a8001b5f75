"""What is installed is whole: the wheel, and the source distribution, each far away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.programs import ROOT

INSIDE = """
import contextlib, io, json, pathlib, sys
import gateway, simulators
from typer.testing import CliRunner
from gateway.cli import cli
from gateway.cli.validating import SCHEMAS
from gateway.loading import load
from gateway.shipped import examples
from simulators.cli import app
from simulators.shipped import SCHEMA, plants

for module in (gateway, simulators):
    assert pathlib.Path(module.__file__).is_relative_to(sys.prefix), module.__file__
def said(command, *words):
    result = CliRunner().invoke(command, list(words))
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.output
said(cli, "--help"), said(app, "--help")
for name in SCHEMAS:
    json.loads(said(cli, "schema", name))
for name in plants():
    assert said(app, "trace", name, "--until", "1"), name
assert json.loads(said(app, "schema")) == json.loads(SCHEMA.read_text())
for name, path in examples().items():
    assert said(cli, "init", "--example", name) == path.read_text()
    load(path)
said(app, "init", "my-cell.yaml", "--from", "machining-cell")
assert pathlib.Path("my-cell.yaml").read_text().startswith("# yaml-language-server: $schema=plant.schema.json")
print(len(plants()), len(examples()), len(SCHEMAS))
"""


def copy_of_the_checkout(folder: Path) -> Path:
    """What git knows, or would: building leaves files behind in the folder where it happens."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n"):
        if name and not name.startswith(("tests/", "docker/")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def build(what: str, source: Path, into: Path) -> Path:
    """A `wheel` or `sdist`, as a front end of builds makes it."""
    call = f"import setuptools.build_meta as b; print(b.build_{what}({str(into)!r}))"
    done = subprocess.run([sys.executable, "-c", call], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return into / done.stdout.split()[-1]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist() if not name.endswith("RECORD")}


def environment(folder: Path, wheel: Path) -> Path:
    """A fresh environment with the wheel, and the libraries of this one; its `python`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # editable installs there do not count
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    subprocess.run([str(python), "-m", "pip", *install, "--ignore-installed", str(wheel)], check=True)
    return python


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of the checkout; and that of the source distribution, which was unpacked elsewhere."""
    folder = tmp_path_factory.mktemp("built")
    source = copy_of_the_checkout(folder / "checkout")
    sdist = build("sdist", source, folder)
    with tarfile.open(sdist) as packed:
        packed.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    (folder / "again").mkdir()
    return build("wheel", source, folder), build("wheel", unpacked, folder / "again")


def test_wheel_and_source_distribution_install_the_same(built: tuple[Path, Path]) -> None:
    direct, again = map(contents, built)
    assert direct.keys() == again.keys()
    assert [name for name in direct if direct[name] != again[name]] == []


def test_an_installed_wheel_has_every_plant_schema_and_example_and_its_demo_runs(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    python, away = environment(tmp_path / "env", built[1]), tmp_path / "away"
    away.mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def said(*words: str) -> str:
        done = subprocess.run(
            [str(python), *words], cwd=away, env=clean, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    plants, examples, schemas = map(int, said("-c", INSIDE).split())
    assert (plants, examples) >= (13, 19)
    assert schemas > 10
    demo = json.loads(said("-m", "gateway", "demo", "--duration", "3", "--json"))
    assert demo["received"] == demo["delivered"] + demo["stored"] > 0
