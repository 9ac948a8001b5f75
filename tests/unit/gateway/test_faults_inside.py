"""What happens inside one peer stays inside: a fault at any await of its life costs that life alone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import ConfigError, Unavailable
from tests.support.composition import Composition
from tests.support.forwarding import until
from tests.support.injected import Injection

SECONDS = 60


class LibraryCancellation(asyncio.CancelledError):
    """As asyncua's `wait_for` raises one: nobody has asked for it."""


class LibraryPanic(BaseException):
    """As libraries written in Rust raise one: no `Exception`."""


FAULTS: dict[str, Callable[[], BaseException]] = {
    "bug": lambda: ZeroDivisionError("injected"),
    "cancellation": lambda: LibraryCancellation("injected"),
    "panic": lambda: LibraryPanic("injected"),
}


def at_every_await(
    scenario: Callable[[Path, Injection], Awaitable[None]], fault: str, peer: str, folder: Path
) -> list[str]:
    """Run the scenario with a fault at its first await, its second … until there are no more; returns the places."""
    places: list[str] = []
    while True:
        injection = Injection(len(places) + 1, FAULTS[fault], peer)

        async def body(injection: Injection = injection) -> None:
            with injection.injected():
                await asyncio.wait_for(scenario(folder / str(injection.number), injection), SECONDS)

        asyncio.run(body())
        if injection.place is None:
            return places
        places.append(injection.place)


def faults_told(logs: Sequence[Mapping[str, object]]) -> int:
    """How many faults were told with their traceback."""
    return sum("exc_info" in entry for entry in logs)


def faults_counted(composition: Composition) -> float:
    samples = (sample for family in composition.gateway.metrics.registry.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.labels.get("cause") == "bug")


async def everything_arrives(composition: Composition) -> None:
    await until(lambda: all(map(composition.has_all, composition.brokers)))
    await composition.gateway.outbox.wait_empty()
    for name, broker in composition.brokers.items():
        assert composition.books(name).balance
        for stream in {message.stream for message in broker.got}:
            seqs = list(dict.fromkeys(message.seq for message in broker.got if message.stream == stream))
            assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_source_ends_its_life_alone_and_it_begins_again(fault: str, tmp_path: Path) -> None:
    async def scenario(folder: Path, injection: Injection) -> None:
        composition = Composition(folder)
        with capture_logs() as logs:
            async with composition.running():
                for _ in range(4):
                    composition.produce(3)
                    await until(lambda: composition.has_all("a", "t") and composition.has_all("b", "t"))
                await everything_arrives(composition)
                await until(lambda: faults_told(logs) == (injection.place is not None))
                await until(lambda: faults_counted(composition) == (injection.place is not None))

    places = at_every_await(scenario, fault, "s", tmp_path)
    assert len(places) > 10
    assert {place.split(" ")[0] for place in places} >= {"attempt", "append", "flush_regularly"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_sink_ends_its_life_alone_and_it_begins_again(fault: str, tmp_path: Path) -> None:
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
                await everything_arrives(composition)
                await until(lambda: faults_told(logs) == (injection.place is not None))
                await until(lambda: faults_counted(composition) == (injection.place is not None and not is_refused))

    places = at_every_await(scenario, fault, "a", tmp_path)
    assert len(places) > 30
    assert {place.split(" ")[0] for place in places} >= {"_keep_open", "run", "tick", "attempt", "_serve", "_read"}
