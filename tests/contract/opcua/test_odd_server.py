"""A server that is odd: each variable is the one it says, its value what was sent, the same to look at and to run."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway.model import TimeSource
from gateway.opcua.codec.read_values import ReadValue
from gateway.opcua.explore import BrowseOptions, browse, connected, plan
from gateway.operations import Target
from gateway.values import RawStructure, Structure, Typed
from tests.support.odd_server import NAMESPACE, XML, odd_server
from tests.support.opcua_server import OpcuaServer
from tests.support.opcua_source import config, opened, reading, run, series
from tests.support.programs import ran

HERE = f"nsu={NAMESPACE};"


@pytest.fixture(scope="module")
def server() -> Iterator[OpcuaServer]:
    opened = odd_server()
    with asyncio.Runner() as runner:
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


def test_browse_shows_the_names_that_run_sends(server: OpcuaServer) -> None:
    made = config(server.url, select=[{"subtree": f"{HERE}s=Plant"}])
    sent: dict[str, tuple[int, object, int]] = {}

    async def body() -> None:
        with structlog.testing.capture_logs() as logs:
            async with opened(made) as source, reading(source) as seen:
                await seen.until(lambda seen: len(seen.values) >= 13)
                [facts] = await source.operations.look([Target("level", f"{HERE}s=level", 0)])
        assert (facts.built_in, facts.value, facts.ranges, facts.members) == (11, Typed(11, 6.0), (), ())
        for batch in seen.batches:
            assert batch.time_sources is not None or not len(batch)
            assert set([] if batch.time_sources is None else batch.time_sources) <= {
                TimeSource.SERVER,
                TimeSource.RECEIPT,
            }
            assert (batch.source_ticks > 0).all()
            columns = zip(batch.handles, batch.types, batch.values, batch.statuses, strict=True)
            sent.update({batch.tags[h].node_id: (int(t), v, int(s)) for h, t, v, s in columns})
        async with connected(made, series()) as session:
            shown = await browse(session, BrowseOptions(f"{HERE}s=Plant"))
            planned = await plan(session, made)
        assert {e.node_id: (e.read.type, e.read.value, e.read.status) for e in shown.entries} == sent
        assert [each.names for each in planned.unreadable] == [("secret",)]
        assert "urn:dup" in planned.nameless
        assert planned.nameless == shown.nameless
        told = [line for line in logs if "come as bytes" in line["event"]]
        assert sorted(name for line in told for name in line["variables"]) == [f"{HERE}s=secret", f"{HERE}s=xml"]
        assert sum("no URI names" in line["event"] for line in logs) == 1

    run(body)
    numbers = {node: value for node, (_, value, _) in sent.items() if isinstance(value, float)}
    xs = {node: value for node, value in numbers.items() if node.endswith(";s=X")}
    assert sorted(xs.values()) == [10.0, 11.0, 12.0, 13.0]
    assert all(node.startswith("ns=") for node in xs)
    assert numbers[f"{HERE}s=trailing "] == 1.0
    assert numbers[f"{HERE}s=trailing"] == 2.0
    assert numbers[f"{HERE}s%=lat%F6n1"] == 3.0
    motor = sent[f"{HERE}s=motor"][1]
    assert isinstance(motor, Structure)
    assert motor.fields == {"speed": Typed(10, 12.5), "running": Typed(1, True), "name": Typed(12, "M1")}
    assert sent[f"{HERE}s=xml"][1] == RawStructure("ns=4;i=6001", XML)
    assert sent[f"{HERE}s=zz"][1] == 5.0


def test_browse_prints_a_valid_configuration_and_plan_names_variables_sent_as_bytes(
    server: OpcuaServer, tmp_path: Path
) -> None:
    def gateway(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = ran("gateway", *arguments)
        assert done.returncode == 0, done.stderr
        return done

    browsed = gateway("browse", server.url, "--insecure", "--root", f"{HERE}s=Plant", "--yaml")
    assert "no URI names these namespaces alone" in browsed.stderr
    path = tmp_path / "gateway.yaml"
    select = "".join(f"    {line}\n" for line in browsed.stdout.splitlines())
    path.write_text(
        f"name: e\nsources:\n  - name: s\n    url: {server.url}\n    insecure: true\n{select}"
        "broker: {url: 'mqtt://127.0.0.1:1'}\npayload: {topic: f}\n",
        encoding="utf-8",
    )
    planned = gateway("plan", str(path)).stdout
    assert "13 variables, 0 problems" in planned
    assert "the server does not describe it" in planned


def test_an_answer_without_a_value_is_no_value() -> None:
    assert ReadValue(11, 1.5, 0x8000_0000).good is None
    assert ReadValue(11, 1.5, 0x480).good == 1.5
