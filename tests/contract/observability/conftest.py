"""The stack that the tests of this folder look at: one for all of them, because it takes seconds to live."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.otlp import Collector, collector
from tests.support.prometheus import Stack, stack_of

PLANT = Path(__file__).parent / "jams.yaml"


@pytest.fixture(scope="package")
def telemetry() -> Iterator[Collector]:
    """What the gateway of the stack tells by OpenTelemetry."""
    with collector() as found:
        yield found


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, telemetry: Collector) -> Iterator[Stack]:
    told = {"opentelemetry": {"endpoint": telemetry.url, "interval": "1s", "traces": 20}}
    with stack_of(tmp_path_factory.mktemp("stack"), PLANT, told=told) as made:
        yield made
