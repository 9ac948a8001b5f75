"""The programs that carry values from OPC UA to MQTT, one entry each.

Another contestant is another entry of `CONTESTANTS`: what it writes (a reader of `formats.py`) and a function that
gives the command which subscribes to `ns=2;s=v000000` … at `setting.url` and publishes with QoS 1 to the broker on
`setting.mqtt_port`.  What it needs is installed into `var/bench` by `install.py` (`needs`).
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.chain.install import NODE_MODULES, SCRIPT_PYTHON, node_program

ROOT = Path(__file__).parents[3]
SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Setting:
    """What a contestant is pointed at."""

    folder: Path
    """Its own, empty."""
    opcua_ports: tuple[int, ...]
    mqtt_port: int
    http_port: int
    variables: int
    """Of each server."""
    interval_ms: int = 100
    pki: Path | None = None
    """With it: SignAndEncrypt, with client.der and client.pem from there."""

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.opcua_ports[0]}"


@dataclass(frozen=True)
class Command:
    """How to run a contestant."""

    words: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """One program, in one way of using it."""

    name: str
    title: str
    format: str
    """A reader of `formats.py`."""
    command: Callable[[Setting], Command]
    needs: tuple[str, ...] = ()
    """Names in `install.py`."""
    most_per_s: int = 1_000_000
    """Roughly how many values per second it manages: so many are sent for each second of a load, for a program that
    keeps its queue in memory would go on for minutes."""
    many_servers: bool = False
    secure: bool = False
    """Whether its entry knows what to do with these."""
    checkout: Path | None = None
    """For the gateway: where its code is."""


# -- ours


def gateway(form: str, commit: str, topic: str, checkout: Path) -> Callable[[Setting], Command]:
    """`gateway run` of a checkout, with the Python of its own environment."""

    def command(setting: Setting) -> Command:
        path = setting.folder / "gateway.yaml"
        path.write_text(json.dumps(configuration(setting, form, commit, topic)), encoding="utf-8")  # JSON is YAML
        own = checkout == ROOT
        python = sys.executable if own else str(checkout / ".venv" / "bin" / "python")
        return Command(
            [python, "-m", "gateway", "run", str(path), "--log-format", "json"], {"PYTHONPATH": str(checkout)}
        )

    return command


def configuration(setting: Setting, form: str, commit: str, topic: str) -> dict[str, object]:
    security: dict[str, object] = {"insecure": True}
    if setting.pki:
        security = {
            "security": {"policy": "Basic256Sha256", "mode": "SignAndEncrypt", "pki": str(setting.pki / "gateway")}
        }
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
        "broker": {"url": f"mqtt://127.0.0.1:{setting.mqtt_port}"},
        "payload": {"format": form, "topic": topic},
        "outbox": {"path": str(setting.folder / "outbox"), "commit": commit, "max_bytes": "8GiB"},
        "http": {"port": setting.http_port},
    }  # fmt: skip


def ours(checkout: Path = ROOT, mark: str = "") -> list[Contestant]:
    """The gateway of a checkout in all its ways; `mark` goes behind the names."""
    per_source, per_tag = "bench/{source}", "bench/{source}/{machine}/{tag}"
    ways = [
        ("ours-json", "json, durable", "json", "fdatasync", per_source),
        ("ours-columns", "json-columns, durable", "json-columns", "fdatasync", per_source),
        ("ours-json-os", "json, commit: os", "json", "os", per_source),
        ("ours-columns-os", "json-columns, commit: os", "json-columns", "os", per_source),
        ("ours-tag", "json, a topic per tag", "json", "fdatasync", per_tag),
    ]
    return [
        Contestant(
            name + mark, f"gateway{mark}: {title}", "columns" if form == "json-columns" else "json",
            gateway(form, commit, topic, checkout), most_per_s=30_000 if topic == per_tag else 1_000_000,
            many_servers=True, secure=True, checkout=checkout,
        )
        for name, title, form, commit, topic in ways
    ]  # fmt: skip


# -- scripts, as a person would write them


def node_script(mode: str) -> Callable[[Setting], Command]:
    def command(setting: Setting) -> Command:
        words = [node_program(), "--max-old-space-size=4096", str(SCRIPTS / "script.js"), setting.url]
        words += [str(setting.variables), str(setting.mqtt_port), mode]
        return Command(words, {"NODE_PATH": str(NODE_MODULES)})

    return command


def python_script(mode: str) -> Callable[[Setting], Command]:
    def command(setting: Setting) -> Command:
        words = [str(SCRIPT_PYTHON), str(SCRIPTS / "script.py"), setting.url, str(setting.variables)]
        words += [str(setting.mqtt_port), mode, *([str(setting.pki)] if setting.pki else [])]
        return Command(words)

    return command


CONTESTANTS: dict[str, Contestant] = {
    each.name: each
    for each in (
        *ours(),
        Contestant(
            "node", "Node script, a message per response", "list", node_script("response"), ("node",), 200_000
        ),
        Contestant("node-value", "Node script, a message per value", "one", node_script("value"), ("node",), 13_000),
        Contestant(
            "python", "Python script, a message per response", "list", python_script("response"), ("python",), 35_000,
            secure=True,
        ),
        Contestant(
            "python-value", "Python script, a message per value", "one", python_script("value"), ("python",), 3_000,
            secure=True,
        ),
    )
}  # fmt: skip
