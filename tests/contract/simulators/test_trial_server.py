"""The test server has what others test their clients with: the rows of docs/test-server.md."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client import Client
from asyncua.ua.uaerrors import BadUserAccessDenied

from gateway.importing.opc_publisher import read
from simulators.server.endpoint import MODEL_URI, Access
from simulators.server.trial_space import LONG_ID
from simulators.trial import Group, TrialNodes
from simulators.trial_server import Trial, TrialSettings, trial_served
from tests.support.served import connected

NODESET = """<?xml version="1.0" encoding="utf-8"?>
<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">
  <NamespaceUris><Uri>urn:test:boiler</Uri></NamespaceUris>
  <Aliases><Alias Alias="Double">i=11</Alias></Aliases>
  <UAObject NodeId="ns=1;i=1" BrowseName="1:Boiler" ParentNodeId="i=85">
    <DisplayName>Boiler</DisplayName>
    <References>
      <Reference ReferenceType="i=35" IsForward="false">i=85</Reference>
      <Reference ReferenceType="i=40">i=58</Reference>
    </References>
  </UAObject>
  <UAVariable NodeId="ns=1;i=2" BrowseName="1:Level" ParentNodeId="ns=1;i=1" DataType="Double">
    <DisplayName>Level</DisplayName>
    <References>
      <Reference ReferenceType="i=47" IsForward="false">ns=1;i=1</Reference>
      <Reference ReferenceType="i=40">i=63</Reference>
    </References>
    <Value><Double xmlns="http://opcfoundation.org/UA/2008/02/Types.xsd">7.5</Double></Value>
  </UAVariable>
