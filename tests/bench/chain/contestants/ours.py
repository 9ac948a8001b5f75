"""The gateway of a checkout, in the ways in which it is used."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.chain.contestants.entry import ROOT, Command, Contestant, Setting

PER_SOURCE, PER_TAG = "bench/{source}", "bench/{source}/{machine}/{tag}"
_WAYS = (
    ("ours-json", "json", "json", "fdatasync", PER_SOURCE),
    ("ours-columns", "json-columns", "json-columns", "fdatasync", PER_SOURCE),
    ("ours-json-os", "json, commit: os", "json", "os", PER_SOURCE),
    ("ours-columns-os", "json-columns, commit: os", "json-columns", "os", PER_SOURCE),
    ("ours-tag", "json, a topic per tag", "json", "fdatasync", PER_TAG),
    ("ours-tag-os", "json, a topic per tag, commit: os", "json", "os", PER_TAG),
)
"""Name, title, format, commit, topic."""


def ours(checkout: Path = ROOT, mark: str = "") -> list[Contestant]:
    """The gateway of a checkout in all its ways; `mark` goes behind the names."""
    return [
        Contestant(
            name + mark, f"gateway{mark}: {title}", "columns" if form == "json-columns" else "json",
            _run(checkout, form, commit, topic), can=frozenset(("many", "secure", "backlog")), checkout=checkout,
        )
        for name, title, form, commit, topic in _WAYS
    ]  # fmt: skip


def python_of(checkout: Path) -> str:
    """The Python of a checkout's own environment."""
    return sys.executable if checkout == ROOT else str(checkout / ".venv" / "bin" / "python")


def _run(checkout: Path, form: str, commit: str, topic: str) -> Callable[[Setting], Command]:
    def command(setting: Setting) -> Command:
        path = setting.folder / "gateway.yaml"
        path.write_text(json.dumps(configuration(setting, form, commit, topic)), encoding="utf-8")  # JSON is YAML
        words = [python_of(checkout), "-m", "gateway", "run", str(path), "--log-format", "json"]
        return Command(words, {"PYTHONPATH": str(checkout)})

    return command


def configuration(setting: Setting, form: str, commit: str, topic: str) -> dict[str, object]:
    security: dict[str, object] = {"insecure": True}
    if setting.pki:
        secure = {"policy": "Basic256Sha256", "mode": "SignAndEncrypt", "pki": str(setting.pki / "gateway")}
        security = {"security": secure}
    select = {"subtree": "nsu=urn:load;s=load", "levels": ["machine"], "include": ["*/*"]}
    return {
        "name": "edge",
        "sources": [
            {
                "name": f"s{number:03}", "url": f"opc.tcp://127.0.0.1:{port}", **security, "queue_size": 1000,
                "publishing_interval": f"{setting.interval_ms}ms", "select": [select],
            }
            for number, port in enumerate(setting.opcua_ports)
        ],
        "broker": {"url": f"mqtt://127.0.0.1:{setting.mqtt_port}", **setting.broker},
        "payload": {"format": form, "topic": topic},
        "outbox": {"path": str(setting.folder / "outbox"), "commit": commit, "max_bytes": "16GiB"},
        "http": {"port": setting.http_port},
    }  # fmt: skip
