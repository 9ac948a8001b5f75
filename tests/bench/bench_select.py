"""Browse and subscribe many variables of a server of another stack, and hold them live: the gateway as users run it.

    python -m tests.bench.bench_select [VARIABLES] [--stack node-opcua|open62541] [--servers N] [--minutes M]

`gateway run` with an outbox on disk and mosquitto behind it.  Prints the time from its start to the subscription of the
last variable, the CPU that took in the gateway's and in the server's processes, the time until every first value was
delivered, and its memory once every variable has changed again and been delivered.  With `--minutes` they go on
changing once in 30 s, and the memory is printed every half minute.

Sampling is by exception (`sampling_interval: 0`), because a server that looks at 100 000 variables every second does
nothing else.  The open62541 server (through o6) allows 32 768 monitored items and has no key for it: with more
variables take `--servers 4`, four processes that are four sources of one gateway.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support import opcua_peers
from tests.support.brokers import mosquitto
from tests.support.opcua_peers import node_opcua_server, open62541_server
from tests.support.opcua_server import OpcuaServer
from tests.support.programs import Gateway, running

STACKS = {"node-opcua": node_opcua_server, "open62541": open62541_server}
PER_GROUP = 100
ALWAYS_THERE = 4
"""Variables of every test server beside those that were asked for."""
PATIENCE_S = 240.0


def memory_mib(pid: int, field: str) -> float:
    """`VmRSS`, or `VmHWM` for the peak."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field))


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def source(number: int, server: OpcuaServer) -> dict[str, object]:
    return {
        "name": f"server-{number}",
        "url": server.url,
        "insecure": True,
        "publishing_interval": "1s",
        "request_timeout": "60s",
        "queue_size": 2,
        "select": [{"subtree": "/Objects/line-1", "levels": ["group"], "sampling_interval": 0}],
    }


def delivered(gateway: Gateway) -> float:
    """Values that the broker has acknowledged; none where the gateway does not answer in time."""
    try:
        return gateway.total("gateway_values_delivered_total")
    except OSError:
        return 0.0


async def until(gateway: Gateway, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline or gateway.process.poll() is not None:
            raise TimeoutError(f"still waiting for {what}; the gateway said\n{gateway.log[-3000:]}")
        await asyncio.sleep(0.2)


async def measure(count: int, stack: str, servers: int, minutes: float, folder: Path) -> None:
    async with AsyncExitStack() as exits:
        each = [
            await exits.enter_async_context(STACKS[stack](machines=1, extra=count // servers, per_group=PER_GROUP))
            for _ in range(servers)
        ]
        broker = exits.enter_context(mosquitto(folder))
        sources = [source(number, server) for number, server in enumerate(each, 1)]
        began, servers_s = time.monotonic(), sum(cpu_s(server.process.pid) for server in each)
        topic = {"topic": "bench/{source}/{group}"}
        gateway = exits.enter_context(running(Gateway(folder, "", broker.url, sources=sources, payload=topic)))
        pid, total = gateway.process.pid, count + ALWAYS_THERE * servers
        print(f"{stack}: {count} variables on {servers} server{'s' if servers > 1 else ''}, one gateway", flush=True)
        await until(gateway, lambda: gateway.said("subscribed") == servers, "the subscriptions")
        failed = sum(int(str(event["failed"])) for event in gateway.events if event.get("event") == "subscribed")
        servers_s = sum(cpu_s(server.process.pid) for server in each) - servers_s
        cpu = f"CPU of the gateway {cpu_s(pid):.1f} s, of the server {servers_s:.1f} s"
        print(f"subscribed {total - failed} in {time.monotonic() - began:.1f} s; {cpu}", flush=True)
        await until(gateway, lambda: delivered(gateway) >= total - failed, "the first values")
        print(f"all first values delivered after {time.monotonic() - began:.1f} s; {_memory(pid)}", flush=True)
        await stir(gateway, each, count, 10)
        print(f"every variable changed and delivered; {_memory(pid)}", flush=True)
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            await stir(gateway, each, count, 30)
            print(f"{(end - time.monotonic()) / 60:5.1f} minutes left; {_memory(pid)}", flush=True)


async def stir(gateway: Gateway, servers: list[OpcuaServer], variables: int, seconds: float) -> None:
    """Every variable changes once, over so many seconds, and the change is delivered."""
    before = await asyncio.to_thread(delivered, gateway)
    answers = await asyncio.gather(*(server.tell(f"stir {seconds}") for server in servers))
    assert all(answer.startswith("done") for answer in answers), answers
    await until(gateway, lambda: delivered(gateway) >= before + variables, "the changes")


def _memory(pid: int) -> str:
    return f"{memory_mib(pid, 'VmRSS'):.0f} MiB now, {memory_mib(pid, 'VmHWM'):.0f} MiB at most"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variables", type=int, nargs="?", default=100_000)
    parser.add_argument("--stack", choices=STACKS, default="node-opcua")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0)
    asked = parser.parse_args()
    opcua_peers.SERVED = 1  # a process for each, whose costs can be told
    Gateway.forked = False
    with tempfile.TemporaryDirectory(prefix="bench-select-") as folder:
        asyncio.run(measure(asked.variables, asked.stack, asked.servers, asked.minutes, Path(folder)))


if __name__ == "__main__":
    main()
