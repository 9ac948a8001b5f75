"""The tree is the architecture: imports point down, adapters apart, libraries stay in their package."""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from gateway.config.commands import CodecName
from gateway.config.payload import FormatName

ROOT = Path(__file__).parents[2]

GATEWAY_ORDER = (
    "process_signals", "stop_deadline", "errors", "advice", "shipped", "in_thread", "tcp", "model", "values", "topics",
    "urls", "patterns", "sound_parts", "yaml_words", "yaml_positions", "yaml_models", "profiles", "config", "nkeys",
    "tls", "metrics", "logs", "notify", "happened", "cancellation", "link", "delivery", "operations", "outbox", "group",
    "payload", "loading", "pull", "shaping", "opcua", "mqtt", "nats", "kafka", "commands", "pipeline", "modelling",
    "importing", "cloud_load", "enrolment", "fleet", "web", "gc_tuning", "telemetry", "run", "demo", "emulator",
    "cli", "__main__",
)  # fmt: skip
SIMULATORS_ORDER = (
    "process_signals", "errors", "shipped", "pace", "urls", "yaml_words", "yaml_positions", "yaml_models", "streams",
    "distributions", "states", "account", "kpis", "signals", "plant", "flow", "clock", "faults", "alarms", "trial",
    "trace", "capacity", "describe", "verify", "improve", "metrics", "logs", "view", "server", "vehicles", "app",
    "fleet", "published", "trial_server", "options", "late", "trial_cli", "cli", "__main__",
)  # fmt: skip
ROOM_ORDERS = {
    "gateway.opcua": (
        "client_alone", "codec", "session", "space", "subscription", "operations", "explore", "facts", "meeting",
        "opening",
    ),
    "gateway.run": (
        "admission", "added", "added_file", "changes", "taking", "pulling", "history", "kept_losses", "gateway",
        "itself", "commands", "health", "life", "sink_kinds", "source_unit", "sink_unit", "state", "search", "tapping",
        "acts", "inside", "readiness", "reconcile", "app",
    ),
}  # fmt: skip
"""The order inside of a package that has rooms; what its `__init__` imports is what the package offers."""
ADAPTERS = {"gateway": {"opcua", "mqtt", "nats", "kafka", "web"}, "simulators": {"server", "vehicles"}}
HOMES = {
    "asyncua": {"gateway.opcua", "simulators.server"},
    "aiomqtt": {"gateway.mqtt", "simulators.vehicles"},
    "paho": {"gateway.mqtt"},
    "mqtt5": {"gateway.mqtt"},
    "iotcore": {"gateway.demo"},
    "nats": {"gateway.group", "gateway.pull"},
    "opentelemetry": {"gateway.telemetry"},
    "confluent_kafka": {"gateway.kafka"},
    "simpy": {"simulators.flow", "simulators.clock"},
    "aiohttp": {"gateway.web", "simulators.server"},
    "o6": set(),
}
WHO_NAMES_MQTT = {"gateway/run/sink_kinds.py", "gateway/cli/watch.py", "gateway/cli/fleet.py"}
"""Everyone else meets `gateway/delivery`: reason codes, packets and limits of MQTT stay where it is spoken."""

UNITS = {
    "gateway.opcua": "source_unit",
    "gateway.pipeline.collect": "source_unit",
    "gateway.pipeline.keep_alive": "source_unit",
    "gateway.mqtt": "sink_kinds",
    "gateway.nats": "sink_kinds",
    "gateway.kafka": "sink_kinds",
    "gateway.pipeline.forward": "sink_unit",
}
"""In `gateway/run`: which room alone imports an adapter, or the loop of one peer."""


@cache
def modules() -> list[Path]:
    return [p for package in ("gateway", "simulators") for p in sorted((ROOT / package).rglob("*.py"))]


@dataclass
class Found:
    """What one file holds that a test here asks for."""

    names: set[str] = field(default_factory=set)
    """Imported: `import a.b` is `a.b`, and `from a.b import c` is `a.b.c`."""
    modules: set[str] = field(default_factory=set)
    """The `a.b` of `from a.b import c`."""
    constants: set[object] = field(default_factory=set)
    functions: list[tuple[int, str, int]] = field(default_factory=list)
    """Line, name, and how many parameters it takes by position."""
    waits: list[int] = field(default_factory=list)
    """Lines that say `wait_for`."""

    def add(self, path: Path, node: ast.AST) -> None:
        match node:
            case ast.Constant(value=value):
                self.constants.add(value)
            case ast.Name(id="wait_for", lineno=line) | ast.Attribute(attr="wait_for", lineno=line):
                self.waits.append(line)
            case ast.Import():
                self.names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                assert node.level == 0, f"{path}:{node.lineno}: import by the full name"
                self.modules.add(str(node.module))
                self.names |= {f"{node.module}.{alias.name}" for alias in node.names}
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                positional = [*node.args.posonlyargs, *node.args.args]
                count = sum(each.arg not in ("self", "cls") for each in positional)
                self.functions.append((node.lineno, node.name, count))


