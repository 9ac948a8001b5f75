"""Files of other programs become configurations that the gateway takes; what does not is told, with its place.

The files are written for these tests.
"""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import cli
from gateway.config import Config
from gateway.importing.formats import IMPORT_FORMATS
from gateway.importing.opc_publisher import ENTRY, NODE
from gateway.importing.writing import written
from gateway.loading import load
from tests.support.ports import free_port
from tests.support.published_nodes import EVERY_FIELD

URL = "opc.tcp://127.0.0.1:4840"


def imported(form: str, text: str, folder: Path) -> tuple[Config, list[str]]:
    """The configuration, as `gateway validate` reads it, and what was told."""
    source, made = folder / "source", folder / "made.yaml"
    source.write_text(text, encoding="utf-8")
    found = IMPORT_FORMATS[form].read(source, URL)
    made.write_text("".join(written(found, "edge-1", "mqtt://127.0.0.1")), encoding="utf-8")
    return load(made), [line.replace(f"{source}", "FILE") for line in found.notes.lines]


def test_every_field_of_published_nodes_becomes_a_setting_or_is_told(tmp_path: Path) -> None:
    config, told = imported("opc-publisher", json.dumps(EVERY_FIELD), tmp_path)
    text, files = "\n".join(told), json.dumps(EVERY_FIELD)
    assert "is no field of this format that is known here" not in text
    # each field that has no meaning here is in the file, and told
    assert [name for name in (*ENTRY, *NODE) if f'"{name}"' not in files] == []
    assert [name for name in (*ENTRY, *NODE) if not ENTRY.get(name, NODE.get(name)) or f"{name} " not in text] == []
    secure, polled, plain = config.sources
    assert (secure.url, secure.username, polled.mode, plain.insecure) == ("opc.tcp://press:4840", "ann", "poll", True)
    assert secure.security is not None
    assert (secure.security.policy, secure.security.mode) == ("Basic256Sha256", "SignAndEncrypt")
    assert secure.password is not None
    assert secure.password.env == "OPCUA_PASSWORD_SHOP"
    first, second, path, events = secure.select
    assert (first.node, first.name, first.publishing_interval, first.sampling_interval, first.queue_size) == (
        "nsu=urn:acme:press;s=Temp", "Temperature", 2.0, 0.5, 7,
    )  # fmt: skip
    assert (first.discard, first.trigger, first.deadband, first.heartbeat) == ("newest", "timestamp", 0.5, 30.0)
    assert (second.node, second.deadband_percent, second.publishing_interval, second.heartbeat) == (
        "ns=2;i=5", 5.0, 1.5, 60.0,
    )  # fmt: skip
    assert path.node == "/Objects/Line1/Speed"
    assert (events.events, events.event_types, events.event_fields) == ("i=2253", ("i=2041",), ("Message", "Severity"))
    assert first.fields == {"group": "shop", "writer": "press-1", "line_no": "7"}
    assert (config.payload.format, config.payload.pubsub.key_frame_every, config.payload.max_values) == (
        "opcua-pubsub", 10, 50,
    )  # fmt: skip
    assert config.all_brokers[0].expiry == 3600.0


