"""Clients of other stacks that a test tells what to do: node-opcua, and open62541 through the binding o6.

Requests, one at a time, with the same answers from both:

| request | answer |
| --- | --- |
| monitor node fields | subscription, item: the ids; events come with these fields |
| event | the next event, waiting for it |
| call object method args | status, outputs; an argument is (kind, value), bytes in hexadecimal |
| read node attribute range | status, value |
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.node import PEERS, node_for
from tests.support.opcua_peers import O6, o6_python

CLIENTS = ("node-opcua", "open62541")
PATIENCE_S = 60.0


class ForeignClient:
    """A client in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            while line := await self._process.stdout.readline():
                text = line.decode().removeprefix("answer ")
                if text.startswith("{"):
                    answer: dict[str, Any] = json.loads(text)
                    assert "error" not in answer, answer["error"]
                    return answer
        raise AssertionError("the client has ended")

    async def call(self, node: str, method: str, *arguments: tuple[str, object]) -> str:
        """The name of the status code."""
        return str((await self.ask("call", object=node, method=method, args=arguments))["status"])

    async def event(self) -> dict[str, Any]:
        return await self.ask("event")


def _command(stack: str, url: str) -> list[str]:
    if stack == "node-opcua":
        return [node_for("node-opcua"), str(PEERS / "ask_node_opcua.js"), url]
    python = o6_python()
    if python is None:
        pytest.skip(f"{O6} (open62541) could not be installed into a virtual environment of its own")
    return [str(python), str(PEERS / "ask_open62541.py"), url]


@asynccontextmanager
async def foreign_client(stack: str, url: str) -> AsyncIterator[ForeignClient]:
    process = await asyncio.create_subprocess_exec(
        *_command(stack, url), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, limit=2**24,
    )  # fmt: skip
    try:
        yield ForeignClient(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
