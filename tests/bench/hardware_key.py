"""A device whose key never leaves a PKCS#11 token: `python -m tests.bench.hardware_key`.

Python's TLS takes keys from files only, and OpenSSL 3.0 reads a token through an engine that Python cannot name.  So a
tunnel on the same machine (stunnel, with the engine of libp11) shows the certificate, and the gateway speaks to it
without TLS: AWS, Event Grid and IoT Hub with X.509 want no password, so nothing secret passes there.  Here the token is
SoftHSM, and the cloud is an emulated AWS behind a TLS listener that wants a certificate.

On Debian: apt install softhsm2 libengine-pkcs11-openssl stunnel4.  Exit code 1 when it does not work; where one of them
is missing that is said, and does not count.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.emulator.broker import emulated
from gateway.emulator.policy import Devices
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from gateway.profiles import profile_named
from tests.contract.clouds.test_tls import Seen, tls_listener
from tests.support.mqtt_certificates import Authority
from tests.support.mqtt_sessions import message
from tests.support.ports import free_port

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
NEEDED = ("softhsm2-util", "stunnel")
PIN = "1234"


def token_with(key: Path, folder: Path) -> dict[str, str]:
    """A new token that holds this key, which is then taken from the disk; the environment that finds it."""
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    environment = os.environ | {"SOFTHSM2_CONF": str(settings)}
    util = ("softhsm2-util", "--token", "edge")
    subprocess.run(
        [*util[:1], "--init-token", "--free", "--label", "edge", "--pin", PIN, "--so-pin", PIN],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        [*util, "--import", str(key), "--label", "device", "--id", "01", "--pin", PIN],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    key.unlink()
    return environment


def tunnel(folder: Path, here: int, cloud: int, certificate: Path, ca: Path) -> Path:
    path = folder / "stunnel.conf"
    path.write_text(
        f"foreground = yes\npid =\nengine = pkcs11\nengineCtrl = MODULE_PATH:{MODULE}\nengineCtrl = PIN:{PIN}\n"
        f"[cloud]\nclient = yes\naccept = 127.0.0.1:{here}\nconnect = 127.0.0.1:{cloud}\nsni = localhost\n"
        f"cert = {certificate}\nengineId = pkcs11\nkey = pkcs11:token=edge;object=device;type=private\n"
        f"CAfile = {ca}\nverifyChain = yes\ncheckHost = localhost\n"
    )
    return path


async def shown(folder: Path) -> Seen:
    """What the cloud saw of the device."""
    authority, seen = Authority(folder), Seen()
    pair = authority.issue("edge-1")
    environment, here, port = token_with(pair.key, folder), free_port(), free_port()
    async with (
        emulated(profile_named("aws-iot-core"), Devices({"edge-1": ""})) as cloud,
        tls_listener(port, cloud.port, authority, seen),
    ):
        settings = tunnel(folder, here, port, pair.certificate, authority.path)
        process = await asyncio.create_subprocess_exec("stunnel", str(settings), env=environment)
        try:
            keys = {"profile": "aws-iot-core", "endpoint": "localhost", "url": f"mqtt://127.0.0.1:{here}"}
            config = BrokerConfig.model_validate(keys)
            async with asyncio.timeout(30.0):
                while True:
                    try:
                        async with open_sink(config, Link("cloud", config.url), "edge-1") as sink:
                            assert (await sink.send(message())).verdict is Verdict.DELIVERED
                            return seen
                    except Unavailable as error:
                        print(error, file=sys.stderr)
                        await asyncio.sleep(0.2)
        finally:
            process.kill()
            await process.wait()


def main() -> int:
    missing = [name for name in NEEDED if shutil.which(name) is None] + ([] if Path(MODULE).exists() else [MODULE])
    if missing:
        print(f"not there: {', '.join(missing)}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(shown(Path(folder)))
    print(f"the cloud saw {seen.client} by the name {seen.server_name}; its key is in the token alone")
    return 0 if (seen.client, seen.server_name) == ("edge-1", "localhost") else 1


if __name__ == "__main__":
    sys.exit(main())
