"""The commands do what their help says."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from simulators.cli import app, endpoint_url, main
from simulators.view import MachineStatus, Status, duration, table

PLANT = Path(__file__).parents[3] / "config" / "plant.yaml"


def told(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_trace_ends_with_the_same_hash_for_the_same_seed() -> None:
    first, again, other = (told("trace", str(PLANT), "--until", "120", "--seed", seed) for seed in ("1", "1", "2"))
    assert first == again
    assert first.splitlines()[-1].startswith("sha256 ")
    assert first.splitlines()[-1] != other.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "told_why"),
    [
        (["fleet", "--plants", "10000", "--from", "munich"], "--plants 10000: about 300.2 GB are needed, "),
        (["fleet", "--plants", "2000", "--from", "end-of-line"], "numbers suffice for 1089 plants"),
        (["serve", str(PLANT), "--vehicles", "http://x"], "--vehicles: http://x: write an address as mqtt://"),
        (["serve", str(PLANT), "--vehicles", "mqtt://x", "--vehicles-password", "/none"], "--vehicles: [Errno 2]"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    arguments: list[str], told_why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["simulators", *arguments, "--security", "None", "--endpoint", "opc.tcp://x:1025"])
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 78
    assert told_why in capsys.readouterr().err


def test_the_error_names_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "nowhere" / "record.jsonl"
    monkeypatch.setattr("sys.argv", ["simulators", "serve", str(PLANT), "--port", "0", "--record", str(record)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert f"{record}: No such file" in capsys.readouterr().err


def test_describe_names_the_bottleneck() -> None:
    assert "bottleneck: packaging" in told("describe", str(PLANT))


def test_schema_is_json() -> None:
    assert json.loads(told("schema"))["title"] == "Plant"


@pytest.mark.parametrize(
    ("endpoint", "port", "expected"),
    [
        ("opc.tcp://127.0.0.1:4840", None, "opc.tcp://127.0.0.1:4840"),
        ("opc.tcp://127.0.0.1:4840", 0, "opc.tcp://127.0.0.1:0"),
        ("opc.tcp://localhost", 5000, "opc.tcp://localhost:5000"),
    ],
)
def test_port_replaces_the_port_of_the_endpoint(endpoint: str, port: int | None, expected: str) -> None:
    assert endpoint_url(endpoint, port) == expected


@pytest.mark.parametrize("endpoint", ["opc.tcp://a..b:1", "opc.tcp://eve:S3cret@b", "http://b", "opc.tcp://b:x"])
def test_an_invalid_endpoint_is_a_mistake(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["simulators", "serve", str(PLANT), "--endpoint", endpoint])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 78
    told = capsys.readouterr().err
    assert told.startswith("--endpoint: ")
    assert "S3cret" not in told


def test_table_shows_state_counts_and_oee_if_defined() -> None:
    machines = [
        MachineStatus("line-1/a", "working", 12, 1, 0.823, 3.6e6),
        MachineStatus("line-1/b", "down", 0, 0, None, 0.0),
    ]
    url = "opc.tcp://127.0.0.1:4840"
    status = Status(url, [url], None, 93_784.2, 10.0, 0.3, 1000, 2, machines)
    out = StringIO()
    Console(file=out, width=120).print(table(status))
    for part in ("1d 02:03:04 at 10x, lag 0.3 s", "line-1/a", "working", "12", "82.3%", "1.000", "2 sessions"):
        assert part in out.getvalue()
    assert [line.split("│")[5].strip() for line in out.getvalue().splitlines() if "line-1/b" in line] == ["-"]


def test_duration_is_readable() -> None:
    assert (duration(59.9), duration(3_600)) == ("00:00:59", "01:00:00")


def test_help_imports_nothing_that_does_the_work() -> None:
    """CPU that every TAB would cost."""
    program = (
        "import sys; from simulators.cli import app\n"
        "for words in (['--help'], ['serve', '--help'], ['test-server', '--help']):\n"
        "    try: app(words, prog_name='simulators')\n"
        "    except SystemExit: pass\n"
        "print({'asyncua', 'simpy', 'numpy', 'yaml', 'simulators.plant'} & set(sys.modules) or 'nothing')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "test-server" in done.stdout
    assert done.stdout.splitlines()[-1] == "nothing"
