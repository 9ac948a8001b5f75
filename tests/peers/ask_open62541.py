"""A client of open62541, through the binding `o6`, that does what it is told: one JSON request per line on standard
input, one JSON answer each.

Usage: python ask_open62541.py URL      Requests: see tests/support/clients.py.  It imports nothing of the project.
"""

import asyncio
import json
import sys
from typing import Any

import o6

KINDS = {"number": o6.Double, "whole": o6.Int32, "unsigned": o6.UInt32, "boolean": o6.Boolean, "string": o6.String}


def argument(kind: str, value: Any) -> Any:
    if kind == "bytes":
        return o6.ByteString(bytes.fromhex(value))
    return o6.LocalizedText(value, "en") if kind == "text" else KINDS[kind](value)


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, o6.LocalizedText):
        return value.text
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if isinstance(value, int) else float(value)  # the binding's numbers are types of their own
    return value if value is None or isinstance(value, bool | str) else str(value)


class Asked:
    """What the client does."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.subscription: Any = None

    async def monitor(self, node: str, fields: list[str], type: str = "") -> dict[str, Any]:
        if self.subscription is None:
            self.subscription = await self.client.createSubscription(20.0, maxNotificationsPerPublish=1000)

        def heard(event: dict[str, Any]) -> None:
            self.events.put_nowait({path.lstrip("/"): plain(value) for path, value in event.items()})

        query = "SELECT " + ", ".join(f"/{path}" for path in fields)
        item = await self.client.monitorEvent(node, heard, query, subscription=self.subscription, queueSize=1000)
        return {"subscription": int(self.subscription.id), "item": int(item.id)}

    async def event(self) -> dict[str, Any]:
        return await self.events.get()

    async def call(self, object: str, method: str, args: list[Any]) -> dict[str, Any]:
        code, *outputs = await self.client.call(object, method, [argument(*each) for each in args])
        return {"status": name_of(code), "outputs": [plain(each) for each in outputs]}

    async def read(self, node: str, attribute: int = 13, range: str = "") -> dict[str, Any]:
        value = await self.client.read(node, attr=o6.AttributeId(attribute), valueOnly=False, range=range or None)
        return {"status": name_of(value.status), "value": plain(value.value)}


def name_of(code: Any) -> str:
    return str(getattr(code, "name", code))


async def main(url: str) -> None:
    client = o6.Client(url)
    await client.connect()
    asked = Asked(client)
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        request = json.loads(line)
        try:
            answer = await getattr(asked, request.pop("do"))(**request)
        except (o6.StatusCodeError, TypeError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print("answer", json.dumps(answer), flush=True)
    await client.disconnect()


asyncio.run(main(sys.argv[1]))
