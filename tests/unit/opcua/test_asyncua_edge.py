"""What the gateway takes from asyncua by private names: each is named here, and what breaks when it goes.

They stand in `asyncua_edge.py`, `transport.py` and `publish_channel.py` of `session`.  A release of asyncua may drop
any of them without a word, so `pyproject.toml` admits patch releases only.
"""

import ast
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asyncua import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua import ua_binary

import gateway.opcua.session.asyncua_edge as edge
import gateway.opcua.session.publish_channel as publish_channel
import gateway.opcua.session.transport as transport

ROOT = Path(__file__).parents[3]
EDGE = tuple(Path(file) for file in (edge.__file__, publish_channel.__file__, transport.__file__) if file)


def protocol() -> UASocketProtocol:
    return UASocketProtocol(1.0, SecurityPolicyNone())  # type: ignore[no-untyped-call]  # asyncua's


def client() -> UaClient:
    return UaClient(1.0)


BREAKS: dict[str, tuple[Callable[[], object], str]] = {
    "_request_handle": (protocol, "PublishRequests would take handles of other requests"),
    "_sequence_number": (lambda: protocol()._connection, "the server would close the channel over our chunks"),
    "_peer_sequence_number": (lambda: protocol()._connection, "replayed or missing chunks would not be noticed"),
    "_incoming_parts": (lambda: protocol()._connection, "chunks of two messages could be mixed up"),
    "_setup_request_header": (protocol, "hand-encoded requests (Browse, CreateMonitoredItems) would have no session"),
    "_request_id": (protocol, "hand-encoded requests would take numbers of other requests"),
    "_callbackmap": (protocol, "answers to hand-encoded requests would be taken for nonsense: the link is cut"),
    "_connection": (protocol, "no request could be encoded by hand, no message limited, no token's clock set"),
    "_limits": (lambda: protocol()._connection, "requests could be longer than the server takes"),
    "_receive": (lambda: protocol()._connection, "the parts of a message would not be bounded, aborted ones be lost"),
    "_on_transport_lost": (client, "a session whose socket is gone would count as open"),
    "_set_state": (client, "a session that we connected would count as disconnected"),
    "_encrypt_password": (lambda: Client("opc.tcp://a"), "no password for a server with `accept: [encoding]`"),
    "_server_nonce": (lambda: Client("opc.tcp://a"), "the same: the server would refuse the password"),
    "_reshape": (lambda: ua_binary, "20 bytes that claim a million elements would cost gigabytes"),
}


INHERITED: dict[str, tuple[Callable[[], object], str]] = {
    "_check_incoming_chunk": (lambda: protocol()._connection, "aborted answers could be forged"),
    "_drop_incoming_parts": (lambda: protocol()._connection, "an aborted answer would end the connection"),
    "_incoming_size": (lambda: protocol()._connection, "messages would not be bounded in sum"),
    "_send_request": (protocol, "an answer in the instant of its time limit would end the task that waits"),
    "_call_callback": (protocol, "no request would be answered"),
    "_fail_all_pending": (protocol, "who waits when we hang up would wait for the time limit"),
}
"""What our subclasses of its protocol and channel use of them."""


def private_names(path: Path) -> Iterator[str]:
    """Private names of other modules' objects; an object's own are its business."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        else:
            continue
        yield from (name for name in names if name.startswith("_") and not name.startswith("__"))


@pytest.mark.parametrize("name", BREAKS | INHERITED)
def test_asyncua_still_has_the_private_names_in_use(name: str) -> None:
    made, breaks = (BREAKS | INHERITED)[name]
    assert hasattr(made(), name), f"{name} is gone: {breaks}"


def test_each_private_name_of_asyncua_is_listed_with_what_breaks_without_it() -> None:
    assert {name for path in EDGE for name in private_names(path)} == BREAKS.keys()


@pytest.mark.parametrize("path", sorted((ROOT / "gateway/opcua").rglob("*.py")), ids=lambda p: p.name)
def test_private_names_are_used_only_in_listed_files(path: Path) -> None:
    assert path in EDGE or not list(private_names(path))


def test_pyproject_admits_only_releases_with_the_same_internals() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [each for each in project["dependencies"] if each.startswith("asyncua")] == ["asyncua~=2.1.0"]
