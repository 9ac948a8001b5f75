"""The command line teaches: help with examples that fit, mistakes that say what to do, exit codes as documented."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import COMMANDS, EXIT_CODES, cli
from gateway.cli.late import Late
from gateway.cli.lines import audit as audit_lines
from gateway.cli.lines import browse as browse_lines
from gateway.cli.lines import fleet as fleet_lines
from gateway.cli.lines import importing as importing_lines
from gateway.cli.lines import model as model_lines
from gateway.commands.outcome import FINAL
from gateway.config.broker import PRESENCE_TOPIC
from gateway.importing.formats import IMPORT_FORMATS
from gateway.modelling.formats import MODEL_FORMATS
from gateway.opcua.space.browse import MAX_LEVELS

TAUGHT = [("run",), ("validate",), ("plan",), ("browse",), ("watch",), ("schema",), ("demo",), ("cert",), ("outbox",),
          ("audit",), ("command",), ("profile",), ("model",), ("import",), ("emulate",), ("init",),
          ("group",), ("doctor",), ("top",), ("tap",), ("tags",), ("losses",), ("password",), ("fleet",)]  # fmt: skip

HEAVY = {
    "asyncua", "aiomqtt", "aiohttp", "simpy", "numpy", "msgspec", "yaml", "cryptography", "structlog",
    "pydantic", "asyncio", "ssl", "urllib.request", "orjson", "gateway.config", "gateway.run", "gateway.opcua",
    "gateway.payload", "gateway.demo", "simulators.server", "simulators.plant", "simulators.clock", "simulators.flow",
}  # fmt: skip


def told(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments), env=environment)
    return result.exit_code, result.output


@pytest.mark.parametrize("command", TAUGHT, ids=" ".join)
@pytest.mark.parametrize("columns", [60, 100])
def test_help_has_examples_and_fits_the_terminal(command: tuple[str, ...], columns: int) -> None:
    code, text = told(*command, "--help", COLUMNS=str(columns), NO_COLOR="1")
    assert code == 0
    assert f"gateway {command[0]}" in text.split("Examples:")[1]
    assert max(map(len, text.splitlines())) <= columns
    assert "\x1b[3" not in text


def test_every_command_is_in_the_help() -> None:
    assert {name for (name, *_) in TAUGHT} | {"version"} == {command.name for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_list_of_commands_says_of_each_what_its_own_help_says(command: Late) -> None:
    assert " ".join(command.load().help.split()).startswith(command.summary)


def test_help_and_completion_import_nothing_that_does_the_work() -> None:
    """CPU that every TAB would cost: all help, and the completion of names and options.  `validate`: no OPC UA."""
    gateway = "import sys; from gateway.cli import COMMANDS, cli as app\n"
    simulators = "import sys; from simulators.cli import app, main; COMMANDS = app.registered_commands\n"
    once = "COMMANDS, app = (), lambda words, prog_name: main()\n"  # its own end, too
    program = (
        "for words in WORDS or [[each.name, '--help'] for each in COMMANDS]:\n"
        "    try: sys.argv[1:] = words; app(words, prog_name=NAME)\n"
        "    except SystemExit: pass\n"
        "print(HEAVY & {name for each in sys.modules for name in (each, '.'.join(each.split('.')[:2]))} or 'nothing')"
    )
    completion = {"_GATEWAY_COMPLETE": "complete_bash", "_SIMULATORS_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    example = str(Path(__file__).parents[3] / "config" / "gateway.yaml")
    for start, words, environment, says, heavy in (
        (gateway, [], {}, "--publish", HEAVY),
        (gateway, [[]], completion | {"COMP_WORDS": "gateway r", "COMP_CWORD": "1"}, "run", HEAVY),
        (gateway, [[]], completion | {"COMP_WORDS": "gateway import t"}, "telegraf", HEAVY),
        (gateway, [["validate", example]], {}, "is fine", {"asyncua", "simpy", "gateway.web"}),
        (simulators, [], {}, "--backfill", HEAVY),
        (simulators + once, [["serve", "--help"]], {}, "--backfill", HEAVY),
        (simulators, [[]], completion | {"COMP_WORDS": "simulators serve --ba"}, "--backfill", HEAVY),
    ):
        name = "gateway" if start is gateway else "simulators"
        settings = f"WORDS, NAME, HEAVY = {words!r}, {name!r}, {heavy!r}\n"
        done = subprocess.run(
            [sys.executable, "-c", start + settings + program],
            check=False,
            env=os.environ | environment,
            text=True,
            capture_output=True,
            timeout=60,
        )
        assert says in done.stdout, done.stderr
        assert done.stdout.splitlines()[-1] == "nothing"


def test_what_the_lines_repeat_is_what_the_work_has() -> None:
    """Names that help shows stand beside it, so that it does not import who knows them."""
    assert {name: form.about for name, form in IMPORT_FORMATS.items()} == importing_lines.FORMATS
    assert {name: form.about for name, form in MODEL_FORMATS.items()} == model_lines.FORMATS
    assert (audit_lines.FINAL, browse_lines.MAX_LEVELS) == (FINAL, MAX_LEVELS)
    assert fleet_lines.PRESENCE_TOPIC == PRESENCE_TOPIC


def test_the_exit_codes_are_in_the_help_and_in_the_documents() -> None:
    readme = (Path(__file__).parents[3] / "docs/running.md").read_text(encoding="utf-8")
    for code in ("3", "69", "74", "75", "78", "130"):
        assert f"- {code}:" in EXIT_CODES
        assert f"| {code} |" in readme


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("init --example secur", 78, "there is no example 'secur'; examples: basic, cloudevents"),
        ("top http://127.0.0.1:1", 69, "is it running"),
        ("tap http://127.0.0.1:1", 69, "is it running"),
        ("tags --url http://127.0.0.1:1", 69, "is it running"),
        ("losses --since 12", 2, "write 30min or 12h"),
        ("password nowhere.yaml", 78, "nowhere.yaml: cannot be read"),
        ("tap 127.0.0.1:9464", 78, "write an address as http://host:port"),
        ("doctor nowhere.yaml", 78, "nowhere.yaml: cannot be read"),
        ("run nowhere.yaml", 78, "nowhere.yaml: cannot be read: No such file"),
        ("plan .", 78, "Is a directory"),
        ("validat x", 2, "Did you mean 'validate'?"),
        ("schema nothing", 2, "there is no schema 'nothing', only config, command"),
        ("browse http://x", 78, "http://x: write an address as opc.tcp://host:port"),
        ("browse opc.tcp://x --username eve", 78, "--password-env"),
        ("browse opc.tcp://127.0.0.1:1 --insecure", 69, "is it running, and is the port right?"),
        ("command edge-1 shop write Speed --broker mqtt://127.0.0.1:1", 2, "a value after each tag"),
        ("command edge-1 shop call Start 5 --broker mqtt://127.0.0.1:1", 2, "must be NAME=VALUE"),
        ("command edge-1 shop read Speed --broker mqtt://127.0.0.1:1", 69, "is the port right?"),
        ("watch tcp://x", 78, "tcp://x: write an address as mqtt://host:port"),
        ("watch mqtt://x:port", 78, "a port is a number"),
        ("watch mqtts://127.0.0.1:1 --ca nowhere.pem", 78, "nowhere.pem"),
        ("fleet mqtt://127.0.0.1:1", 69, "Connection refused"),
        ("fleet mqtt://x --topic a/presence", 78, "{gateway} is missing"),
        ("fleet mqtt://x --page 0.0.0.0:8080", 78, "it needs --token-file"),
        ("fleet mqtt://x --page here", 78, "write HOST:PORT"),
        ("outbox show nowhere", 78, "nowhere"),
        ("profile show aws", 78, "there is no profile 'aws': there are alibaba-iot, aws-iot-core"),
        ("profile show aws-iot-core", 0, " 100  2026-11-20  https://docs.aws.amazon.com"),
        ("profile list", 0, "Azure IoT Hub"),
        ("audit show nowhere", 78, "no audit of commands can be read there"),
        ("audit verify nowhere", 78, "no audit of commands can be read there"),
        ("outbox export nowhere x.jsonl", 78, "nowhere"),
        ("cert trust abc", 78, "see gateway cert list"),
        ("cert list", 0, "var/pki has no trusted or rejected certificates yet"),
    ],
)
def test_a_mistake_on_the_command_line_says_what_to_write(
    line: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, text = told(*line.split(), COLUMNS="200")
    assert words in text
    assert found == code
    assert "Traceback" not in text


def test_a_password_in_a_wrong_address_is_not_repeated() -> None:
    assert "secret" not in told("watch", "mqtt:/eve:secret@broker")[1]
