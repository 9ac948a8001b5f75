"""`simulators serve` as a process: what it serves is what it records, and it starts and ends as promised."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from simulators.server.nodes import text_id
from tests.support.programs import ROOT, Factory, ran, running, wait_until
from tests.support.served import connected, items

COMMAND = ("simulators", "serve", "--security", "None")
PLANT = ROOT / "config" / "plant.yaml"


def serve(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *COMMAND, str(PLANT), "--port", "0", "--status-json", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_status_lines_show_the_endpoint_and_counts_until_a_clean_end() -> None:
    with serve("--speed", "50") as process:
        assert process.stdout
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - began < 10
    assert lines[0]["endpoint"].startswith("opc.tcp://127.0.0.1:")
    assert [m["path"] for m in lines[0]["machines"]] == ["line-1/assembly", "line-1/test", "line-1/packaging"]
    assert lines[2]["sim_time_s"] > lines[1]["sim_time_s"]
    assert lines[2]["machines"][0]["good"] > lines[0]["machines"][0]["good"]


def test_ctrl_c_with_a_client_connected_ends_it_soon(tmp_path: Path) -> None:
    async def connect_and_interrupt(factory: Factory) -> float:
        async with connected(factory.url) as client:
            await client.subscribe(text_id("line-1/test/State", 2))
            began = time.monotonic()
            factory.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(factory.process.wait, 60) == 0
            return time.monotonic() - began

    with running(Factory(tmp_path)) as program:
        assert isinstance(program, Factory)
        program.wait_said("serving")
        assert asyncio.run(asyncio.wait_for(connect_and_interrupt(program), 240)) < 10


def test_a_port_in_use_is_reported_with_its_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = ran(*COMMAND, str(PLANT), "--port", str(port))
    assert ended.returncode == 1
    assert f"cannot listen on opc.tcp://127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "--port 0" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_simulation_with_lag_policy_fail_exits_when_it_is_late() -> None:
    plant = ROOT / "config" / "plants" / "plant-50.yaml"
    ended = ran(*COMMAND, str(plant), "--port", "0", "--speed", "1000000", "--late", "fail")
    assert ended.returncode == 1
    assert "error: the simulation is" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_clients_read_and_control_simulated_time(tmp_path: Path) -> None:
    async def move(url: str) -> list[float]:
        async with connected(url) as client:
            simulation = client.client.get_node(text_id("hall-1/Simulation", 2))
            time_node = client.client.get_node(text_id("hall-1/Simulation/SimulatedTime", 2))

            async def seconds() -> float:
                return float(await time_node.read_value())

            await simulation.call_method(text_id("hall-1/Simulation/Pause", 2))
            paused = await seconds()
            for _ in range(200):  # round trips, during which time would go on
                still = await seconds()
            speed = client.client.get_node(text_id("hall-1/Simulation/Speed", 2))
            await speed.write_value(500.0)
            await simulation.call_method(text_id("hall-1/Simulation/Resume", 2))
            while (now := await seconds()) < paused + 100:
                pass  # each look is a round trip
            return [paused, still, now]

    with running(Factory(tmp_path)) as program:
        assert isinstance(program, Factory)
        program.wait_said("serving")
        paused, still, now = asyncio.run(asyncio.wait_for(move(program.url), 240))
    assert still == paused
    assert now >= paused + 100


def test_bad_plant_file_gives_every_problem_with_its_line(tmp_path: Path) -> None:
    text = PLANT.read_text(encoding="utf-8").replace("scrap: 0.02", "scrap: 1.2").replace("buffer: 4", "buffer: -1")
    plant = tmp_path / "plant.yaml"
    plant.write_text(text, encoding="utf-8")
    ended = ran(*COMMAND, str(plant), "--port", "0")
    assert ended.returncode == 78
    for mistake in ("scrap: 1.2", "buffer: -1"):
        number = 1 + next(i for i, line in enumerate(text.splitlines()) if mistake in line)
        assert f"{plant}:{number}: " in ended.stderr


def test_a_subscriber_gets_exactly_the_recorded_values(tmp_path: Path) -> None:
    async def listen(factory: Factory) -> dict[str, list[tuple[object, str]]]:
        names = [f"line-1/{machine}/{name}" for machine in ("assembly", "test", "packaging") for name in VARIABLES]
        seen: dict[str, list[tuple[object, str]]] = {name: [] for name in names}
        async with connected(factory.url) as client:
            await client.subscribe(*(text_id(name, 2) for name in names), queue=1000)
            number = 0
            while min(len(v) for k, v in seen.items() if k.endswith("Good")) < 20:
                result = await client.publish(*([number] if number else []))
                number = result.NotificationMessage.SequenceNumber
                for item in items(result):
                    assert item.Value.SourceTimestamp
                    stamp = item.Value.SourceTimestamp.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
                    seen[names[item.ClientHandle]].append((item.Value.Value.Value, stamp))
        return seen

    with running(Factory(tmp_path, "--speed", "20")) as program:
        assert isinstance(program, Factory)
        program.wait_said("serving")
        seen = asyncio.run(asyncio.wait_for(listen(program), 240))
        assert program.stop() == 0
        truth: dict[str, list[tuple[object, str]]] = {name: [] for name in seen}
        for line in program.record:
            name = str(line["node"]).partition(";s=")[2]
            if name in truth:
                truth[name].append((line["value"], str(line["source_time"])))
    for name, values in seen.items():
        start = truth[name].index(values[0])
        assert values == truth[name][start : start + len(values)], name


VARIABLES = ("State", "StateNumber", "Good", "Scrap", "CycleTime", "Energy", "Temperature", "Vibration", "Fault")


def test_restarted_simulator_listens_on_the_same_port_again(tmp_path: Path) -> None:
    with running(Factory(tmp_path)) as program:
        program.wait_said("serving")
        program.kill()
        program.restart()
        program.wait_said("serving", times=2)
        wait_until(lambda: program.process.poll() is None, "the second run to go on")
