"""`gateway browse` and `gateway plan` as a person meets them, in a terminal, at a server with many variables."""

import asyncio
import json
import os
import pty
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.support.forked import fork
from tests.support.opcua_server import NAMESPACE, OpcuaServer, opcua_server
from tests.support.programs import ran
from tests.support.published_nodes import EVERY_FIELD

MACHINES = 400
"""With four variables each."""


@pytest.fixture(scope="module")
def server() -> Iterator[OpcuaServer]:
    opened = opcua_server(machines=MACHINES)
    with asyncio.Runner() as runner:
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


class Terminal:
    """A command with a terminal on both ends, and all that it wrote there."""

    def __init__(self, *arguments: str) -> None:
        master, slave = pty.openpty()
        self.master = master
        self.process = fork("gateway", *arguments, streams=(slave, slave, slave))
        os.close(slave)
        self.text = ""

    def read_until(self, text: str) -> None:
        while text not in self.text:
            self.text += os.read(self.master, 65536).decode(errors="replace")

    def read_all(self) -> str:
        try:
            while more := os.read(self.master, 65536):
                self.text += more.decode(errors="replace")
        except OSError:  # Linux says so when the other end is closed
            pass
        self.process.wait(120)
        return self.text.replace("\r\n", "\n")


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    made = Terminal(*arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        os.close(made.master)


def test_a_terminal_shows_progress_one_screen_and_the_number_left(server: OpcuaServer) -> None:
    with terminal("browse", server.url, "--insecure", "--root", "/Objects/line-1") as made:
        text = made.read_all()
    assert "nodes browsed: " in text
    assert "values read: 1000" in text
    assert f"1000 variables; {4 * MACHINES - 1000} more match" in text
    assert made.process.returncode == 0


def test_match_and_limit_read_no_more_than_is_shown(server: OpcuaServer) -> None:
    narrowed = ("--match", "*/Counter", "--limit", "7")
    with terminal("browse", server.url, "--insecure", "--root", "/Objects/line-1", *narrowed) as made:
        text = made.read_all()
    assert "values read: 7" in text
    assert f"7 variables; {MACHINES - 7} more match" in text
    assert "Temperature" not in text


def test_depth_names_the_nodes_that_were_not_opened(server: OpcuaServer) -> None:
    with terminal("browse", server.url, "--insecure", "--root", "/Objects/line-1", "--depth", "1") as made:
        text = made.read_all()
    assert f"press-7/ …  BaseObjectType  nsu={NAMESPACE};" in text
    assert f"0 variables; {MACHINES} objects not browsed (see --depth)" in text


def test_what_is_printed_says_what_it_is_and_can_be_browsed_again(server: OpcuaServer) -> None:
    below = gateway("browse", server.url, "--insecure", "--root", "line-1/press-3")
    assert f"Temperature  Double  20.5 °C  r  nsu={NAMESPACE};s=press-3.Temperature\n" in below
    [selection] = yaml.safe_load(gateway("browse", server.url, "--insecure", "--root", "line-1", "--yaml"))["select"]
    assert selection["subtree"].startswith(f"nsu={NAMESPACE};")
    narrowed = ("--root", "line-1", "--match", "*/Counter", "--yaml")
    assert yaml.safe_load(gateway("browse", server.url, "--insecure", *narrowed)) == {
        "select": [{**selection, "include": ["*/Counter"]}]
    }


def test_output_to_a_pipe_is_complete(server: OpcuaServer) -> None:
    done = ran("gateway", "browse", server.url, "--insecure", "--root", "/Objects/line-1")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("  ")]) == 4 * MACHINES


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--root", "i=99999"), 69, "has no node i=99999"),
        (("--root", "/Objects/nothing"), 69, "has no node /Objects/nothing"),
        (("--match", "nothing/*"), 0, "**/Name matches at any depth"),
    ],
)
def test_nothing_found_says_why(server: OpcuaServer, options: tuple[str, ...], code: int, words: str) -> None:
    done = ran("gateway", "browse", server.url, "--insecure", *options)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == (1 if code else 2)


def test_plan_groups_similar_variables_and_shows_the_load(server: OpcuaServer, tmp_path: Path) -> None:
    path = configured(server, tmp_path)
    with terminal("plan", str(path)) as made:
        text = made.read_all()
    assert f"… {4 * MACHINES - 3} more like these" in text
    assert "nsu=urn:nobody;i=1" in text
    assert "BadNodeIdUnknown" in text
    assert f"{4 * MACHINES + 1} variables, 1 problems" in text
    assert f"at most {40 * MACHINES} values/s" in text
    assert "x/line (json)" in text  # the topic and the format
    assert "20.5 °C" in text  # the first value
    assert re.search(r"broker: at most \d+ messages/s and [\d.]+ [KM]iB/s of 1600 variables", text)
    assert re.search(r"the disk bridges \d+ (minutes|hours|days)", text)
    assert "broker: 127.0.0.1:1 refuses the connection" in text.replace("mqtt://", "")
    assert made.process.returncode == 1