</UANodeSet>
"""
NODES = {
    "Folder": "Mine",
    "NodeList": [
        {"NodeId": 1023, "Name": "Actual", "DataType": "Float", "Value": 1.5, "AccessLevel": "CurrentRead"},
        {"NodeId": "counts", "DataType": "UInt16", "ValueRank": 1, "Value": [1, 2], "Description": "two of them"},
    ],
    "FolderList": [{"Folder": "Inner", "NodeList": [{"NodeId": "flag", "DataType": "Boolean"}]}],
}
GROUPS = {
    "slow": Group(nodes=3, every=10.0, type="uint32", low=10, high=14, step=2),
    "fast": Group(nodes=2, every=1.0, type="double", low=0, high=5, array=3, random=True),
}
Body = Callable[[Trial, Client], Awaitable[None]]


def run(body: Body, tmp_path: Path, **options: Any) -> None:
    async def whole() -> None:
        spec = TrialNodes(**{**GROUPS, **options.pop("spec", {})})
        settings = replace(TrialSettings(spec, "opc.tcp://127.0.0.1:0"), **options)
        async with trial_served(settings) as trial, connected(trial.server.url) as subscriber:
            await body(trial, subscriber.client)

    asyncio.run(asyncio.wait_for(whole(), 120))


def test_groups_shapes_and_payloads_change_as_they_are_told(tmp_path: Path) -> None:
    async def body(trial: Trial, client: Client) -> None:
        async def value(name: str) -> Any:
            return await client.get_node(f"ns=2;s={name}").read_value()

        seen: dict[str, list[Any]] = {}
        for n in range(601):
            trial.space.step(n / 10)
            for name in ("SpikeData", "DipData", "PositiveTrendData", "NegativeTrendData", "AlternatingBoolean"):
                variable = next(v for m in trial.space.moving for v, _ in m.variables if v.node_id.Identifier == name)
                seen.setdefault(name, []).append(variable.content)
        assert [n for n, v in enumerate(seen["SpikeData"]) if v == 1000.0] == list(range(50, 601, 50))
        assert [n for n, v in enumerate(seen["DipData"]) if v == -1000.0] == list(range(50, 601, 50))
        assert seen["PositiveTrendData"][600] == 650.0
        assert seen["NegativeTrendData"][600] == -450.0
        assert seen["AlternatingBoolean"][:30] == [False] * 10 + [True] * 10 + [False] * 10
        assert await value("SlowUint323") == 10 + (6 * 2) % 4
        array = await value("FastDouble1")
        assert len(array) == 3
        assert all(0 <= v <= 5 for v in array)
        assert [len(await value(f"Payload{size}kB")) for size in (10, 50, 100, 200)] == [
            10_000,
            50_000,
            100_000,
            200_000,
        ]
        assert await value("StepUp") == 600
        await client.get_node("ns=2;s=TestNodes/Shapes").call_method(ua.NodeId.from_string("ns=2;s=Shapes/Reset"))
        trial.space.step(60.2)
        assert await value("StepUp") in (1, 2)

    run(body, tmp_path)


def test_the_same_seed_gives_the_same_values(tmp_path: Path) -> None:
    found = []

    async def body(trial: Trial, client: Client) -> None:
        trial.space.step(20.0)
        found.append([str(v.content) for moving in trial.space.moving for v, _ in moving.variables])

    for seed in (3, 3, 4):
        run(body, tmp_path, seed=seed, spec={"payloads": ()})
    assert found[0] == found[1] != found[2]


def test_files_of_nodes_odd_ids_and_files_for_clients(tmp_path: Path) -> None:
    (tmp_path / "boiler.xml").write_text(NODESET, encoding="utf-8")
    (tmp_path / "nodes.json").write_text(json.dumps(NODES), encoding="utf-8")
    published, config = tmp_path / "published_nodes.json", tmp_path / "gateway.yaml"

    async def body(trial: Trial, client: Client) -> None:
        index = await client.get_namespace_index("urn:test:boiler")
        assert await client.get_node(f"ns={index};i=2").read_value() == 7.5
        assert await client.get_node("ns=2;i=1023").read_value() == 1.5
        assert await client.get_node("ns=2;s=counts").read_value() == [1, 2]
        assert await client.get_node("ns=2;s=flag").read_value() is False
        with pytest.raises(BadUserAccessDenied):
            await client.get_node("ns=2;i=1023").write_value(ua.Variant(2.0, ua.VariantType.Float))
        await client.get_node("ns=2;s=flag").write_value(True)
        odd = await client.get_node("ns=2;s=TestNodes/OddIds").get_children()
        assert {node.nodeid.NodeIdType.name for node in odd} >= {"String", "Guid", "ByteString", "Numeric"}
        assert LONG_ID in [node.nodeid.Identifier for node in odd]
        assert [await node.read_value() for node in odd] == [1] * 6
        command = [sys.executable, "-m", "gateway", "validate", str(config)]
        process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
        out, err = await process.communicate()
        assert process.returncode == 0, (out, err)
        [entry] = json.loads(published.read_bytes())
        ids = [node["Id"] for node in entry["OpcNodes"]]
        assert (entry["EndpointUrl"], set(ids)) == (trial.server.url, set(trial.node_ids))
        assert f"nsu={MODEL_URI};s={LONG_ID}" in ids

    spec = {"nodesets": (tmp_path / "boiler.xml",), "nodes": (tmp_path / "nodes.json",)}
    run(body, tmp_path, spec=spec, published_nodes=published, gateway_config=config)
    assert read(published)


def test_structures_and_enumerations_are_read_with_their_definitions(tmp_path: Path) -> None:
    async def body(trial: Trial, client: Client) -> None:
        await client.load_data_type_definitions()
        trial.space.step(4.0)
        reading = await client.get_node("ns=2;s=Reading").read_value()
        assert (reading.Name, reading.Speed, reading.State, reading.Curve) == ("reading 4", 2.0, 1, [4.0, 4.5])
        strings = await client.get_node("ns=2;s=MachineStateEnum/Strings").read_value()
        assert [each.Text for each in strings] == ["Idle", "Running", "Faulted"]

    run(body, tmp_path)


def test_users_have_roles(tmp_path: Path) -> None:
    access = Access(passwords={"operator": "a", "observer": "b"}, observers=frozenset({"observer"}), anonymous=False)

    async def whole() -> None:
        async with trial_served(TrialSettings(TrialNodes(**GROUPS), "opc.tcp://127.0.0.1:0", access)) as trial:
            for user, password in access.passwords.items():
                client = Client(trial.server.url)
                client.set_user(user)
                client.set_password(password)
                async with client:
                    node = client.get_node("ns=2;s=SlowUint321")
                    assert await node.read_value() in (10, 11)
                    writing = node.write_value(ua.Variant(11, ua.VariantType.UInt32))
                    if user == "operator":
                        await writing
                    else:
                        with pytest.raises(BadUserAccessDenied):
                            await writing

    asyncio.run(asyncio.wait_for(whole(), 120))
