"""The tree is the architecture: imports point down, adapters apart, libraries stay in their package."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

GATEWAY_ORDER = (
    "errors", "model", "values", "topics", "located", "config", "metrics", "logs", "notify", "link", "outbox",
    "payload", "shaping", "opcua", "mqtt", "commands", "pipeline", "web", "pauses", "reload", "peers", "app", "demo",
    "cli", "__main__",
)  # fmt: skip
SIMULATORS_ORDER = (
    "errors", "located", "streams", "distributions", "states", "account", "kpis", "signals", "plant", "flow", "clock",
    "faults", "trace", "capacity", "describe", "verify", "metrics", "logs", "view", "server", "app", "cli", "__main__",
)  # fmt: skip
ADAPTERS = {"gateway": {"opcua", "mqtt", "web"}, "simulators": {"server"}}
HOMES = {
    "asyncua": {"gateway.opcua", "simulators.server"},
    "aiomqtt": {"gateway.mqtt"},
    "paho": {"gateway.mqtt"},
    "mqtt5": {"gateway.mqtt"},
    "iotcore": {"gateway.demo"},
    "simpy": {"simulators.flow", "simulators.clock"},
    "aiohttp": {"gateway.web", "simulators.server"},
    "o6": set(),
}


def modules() -> list[Path]:
    return [p for package in ("gateway", "simulators") for p in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(name: str) -> tuple[str, str]:
    """`gateway.opcua.session` as `("gateway", "opcua")`."""
    package, _, rest = name.partition(".")
    return package, rest.split(".")[0]


def home_of(path: Path) -> tuple[str, str]:
    return part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    package, part = home_of(path)
    if part == "__init__":
        return
    order = GATEWAY_ORDER if package == "gateway" else SIMULATORS_ORDER
    assert part in order, f"{part} has no place in the order: add it where it belongs"
    for name in imported(path):
        other_package, other = part_of(name)
        if other_package not in ("gateway", "simulators") or not other or other == part:
            continue
        assert other_package == package, f"{path} imports {name}: the two packages meet on the wire only"
        if other not in order:  # a name of the package itself, such as __version__
            continue
        assert order.index(other) < order.index(part), f"{path} imports {name}: that points up"
        assert not {part, other} <= ADAPTERS[package], f"{path} imports {name}: adapters do not know each other"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_protocol_libraries_stay_in_their_package(path: Path) -> None:
    home = ".".join(home_of(path))
    for name in imported(path):
        library = name.split(".")[0]
        if library in HOMES:
            assert home in HOMES[library], f"{path} imports {name}: only {HOMES[library] or 'nobody'} may"
