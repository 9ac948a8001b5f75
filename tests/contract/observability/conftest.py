"""The stack that the tests of this folder look at: one for all of them, because it takes seconds to live."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import mosquitto
from tests.support.mqtt_certificates import Authority
from tests.support.ports import free_port
from tests.support.programs import SINK, SOURCE, Factory, Gateway, running, wait_until
from tests.support.prometheus import Stack, prometheus

PLANT = Path(__file__).parent / "jams.yaml"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    port = free_port()
    authority = Authority(folder)
    shown = authority.issue("broker", "127.0.0.1", lasts=datetime.timedelta(days=90))
    with (
        mosquitto(folder, listener=authority.listener(shown)) as broker,
        running(Factory(folder, "--metrics-port", str(port), plant=PLANT)) as factory,
    ):
        factory.wait_said("serving")
        source = {**SOURCE, "url": factory.url, "publishing_interval": "250ms"}
        sink = {"url": f"mqtts://127.0.0.1:{broker.port}", "tls": {"ca": str(authority.path)}, **SINK}
        with running(Gateway(folder, factory.url, "", sources=[source], broker=sink)) as gateway:
            gateway.wait_ready()
            with prometheus(folder, {"gateway": gateway.http_port}, {"factory": port}) as server:
                wait_until(
                    lambda: (
                        server.figure("line:factory_oee:ratio_1h") > 0
                        and server.figure("count(rate(gateway_values_delivered_total[5s]))") > 0
                    ),
                    "the first figures",
                    40,
                )
                yield Stack(server, broker, gateway, factory, authority)