def test_plan_takes_what_is_made_of_every_field_and_asks_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the configuration would be exit code 78; here only the server is not there."""
    nobody = f"opc.tcp://127.0.0.1:{free_port()}"
    imported("opc-publisher", json.dumps(EVERY_FIELD).replace("opc.tcp://press:4840", nobody), tmp_path)
    monkeypatch.setenv("OPCUA_PASSWORD_SHOP", "x")
    done = CliRunner().invoke(cli, ["plan", str(tmp_path / "made.yaml")])
    assert (done.exit_code, nobody in done.output) == (69, True), done.output


def test_a_secret_of_an_imported_file_is_in_nothing_that_is_written(tmp_path: Path) -> None:
    _, told = imported("opc-publisher", json.dumps(EVERY_FIELD), tmp_path)
    assert "hunter2" in json.dumps(EVERY_FIELD)
    assert "hunter2" not in (tmp_path / "made.yaml").read_text() + "".join(told)


THINGSBOARD = r"""{
  // comments are taken
  "server": {"name": "shop", "url": "opc.tcp://press:4840", "timeoutInMillis": 5000, "scanPeriodInMillis": 1000,
             "pollPeriodInMillis": 500, "disableSubscriptions": false, "security": "Basic256Sha256",
             "identity": {"type": "username", "username": "ann", "password": "hunter2", "mode": "SignAndEncrypt"}},
  "mapping": [{"deviceNodePattern": "Root\\.Objects\\.Device1",
    "deviceNamePattern": "Press ${Root\\.Objects\\.Device1\\.Serial}",
    "attributes": [{"key": "model", "path": "${ns=2;i=5}"}],
    "timeseries": [{"key": "temperature", "path": "${Sensors\\.Temp}"},
                   {"key": "all", "path": "${Root\\.Objects\\.Device\\d+\\..*}"}],
    "rpc_methods": [{"method": "start"}], "attributes_updates": [{"attributeOnDevice": "x"}]}]}"""
TELEGRAF = """
[agent]
interval = "5s"
[[inputs.opcua]]
name = "shop"
endpoint = "opc.tcp://press:4840"
security_policy = "None"
security_mode = "None"
optional_fields = ["DataType"]
request_timeout = "3s"
nodes = [{name="temp", namespace="3", identifier_type="s", identifier="T", default_tags={Line="7"}}]
[[inputs.opcua.group]]
name = "group1"
namespace = "4"
identifier_type = "i"
default_tags = {tag="g"}
nodes = [{name="speed", identifier="17"}]
[[inputs.opcua_listener]]
endpoint = "opc.tcp://press:4840"
security_policy = "auto"
security_mode = "Sign"
subscription_interval = "250ms"
[[inputs.opcua_listener.nodes]]
name = "x"
id = "ns=5;s=a b"
[inputs.opcua_listener.nodes.monitoring_params]
sampling_interval = "100ms"
queue_size = 9
discard_oldest = false
data_change_filter = {trigger = "StatusValueTimestamp", deadband_type = "Percent", deadband_value = 2.5}
"""
BENTHOS = """
input:
  broker:
    inputs:
      - opcua:
          endpoint: opc.tcp://press:4840
          nodeIDs: ["ns=2;s=folder", "ns=2;i=7"]
          username: ann
          password: hunter2
          securityMode: None
          subscribeEnabled: true
          useHeartbeat: true
          autoReconnect: true