def test_profile_check_counts_the_variables_of_the_live_server(server: OpcuaServer, tmp_path: Path) -> None:
    """With messages, cost and date; what does not fit the cloud has a form that would."""
    given = yaml.safe_load(configured(server, tmp_path).read_text())
    wanted = {"profile": "aws-iot-core", "endpoint": "a-ats.iot.eu.amazonaws.com", "tls": {"certificate": "a.pem"}}
    given |= {"broker": wanted, "payload": {"format": "json", "topic": "a/{source}/{tag}"}}
    path = tmp_path / "cloud.yaml"
    path.write_text(yaml.safe_dump(given))
    done = ran("gateway", "profile", "check", str(path), "--plan")
    assert done.returncode == 1, done.stderr
    assert f"broker: AWS IoT Core: {4 * MACHINES} tags, " in done.stdout
    assert f"{4 * MACHINES} tags at " in done.stdout
    assert "USD in 30 days at the list prices of 20" in done.stdout
    assert "16 000 messages/s, AWS IoT Core takes 100: " in done.stdout


def test_plan_shows_every_line_on_request(server: OpcuaServer, tmp_path: Path) -> None:
    with terminal("plan", str(configured(server, tmp_path)), "--all") as made:
        text = made.read_all()
    assert text.count("/Counter  ") == MACHINES


@pytest.mark.parametrize("command", ["browse", "plan"])
def test_ctrl_c_ends_it_while_the_server_is_silent(server: OpcuaServer, tmp_path: Path, command: str) -> None:
    what = (server.url, "--insecure") if command == "browse" else (str(configured(server, tmp_path)),)
    server.process.send_signal(signal.SIGSTOP)
    try:
        with terminal(command, *what) as made:
            made.read_until("connecting to")
            began = time.monotonic()
            made.process.send_signal(signal.SIGINT)
            text = made.read_all()
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert made.process.returncode == 130, text
    assert time.monotonic() - began < 30
    assert "Traceback" not in text


def configured(server: OpcuaServer, folder: Path) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(
        f"""
name: edge
sources:
  - name: line
    url: {server.url}
    insecure: true
    publishing_interval: 100ms
    select: [{{subtree: /Objects/line-1}}, {{node: "nsu=urn:nobody;i=1"}}]
broker: {{url: "mqtt://127.0.0.1:1"}}
payload: {{topic: "x/{{source}}"}}
outbox: {{path: {folder}/outbox}}
""",
        encoding="utf-8",
    )
    return path


def gateway(*arguments: str) -> str:
    """Run a command that must succeed; its standard output."""
    done = ran("gateway", *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_plan_accepts_what_is_imported_of_published_nodes_with_every_field(server: OpcuaServer, tmp_path: Path) -> None:
    entries = [
        {**entry, "EndpointUrl": server.url, "UseSecurity": False, "EndpointSecurityPolicy": None,
         "EndpointSecurityMode": "None", "OpcAuthenticationMode": "Anonymous"}
        for entry in EVERY_FIELD
    ]  # fmt: skip
    text = json.dumps(entries).replace("nsu=urn:acme:press;s=Temp", f"nsu={NAMESPACE};s=press-1.Temperature")
    text = text.replace("nsu=urn:acme:press;s=Cyclic", f"nsu={NAMESPACE};s=press-1.Running")
    text = text.replace('"ns=2;i=5"', f'"{NAMESPACE}#s=press-2.Temperature"')
    text = text.replace('"Line1", "2:Speed"', '"line-1", "2:press-3", "2:State"')
    path, made = tmp_path / "published_nodes.json", tmp_path / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    gateway("import", "opc-publisher", str(path), "-o", str(made))
    planned = gateway("plan", str(made), "--all")
    assert "5 variables, 0 problems" in planned  # four variables and the alarms
    assert "1 variables, 0 problems; polled" in planned
    assert "group=shop writer=press-1 line_no=7" in planned


def test_a_table_of_tags_goes_to_a_spreadsheet_and_back(server: OpcuaServer, tmp_path: Path) -> None:
    options = ("--insecure", "--root", "/Objects/line-1", "--limit", "8")
    table, made = tmp_path / "tags.csv", tmp_path / "gateway.yaml"
    table.write_text(gateway("browse", server.url, *options, "--csv"), encoding="utf-8-sig")
    gateway("import", "csv", str(table), "--url", server.url, "-o", str(made))
    browsed = yaml.safe_load(gateway("browse", server.url, *options, "--yaml"))
    [source] = yaml.safe_load(made.read_text(encoding="utf-8"))["sources"]
    assert source["select"] == browsed["select"]
    gateway("validate", str(made), "--no-files")
