"""ThingsBoard's IoT gateway, its OPC UA connector pointed at a plain broker; telemetry to v1/gateway/telemetry, QoS 1.

Its rate limits are off and its packs are large; `scripts/thingsboard.py` answers what ThingsBoard's server would be
asked for when it connects, without limits.
"""

import json
from pathlib import Path

from tests.bench.chain.contestants.entry import SCRIPTS, Command, Contestant, Setting
from tests.bench.chain.install import THINGSBOARD

_NO_LIMIT = "0:0,"
_LIMITS = ("rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits", "deviceRateLimits",
           "deviceDpRateLimits")  # fmt: skip


def gateway(setting: Setting) -> dict[str, object]:
    return {
        "thingsboard": {
            "host": "127.0.0.1", "port": setting.mqtt_port, "remoteShell": False, "remoteConfiguration": False,
            "statistics": {"enable": False, "statsSendPeriodInSeconds": 3600}, "maxPayloadSizeBytes": 65536,
            "minPackSendDelayMS": 10, "minPackSizeToSend": 500, "checkConnectorsConfigurationInSeconds": 60,
            "handleDeviceRenaming": False, "security": {"type": "accessToken", "accessToken": "bench"}, "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"}, "checkingDeviceActivity": {"checkDeviceInactivity": False},
            **dict.fromkeys(_LIMITS, _NO_LIMIT),
        },
        "storage": {"type": "memory", "read_records_count": 1000, "max_records_count": 10_000_000},
        "grpc": {"enabled": False},
        "connectors": [{"name": "opc", "type": "opcua", "configuration": "opcua.json"}],
    }  # fmt: skip


def connector(setting: Setting) -> dict[str, object]:
    names = [f"v{number:06}" for number in range(setting.variables)]
    device = {
        "deviceNodeSource": "path", "deviceNodePattern": "Root\\.Objects\\.2:load",
        "deviceInfo": {
            "deviceNameExpression": "load", "deviceNameExpressionSource": "constant",
            "deviceProfileExpression": "default", "deviceProfileExpressionSource": "constant",
        },
        "attributes": [], "rpc_methods": [], "attributes_updates": [],
        "timeseries": [{"key": name, "type": "identifier", "value": f"${{ns=2;s={name}}}"} for name in names],
    }  # fmt: skip
    server = {
        "url": setting.url, "timeoutInMillis": 60_000, "scanPeriodInMillis": 3_600_000,
        "pollPeriodInMillis": 3_600_000, "enableSubscriptions": True, "subCheckPeriodInMillis": setting.interval_ms,
        "subDataMaxBatchSize": 1000, "subDataMinBatchCreationTimeMs": 50, "subscriptionProcessBatchSize": 2000,
        "sessionTimeoutInMillis": 600_000, "showMap": False, "security": "None", "identity": {"type": "anonymous"},
    }  # fmt: skip
    return {"server": server, "mapping": [device]}


def logging(folder: Path) -> dict[str, object]:
    """Warnings to a file; the product's own default writes a line for every packet."""
    handler = {"class": "logging.FileHandler", "filename": str(folder / "gateway.log"), "level": "WARNING"}
    return {"version": 1, "handlers": {"file": handler}, "root": {"level": "WARNING", "handlers": ["file"]}}


def command(setting: Setting) -> Command:
    home = setting.folder / "config"
    home.mkdir()
    for name, content in (
        ("logs", logging(setting.folder)), ("list", {}), ("tb_gateway", gateway(setting)), ("opcua", connector(setting))
    ):  # fmt: skip
        (home / f"{name}.json").write_text(json.dumps(content))
    words = [str(THINGSBOARD.python), str(SCRIPTS / "thingsboard.py"), str(home / "tb_gateway.json")]
    return Command([*words, str(setting.mqtt_port)], {"TB_GW_CONFIG_DIR": str(home)})


BOARD = Contestant("thingsboard", "ThingsBoard gateway", "thingsboard", command, ("thingsboard",))
