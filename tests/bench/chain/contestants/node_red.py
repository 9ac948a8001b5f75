"""Node-RED with its OPC UA node: inject → list of variables → OpcUa-Client (subscribe) → function → mqtt out."""

import json

from tests.bench.chain.contestants.entry import Command, Contestant, Setting
from tests.bench.chain.install import NODE_RED, node_program

_SUBSCRIBE = """
msg.topic = "multiple";
msg.interval = INTERVAL;
msg.payload = [];
for (let i = 0; i < VARIABLES; i++) msg.payload.push({ nodeId: "ns=2;s=v" + String(i).padStart(6, "0") });
return msg;
"""
_TOLD = """
const data = msg.payload;
if (!data || !data.value) return null;
const time = data.sourceTimestamp.toISOString();
const one = { name: msg.topic.slice(7), value: data.value.value, time, status: data.statusCode.value };
return { topic: "bench/red", payload: JSON.stringify(one) };
"""
_SETTINGS = """
module.exports = {
  uiPort: PORT, uiHost: "127.0.0.1", flowFile: "flows.json", nodesDir: [], httpAdminRoot: false,
  logging: { console: { level: "info" } }, editorTheme: { tours: false },
};
"""


def flow(setting: Setting) -> list[dict[str, object]]:
    subscribe = _SUBSCRIBE.replace("INTERVAL", str(setting.interval_ms)).replace("VARIABLES", str(setting.variables))
    return [
        {"id": "tab", "type": "tab", "label": "bench"},
        {
            "id": "endpoint", "type": "OpcUa-Endpoint", "endpoint": setting.url, "secpol": "None", "secmode": "None",
            "none": True, "login": False, "usercert": False,
        },
        {
            "id": "mosquitto", "type": "mqtt-broker", "name": "", "broker": "127.0.0.1",
            "port": str(setting.mqtt_port), "clientid": "red", "autoConnect": True, "usetls": False,
            "protocolVersion": "5", "keepalive": "60", "cleansession": True,
        },
        {
            "id": "begin", "type": "inject", "z": "tab", "props": [{"p": "payload"}], "once": True, "onceDelay": 4,
            "repeat": "", "topic": "", "payload": "", "payloadType": "date", "wires": [["list"]],
        },
        {"id": "list", "type": "function", "z": "tab", "func": subscribe, "outputs": 1, "wires": [["client"]]},
        {
            "id": "client", "type": "OpcUa-Client", "z": "tab", "endpoint": "endpoint", "action": "subscribe",
            "deadbandtype": "a", "deadbandvalue": 1, "time": str(setting.interval_ms), "timeUnit": "ms",
            "certificate": "n", "securitymode": "None", "securitypolicy": "None", "useTransport": False,
            "maxChunkCount": 1, "maxMessageSize": 8192, "receiveBufferSize": 8192, "sendBufferSize": 8192,
            "setstatusandtime": False, "keepsessionalive": True, "wires": [["told"], [], []],
        },
        {"id": "told", "type": "function", "z": "tab", "func": _TOLD, "outputs": 1, "wires": [["out"]]},
        {
            "id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "1", "retain": "false",
            "broker": "mosquitto", "wires": [],
        },
    ]  # fmt: skip


def command(setting: Setting) -> Command:
    home, modules = setting.folder, NODE_RED.folder / "node_modules"
    (home / "flows.json").write_text(json.dumps(flow(setting)))
    (home / "settings.js").write_text(_SETTINGS.replace("PORT", str(setting.http_port)))
    package = {"name": "red", "version": "1.0.0", "dependencies": {"node-red-contrib-opcua": "*"}}
    (home / "package.json").write_text(json.dumps(package))
    (home / "node_modules").symlink_to(modules)
    words = [node_program(), "--max-old-space-size=4096", str(modules / "node-red" / "red.js")]
    return Command([*words, "-u", str(home), "-s", str(home / "settings.js")])


RED = Contestant("node-red", "Node-RED, OPC UA node, a message per value", "one", command, ("node-red",))
