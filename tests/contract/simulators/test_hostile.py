"""Clients that write nonsense, flood, or never read harm themselves; the line goes on for the others."""

import asyncio
import os
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from tests.support.programs import Factory, running
from tests.support.served import connected, served, values


def test_malformed_bytes_end_only_their_connection() -> None:
    async def body() -> None:
        async with served() as fixture, connected(fixture.server.url) as client:
            await client.subscribe(fixture.variables[0].node_id)
            await client.publish()
            host, port = fixture.server.url.removeprefix("opc.tcp://").split(":")
            for nonsense in (
                os.urandom(4096),
                b"HELF\x08\x00\x00\x00",
                b"GET / HTTP/1.1\r\n\r\n",
                b"MSGF\xff\xff\xff\x7f",
            ):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(nonsense)
                await writer.drain()
                writer.close()
            fixture.write(0, 1.0)
            assert values(await client.publish()) == [1.0]

    asyncio.run(asyncio.wait_for(body(), 240))


def test_a_client_that_never_reads_does_not_fill_the_servers_memory() -> None:
    async def body() -> None:
        async with served(variables=50) as fixture, connected(fixture.server.url) as client:
            large = [ua.ReadValueId(v.node_id, ua.AttributeIds.Value) for v in fixture.variables] * 100
            request = ua.ReadRequest()
            request.Parameters.NodesToRead = large
            protocol = client.client.uaclient.protocol
            assert protocol is not None
            transport = protocol.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            theirs = fixture.clients[0].transport
            assert isinstance(theirs, asyncio.Transport)
            for end, buffer in ((transport, socket.SO_RCVBUF), (theirs, socket.SO_SNDBUF)):  # else megabytes fit there
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 2**16)
            pending: list[asyncio.Future[Any]] = []
            while theirs.is_reading():
                assert len(pending) < 200, "the server takes whatever comes"
                pending.append(asyncio.ensure_future(client.session._send_request(request, timeout=60)))
                await asyncio.sleep(0)
            async with connected(fixture.server.url) as other:
                assert await other.client.nodes.server_state.read_value() == 0
            transport.resume_reading()
            for each in pending:
                each.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    asyncio.run(asyncio.wait_for(body(), 240))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_metrics_are_well_formed_and_add_up(tmp_path: Path) -> None:
    with running(Factory(tmp_path, "--speed", "50", "--metrics-port", "0", "--status-json")) as program:
        assert isinstance(program, Factory)
        program.wait_said("serving")
        url = str(next(e["metrics"] for e in program.events if e.get("event") == "serving metrics"))
        text = urllib.request.urlopen(url, timeout=30).read().decode()
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    elapsed = float(samples["factory_simulated_seconds"])
    for machine in ("assembly", "test", "packaging"):
        prefix = f'factory_state_seconds_total{{machine="line-1/{machine}"'
        assert sum(float(v) for k, v in samples.items() if k.startswith(prefix)) == pytest.approx(elapsed)
