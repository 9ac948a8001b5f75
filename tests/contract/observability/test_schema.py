"""Grafana's own TypeScript types take the dashboards: structure, names and the words of every enumeration.

A dashboard is compiled as a constant of the published type, panels with the types of their kind's options and fields.
The types name words by enumerations; `Plain` stands for the same words in JSON.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.panels import BOARDS
from tests.support.programs import ROOT

MODULES = ROOT / "tests" / "peers" / "node_modules"
KINDS = {
    "stat": "Stat", "gauge": "Gauge", "bargauge": "BarGauge", "timeseries": "TimeSeries", "table": "Table",
    "state-timeline": "StateTimeline", "heatmap": "Heatmap",
}  # fmt: skip
WITH_FIELDS = ("timeseries", "state-timeline", "heatmap")
MARKS = ("expr", "step", "titleFormat", "textFormat")
"""What the Prometheus plugin reads of an annotation; the schema does not know it."""
PLAIN = """
type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends Array<infer U> ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


def compiled(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """What the TypeScript compiler says of a file."""
    if not (MODULES / "@grafana" / "schema").is_dir() or not (MODULES / "typescript").is_dir():
        pytest.skip("@grafana/schema and typescript are not installed (npm ci in tests/peers)")
    (folder / "node_modules").symlink_to(MODULES.resolve())
    (folder / "boards.ts").write_text(source, encoding="utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"]
    tsc = MODULES / "typescript" / "bin" / "tsc"
    return subprocess.run(
        ["node", str(tsc), *options, "boards.ts"], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )


def imports() -> str:
    place = "@grafana/schema/dist/esm/raw/composable/{}/panelcfg/x/{}PanelCfg_types.gen"
    lines = ["import type { Dashboard } from '@grafana/schema';"]
    for kind, name in KINDS.items():
        names = f"Options as {name}Options" + (f", FieldConfig as {name}Fields" if kind in WITH_FIELDS else "")
        lines.append(f"import type {{ {names} }} from '{place.format(kind.replace('-', ''), name)}';")
    return "\n".join(lines) + PLAIN


def constants(path: Path) -> str:
    board = json.loads(path.read_text(encoding="utf-8"))
    for mark in board["annotations"].get("list", []):
        for key in MARKS:
            mark.pop(key, None)
    lines = [f"export const {path.stem}: Plain<Dashboard> = {json.dumps(board)};"]
    for n, panel in enumerate(board["panels"]):
        name = KINDS[panel["type"]]
        lines.append(f"export const {path.stem}{n}: Partial<Plain<{name}Options>> = {json.dumps(panel['options'])};")
        if panel["type"] in WITH_FIELDS:
            custom = json.dumps(panel["fieldConfig"]["defaults"]["custom"])
            lines.append(f"export const {path.stem}{n}f: Partial<Plain<{name}Fields>> = {custom};")
    return "\n".join(lines) + "\n"


def test_grafanas_types_accept_every_dashboard(tmp_path: Path) -> None:
    done = compiled(tmp_path, imports() + "".join(map(constants, BOARDS)))
    assert (done.returncode, done.stdout) == (0, "")


def test_grafanas_types_refuse_an_invalid_dashboard(tmp_path: Path) -> None:
    wrong = constants(BOARDS[0]).replace('"displayMode": "list"', '"displayMode": "lists"')
    assert "'\"lists\"'" in compiled(tmp_path, imports() + wrong).stdout
