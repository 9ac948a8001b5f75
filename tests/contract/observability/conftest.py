"""The stack that the tests of this folder look at: one for all of them, because it takes seconds to live."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import mosquitto
from tests.support.ports import free_port
from tests.support.programs import SOURCE, Factory, Gateway, running, wait_until
from tests.support.prometheus import Stack, prometheus

PLANT = Path(__file__).parent / "jams.yaml"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    port = free_port()
    with (
        mosquitto(folder) as broker,
        running(Factory(folder, "--metrics-port", str(port), plant=PLANT)) as factory,
    ):
        factory.wait_said("serving")
        source = {**SOURCE, "url": factory.url, "publishing_interval": "250ms"}
        with running(Gateway(folder, factory.url, broker.url, sources=[source])) as gateway:
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
                yield Stack(server, broker, gateway, factory)
