"""What the gateway takes from aiomqtt and paho by private names: each is named here, and what breaks when it goes.

A new release may drop any of them without a word.  These tests name the place at once, where otherwise a broker would
find out.  `pyproject.toml` allows no release that they have not seen.
"""

import ast
import inspect
import textwrap
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest

PACKAGE = Path(__file__).parents[3] / "gateway" / "mqtt"
EDGE = "paho_edge.py"
WEB_SOCKET: type = vars(paho)["_WebsocketWrapper"]
BREAKS: dict[type, dict[str, str]] = {
    aiomqtt.Client: {
        "_client": "paho itself: publishing, acknowledgements, what the broker announced",
        "_client_connect": "a cancelled attempt would leave its thread and its socket behind",
        "_connected": "a connection that is lost before the CONNACK would be waited for until the time-out",
    },
    paho.Client: {
        "_create_socket_connection": "paho would dial by itself, in a thread that cannot be cancelled",
        "_ssl_wrap_socket": "the broker's certificate would not be seen, nor a handshake be cut short",
        "_sock_close": "a session that breaks would say DISCONNECT, and the broker would forget the last will",
        "_sock": "on a web socket with TLS what is decrypted already would wait for the next bytes",
        "_sock_recv": "a broker could make us keep a packet of 256 MB",
        "_packet_handle": "floods, packets that must not come, and reason codes that paho does not know",
        "_in_packet": "the same: it holds what is being handled",
        "_ping_t": "floods of PINGRESP",
        "_out_packet": "a large message on a slow line would look like a dead link",
    },
    WEB_SOCKET: {
        "_readbuffer": "a broker could make us keep a frame of any length",
        "_socket": "on a web socket a large message on a slow line would look like a dead link",
    },
}
TEXTS = {WEB_SOCKET: {"_readbuffer", "_socket"}}
"""Names that are looked up by text."""


def names_of(kind: type) -> set[str]:
    """The private names that a class defines or assigns."""
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind)))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def taken_by(source: ast.AST) -> set[str]:
    """Private names that are taken of anything but `self` and `cls`."""
    return {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in BREAKS.items() for name in names])
def test_paho_and_aiomqtt_still_have_the_private_names_in_use(kind: type, name: str) -> None:
    assert name in names_of(kind), f"{kind.__name__}.{name} is gone: {BREAKS[kind][name]}"


def test_the_edge_uses_exactly_the_listed_names() -> None:
    listed = {name for names in BREAKS.values() for name in names}
    by_text = {name for names in TEXTS.values() for name in names}
    source = (PACKAGE / EDGE).read_text()
    assert taken_by(ast.parse(source)) == listed - by_text
    assert all(f'"{name}"' in source for name in by_text)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_no_other_file_uses_a_private_name(path: Path) -> None:
    if path.name != EDGE:
        assert not taken_by(ast.parse(path.read_text())), f"{path.name}: private names belong into {EDGE}"
