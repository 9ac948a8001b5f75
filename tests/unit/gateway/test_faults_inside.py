"""What happens inside one peer stays inside: a fault at any await of its life costs that life alone."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import ConfigError, Unavailable
from tests.support.composition import Composition
from tests.support.forwarding import until
from tests.support.injected import FAULTS, Injection, at_every_await, faults_told


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_in_a_source_ends_only_that_source_and_it_starts_again(fault: str, tmp_path: Path) -> None:
    async def scenario(folder: Path, injection: Injection) -> None:
        composition = Composition(folder)
        with capture_logs() as logs:
            async with composition.running():
                for _ in range(4):
                    composition.produce(3)
                    await until(lambda: composition.has_all("a", "t") and composition.has_all("b", "t"))
                await composition.everything_arrives()
                await until(lambda: faults_told(logs) == (injection.place is not None))
                await until(lambda: composition.faults_counted == (injection.place is not None))

    places = at_every_await(scenario, fault, "s", tmp_path)
    assert len(places) > 10
    assert {place.split(" ")[0] for place in places} >= {"store_all", "append", "flush_regularly"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_in_a_sink_ends_only_that_sink_and_it_starts_again(fault: str, tmp_path: Path) -> None:
    """The sink comes by a reload: what fails while it is opened refuses that, and leaves nothing behind."""

    async def scenario(folder: Path, injection: Injection) -> None:
        composition, is_refused = Composition(folder), False
        with capture_logs() as logs:
            async with composition.running(composition.config(without=["a"])) as running:
                try:
                    await running.peers.take(composition.config())
                except (ConfigError, Unavailable):
                    is_refused = True
                    assert set(running.gateway.outbox.readers) == {"b"}
                    await running.peers.take(composition.config())
                for _ in range(4):
                    composition.produce(3)
                    await until(lambda: composition.has_all("b"))
                await composition.everything_arrives()
                await until(lambda: faults_told(logs) == (injection.place is not None))
                await until(lambda: composition.faults_counted == (injection.place is not None and not is_refused))

    places = at_every_await(scenario, fault, "a", tmp_path)
    assert len(places) > 30
    assert {place.split(" ")[0] for place in places} >= {"_keep_open", "run", "tick", "_serve", "_read"}
