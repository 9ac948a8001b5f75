"""Answers in the form of the Open Manufacturing Platform's connector; `omp.py` has what is different from it."""

import uuid
from collections.abc import Mapping, Sequence

from gateway.commands.codec import Context, Encoded
from gateway.commands.codecs.omp_commands import ITEMS
from gateway.commands.codecs.reading import Body, results_of, status_of
from gateway.payload.forms import Json

NAMESPACE = "iot.models.messages.commands.response"
_GOOD = "Good"
_NAMES = uuid.UUID("6f1d0a52-4a0d-5a6e-9c3d-1f0e6b1c7a90")
"""Names below it become GUIDs: the same name, the same GUID."""


def guid_of(*names: str) -> str:
    return str(uuid.uuid5(_NAMES, "\0".join(names)))


def participant(name: str, kind: str) -> dict[str, Json]:
    return {"id": guid_of(kind, name), "name": name, "type": kind}


def encode(answer: Mapping[str, object], context: Context) -> Encoded:
    """One message for each answer."""
    gateway, source = str(answer["gateway"]), str(answer["source"])
    own_id, sender, endpoint = str(context.get("id", "")), context.get("sender"), context.get("endpoint", "")
    correlations = context.get("correlations")
    assert isinstance(correlations, list | None)
    responses = _responses(answer, context)
    is_good = all(each["message"] == _GOOD for each in responses)
    body = {
        "id": guid_of(str(answer["id"]), str(answer["outcome"])),
        "namespace": NAMESPACE,
        "metadata": {
            "timestamp": answer["time"],
            "correlationIds": [*(correlations or ()), *([own_id] if own_id else [])],
            "senderIdentifier": context.get("self") or participant(gateway, "gateway"),
            "destinationIdentifiers": [sender] if sender else [],
            "sequence": {"id": context.get("part", 1), "count": context.get("of", 1)},
        },
        "payload": {
            "responseStatus": _GOOD if is_good else "Bad",
            "responseSource": {"id": guid_of("source", source), "name": source, "endpointUrl": endpoint},
            "responses": responses,
        },
    }
    return Encoded(body)


def _responses(answer: Mapping[str, object], context: Context) -> list[dict[str, object]]:
    kind, nodes = str(context.get("type", "")), context.get("nodes") or [""]
    assert isinstance(nodes, Sequence)
    results = results_of(answer)
    if kind in ITEMS:
        return [_response_with_items(kind, [str(node) for node in nodes if node], answer)]
    if len(results) != len(nodes):  # it ended before its parts were looked at
        results = [answer] * len(nodes)
    return [_response(kind, str(node), result) for node, result in zip(nodes, results, strict=True)]


def _response_with_items(kind: str, nodes: Sequence[str], answer: Body) -> dict[str, object]:
    """One response for a list of nodes; of all nodes there are, those that were found."""
    results = results_of(answer)
    if nodes and len(results) != len(nodes):
        results = [answer] * len(nodes)
    names = nodes or [str(result.get("node", "")) for result in results]
    key = "sourceNodeId" if kind == "respondToAlarmEvents" else "nodeId"
    items = [{key: node, **_told(result)} for node, result in zip(names, results, strict=True)]
    return {"commandType": kind, **_told(answer), ITEMS[kind]: items}


def _response(kind: str, node: str, result: Body) -> dict[str, object]:
    return {"commandType": kind, **_told(result), **({"nodeId": node} if node else {}), **_more(kind, result)}


def _told(result: Body) -> dict[str, object]:
    """What came of it."""
    outcome = str(result["outcome"])
    found: dict[str, object] = {
        "message": _GOOD if outcome == "done" else str(result.get("detail") or result.get("reason") or outcome),
        "statusCode": status_of(result),
        "outcome": outcome,
        **({"reason": result["reason"]} if result.get("reason") else {}),
    }
    if outcome != "done":
        found["errorSource"] = "server" if outcome in ("failed", "unknown") else "gateway"
    return found


def _more(kind: str, result: Body) -> dict[str, object]:
    """What single command types tell beside that."""
    if kind == "read" and "value" in result:
        return {"dataType": result.get("type", ""), "value": pairs_of(result["value"])}
    outputs = result.get("outputs")
    if kind == "call" and isinstance(outputs, dict):
        types = result.get("types")
        named = types if isinstance(types, dict) else {}
        return {
            "arguments": [
                {"key": key, "value": pairs_of(value), "dataType": named.get(key, "")} for key, value in outputs.items()
            ]
        }
    nodes = result.get("nodes")
    if isinstance(nodes, list):
        more = {"next": result["next"]} if "next" in result else {}
        tree = _tree(nodes)
        if kind == "serverDiscovery":
            return {"nodes": tree, **more}
        attributes = result.get("attributes")
        own = attributes if isinstance(attributes, dict) else {}
        return {"node": {"nodeId": result.get("node", ""), **own, "childNodes": tree}, **more}
    return {}


def pairs_of(value: object) -> object:
    """Structures are lists of keys and values."""
    if isinstance(value, dict):
        return [{"key": key, "value": pairs_of(each)} for key, each in value.items()]
    return [pairs_of(each) for each in value] if isinstance(value, list) else value


def _tree(nodes: Sequence[Body]) -> list[dict[str, object]]:
    """Nodes with their paths as nodes with children."""
    found: list[dict[str, object]] = []
    by_path: dict[str, dict[str, object]] = {}
    for each in nodes:
        path = str(each["path"])
        node: dict[str, object] = {
            "nodeId": each["node"], "browseName": path.rpartition("/")[2], "nodeClass": each.get("class", ""),
            **({"nodeType": each["type"]} if each.get("type") else {}), "childNodes": [],
        }  # fmt: skip
        by_path[path] = node
        parent = by_path.get(path.rpartition("/")[0])
        children = parent["childNodes"] if parent is not None else found
        assert isinstance(children, list)
        children.append(node)
    return found
