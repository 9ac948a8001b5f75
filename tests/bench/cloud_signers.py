"""Our passwords beside those that the vendors' own programs make: `python -m tests.bench.cloud_signers`.

Each program goes into an environment of its own below `var/signers`, made at first use: azure-iot-device wants an older
paho than the gateway.  Its clock is frozen from outside.  Exit code 1 when a password differs.  A program that cannot
be installed is said, and does not count.
"""

import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from gateway.profiles import signing

ROOT = Path(__file__).parents[2]
AT_S = 1_699_996_400
KEY = "NMgJDvdKTxjLi+xBxxkDDEwDJxEvOE5u8BiT0mVgPeg="


@dataclass(frozen=True, slots=True)
class Vendor:
    """A program that makes passwords."""

    packages: tuple[str, ...]
    """As pip takes them."""
    script: str
    """Prints the passwords as a list of JSON."""
    ours: tuple[str, ...]


_AZURE = f"""
import json, time
time.time = lambda: {AT_S}
from azure.iot.device.common.auth import sastoken, signing_mechanism
def token(name):
    key = signing_mechanism.SymmetricKeySigningMechanism({KEY!r})
    return str(sastoken.RenewableSasToken("contoso.azure-devices.net/devices/" + name, key, ttl=3600))
print(json.dumps([token("MyDevice01"), token("press shop+1")]))
"""
_ALIBABA = f"""
import json
from unittest import mock
import linkkit.linkkit as theirs
theirs.time.time = lambda: {AT_S}
theirs.hashlib.sha1 = theirs.hashlib.sha256  # it signs the same text with the older of the two that the cloud takes
with mock.patch.object(theirs.mqtt, "Client") as client:
    kit = theirs.LinkKit(host_name="cn-shanghai", product_key="p1", device_name="MyDevice01", device_secret="a secret")
    kit._LinkKit__config_mqtt_client_internal()
    [call] = client.return_value.username_pw_set.call_args_list
print(json.dumps([call.args[1] if len(call.args) > 1 else call.kwargs["password"]]))
"""
PSK = "MDEyMzQ1Njc4OWFiY2RlZg=="
_TENCENT = f"""
import json
import hub.protocol.protocol as theirs
theirs.time.time = lambda: {AT_S}
theirs.random.sample = lambda population, k: list("abcde")
theirs.hashlib.sha1 = theirs.hashlib.sha256  # it signs the same text with the older of the two that the cloud takes
client = theirs.AsyncConnClient("host", "p1", "MyDevice01", {PSK!r})._AsyncConnClient__mqtt_client
name, password = client._username.decode(), client._password.decode()
print(json.dumps([name, password.replace(";hmacsha1", ";hmacsha256")]))
"""
_TENCENT_NAME = f"p1MyDevice01;21010406;abcde;{AT_S * 1000}"
VENDORS = {
    "azure-iot-device": Vendor(
        ("azure-iot-device==2.14.0",),
        _AZURE,
        tuple(
            signing.sas_token(f"contoso.azure-devices.net/devices/{name}", KEY, AT_S + 3600)
            for name in ("MyDevice01", "press shop+1")
        ),
    ),
    "aliyun-iot-linkkit": Vendor(
        ("aliyun-iot-linkkit==1.2.13", "paho-mqtt<2"),
        _ALIBABA,
        (signing.alibaba_password("a secret", "p1&MyDevice01", "MyDevice01", "p1", str(AT_S)),),
    ),
    "tencent-iot-device": Vendor(  # without what it asks for: pycrypto is no longer built
        ("--no-deps", "tencent-iot-device==1.0.0", "paho-mqtt==1.6.1", "pycryptodome"),
        _TENCENT,
        (_TENCENT_NAME, signing.tencent_password(PSK, _TENCENT_NAME)),
    ),
}


def passwords_of(name: str, vendor: Vendor) -> list[str] | None:
    """None: it cannot be installed here."""
    folder = ROOT / "var" / "signers" / name
    program = folder / "bin" / "python"
    if not program.exists():
        venv.create(folder, with_pip=True)
        install = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *vendor.packages]
        if subprocess.run(install, check=False).returncode:
            return None
    command = [str(program), "-W", "ignore", "-c", vendor.script]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        print(made.stderr[-2000:], file=sys.stderr)
        return None
    found: list[str] = json.loads(made.stdout)
    return found


if __name__ == "__main__":
    differs = False
    for name, vendor in VENDORS.items():
        theirs = passwords_of(name, vendor)
        if theirs is None:
            print(f"{name}: cannot be installed or run here")
            continue
        differs |= tuple(theirs) != vendor.ours
        print(f"{name}: {'equal' if tuple(theirs) == vendor.ours else f'{theirs} there, {vendor.ours} here'}")
    sys.exit(differs)
