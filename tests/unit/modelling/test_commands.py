"""`gateway model` and `gateway import` on the command line: documents that are current, completion, wrong things."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import cli
from gateway.importing.formats import IMPORT_FORMATS
from gateway.modelling.formats import MODEL_FORMATS
from gateway.modelling.table_file import written
from tests.support.models import ROOT, tables_of_worst

CONFIG = """
sources:
  - {name: %s, url: "opc.tcp://127.0.0.1:1", insecure: true, select: [{subtree: i=85}]}
broker: {url: "mqtt://127.0.0.1"}
payload: {topic: plant}
"""


def told(*arguments: str, **environment: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, list(arguments), env={"COLUMNS": "200", **environment})
    return done.exit_code, done.output


@pytest.mark.parametrize("formats", [MODEL_FORMATS, IMPORT_FORMATS], ids=["model", "import"])
def test_the_documents_list_every_format_with_what_it_is(formats: dict[str, object]) -> None:
    readme = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    for name, form in formats.items():
        assert f"| `{name}` | {form.about} |" in readme  # type: ignore[attr-defined]  # of either kind


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("gateway model export a", {"asyncapi", "aas", "aasx"}), ("gateway import t", {"thingsboard", "telegraf"})],
)
def test_the_shell_completes_formats(typed: str, offered: set[str]) -> None:
    environment = {"_GATEWAY_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = CliRunner().invoke(
        cli, [], prog_name="gateway", env={**environment, "_TYPER_COMPLETE_ARGS": typed}
    )  # fmt: skip
    assert {line.split("\t")[0] for line in done.output.splitlines() if "\t" in line} == offered


def test_a_model_is_made_of_a_table_without_its_servers(tmp_path: Path) -> None:
    config, table, out = tmp_path / "gateway.yaml", tmp_path / "plant.table", tmp_path / "model"
    config.write_text(CONFIG % "a", encoding="utf-8")
    table.write_text("".join(written("edge-1", tables_of_worst())), encoding="utf-8")
    code, text = told("model", "export", "dtdl", str(config), "--table", str(table), "-o", str(out))
    assert code == 0, text
    assert out.stat().st_size > 10_000
    assert "DTDL has no such unit, so it is in the comment: furlong of " in text
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("model export xml gateway.yaml", 2, "there is no format 'xml', only json-schema, asyncapi"),
        ("import xml x", 2, "there is no format 'xml', only opc-publisher"),
        ("model export wot nowhere.yaml", 78, "nowhere.yaml: cannot be read: No such file"),
        ("model export wot gateway.yaml", 69, "is it running, and is the port right?"),
        ("model export wot gateway.yaml --table nowhere", 78, "nowhere: cannot be read: No such file"),
        ("model export wot other.yaml --table plant.table", 78, "has a, A, but not b: make it again"),
        (
            "model export wot gateway.yaml --table plant.table -o no/where",
            74,
            "no/where: cannot be written: No such file",
        ),
        (
            "model export wot fields.yaml --table plant.table",
            78,
            "plant.table: its variables have no field 'hall', so it",
        ),
        ("import csv nowhere", 78, "nowhere: cannot be read: No such file"),
        ("import csv tags.csv", 78, "tags.csv:2: the server is not named: add a column `url`, or --url"),
    ],
)
def test_a_mistake_says_what_where_and_how_to_mend_it(
    line: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gateway.yaml").write_text(CONFIG % "a", encoding="utf-8")
    Path("other.yaml").write_text(CONFIG % "b", encoding="utf-8")
    fields = (CONFIG % "a").replace("select:", "fields: {hall: x}, select:").replace("topic: plant", 'topic: "{hall}"')
    Path("fields.yaml").write_text(fields, encoding="utf-8")
    Path("tags.csv").write_text("node\ni=2258\n", encoding="utf-8")
    Path("plant.table").write_text("".join(written("edge-1", tables_of_worst())), encoding="utf-8")
    found, text = told(*line.split())
    assert words in text
    assert found == code
    assert "Traceback" not in text