@cache
def found_in(path: Path) -> Found:
    """One pass over the tree, which is not kept: those of all files together slow down every later test."""
    found = Found()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found.add(path, node)
    return found


def imported(path: Path) -> set[str]:
    return found_in(path).names


def part_of(name: str) -> tuple[str, str]:
    """`gateway.opcua.session` as `("gateway", "opcua")`."""
    package, _, rest = name.partition(".")
    return package, rest.split(".")[0]


def home_of(path: Path) -> tuple[str, str]:
    return part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))


def test_imports_point_down() -> None:
    for path in modules():
        package, part = home_of(path)
        if part == "__init__":
            continue
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


def test_protocol_libraries_stay_in_their_package() -> None:
    for path in modules():
        home = ".".join(home_of(path))
        for name in imported(path):
            library = name.split(".")[0]
            if library in HOMES:
                assert home in HOMES[library], f"{path} imports {name}: only {HOMES[library] or 'nobody'} may"


def test_outside_packages_know_only_the_delivery_contract_of_a_sink() -> None:
    named = {
        str(path.relative_to(ROOT))
        for path in modules()
        if home_of(path) != ("gateway", "mqtt")
        and any(f"{name}.".startswith("gateway.mqtt.") for name in imported(path))
    }
    assert named == WHO_NAMES_MQTT


def test_rooms_of_a_package_import_downward() -> None:
    for path in modules():
        names = path.relative_to(ROOT).with_suffix("").parts
        package, room = ".".join(names[:2]), names[2] if len(names) > 2 else "__init__"
        if package not in ROOM_ORDERS or room == "__init__":
            continue
        order = ROOM_ORDERS[package]
        assert room in order, f"{room} has no place in {package}: add it where it belongs"
        for name in imported(path):
            other = name.removeprefix(f"{package}.").split(".")[0]
            if name == package or not name.startswith(f"{package}.") or other == room:
                continue
            assert other in order, f"{path} imports {name}: what the package offers is for those outside"
            assert order.index(other) < order.index(room), f"{path} imports {name}: that points up"


@pytest.mark.parametrize("name", sorted(UNITS))
def test_only_a_peers_unit_imports_its_protocol_package(name: str) -> None:
    rooms = {
        path.stem
        for path in modules()
        if home_of(path) == ("gateway", "run") and any(f"{each}.".startswith(f"{name}.") for each in imported(path))
    }
    assert rooms == {UNITS[name]}


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def asked(path: Path) -> set[str]:
    """What a file asks for anything: `from a.b import c` asks `a.b`, and where that is a module `a.b.c`."""
    return found_in(path).names | found_in(path).modules


@pytest.mark.parametrize("package", ["gateway", "simulators"])
def test_no_circle_of_imports(package: str) -> None:
    """Module by module, through every package: whoever reads a file need not read the one above it.

    Imports that only the type checker sees count as well.
    """
    files = {dotted(path): path for path in modules() if f"{dotted(path)}.".startswith(f"{package}.")}
    ways = {module: asked(path) & files.keys() - {module} for module, path in files.items()}
    while free := [module for module, uses in ways.items() if not uses & ways.keys()]:
        for module in free:
            del ways[module]
    circle = {module: sorted(uses & ways.keys()) for module, uses in ways.items()}
    assert not circle, f"these import each other, directly or through others: {circle}"


def test_nobody_outside_payload_asks_for_a_format_by_its_name() -> None:
    """Beside the list of names that the file may say, and codecs of commands, one of which has the same name."""
    names = set(get_args(FormatName)) - set(get_args(CodecName))
    for path in modules():
        if home_of(path) == ("gateway", "payload") or path == ROOT / "gateway/config/payload.py":
            continue
        found = found_in(path).constants & (names - {"json"})
        assert not found, f"{path} knows the format {found}: ask its `Format`"


def test_no_more_than_five_parameters_by_position() -> None:
    for path in sorted((ROOT / "gateway/opcua").rglob("*.py")):
        for line, name, count in found_in(path).functions:
            assert count <= 5, f"{path}:{line}: {name} has {count}: let some be keywords"


def test_nobody_waits_in_a_way_that_may_lose_a_cancellation() -> None:
    """`asyncio.wait_for` returns its result instead, when both come in one turn of the loop (CPython before 3.12)."""
    found = [f"{path}:{line}" for path in modules() for line in found_in(path).waits]
    assert not found, f"{found}: use asyncio.timeout"