output: {stdout: {}}
"""
CLIENT = {
    "type": "OpcUa-Client", "endpoint": "e", "action": "read", "deadbandtype": "a", "deadbandvalue": 1, "time": 10,
    "timeUnit": "s", "certificate": "n", "localfile": "", "localkeyfile": "", "securitymode": "None",
    "securitypolicy": "None", "useTransport": False, "maxChunkCount": 1, "maxMessageSize": 8192,
    "receiveBufferSize": 8192, "sendBufferSize": 8192, "setstatusandtime": False, "keepsessionalive": False, "name": "",
    "applicationName": "", "applicationUri": "", "x": 1, "y": 2, "z": "t",
}  # fmt: skip
"""A node as the editor writes it, with all that node-red-contrib-opcua 0.2.354 registers, and its defaults."""
INJECT = {"type": "inject", "props": [{"p": "payload"}, {"p": "topic", "vt": "str"}], "repeat": "", "once": True}
NODE_RED = json.dumps(
    [
        {"id": "t", "type": "tab", "label": "Flow 1"},
        {"id": "e", "type": "OpcUa-Endpoint", "endpoint": "opc.tcp://press:4840", "secpol": "Basic256Sha256",
         "secmode": "SIGNANDENCRYPT", "none": False, "login": True, "usercert": False, "usercertificate": "",
         "userprivatekey": "", "name": ""},
        {"id": "b", "type": "mqtt-broker", "broker": "broker.example", "port": "8883", "usetls": True},
        {"id": "i", "type": "OpcUa-Item", "item": "ns=2;s=Temp", "datatype": "Double", "value": "",
         "name": "Temperature", "wires": [["c", "w"]]},
        {"id": "j", **INJECT, "topic": "ns=2;i=7", "wires": [["c"]]},
        {"id": "every", **INJECT, "topic": "", "repeat": "2", "wires": [["k"]]},
        {"id": "seldom", **INJECT, "topic": "", "repeat": "60", "wires": [["k"]]},
        {"id": "v", "type": "OpcUa-Event", "root": "ns=0;i=2253", "activatecustomevent": False,
         "eventtype": "ns=0;i=10751", "customeventtype": "", "name": "Alarms", "wires": [["n"]]},
        {"id": "n", **CLIENT, "action": "events", "time": 500, "timeUnit": "ms", "wires": [["m"], [], []]},
        {"id": "k", "type": "OpcUa-Item", "item": "i=2258", "wires": [["r"]]},
        {"id": "off", "type": "OpcUa-Item", "item": "i=1", "d": True, "wires": [["c"]]},
        {"id": "c", **CLIENT, "action": "monitor", "deadbandtype": "p", "deadbandvalue": 0.5, "time": "500",
         "timeUnit": "ms", "wires": [["f"]]},
        {"id": "r", **CLIENT, "wires": []},
        {"id": "w", **CLIENT, "action": "write", "wires": []},
        {"id": "f", "type": "function", "name": "scale", "func": "return msg", "wires": [["m"]]},
        {"id": "m", "type": "mqtt out", "topic": "hall/press", "broker": "b", "qos": "1", "wires": []},
    ]
)  # fmt: skip
CSV = """\ufeffnode;name;type;unit;sampling_interval;deadband;priority;metric;field.Line;colour\r
"nsu=urn:x;s=a";'=Temp;Double;°C;250ms;0,5;;x;7;red\r
/Objects/b;"b;1";;;;;state;;;\r
;;;;;;;;;\r
"""


def test_thingsboard(tmp_path: Path) -> None:
    config, told = imported("thingsboard", THINGSBOARD, tmp_path)
    [source] = config.sources
    assert (source.request_timeout, source.publishing_interval, source.username) == (5.0, 0.5, "ann")
    model, temperature, every = source.select
    assert (model.node, model.name, model.priority, model.fields) == ("ns=2;i=5", "model", "state", {"device": "Press"})
    assert (temperature.node, temperature.name) == ("/Objects/Device1/Sensors/Temp", "temperature")
    assert (every.subtree, every.include) == ("/Objects", ("Device*/*",))
    text = "\n".join(told)
    assert "rpc_methods is not supported: allow methods in `commands`" in text
    assert "FILE: server.scanPeriodInMillis: " in text


def test_telegraf(tmp_path: Path) -> None:
    config, told = imported("telegraf", TELEGRAF, tmp_path)
    reads, listens = config.sources
    temp, speed = reads.select
    assert (reads.insecure, reads.publishing_interval, reads.request_timeout) == (True, 5.0, 3.0)
    assert (temp.node, temp.name, temp.fields) == ("ns=3;s=T", "temp", {"line": "7", "measurement": "shop"})
    assert (speed.node, speed.fields) == ("ns=4;i=17", {"tag": "g", "measurement": "group1"})
    [x] = listens.select
    assert (x.node, x.sampling_interval, x.queue_size, x.discard, x.trigger, x.deadband_percent) == (
        "ns=5;s=a b", 0.1, 9, "newest", "timestamp", 2.5,
    )  # fmt: skip
    assert listens.security is not None
    assert listens.security.mode == "Sign"
    assert "optional_fields has no meaning here" in "\n".join(told)


def test_benthos(tmp_path: Path) -> None:
    config, told = imported("benthos-umh", BENTHOS, tmp_path)
    [source] = config.sources
    assert source.security is not None
    assert (source.security.policy, source.mode) == ("None", "auto")
    assert [(each.node, each.heartbeat) for each in source.select] == [("ns=2;s=folder", 10.0), ("ns=2;i=7", 10.0)]
    assert "write `subtree`" in "\n".join(told)


def test_node_red(tmp_path: Path) -> None:
    config, told = imported("node-red", NODE_RED, tmp_path)
    subscribed, polled = config.sources
    assert (subscribed.url, subscribed.publishing_interval) == ("opc.tcp://press:4840", 0.5)
    assert subscribed.username == "change-me"
    assert subscribed.security is not None
    assert (subscribed.security.policy, subscribed.security.mode) == ("Basic256Sha256", "SignAndEncrypt")
    temperature, speed, alarms = subscribed.select
    assert (temperature.node, temperature.name, temperature.deadband_percent) == ("ns=2;s=Temp", "Temperature", 0.5)
    assert (alarms.events, alarms.event_types) == ("ns=0;i=2253", ("ns=0;i=10751",))
    assert temperature.fields == {"path": "hall/press"}
    assert speed.node == "ns=2;i=7"
    assert (polled.mode, polled.publishing_interval) == ("poll", 2.0)
    assert [each.node for each in polled.select] == ["i=2258"]
    assert config.all_brokers[0].url == "mqtts://broker.example:8883"
    assert config.payload.topic == "{path}"
    text = "\n".join(told)
    assert "function scale: has no counterpart" in text
    assert "write is not supported: allow it in `commands`" in text
    assert "the login is in flows_cred.json" in text
    assert "Node-RED has taken it as absolute" in text
    assert "is known here" not in text  # all fields of the real nodes are known


def test_a_table_of_tags_as_a_spreadsheet_saves_it(tmp_path: Path) -> None:
    config, told = imported("csv", CSV, tmp_path)
    [source] = config.sources
    first, second = source.select
    assert (first.node, first.name, first.sampling_interval, first.deadband, first.metric, first.fields) == (
        "nsu=urn:x;s=a", "=Temp", 0.25, 0.5, True, {"line": "7"},
    )  # fmt: skip
    assert (second.node, second.name, second.priority, second.fields) == (
        "/Objects/b", "b;1", "state", {"line": "-"},
    )  # fmt: skip
    assert told == ["FILE:1: the column colour is not known here, and not read"]


DEEP = "[" * 100_000


def of(nodes: bytes) -> bytes:
    return b'[{"EndpointUrl": "opc.tcp://h", "OpcNodes": %s}]' % nodes


@pytest.mark.parametrize(
    ("form", "content", "words"),
    [
        ("opc-publisher", b"", "FILE:1: is not JSON: "),
        ("opc-publisher", b"\xff\xfe", "FILE:1: is not UTF-8 text: save it as UTF-8"),
        ("opc-publisher", DEEP.encode(), "nested too deeply"),
        ("opc-publisher", b"[1]", "FILE: [0]: must be an object with EndpointUrl and OpcNodes"),
        ("opc-publisher", b'[{"OpcNodes": [{"Id": "i=1"}]}]', "FILE: [0].EndpointUrl: write an address as opc.tcp://"),
        ("opc-publisher", of(b'{"Id": 5}'), "OpcNodes: is {'Id': 5}, but must be an array"),
        ("opc-publisher", of(b'[{"Id": 5}]'), "OpcNodes[0].Id: is 5, but must be a text"),
        ("opc-publisher", of(b'[{"Id": "x"}]'), "has no variables that the gateway could read"),
        ("opc-publisher", b'[{"DataSetPublishingInterval": NaN}]', "NaN is no number of JSON"),
        ("opc-publisher", of(b'[], "DataSetPublishingIntervalTimespan": "1h"'), "write [days.]hours:minutes:seconds"),
        ("node-red", b"{}", "FILE: must be an array of nodes"),
        ("thingsboard", b"[]", "FILE: must be an object with server and mapping"),
        ("thingsboard", b"{}", "FILE: server: is missing"),
        ("telegraf", b"x", "FILE: is not TOML: "),
        ("telegraf", b"x = 1", "FILE: has no [[inputs.opcua]]"),
        ("telegraf", b'[[inputs.opcua]]\nendpoint="opc.tcp://h"\ninterval="x"', "write 500ms, 10s or 1h30m"),
        ("benthos-umh", b"a: [", "FILE:"),
        ("benthos-umh", b"a: &x [*x]", "FILE:1"),
        ("benthos-umh", b"input: {}", "FILE: has no input `opcua` with an endpoint"),
        ("csv", b"", "FILE:1: has no column `node`: it has none"),
        ("csv", b"node,metric\ni=1,perhaps\n", "FILE:2: metric: 'perhaps': write true or false"),
        ("csv", b"node,queue_size\ni=1,many\n", "FILE:2: queue_size: 'many' is no number"),
        ("csv", b'node\n"i=1\n', "is no CSV: "),
        ("csv", b"node\n" + b"x" * 200_000, "is no CSV: field larger than field limit"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_taken_says_what_where_and_how_to_mend_it(
    form: str, content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "source"
    path.write_bytes(content)
    done = CliRunner().invoke(cli, ["import", form, str(path), "--url", URL], env={"COLUMNS": "200"})
    assert words in done.output.replace(str(path), "FILE")
    assert done.exit_code == 78
    assert "Traceback" not in done.output


def test_unknown_fields_and_nodes_that_are_none_are_told_and_the_rest_is_taken(tmp_path: Path) -> None:
    entry = {"EndpointUrl": "opc.tcp://h", "Colour": 1, "OpcNodes": [{"Id": "what"}, {"Id": "http://u/#s=a#b"}, {}] + [
        {"Id": f"i={n}", "Shape": "round"} for n in range(5)
    ]}  # fmt: skip
    config, told = imported("opc-publisher", json.dumps([entry]), tmp_path)
    assert [each.node for each in config.sources[0].select] == ["nsu=http://u/;s=a#b", *(f"i={n}" for n in range(5))]
    assert "FILE: [0].Colour: Colour is no field of this format that is known here" in told
    assert "FILE: [0].OpcNodes[3].Shape and 4 more: Shape is no field of this format that is known here" in told
    assert any(line.startswith("FILE: [0].OpcNodes[0]: is left out: node: write a node id") for line in told)
    assert "FILE: [0].OpcNodes[2]: has no Id: it is left out" in told


def test_comments_of_a_hostile_file_stay_comments(tmp_path: Path) -> None:
    entry = {
        "EndpointUrl": "opc.tcp://h",
        "a\nbroker: {url: evil}\u2028x": 1,
        "OpcNodes": [{"Id": "i=1", "DisplayName": "a\nb: c #"}],
    }
    config, _ = imported("opc-publisher", json.dumps([entry]), tmp_path)
    assert config.all_brokers[0].url == "mqtt://127.0.0.1"
    assert config.sources[0].select[0].name == "a\nb: c #"
